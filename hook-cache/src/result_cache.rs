use std::{fmt, future::Future, hash::Hash, marker::PhantomData, sync::Arc, time::Duration};

use crate::{
    CacheStats,
    config::Config,
    flight::{Flights, Lead, Lone},
    future::GetOrLoad,
    stats::{Count, Stats},
    store::{Found, Put, Removed, Store},
    sync,
};

/// Keeps results for a while, and loads each one once: the cache itself, without tower.
///
/// A `ResultCache` is a shared handle: clones see the same entries. Values are cloned when they are
/// handed out; an [`Arc`] or `bytes::Bytes` makes that cheap.
///
/// ```
/// use hook_cache::ResultCache;
/// use std::convert::Infallible;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = ResultCache::new(100);
/// let load = || async { Ok::<_, Infallible>("expensive") };
/// assert_eq!(cache.get_or_load(7, load).await, Ok("expensive"));
/// assert_eq!(cache.get(&7), Some("expensive"));
///
/// assert!(cache.invalidate(&7));
/// assert_eq!(cache.get(&7), None);
/// # }
/// ```
///
/// # What runs under a lock
///
/// `Hash` and `Eq` of the key, and `Clone` of key and value, may run while a part of the cache is
/// locked: they must not come back to this cache. Nothing else does: predicates, loads and `Drop` of
/// what leaves the cache run without any lock.
pub struct ResultCache<K, V> {
    core: Arc<Core<K, V>>,
}

struct Core<K, V> {
    store: Store<K, V>,
    flights: sync::Arc<Flights<K, V>>,
    stats: Stats,
    config: Config,
}

impl<K: Hash + Eq, V: Clone> ResultCache<K, V> {
    /// A cache of up to `capacity` entries that each live for 300 seconds.
    ///
    /// Up to 127, a cache holds exactly that many. A larger one is divided into parts that fill
    /// unevenly: it never holds more, but may begin to evict when it is a few percent short of full.
    /// With capacity 0 nothing is stored, and concurrent loads of a key still become one.
    pub fn new(capacity: usize) -> Self {
        Self::builder().capacity(capacity).build()
    }

    pub(crate) fn with_config(config: Config) -> Self {
        let core = Core {
            store: Store::new(config.capacity),
            flights: sync::Arc::new(Flights::new()),
            stats: Stats::default(),
            config,
        };
        Self { core: Arc::new(core) }
    }

    /// The value under `key`, if there is one and it is not past its deadline: at the deadline itself
    /// it is gone. A dead entry that is found is removed.
    #[inline]
    pub fn get(&self, key: &K) -> Option<V> {
        let value = self.look_up(key);
        if value.is_none() {
            self.core.stats.one(Count::Miss);
        }
        value
    }

    /// Counts a hit, but no miss: a miss of the layer may yet become something else.
    #[inline]
    pub(crate) fn look_up(&self, key: &K) -> Option<V> {
        match self.core.store.get(key, self.core.config.clock.now()) {
            Found::Live(value) => {
                self.core.stats.one(Count::Hit);
                Some(value)
            }
            Found::Absent => None,
            Found::Expired => {
                self.core.stats.one(Count::Expired);
                None
            }
        }
    }

    /// Stores `value` for the time this cache was made for, in place of whatever there was.
    ///
    /// It wins over every load of `key` under way: what those bring is not stored.
    pub fn insert(&self, key: K, value: V) {
        self.insert_with_ttl(key, value, self.core.config.ttl);
    }

