use std::{borrow::Borrow, fmt, hash::Hash, time::Duration};

use hook_monitor::{Gather, Source};

use crate::{CacheStats, ResultCache, future::Sweeper};

/// Looks into a [`CacheLayer`](crate::CacheLayer) from outside, and empties it.
///
/// Cheap to clone. It sees every service its layer made and will make.
pub struct CacheHandle<K, V> {
    cache: ResultCache<K, V>,
}

impl<K: Hash + Eq, V: Clone> CacheHandle<K, V> {
    pub(crate) fn new(cache: ResultCache<K, V>) -> Self {
        Self { cache }
    }

    /// See [`ResultCache::invalidate`].
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.cache.invalidate(key)
    }

    /// See [`ResultCache::invalidate_all`].
    pub fn invalidate_all(&self) {
        self.cache.invalidate_all();
    }

    /// See [`ResultCache::invalidate_if`].
    pub fn invalidate_if(&self, condemn: impl FnMut(&K, &V) -> bool) -> usize
    where
        K: Clone,
    {
        self.cache.invalidate_if(condemn)
    }

    /// See [`ResultCache::invalidate_matching`].
    pub fn invalidate_matching(&self, pattern: &str) -> usize
    where
        K: Clone + AsRef<str>,
    {
        self.cache.invalidate_matching(pattern)
    }

    /// See [`ResultCache::invalidate_tag`].
    pub fn invalidate_tag(&self, tag: &str) {
        self.cache.invalidate_tag(tag);
    }

    /// See [`ResultCache::sweeper`].
    pub fn sweeper(&self, period: Duration) -> Sweeper<K, V> {
        self.cache.sweeper(period)
    }

    /// The figures since the layer was made.
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// The cache itself: to put values in before anybody asks, say.
    pub fn cache(&self) -> &ResultCache<K, V> {
        &self.cache
    }
}

impl<K, V> Source for CacheHandle<K, V>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
{
    fn layer(&self) -> &'static str {
        "cache"
    }

    fn name(&self) -> &str {
        &self.cache.config().name
    }

    fn read(&self, into: &mut dyn Gather) {
        self.cache.counts().read(self.cache.fill(), into);
    }
}

// By hand: a clone is another handle, whatever it holds.
impl<K, V> Clone for CacheHandle<K, V> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
        }
    }
}

impl<K, V> fmt::Debug for CacheHandle<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheHandle").field(&self.cache).finish()
    }
}
