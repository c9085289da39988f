//! Which loads are under way, who leads each, and who waits for it.
//!
//! - A flight is *attached* while the table leads to it. Callers join attached flights only, and what
//!   a flight loads is stored only while it is attached: whoever detaches it has the last word.
//! - `Led` has exactly one [`Lead`]. `Vacant` has none, is attached, and has a waiter that was woken
//!   and neither polled nor dropped since. The other stages are final and have no waiters.
//! - A vacant flight may hold the load that its leader left half done. It is resumed only if nothing was
//!   invalidated or put meanwhile: whoever would detach the flight takes that load away instead, and
//!   after the invalidation of a tag whoever takes the flight over does.
//! - Only a panicking `Eq` leaves a flight in a final stage attached. It counts as none.
//! - What is loaded outside of any flight leaves a mark while it is under way, and whoever has the last
//!   word under its key notes it there.
//! - A waiter without a waker was woken and has not been polled since.
//! - The table is locked before the flight. Under either lock no foreign code runs but `K: Eq`
//!   and the `store` of this crate: keys, values, loads and wakers are cloned, woken and dropped outside.

mod follower;
mod lead;
mod line;
mod lone;

pub(crate) use follower::Follower;
pub(crate) use lead::Lead;
pub(crate) use lone::Lone;

use std::{any::Any, collections::HashMap, mem, sync::atomic::Ordering::SeqCst, task::Waker};

use line::{Line, Unwoken};

use crate::{
    hashed::{GivenHash, Hashed},
    sync::{Arc, AtomicU64, Mutex, lock},
};

/// A load that its caller left half done, in a box.
pub(crate) type Orphan = Box<dyn Any + Send>;

/// An error that was prepared for sharing.
pub(crate) type SharedError = std::sync::Arc<dyn Any + Send + Sync>;

/// The flights of one cache.
pub(crate) struct Flights<K, V> {
    table: Mutex<Table<K, V>>,
    /// One for each load that has begun, and for each put and each invalidation of a tag. Taken with one
    /// read-modify-write: of two, one came first.
    ticks: AtomicU64,
    /// The last invalidation of any tag.
    condemned: AtomicU64,
}

struct Table<K, V> {
    current: HashMap<Hashed<K>, Arc<Flight<V>>, GivenHash>,
    /// Of the keys that are loaded outside of any flight, which happens after failures only.
    marks: HashMap<Hashed<K>, Mark, GivenHash>,
}

/// What those who load a key outside of any flight know of each other and of the rest.
struct Mark {
    /// How many of them there are.
    loads: usize,
    /// What had begun up to here is not to be stored any more.
    last_word: u64,
}

/// What the table held of a flight, to be dropped after it is unlocked.
type Attached<K, V> = (Hashed<K>, Arc<Flight<V>>);

/// What was taken out of the table or out of a vacant flight, to be dropped after they are unlocked.
struct Taken<K, V> {
    _flight: Option<Attached<K, V>>,
    _orphan: Option<Orphan>,
}

struct Flight<V> {
    /// When its first load began; one that was taken over and not resumed has begun since.
    began: u64,
    /// When its leader knew that there is something to wait for, in the cache's time; 0 is not yet.
    #[cfg(feature = "http")]
    promised: std::sync::atomic::AtomicU64,
    state: Mutex<State<V>>,
}

struct State<V> {
    stage: Stage<V>,
    line: Line,
}

enum Stage<V> {
    /// Somebody loads.
    Led,
    /// The leader went away; the first who comes by takes over, and goes on with the load if there is one.
    Vacant(Option<Orphan>),
    /// The value is here, for everybody who asked before it was invalidated; 0 is never.
    Landed(std::sync::Arc<V>, u64),
    /// The error is here, for everybody who waited.
    Failed(SharedError),
    /// There is nothing to share: each one loads for itself.
    Scattered,
    /// Nothing came of it: each one starts from the beginning.
    Dissolved,
}

