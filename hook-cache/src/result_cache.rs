use std::{borrow::Borrow, fmt, future::Future, hash::Hash, sync::Arc, time::Duration};

use crate::{
    CacheStats,
    carry::{Restart, Resume},
    config::Config,
    core::Core,
    errors::{ErrorsReleased, ErrorsShared},
    future::{GetOrLoad, Sweeper},
    stats::Count,
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
/// `Eq` of the key, and `Clone` of key and value, may run while a part of the cache is locked: they must not come
/// back to this cache. Nothing else does: `Hash`, predicates, loads, judgements and `Drop` of what leaves the cache
/// run without any lock.
pub struct ResultCache<K, V> {
    pub(crate) core: Arc<Core<K, V>>,
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

    pub(crate) fn with_config(config: Config<K, V>) -> Self {
        Self {
            core: Arc::new(Core::new(config)),
        }
    }

    /// The value under `key`, if there is one and it is not past its deadline: at the deadline itself
    /// it is gone. A dead entry that is found is removed.
    ///
    /// As with the maps of the standard library, `key` may be a borrowed form of the key: a `&str` for a `String`.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let value = self.fresh(self.hash(key), key);
        if value.is_none() {
            self.counts().one(Count::Miss);
        }
        value
    }

    /// Whether [`get`](Self::get) would find something. Counts nowhere, and makes no life longer.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.holds(key)
    }

    /// Stores `value` for the time this cache was made for, in place of whatever there was.
    ///
    /// It wins over every load of `key` under way: what those bring is not stored.
    pub fn insert(&self, key: K, value: V) {
        self.put(key, value, None, Vec::new());
    }

    /// Stores `value` for `ttl` from now, in place of whatever there was.
    ///
    /// It wins over every load of `key` under way, also with a `ttl` of zero, which is dead at once.
    /// One too long for the clock never ends. [Jitter](crate::ResultCacheBuilder::jitter) applies.
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) {
        self.put(key, value, Some(ttl), Vec::new());
    }

    /// Stores `value` under `key`, to go when one of `tags` is [invalidated](Self::invalidate_tag).
    pub fn insert_tagged<T>(&self, key: K, value: V, tags: impl IntoIterator<Item = T>)
    where
        T: Into<Box<str>>,
    {
        let tags = tags.into_iter().map(Into::into).collect();
        self.put(key, value, None, tags);
    }

    /// The value under `key`, or else what `load` brings, which is then stored.
    ///
    /// Nothing is looked up before the future is polled. One load runs per key, however many ask: the
    /// others wait and get a clone. `load` is called when the future is polled, and not at all if another's load serves
    /// this caller.
    ///
    /// # Errors
    ///
    /// Whatever the load returns; it is not stored. Those who waited for a load that fails are
    /// released at once, and each calls its own `load`. Where that is one load too many, there is
    /// [`get_or_load_shared`](Self::get_or_load_shared).
    ///
    /// # Cancellation
    ///
    /// Dropping the future that loads hands the load over to one of those who wait, which begins it
    /// anew. The same happens when a load panics; the panic is that caller's alone.
    ///
    /// A load must not wait for the same key of the same cache: it would wait for itself.
    pub fn get_or_load<F, Fut, E>(
        &self,
        key: K,
        load: F,
    ) -> GetOrLoad<K, V, E, F, Fut, ErrorsReleased, Restart>
    where
        K: Clone,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        GetOrLoad::new(self, key, load, ErrorsReleased)
    }

    /// As [`get_or_load`](Self::get_or_load), and one load per key also when it fails or its caller goes away.
    ///
    /// # Errors
    ///
    /// Whatever the load returns. Those who waited get a clone of the error, and their own `load` is never called. So
    /// do those who ask within the [time that errors are remembered](crate::ResultCacheBuilder::remember_errors), if it was
    /// set. Waiting for a load that fails with another type of error comes to loading oneself.
    ///
    /// # Cancellation
    ///
    /// Dropping the future that loads hands the load over to one of those who wait, which goes on with it where it is,
    /// as long as its `load` returns the same type of future; otherwise it begins anew. It also begins anew after a
    /// panic, after `key` was invalidated, and after any tag was: nobody knows what a load will bear.
    pub fn get_or_load_shared<F, Fut, E>(
        &self,
        key: K,
        load: F,
    ) -> GetOrLoad<K, V, E, F, Fut, ErrorsShared, Resume>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        GetOrLoad::new(self, key, load, ErrorsShared)
    }

    /// Removes what is under `key`. Whether there was something that could still have been served.
    ///
    /// What a load brings that had begun before is not stored, and is given only to those who were
    /// waiting for it before. A remembered error is forgotten.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.remove(key.to_owned())
    }

    /// Removes everything, also from loads under way, as [`invalidate`](Self::invalidate) does.
    ///
    /// Empties one part of the cache after the other; what is stored meanwhile may go as well.
    pub fn invalidate_all(&self) {
        self.remove_all();
    }

    /// Removes what `condemn` picks, and says how many those were.
    ///
    /// `condemn` is asked about a clone of each entry that could still be served, one after the other,
    /// without any lock. Since it can't be asked about values that are not there yet, no load under
    /// way is stored, whatever its key.
    pub fn invalidate_if(&self, condemn: impl FnMut(&K, &V) -> bool) -> usize
    where
        K: Clone,
    {
        self.remove_if(condemn)
    }

    /// Removes what has `pattern` in its key, letter by letter, and says how many those were.
    ///
    /// An empty pattern is in every key. For loads under way it is as with [`invalidate_if`](Self::invalidate_if).
    pub fn invalidate_matching(&self, pattern: &str) -> usize
    where
        K: Clone + AsRef<str>,
    {
        self.remove_if(|key, _| key.as_ref().contains(pattern))
    }

    /// Whatever bears `tag` is not served any more, however much that is: this takes the time of one look-up.
    ///
    /// Entries bear the tags that [`insert_tagged`](Self::insert_tagged) or
    /// [`tags_by`](crate::ResultCacheBuilder::tags_by) gave them. A load under way that turns out to bear `tag` is not stored;
    /// it is given only to those who were waiting for it before. Loads without it are not disturbed. The memory comes
    /// back when the dead entries are found, evicted or [swept](Self::sweep).
    pub fn invalidate_tag(&self, tag: &str) {
        self.condemn_tag(tag);
    }

    /// Removes dead entries, part after part, for about as long as `budget`. Whether it got round.
    ///
    /// The next sweep goes on where this one stopped. A cache that is in use sweeps itself, a part at a time, as values
    /// are stored; an idle one needs this, or a [`sweeper`](Self::sweeper), to give back its memory.
    pub fn sweep(&self, budget: Duration) -> bool {
        let start = std::time::Instant::now();
        self.sweep_while(|| start.elapsed() < budget)
    }

    /// A task that sweeps every `period`, a millisecond at a time, until the cache is gone. To be spawned:
    ///
    /// ```
    /// # use hook_cache::ResultCache;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cache = ResultCache::<String, u64>::new(10_000);
    /// tokio::spawn(cache.sweeper(Duration::from_secs(10)));
    /// # }
    /// ```
    ///
    /// It does not keep the cache alive, and lets other tasks run between two milliseconds of work.
    pub fn sweeper(&self, period: Duration) -> Sweeper<K, V> {
        Sweeper::new(self.downgrade(), period)
    }

    /// Entries there are, those included that are past their deadline and were not found yet.
    pub fn len(&self) -> usize {
        self.fill().entries
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one entry weighs beside what its key and its value point to, where the capacity is in bytes.
    pub fn overhead(&self) -> u64 {
        crate::store::Store::<K, V>::OVERHEAD
    }

    /// The bytes that the tables of the cache take, without what keys and values point to.
    pub fn table_bytes(&self) -> usize {
        self.bytes_of_tables()
    }

    /// The figures since this cache was made.
    pub fn stats(&self) -> CacheStats {
        self.counts().snapshot(self.fill())
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
            .field("config", self.config())
            .field("stats", self.counts())
            .finish_non_exhaustive()
    }
}
