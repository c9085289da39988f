//! What is stored, until when. Pure: the time is handed in, nothing is counted here.
//!
//! The store is divided into shelves, each a `quick_cache` of its own behind its own lock. Whatever leaves a shelf
//! is handed to the caller, who drops it after the lock is gone.

mod entry;
mod limits;
mod removal;
mod shelf;

pub(crate) use entry::{Death, Moment, NEVER, Serial, TagCell, Windows};
pub(crate) use limits::Limits;
pub(crate) use shelf::{Departed, Left};

use std::{
    hash::Hash,
    mem,
    sync::atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed},
    },
};

use entry::{ByKey, BySerial, Entry, Life, Shelved};
use limits::Plan;
use quick_cache::{DefaultHashBuilder, Equivalent};
use shelf::Shelf;

use crate::{hashed::Hashed, tags::last_invalidated};

/// What an entry costs beside its key and value: a bucket of the table, and the links of its slot.
const BOOKKEEPING: usize = 32;

pub(crate) struct Store<K, V> {
    /// None where nothing may be stored.
    shelves: Box<[Shelf<K, V>]>,
    hasher: DefaultHashBuilder,
    limits: Limits,
    plan: Plan,
    windows: Windows,
    /// How many invalidations by tag there were: each may have condemned what is on any shelf.
    condemned: AtomicU64,
    /// The shelf that is swept next.
    next: AtomicUsize,
}

/// What came of looking for a key.
pub(crate) enum Found<V> {
    Fresh(V),
    /// Past its time, and served for now.
    Stale {
        value: V,
        /// The caller is the one to load this anew.
        claimed: Option<Serial>,
    },
    Absent,
    /// Was here and dead, and was removed just now.
    Dead(Death),
}

/// What is to be stored.
pub(crate) struct New<V> {
    pub(crate) value: V,
    pub(crate) serial: Serial,
    pub(crate) fresh_until: Moment,
    pub(crate) weight: u64,
    pub(crate) tags: Box<[TagCell]>,
}

/// What came of putting a value, with what is to be dropped outside of any lock.
pub(crate) enum Put<K, V> {
    Stored {
        departed: Departed<K, V>,
        /// The shelf is to be swept after the caller's own locks are gone.
        sweep: Option<usize>,
    },
    Refused {
        why: Refusal,
        /// What was there before, which is not served any more.
        replaced: Option<Left<K, V>>,
        _key: K,
        _new: New<V>,
    },
}

/// Why a value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoCapacity,
    TooHeavy,
    Outdated,
}

/// What came of taking an entry out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    Live,
    Dead(Death),
    Nothing,
}

impl<K, V> Store<K, V> {
    /// What an entry weighs beside what its key and its value point to.
    pub(crate) const OVERHEAD: u64 = (size_of::<Shelved<K>>() + size_of::<Entry<V>>() + BOOKKEEPING) as u64;
}

impl<K: Eq, V> Store<K, V> {
    #[inline]
    fn place(&self, hash: u64) -> usize {
        // Not the bits that a table takes to find its bucket.
        (hash >> 32) as usize & self.shelves.len().wrapping_sub(1)
    }

    #[inline]
    fn shelf(&self, hash: u64) -> Option<&Shelf<K, V>> {
        self.shelves.get(self.place(hash))
    }

    /// A stale entry is not loaded anew before `from`. Does nothing if another is in its place by now.
    pub(crate) fn put_off(&self, hash: u64, serial: Serial, from: Moment) {
        let Some(shelf) = self.shelf(hash) else {
            return;
        };
        let books = shelf.read();
        if let Some(entry) = books.table.peek(&BySerial { hash, serial }) {
            entry.reload_from.store(from, Relaxed);
        }
    }
}