/// What asking for a flight comes to.
pub(crate) enum Joined<K: Eq, V> {
    /// With the load to go on with, if one was left half done.
    Leading(Lead<K, V>, Option<Orphan>),
    /// The waker handed in is in line.
    Following(Follower<K, V>),
    /// As many wait as may.
    Crowded(Hashed<K>),
}

/// What waiting for a flight comes to.
pub(crate) enum Turn<K: Eq, V> {
    /// The leader's value.
    Served(std::sync::Arc<V>),
    /// The leader's error.
    Failed(SharedError, Hashed<K>),
    /// The leader went away, and this follower is the leader now.
    Leading(Lead<K, V>, Option<Orphan>),
    /// The leader has nothing to share.
    Alone(Hashed<K>),
    /// Nothing came of the flight: look into the cache, and ask again.
    Again(Hashed<K>),
}

// ===== impl Flights =====

impl<K, V> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            table: Mutex::new(Table {
                current: HashMap::default(),
                marks: HashMap::default(),
            }),
            ticks: AtomicU64::new(0),
            condemned: AtomicU64::new(0),
        }
    }

    /// A number greater than all that were taken before.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, SeqCst) + 1
    }

    /// The number of an invalidation of a tag. No load that began before it changes hands from here on: nobody knows
    /// what it will bear, and whoever asks after the invalidation would be given it.
    pub(crate) fn condemn(&self) -> u64 {
        let now = self.tick();
        self.condemned.fetch_max(now, SeqCst);
        now
    }
}

impl<K: Eq, V> Flights<K, V> {
    /// Joins the flight for `key`, or begins one. An associated function, as loom's `Arc` is no receiver.
    pub(crate) fn join(flights: &Arc<Self>, key: Hashed<K>, waker: Waker, most: usize) -> Joined<K, V>
    where
        K: Clone,
    {
        let twin = key.clone();
        let mut table = lock(&flights.table);
        let now = flights.tick();
        let Some(slot) = table.current.get_mut(&key) else {
            let flight = Arc::new(Flight::new(now));
            table.current.insert(twin, flight.clone());
            drop(table);
            return Joined::Leading(Lead::new(flights.clone(), key, flight), None);
        };
        if slot.is_over() {
            let flight = Arc::new(Flight::new(now));
            let over = mem::replace(slot, flight.clone());
            drop(table);
            drop(over);
            return Joined::Leading(Lead::new(flights.clone(), key, flight), None);
        }
        let flight = slot.clone();
        let mut state = lock(&flight.state);
        if let Stage::Vacant(orphan) = &mut state.stage {
            let orphan = orphan.take();
            state.stage = Stage::Led;
            drop(state);
            drop(table);
            let lead = Lead::new(flights.clone(), key, flight);
            let orphan = lead.inherit(orphan);
            return Joined::Leading(lead, orphan);
        }
        if state.line.len() >= most {
            drop(state);
            drop(table);
            return Joined::Crowded(key);
        }
        let ticket = state.line.enqueue(waker);
        drop(state);
        drop(table);
        Joined::Following(Follower {
            flights: flights.clone(),
            key: Some(key),
            flight,
            ticket,
            asked: now,
        })
    }

    /// From here on, nothing whose load has begun is stored under `key`.
    pub(crate) fn detach(&self, key: &Hashed<K>) {
        let taken = {
            let mut table = lock(&self.table);
            table.detach(key, self.ticks.load(SeqCst))
        };
        drop(taken);
    }

    /// From here on, nothing whose load has begun is stored at all.
    pub(crate) fn detach_all(&self) {
        let mut table = lock(&self.table);
        let now = self.ticks.load(SeqCst);
        for mark in table.marks.values_mut() {
            mark.last_word = now;
        }
        let mut taken = Vec::with_capacity(table.current.len());
        for (key, flight) in mem::take(&mut table.current) {
            match flight.disown() {
                Some(orphan) => {
                    table.current.insert(key, flight);
                    taken.push(Taken::orphan(orphan));
                }
                None => taken.push(Taken::flight((key, flight))),
            }
        }
        drop(table);
        drop(taken);
    }

