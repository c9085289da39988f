use std::{
    mem,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use quick_cache::{Lifecycle, Weighter, unsync};

use super::{
    entry::{BySerial, Death, Entry, Life, Moment, NEVER, Shelved, Windows},
    limits::Plan,
};
use crate::hashed::GivenHash;

/// One part of a store, with a lock of its own.
pub(super) struct Shelf<K, V> {
    books: RwLock<Books<K, V>>,
}

/// What is on a shelf.
pub(super) struct Books<K, V> {
    pub(super) table: Table<K, V>,
    /// Nothing that was put since the last sweep began is dead before this, but for what a tag condemned.
    put_earliest: Moment,
    /// The same of what was there before.
    swept_earliest: Moment,
    /// Puts since the last sweep, which pay for the next one.
    puts: usize,
    /// How many invalidations by tag the last sweep has seen.
    seen: u64,
    /// How many sweeps have begun.
    sweeps: u64,
    /// One that was broken off.
    halted: Option<Sweep>,
}

pub(super) type Table<K, V> = unsync::Cache<Shelved<K>, Entry<V>, Weight, GivenHash, Departures>;

/// What left a shelf, to be dropped after it is unlocked.
pub(crate) type Left<K, V> = (Shelved<K>, Entry<V>);

/// A sweep of one shelf: what was found dead and is still there, and when the next of the others dies.
pub(super) struct Sweep {
    number: u64,
    pub(super) dead: Vec<(BySerial, Death)>,
    earliest: Moment,
}

impl<K: Eq, V> Shelf<K, V> {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            books: RwLock::new(Books {
                table: table(plan),
                put_earliest: NEVER,
                swept_earliest: NEVER,
                puts: 0,
                seen: 0,
                sweeps: 0,
                halted: None,
            }),
        }
    }

    // What is guarded is whole between any two lines, also where an `Eq` or `Clone` of the user's panics.
    #[inline]
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Books<K, V>> {
        self.books.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Books<K, V>> {
        self.books.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq, V> Books<K, V> {
    pub(super) fn put(&mut self, key: Shelved<K>, entry: Entry<V>, windows: &Windows) -> Departed<K, V> {
        self.put_earliest = self.put_earliest.min(entry.dies(windows));
        self.puts = self.puts.saturating_add(1);
        self.table.insert_with_lifecycle(key, entry)
    }

    /// Whether a sweep was broken off; or enough was put since the last one to pay for another, and there may be
    /// something to find.
    pub(super) fn is_sweep_due(&self, now: Moment, condemned: u64) -> bool {
        self.halted.is_some() || (self.puts > 16 + self.table.len() / 2 && self.may_hold_dead(now, condemned))
    }

    pub(super) fn may_hold_dead(&self, now: Moment, condemned: u64) -> bool {
        (self.put_earliest.min(self.swept_earliest) <= now || self.seen != condemned)
            && !self.table.is_empty()
    }

    /// Goes on with a sweep, or begins one. Until it has got through there may be something dead.
    pub(super) fn begin_sweep(&mut self, condemned: u64) -> Sweep {
        if let Some(halted) = self.halted.take() {
            return halted;
        }
        self.put_earliest = NEVER;
        self.swept_earliest = 0;
        self.puts = 0;
        self.seen = condemned;
        self.sweeps += 1;
        Sweep {
            number: self.sweeps,
            dead: Vec::new(),
            earliest: NEVER,
        }
    }

    /// Looks for what is dead, unless some of that is still there.
    pub(super) fn find_dead(&self, sweep: &mut Sweep, now: Moment, windows: &Windows) {
        if !sweep.dead.is_empty() {
            return;
        }
        for (key, entry) in self.table.iter() {
            match entry.life(now, windows) {
                Life::Dead(death) => sweep.dead.push((key.by_serial(), death)),
                _ => sweep.earliest = sweep.earliest.min(entry.dies(windows)),
            }
        }
    }

    /// Takes out a few of the dead.
    pub(super) fn take_dead(&mut self, sweep: &mut Sweep, most: usize) -> Vec<(Left<K, V>, Death)> {
        let rest = sweep.dead.len().saturating_sub(most);
        let few = sweep.dead.drain(rest..);
        few.filter_map(|(at, death)| Some((self.table.remove(&at)?, death)))
            .collect()
    }

    /// Leaves the rest to the next one.
    pub(super) fn halt_sweep(&mut self, sweep: Sweep) {
        if sweep.number == self.sweeps {
            self.halted = Some(sweep);
        }
    }

    /// Ends a sweep that got through. A table that fell empty is replaced, which frees the memory of its slots.
    #[must_use]
    pub(super) fn end_sweep(&mut self, sweep: &Sweep, plan: &Plan) -> Option<Table<K, V>> {
        // Another one that has begun since has taken over what was put meanwhile.
        if sweep.number == self.sweeps {
            self.swept_earliest = sweep.earliest;
        }
        let emptied = self.table.is_empty();
        emptied.then(|| mem::replace(&mut self.table, table(plan)))
    }

    pub(super) fn take_all(&mut self, plan: &Plan) -> Table<K, V> {
        self.put_earliest = NEVER;
        self.swept_earliest = NEVER;
        self.puts = 0;
        self.sweeps += 1;
        self.halted = None;
        mem::replace(&mut self.table, table(plan))
    }
}

impl<K> Shelved<K> {
    pub(super) fn by_serial(&self) -> BySerial {
        BySerial {
            hash: self.hashed.hash,
            serial: self.serial,
        }
    }
}

fn table<K: Eq, V>(plan: &Plan) -> Table<K, V> {
    unsync::Cache::with_options(plan.options(), Weight, GivenHash::default(), Departures)
}

/// What an entry was found to weigh when it was stored.
#[derive(Clone, Copy)]
pub(super) struct Weight;

impl<K, V> Weighter<Shelved<K>, Entry<V>> for Weight {
    #[inline]
    fn weight(&self, _key: &Shelved<K>, entry: &Entry<V>) -> u64 {
        entry.weight
    }
}

/// Collects what leaves the store on behalf of a `put`.
#[derive(Clone, Copy)]
pub(super) struct Departures;

/// What left the store on behalf of a `put`, to be dropped outside of any lock.
pub(crate) struct Departed<K, V> {
    evicted: u64,
    left: u64,
    // More than one is rare; it costs an allocation only then.
    one: Option<Left<K, V>>,
    more: Vec<Left<K, V>>,
}

impl<K, V> Departed<K, V> {
    /// How many had to make room for others.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whether there was a value under the same key.
    pub(crate) fn replaced(&self) -> u64 {
        self.left - self.evicted
    }
}

impl<K, V> Lifecycle<Shelved<K>, Entry<V>> for Departures {
    type RequestState = Departed<K, V>;

    fn begin_request(&self) -> Departed<K, V> {
        Departed {
            evicted: 0,
            left: 0,
            one: None,
            more: Vec::new(),
        }
    }

    // Called before an eviction, but not before a replacement; `on_evict` is called for both.
    fn before_evict(&self, departed: &mut Departed<K, V>, _key: &Shelved<K>, _entry: &mut Entry<V>) {
        departed.evicted += 1;
    }

    fn on_evict(&self, departed: &mut Departed<K, V>, key: Shelved<K>, entry: Entry<V>) {
        departed.left += 1;
        match departed.one {
            None => departed.one = Some((key, entry)),
            Some(_) => departed.more.push((key, entry)),
        }
    }
}