impl<K: Hash + Eq, V: Clone> Store<K, V> {
    pub(crate) fn new(limits: Limits, windows: Windows) -> Self {
        let plan = limits.plan(Self::OVERHEAD);
        let shelves = if limits.total > 0 { plan.shards } else { 0 };
        Self {
            shelves: (0..shelves).map(|_| Shelf::new(&plan)).collect(),
            hasher: DefaultHashBuilder::default(),
            limits,
            plan,
            windows,
            condemned: AtomicU64::new(0),
            next: AtomicUsize::new(0),
        }
    }

    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Looks for a key on behalf of a caller who will load it if it is not there.
    ///
    /// With `stale`, an entry past its time is found too while it may be served.
    #[inline]
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q, now: Moment, stale: bool) -> Found<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let Some(shelf) = self.shelf(hash) else {
            return Found::Absent;
        };
        let at = {
            let books = shelf.read();
            let Some(entry) = books.table.get(&ByKey { hash, key }) else {
                return Found::Absent;
            };
            match entry.life(now, &self.windows) {
                Life::Fresh => {
                    entry.touch(now, &self.windows);
                    return Found::Fresh(entry.value.clone());
                }
                Life::Revalidated if stale => {
                    entry.touch(now, &self.windows);
                    // Cloned first: a clone that panics must not take the claim along.
                    let value = entry.value.clone();
                    let claimed = entry.claim(now).then_some(entry.serial);
                    return Found::Stale { value, claimed };
                }
                Life::Spare if stale && entry.failed_lately(now) => {
                    return Found::Stale {
                        value: entry.value.clone(),
                        claimed: None,
                    };
                }
                Life::Revalidated | Life::Spare => return Found::Absent,
                Life::Dead(_) => BySerial {
                    hash,
                    serial: entry.serial,
                },
            }
        };
        self.bury(shelf, at, now)
    }

    #[cold]
    fn bury(&self, shelf: &Shelf<K, V>, at: BySerial, now: Moment) -> Found<V> {
        // Whoever was quicker has counted it; what was put since has another serial.
        let removed = {
            let mut books = shelf.write();
            let windows = &self.windows;
            books
                .table
                .remove_if(&at, |entry| matches!(entry.life(now, windows), Life::Dead(_)))
        };
        match removed {
            Some((_, entry)) => match entry.life(now, &self.windows) {
                Life::Dead(death) => Found::Dead(death),
                _ => Found::Dead(Death::Expired),
            },
            None => Found::Absent,
        }
    }

    /// A value that may stand in for an error.
    pub(crate) fn spare(&self, key: &Hashed<K>, now: Moment) -> Option<V> {
        let books = self.shelf(key.hash)?.read();
        let at = ByKey {
            hash: key.hash,
            key: &key.key,
        };
        let entry = books.table.peek(&at)?;
        let since = self.windows.if_error;
        let serves = match entry.life(now, &self.windows) {
            Life::Fresh => true,
            Life::Revalidated | Life::Spare => now < entry.fresh_until.saturating_add(since),
            Life::Dead(_) => false,
        };
        serves.then(|| entry.value.clone())
    }

    /// Whether there is something fresh under `key`. Counts for nothing: no life is extended.
    pub(crate) fn contains<Q>(&self, hash: u64, key: &Q, now: Moment) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let Some(shelf) = self.shelf(hash) else {
            return false;
        };
        let books = shelf.read();
        let found = books.table.peek(&ByKey { hash, key });
        found.is_some_and(|entry| entry.life(now, &self.windows) == Life::Fresh)
    }

    /// As [`put_off`](Self::put_off), for whatever is under `key`.
    pub(crate) fn put_off_key(&self, key: &Hashed<K>, from: Moment) {
        let Some(shelf) = self.shelf(key.hash) else {
            return;
        };
        let books = shelf.read();
        let at = ByKey {
            hash: key.hash,
            key: &key.key,
        };
        if let Some(entry) = books.table.peek(&at) {
            entry.reload_from.store(from, Relaxed);
        }
    }

    /// Whatever is there, served or not, unless it is dead.
    #[cfg(feature = "http")]
    pub(crate) fn old(&self, key: &Hashed<K>, now: Moment) -> Option<V> {
        let books = self.shelf(key.hash)?.read();
        let at = ByKey {
            hash: key.hash,
            key: &key.key,
        };
        let entry = books.table.peek(&at)?;
        let dead = matches!(entry.life(now, &self.windows), Life::Dead(_));
        (!dead).then(|| entry.value.clone())
    }

    pub(crate) fn put(&self, key: Hashed<K>, new: New<V>, now: Moment) -> Put<K, V> {
        self.put_over::<false>(key, new, now)
    }

    /// As [`put`](Self::put), unless what is there began later.
    #[cfg(feature = "http")]
    pub(crate) fn put_newest(&self, key: Hashed<K>, new: New<V>, now: Moment) -> Put<K, V> {
        self.put_over::<true>(key, new, now)
    }

    #[inline]
    fn put_over<const NEWEST: bool>(&self, key: Hashed<K>, new: New<V>, now: Moment) -> Put<K, V> {
        let place = self.place(key.hash);
        let Some(shelf) = self.shelves.get(place) else {
            return Put::Refused {
                why: Refusal::NoCapacity,
                replaced: None,
                _key: key.key,
                _new: new,
            };
        };
        if last_invalidated(&new.tags) > new.serial {
            return Put::Refused {
                why: Refusal::Outdated,
                replaced: None,
                _key: key.key,
                _new: new,
            };
        }
        let mut books = shelf.write();
        let at = ByKey {
            hash: key.hash,
            key: &key.key,
        };
        let newer = |there: &Entry<V>| {
            there.serial > new.serial && !matches!(there.life(now, &self.windows), Life::Dead(_))
        };
        if NEWEST && books.table.peek(&at).is_some_and(newer) {
            drop(books);
            return Put::Refused {
                why: Refusal::Outdated,
                replaced: None,
                _key: key.key,
                _new: new,
            };
        }
        if new.weight > self.limits.largest {
            let replaced = books.table.remove(&at);
            drop(books);
            return Put::Refused {
                why: Refusal::TooHeavy,
                replaced,
                _key: key.key,
                _new: new,
            };
        }
        let entry = Entry {
            value: new.value,
            serial: new.serial,
            fresh_until: new.fresh_until,
            touched: AtomicU64::new(now),
            reload_from: AtomicU64::new(0),
            weight: new.weight,
            tags: new.tags,
        };
        let shelved = Shelved {
            hashed: key,
            serial: new.serial,
        };
        let departed = books.put(shelved, entry, &self.windows);
        let due = books.is_sweep_due(now, self.condemned.load(Acquire));
        drop(books);
        Put::Stored {
            departed,
            sweep: due.then_some(place),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.read().table.len()).sum()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.shelves.iter().map(|shelf| shelf.read().table.weight()).sum()
    }

    /// The bytes of the tables themselves, without what keys and values point to.
    pub(crate) fn table_bytes(&self) -> usize {
        let used = |shelf: &Shelf<K, V>| shelf.read().table.memory_used().total();
        self.shelves.iter().map(used).sum::<usize>() + mem::size_of_val(&*self.shelves)
    }
}
