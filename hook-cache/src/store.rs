use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, UnitWeighter, sync};

/// A shard below this holds so few entries that uneven filling would show.
const LEAST_PER_SHARD: usize = 64;

/// What is stored, until when. Pure: the time is handed in, nothing is counted here.
pub(crate) struct Store<K, V> {
    /// `None` where nothing may be stored.
    entries: Option<sync::Cache<K, Entry<V>, UnitWeighter, DefaultHashBuilder, Departures>>,
    /// Only its increments matter: no two entries share a serial.
    serials: AtomicU64,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    /// The first instant at which the entry is dead; `None` is never.
    deadline: Option<Instant>,
    serial: u64,
}

/// What came of looking for a key.
pub(crate) enum Found<V> {
    Live(V),
    Absent,
    /// Was here until its deadline, and was removed just now.
    Expired,
}

/// What came of putting a value, to be dropped outside of any lock.
pub(crate) enum Put<K, V> {
    Stored(Departed<K, V>),
    Refused { _key: K, _value: V },
}

/// What came of taking an entry out on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    Live,
    Dead,
    Nothing,
}

impl<K: Hash + Eq, V: Clone> Store<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: (capacity > 0).then(|| entries(capacity)),
            serials: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &K, now: Instant) -> Found<V> {
        let Some(entries) = &self.entries else {
            return Found::Absent;
        };
        match entries.get(key) {
            Some(entry) if entry.is_live(now) => Found::Live(entry.value),
            Some(_) => self.bury(key, now),
            None => Found::Absent,
        }
    }

    #[cold]
    fn bury(&self, key: &K, now: Instant) -> Found<V> {
        // Whoever was quicker has counted it; a value that was put since is left in peace.
        match self.remove_if(key, |entry| !entry.is_live(now)) {
            Some(_) => Found::Expired,
            None => Found::Absent,
        }
    }

    /// Stores `value` for `ttl`. What had to make room is in the answer, so that the caller drops it
    /// after its own locks are gone; so is what was handed in, if nothing may be stored.
    pub(crate) fn put(&self, key: K, value: V, ttl: Duration, now: Instant) -> Put<K, V> {
        let Some(entries) = &self.entries else {
            return Put::Refused {
                _key: key,
                _value: value,
            };
        };
        let entry = Entry {
            value,
            deadline: now.checked_add(ttl),
            serial: self.serials.fetch_add(1, Relaxed),
        };
        Put::Stored(entries.insert_with_lifecycle(key, entry))
    }

    pub(crate) fn remove(&self, key: &K, now: Instant) -> Removed {
        match self.entries.as_ref().and_then(|entries| entries.remove(key)) {
            Some((_, entry)) if entry.is_live(now) => Removed::Live,
            Some(_) => Removed::Dead,
            None => Removed::Nothing,
        }
    }

    /// Removes one entry after the other, each under a lock of its own, and tells of each.
    pub(crate) fn drain(&self, now: Instant) -> impl Iterator<Item = Removed> + '_ {
        let entries = self.entries.iter().flat_map(sync::Cache::drain);
        entries.map(move |(_, entry)| match entry.is_live(now) {
            true => Removed::Live,
            false => Removed::Dead,
        })
    }

    /// Removes what `condemn` picks, and whatever is dead. `condemn` sees clones, under no lock.
    pub(crate) fn remove_all_if<'a>(
        &'a self,
        now: Instant,
        condemn: impl Fn(&K, &V) -> bool + 'a,
    ) -> impl Iterator<Item = Removed> + 'a
    where
        K: Clone,
    {
        let entries = self.entries.iter().flat_map(sync::Cache::iter);
        entries.filter_map(move |(key, entry)| {
            let live = entry.is_live(now);
            if live && !condemn(&key, &entry.value) {
                return None;
            }
            // A value that was put since is another one.
            self.remove_if(&key, |current| current.serial == entry.serial)?;
            Some(if live { Removed::Live } else { Removed::Dead })
        })
    }

    fn remove_if(&self, key: &K, condition: impl FnOnce(&Entry<V>) -> bool) -> Option<(K, Entry<V>)> {
        self.entries.as_ref()?.remove_if(key, condition)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, sync::Cache::len)
    }
}

impl<V> Entry<V> {
    #[inline]
    fn is_live(&self, now: Instant) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }
}

/// One shard up to 127 entries, which then holds exactly what was asked for. Above, as many as the
/// machine has use for; together never more than `capacity`.
fn entries<K: Hash + Eq, V: Clone>(
    capacity: usize,
) -> sync::Cache<K, Entry<V>, UnitWeighter, DefaultHashBuilder, Departures> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = (4 * threads).next_power_of_two();
    let largest = 1 << (capacity / LEAST_PER_SHARD).max(1).ilog2();
    let shards = wanted.min(largest);
    // `quick_cache` rounds a shard's share up, which would let the whole grow over the capacity.
    let whole = capacity / shards * shards;
    let options = OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity(whole)
        .weight_capacity(whole as u64)
        .build()
        .expect("both capacities are set");
    sync::Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), Departures)
}

/// Collects what leaves the store on behalf of a `put`.
#[derive(Clone)]
struct Departures;

/// What left the store on behalf of a `put`, to be dropped outside of any lock.
pub(crate) struct Departed<K, V> {
    evicted: u64,
    left: u64,
    // More than one is rare; it costs an allocation only then.
    one: Option<(K, Entry<V>)>,
    more: Vec<(K, Entry<V>)>,
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

impl<K, V> Lifecycle<K, Entry<V>> for Departures {
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
    fn before_evict(&self, departed: &mut Departed<K, V>, _key: &K, _entry: &mut Entry<V>) {
        departed.evicted += 1;
    }

    fn on_evict(&self, departed: &mut Departed<K, V>, key: K, entry: Entry<V>) {
        departed.left += 1;
        match departed.one {
            None => departed.one = Some((key, entry)),
            Some(_) => departed.more.push((key, entry)),
        }
    }
}
