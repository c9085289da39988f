use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    mem::{self, ManuallyDrop},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed},
            fence,
        },
    },
};

use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    config::State,
    gate::Kinds,
    permit::Admission,
    refusal::Refusal,
};

/// The circuits of a keyed layer: never more than so many.
pub(crate) struct Registry<K> {
    builder: CircuitBreakerBuilder,
    most: usize,
    /// How many circuits there are, and how many are about to be.
    len: AtomicUsize,
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    pub(crate) unguarded: AtomicU64,
    pub(crate) evicted: AtomicU64,
    /// The totals of circuits that were evicted, so that sums only grow.
    past: [AtomicU64; Kinds::LEN],
}

/// A part of the circuits, in the ring that the hand of the clock goes around: the second-chance algorithm (Corbató,
/// "A paging experiment with the Multics system", 1968), which is as good as least recently used and takes no list.
struct Shard<K> {
    circuits: HashMap<K, Seat>,
    ring: Vec<K>,
    hand: usize,
}

struct Seat {
    circuit: CircuitBreaker,
    /// Since the hand last passed.
    was_used: bool,
}

/// Locks that threads rarely meet at.
const SHARDS: usize = 16;
/// How far the hand goes for one newcomer.
const STEPS: usize = 64;

impl<K: Hash + Eq + Clone> Registry<K> {
    pub(crate) fn new(builder: CircuitBreakerBuilder, most: usize) -> Self {
        Self {
            builder,
            most,
            len: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            unguarded: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            past: Default::default(),
        }
    }

    fn shard(&self, key: &K) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard<K>> {
        // What panics in there is `K`'s own `Eq`, and leaves the map as it was.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call for `key` in, or refuses it; `None` if there is no circuit for it and no room for another.
    pub(crate) fn acquire(&self, key: K) -> Option<Result<Admission, Refusal>> {
        let circuit = {
            let mut shard = self.lock(self.shard(&key));
            match shard.circuits.get_mut(&key) {
                Some(seat) => {
                    seat.was_used = true;
                    // While all is well this is where it ends, and the circuit cannot be evicted in between. Anything
                    // else may wake others, which is not done under a lock.
                    if let Some(admission) = Admission::acquire_free(seat.circuit.gate()) {
                        return Some(Ok(admission));
                    }
                    Some(seat.circuit.clone())
                }
                None => None,
            }
        };
        match circuit.or_else(|| self.create(key)) {
            Some(circuit) => Some(Admission::acquire(circuit.gate())),
            None => {
                self.unguarded.fetch_add(1, Relaxed);
                None
            }
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<CircuitBreaker> {
        let shard = self.lock(self.shard(key));
        shard.circuits.get(key).map(|seat| seat.circuit.clone())
    }

    pub(crate) fn get_or_create(&self, key: K) -> Option<CircuitBreaker> {
        self.get(&key).or_else(|| self.create(key))
    }

    /// A new circuit for `key`, or the one that somebody else has made meanwhile.
    #[cold]
    fn create(&self, key: K) -> Option<CircuitBreaker> {
        let mine = self.shard(&key);
        let before = self.len.fetch_add(1, Relaxed);
        let reserved = Reserved(&self.len);
        if before >= self.most && !self.make_room(mine) {
            return None;
        }
        let circuit = self.builder.clone().build();
        let mut shard = self.lock(mine);
        if let Some(seat) = shard.circuits.get(&key) {
            return Some(seat.circuit.clone());
        }
        let seat = Seat {
            circuit: circuit.clone(),
            was_used: true,
        };
        let twin = key.clone();
        shard.circuits.insert(key, seat);
        shard.ring.push(twin);
        reserved.keep();
        Some(circuit)
    }

    /// Evicts one circuit, of that shard if it can be, for a newcomer who has been counted already.
    fn make_room(&self, first: usize) -> bool {
        // Keys are the user's, and circuits hold what is; both are dropped without the lock.
        let gone = (0..SHARDS).find_map(|next| {
            let mut shard = self.lock((first + next) % SHARDS);
            let gone = shard.evict()?;
            // Under the lock: whoever has listed the circuits finds each among them or in here, and never in neither.
            for (past, count) in self.past.iter().zip(gone.1.core().gate().totals()) {
                past.fetch_add(count, Relaxed);
            }
            Some(gone)
        });
        if gone.is_none() {
            return false;
        }
        self.len.fetch_sub(1, Relaxed);
        self.evicted.fetch_add(1, Relaxed);
        true
    }

    /// Every key and its circuit, in no order.
    pub(crate) fn list(&self) -> Vec<(K, CircuitBreaker)> {
        (0..SHARDS)
            .flat_map(|shard| {
                let shard = self.lock(shard);
                let pairs = shard.circuits.iter();
                pairs
                    .map(|(key, seat)| (key.clone(), seat.circuit.clone()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn past(&self) -> [u64; Kinds::LEN] {
        std::array::from_fn(|kind| self.past[kind].load(Relaxed))
    }

    pub(crate) fn name(&self) -> &str {
        self.builder.called()
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl<K: Hash + Eq + Clone> Shard<K> {
    /// Takes out a circuit that nobody has used since the hand last came by, and that nobody will miss.
    fn evict(&mut self) -> Option<((K, K), CircuitBreaker)> {
        let mut second_best = None;
        for _ in 0..STEPS.min(2 * self.ring.len()) {
            let place = self.hand % self.ring.len();
            self.hand = place + 1;
            let seat = self.circuits.get_mut(&self.ring[place])?;
            if !seat.is_idle() {
                continue;
            }
            if !mem::replace(&mut seat.was_used, false) {
                return self.remove(place);
            }
            second_best.get_or_insert(place);
        }
        // All of them were used lately. One that is idle gives way all the same, or the newcomer would go unguarded.
        self.remove(second_best?)
    }

    fn remove(&mut self, place: usize) -> Option<((K, K), CircuitBreaker)> {
        let (twin, seat) = self.circuits.remove_entry(&self.ring[place])?;
        let key = self.ring.swap_remove(place);
        self.hand = place;
        Some(((key, twin), seat.circuit))
    }
}

/// The place of a circuit that is about to be. Given up when it is dropped: by a panic of the key's own code too.
struct Reserved<'a>(&'a AtomicUsize);

impl Reserved<'_> {
    fn keep(self) {
        let _ = ManuallyDrop::new(self);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Seat {
    /// Closed, with no call under way, and with no handle to it out there.
    fn is_idle(&self) -> bool {
        let core = self.circuit.core();
        if Arc::strong_count(core) > 1 {
            return false;
        }
        // Others come by under the lock only. Whoever had a reference and let it go has begun its call before that;
        // looked at in the other order, it could do both in between.
        fence(Acquire);
        core.gate().word().state == State::Closed && core.in_flight() == 0
    }
}

impl<K> Default for Shard<K> {
    fn default() -> Self {
        Self {
            circuits: HashMap::new(),
            ring: Vec::new(),
            hand: 0,
        }
    }
}

// By hand: keys need not be `Debug`.
impl<K> fmt::Debug for Registry<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("len", &self.len)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