    /// Stores `value` for `ttl` from now, in place of whatever there was.
    ///
    /// It wins over every load of `key` under way, also with a `ttl` of zero, which is dead at once.
    /// One too long for the clock never ends.
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) {
        let now = self.core.config.clock.now();
        let store = |key| self.core.store.put(key, value, ttl, now);
        let put = self.core.flights.overwrite(key, store);
        self.count_put(Some(put));
    }

    /// The value under `key`, or else what `load` brings, which is then stored.
    ///
    /// Nothing is looked up before the future is polled. One load runs per key, however many ask: the
    /// others wait and get a clone. `load` is called when the future is polled, and not at all if another's load serves this caller.
    ///
    /// # Errors
    ///
    /// Whatever the load returns; it is not stored. Those who waited for a load that fails are
    /// released at once, and each calls its own `load`.
    ///
    /// # Cancellation
    ///
    /// Dropping the future that loads hands the load over to one of those who wait, which begins it
    /// anew. The same happens when a load panics; the panic is that caller's alone.
    ///
    /// A load must not wait for the same key of the same cache: it would wait for itself.
    pub fn get_or_load<F, Fut, E>(&self, key: K, load: F) -> GetOrLoad<K, V, E, F, Fut>
    where
        K: Clone,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        GetOrLoad::new(self, key, load)
    }

    /// Removes what is under `key`. Whether there was something that could still have been served.
    ///
    /// What a load brings that had begun before is not stored, and is given only to those who were
    /// waiting for it before.
    pub fn invalidate(&self, key: &K) -> bool {
        // First the loads: what they store from here on began after this.
        self.core.flights.detach(key);
        let removed = self.core.store.remove(key, self.core.config.clock.now());
        self.count_removed(removed)
    }

    /// Removes everything, also from loads under way, as [`invalidate`](Self::invalidate) does.
    ///
    /// Takes a time in proportion to the number of entries, and locks the cache for one at a time. An
    /// entry that is stored meanwhile may go as well.
    pub fn invalidate_all(&self) {
        self.core.flights.detach_all();
        let drained = self.core.store.drain(self.core.config.clock.now());
        drained.for_each(|removed| {
            self.count_removed(removed);
        });
    }

    /// Removes what `condemn` picks, and says how many those were.
    ///
    /// `condemn` is asked about a clone of each entry that could still be served, one after the other,
    /// without any lock. Since it can't be asked about values that are not there yet, no load under
    /// way is stored, whatever its key.
    pub fn invalidate_if(&self, condemn: impl Fn(&K, &V) -> bool) -> usize
    where
        K: Clone,
    {
        self.core.flights.detach_all();
        let now = self.core.config.clock.now();
        let removed = self.core.store.remove_all_if(now, condemn);
        removed.filter(|removed| self.count_removed(*removed)).count()
    }

    /// Entries there are, those included that are past their deadline and were not found yet.
    pub fn len(&self) -> usize {
        self.core.store.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The figures since this cache was made.
    pub fn stats(&self) -> CacheStats {
        self.core.stats.snapshot(self.len(), self.core.config.capacity)
    }

    pub(crate) fn flights(&self) -> &sync::Arc<Flights<K, V>> {
        &self.core.flights
    }

    /// Ends a load with a value to share.
    pub(crate) fn land(&self, lead: Lead<K, V>, value: &V) {
        let (twin, now) = (value.clone(), self.core.config.clock.now());
        let store = |key| self.core.store.put(key, twin, self.core.config.ttl, now);
        let put = lead.land(value, store);
        self.count_put(put);
    }

    /// Ends a load that was nobody else's.
    pub(crate) fn land_alone(&self, lone: Lone<K, V>, value: &V) {
        let (twin, now) = (value.clone(), self.core.config.clock.now());
        let store = |key| self.core.store.put(key, twin, self.core.config.ttl, now);
        let put = lone.store(store);
        self.count_put(put);
    }

    fn count_put(&self, put: Option<Put<K, V>>) {
        if let Some(Put::Stored(departed)) = put {
            let stats = &self.core.stats;
            stats.one(Count::Inserted);
            stats.add(Count::Evicted, departed.evicted());
            stats.add(Count::Replaced, departed.replaced());
        }
    }

    fn count_removed(&self, removed: Removed) -> bool {
        match removed {
            Removed::Live => self.core.stats.one(Count::Invalidated),
            Removed::Dead => self.core.stats.one(Count::Expired),
            Removed::Nothing => {}
        }
        removed == Removed::Live
    }
}

impl<K, V> ResultCache<K, V> {
    /// A cache with other settings than the defaults: 1,000 entries, 300 seconds.
    pub fn builder() -> ResultCacheBuilder<K, V> {
        ResultCacheBuilder {
            config: Config::default(),
            makes: PhantomData,
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.core.config
    }

    pub(crate) fn counts(&self) -> &Stats {
        &self.core.stats
    }
}

// By hand: a clone is another handle, whatever it holds.
impl<K, V> Clone for ResultCache<K, V> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
        }
    }
}

impl<K, V> fmt::Debug for ResultCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultCache")
            .field("config", &self.core.config)
            .field("stats", &self.core.stats)
            .finish_non_exhaustive()
    }
}

// ===== impl ResultCacheBuilder =====

/// Makes a [`ResultCache`].
///
/// ```
/// use hook_cache::ResultCache;
/// use std::time::Duration;
///
/// let cache = ResultCache::builder()
///     .capacity(10_000)
///     .ttl(Duration::from_secs(60))
///     .build();
/// cache.insert("key", 1);
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct ResultCacheBuilder<K, V> {
    config: Config,
    makes: PhantomData<fn() -> ResultCache<K, V>>,
}

impl<K, V> ResultCacheBuilder<K, V> {
    /// How many entries there may be; see [`ResultCache::new`]. The default is 1,000.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.config.capacity = entries;
        self
    }

    /// How long an entry lives, from when it is stored. The default is 300 seconds.
    ///
    /// With a `ttl` of zero entries are dead at once; one too long for the clock never ends.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// Reads time from a clock that costs less and ticks every 1 to 10 ms: an entry may live a tick
    /// longer. It does not obey tokio's paused time.
    #[cfg(feature = "coarse-clock")]
    pub fn coarse_clock(mut self) -> Self {
        self.config.clock = hook_monitor::Clock::coarse();
        self
    }

    /// The empty cache.
    pub fn build(self) -> ResultCache<K, V>
    where
        K: Hash + Eq,
        V: Clone,
    {
        ResultCache::with_config(self.config)
    }
}

impl<K, V> fmt::Debug for ResultCacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResultCacheBuilder").field(&self.config).finish()
    }
}