    /// Stores a value that did not come from a load: it wins over every load under way. `store` is given the
    /// key and the number of the put.
    pub(crate) fn overwrite<R>(&self, key: Hashed<K>, store: impl FnOnce(Hashed<K>, u64) -> R) -> R {
        let mut table = lock(&self.table);
        let now = self.tick();
        let taken = table.detach(&key, now);
        let stored = store(key, now);
        drop(table);
        drop(taken);
        stored
    }
}

impl<K: Eq, V> Table<K, V> {
    #[must_use]
    fn detach(&mut self, key: &Hashed<K>, now: u64) -> Taken<K, V> {
        self.have_last_word(key, now);
        self.detach_older(key, u64::MAX)
    }

    /// Detaches the flight whose load began before `began`.
    #[must_use]
    fn detach_older(&mut self, key: &Hashed<K>, began: u64) -> Taken<K, V> {
        let Some(flight) = self.current.get(key).filter(|flight| flight.began <= began) else {
            return Taken::nothing();
        };
        // Whoever takes a vacant flight over without its load begins after this.
        match flight.disown() {
            Some(orphan) => Taken::orphan(orphan),
            None => Taken {
                _flight: self.current.remove_entry(key),
                _orphan: None,
            },
        }
    }

    /// Keeps what is under way outside of any flight from being stored.
    fn have_last_word(&mut self, key: &Hashed<K>, now: u64) {
        if self.marks.is_empty() {
            return;
        }
        if let Some(mark) = self.marks.get_mut(key) {
            mark.last_word = mark.last_word.max(now);
        }
    }

    /// One load less outside of any flight.
    #[must_use]
    fn unmark(&mut self, key: &Hashed<K>) -> Option<(Hashed<K>, Mark)> {
        let mark = self.marks.get_mut(key)?;
        mark.loads -= 1;
        if mark.loads > 0 {
            return None;
        }
        self.marks.remove_entry(key)
    }

    fn leads_to(&self, key: &Hashed<K>, flight: &Arc<Flight<V>>) -> bool {
        self.current
            .get(key)
            .is_some_and(|current| Arc::ptr_eq(current, flight))
    }
}

impl<K, V> Taken<K, V> {
    fn nothing() -> Self {
        Self {
            _flight: None,
            _orphan: None,
        }
    }

    fn flight(flight: Attached<K, V>) -> Self {
        Self {
            _flight: Some(flight),
            _orphan: None,
        }
    }

    fn orphan(orphan: Option<Orphan>) -> Self {
        Self {
            _flight: None,
            _orphan: orphan,
        }
    }
}

// ===== impl Flight =====

impl<V> Flight<V> {
    fn new(began: u64) -> Self {
        Self {
            began,
            #[cfg(feature = "http")]
            promised: std::sync::atomic::AtomicU64::new(0),
            state: Mutex::new(State {
                stage: Stage::Led,
                line: Line::new(),
            }),
        }
    }

    /// If it is vacant, takes away the load that its leader left, if there is one.
    fn disown(&self) -> Option<Option<Orphan>> {
        match &mut lock(&self.state).stage {
            Stage::Vacant(orphan) => Some(orphan.take()),
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        !matches!(lock(&self.state).stage, Stage::Led | Stage::Vacant(_))
    }

    /// Ends the flight and wakes everybody who waits, also if one of the wakers panics.
    fn end(&self, stage: Stage<V>) {
        let mut state = lock(&self.state);
        state.stage = stage;
        let mut unwoken = Unwoken::from(mem::take(&mut state.line));
        drop(state);
        unwoken.wake();
    }
}
