use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
    },
};

use quick_cache::Equivalent;

use crate::hashed::Hashed;

/// Nanoseconds since the cache was made.
pub(crate) type Moment = u64;

/// Later than any clock.
pub(crate) const NEVER: Moment = u64::MAX;

/// One load or one put. No two share a number, and later ones have greater ones.
pub(crate) type Serial = u64;

/// The last invalidation of a tag: what began to load before it is dead.
pub(crate) type TagCell = Arc<AtomicU64>;

/// A value and all there is to know about how long it is served.
pub(crate) struct Entry<V> {
    pub(super) value: V,
    pub(super) serial: Serial,
    /// The first moment at which it is not fresh any more.
    pub(super) fresh_until: Moment,
    /// When it was last handed out. Kept up only where entries die of being idle.
    pub(super) touched: AtomicU64,
    /// Before this moment nobody loads it anew while it is stale; `NEVER` while somebody does.
    pub(super) reload_from: AtomicU64,
    pub(super) weight: u64,
    pub(super) tags: Box<[TagCell]>,
}

/// A key as it is stored: with the number of what was stored under it.
pub(crate) struct Shelved<K> {
    pub(super) hashed: Hashed<K>,
    pub(super) serial: Serial,
}

/// How long entries live, as one cache has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// For how long without being asked for; `NEVER` is for ever.
    pub(crate) idle: u64,
    /// For how long after it was fresh it is served while it is loaded anew.
    pub(crate) revalidate: u64,
    /// For how long after it was fresh it is served in the place of an error.
    pub(crate) if_error: u64,
    /// For how long after it was fresh it is there, served or not.
    pub(crate) spare: u64,
}

/// What an entry is at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Fresh,
    /// Served while it is loaded anew.
    Revalidated,
    /// Served in the place of an error at most.
    Spare,
    Dead(Death),
}

/// What an entry died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Expired,
    Invalidated,
}

impl<V> Entry<V> {
    #[inline]
    pub(super) fn life(&self, now: Moment, windows: &Windows) -> Life {
        if self.is_condemned() {
            return Life::Dead(Death::Invalidated);
        }
        if windows.idle != NEVER && now >= self.touched.load(Relaxed).saturating_add(windows.idle) {
            return Life::Dead(Death::Expired);
        }
        if now < self.fresh_until {
            return Life::Fresh;
        }
        if now < self.fresh_until.saturating_add(windows.revalidate) {
            return Life::Revalidated;
        }
        if now < self.fresh_until.saturating_add(windows.spare) {
            return Life::Spare;
        }
        Life::Dead(Death::Expired)
    }

    #[inline]
    fn is_condemned(&self) -> bool {
        // Acquire: whoever sees the invalidation must not miss what came before it.
        self.tags.iter().any(|tag| tag.load(Acquire) > self.serial)
    }

    #[inline]
    pub(super) fn touch(&self, now: Moment, windows: &Windows) {
        // A look before the write: many readers of one entry should not fight over its line.
        if windows.idle != NEVER && self.touched.load(Relaxed) < now {
            self.touched.fetch_max(now, Relaxed);
        }
    }

    /// Whether the caller is the one to load it anew. Claimed by a compare-and-swap, under no exclusive lock.
    pub(super) fn claim(&self, now: Moment) -> bool {
        let from = self.reload_from.load(Relaxed);
        from <= now
            && self
                .reload_from
                .compare_exchange(from, NEVER, Relaxed, Relaxed)
                .is_ok()
    }

    /// Whether loading it failed so lately that nobody is to try again yet.
    pub(super) fn failed_lately(&self, now: Moment) -> bool {
        let from = self.reload_from.load(Relaxed);
        from != NEVER && from > now
    }

    /// The first moment at which it is certainly dead, if nobody asks for it any more.
    pub(super) fn dies(&self, windows: &Windows) -> Moment {
        let stale = windows.revalidate.max(windows.spare);
        let idle = self.touched.load(Relaxed).saturating_add(windows.idle);
        self.fresh_until.saturating_add(stale).min(idle)
    }
}

// ===== keys and what finds them =====

impl<K: Eq> PartialEq for Shelved<K> {
    fn eq(&self, other: &Self) -> bool {
        self.hashed == other.hashed
    }
}

impl<K: Eq> Eq for Shelved<K> {}

impl<K> std::hash::Hash for Shelved<K> {
    #[inline]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hashed.hash);
    }
}

/// Finds what is stored under a key.
pub(super) struct ByKey<'a, Q: ?Sized> {
    pub(super) hash: u64,
    pub(super) key: &'a Q,
}

/// Finds what was stored under a number, and nothing that was stored in its place since.
#[derive(Clone, Copy, Debug)]
pub(super) struct BySerial {
    pub(super) hash: u64,
    pub(super) serial: Serial,
}

impl<Q: ?Sized> std::hash::Hash for ByKey<'_, Q> {
    #[inline]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl std::hash::Hash for BySerial {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K, Q: Equivalent<K> + ?Sized> Equivalent<Shelved<K>> for ByKey<'_, Q> {
    #[inline]
    fn equivalent(&self, shelved: &Shelved<K>) -> bool {
        self.hash == shelved.hashed.hash && self.key.equivalent(&shelved.hashed.key)
    }
}

impl<K> Equivalent<Shelved<K>> for BySerial {
    fn equivalent(&self, shelved: &Shelved<K>) -> bool {
        // The entries of one response have one number.
        self.serial == shelved.serial && self.hash == shelved.hashed.hash
    }
}
