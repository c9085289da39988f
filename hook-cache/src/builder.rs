use std::{fmt, hash::Hash, marker::PhantomData, sync::Arc, time::Duration};

use crate::{ResultCache, config::Config, knobs::knobs, store::Limits};

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
    config: Config<K, V>,
    makes: PhantomData<fn() -> ResultCache<K, V>>,
}

impl<K, V> ResultCache<K, V> {
    /// A cache with other settings than the defaults: 1,000 entries, 300 seconds.
    pub fn builder() -> ResultCacheBuilder<K, V> {
        ResultCacheBuilder {
            config: Config::default(),
            makes: PhantomData,
        }
    }
}

impl<K, V> ResultCacheBuilder<K, V> {
    fn change(mut self, change: impl FnOnce(&mut Config<K, V>)) -> Self {
        change(&mut self.config);
        self
    }

    knobs!();

    /// For how long after its time to live a value is served while it is loaded anew. The default is zero.
    ///
    /// The first who asks then loads it: in the background with
    /// [`get_or_load_shared`](ResultCache::get_or_load_shared), itself with
    /// [`get_or_load`](ResultCache::get_or_load). The others get what there is without waiting.
    pub fn stale_while_revalidate(self, window: Duration) -> Self {
        self.change(|config| config.expiry.revalidate = window)
    }

    /// For how long an error is remembered and given to whoever asks for its key with
    /// [`get_or_load_shared`](ResultCache::get_or_load_shared). The default is zero: each call tries again.
    ///
    /// Up to 1,000 errors are remembered.
    pub fn remember_errors(self, ttl: Duration) -> Self {
        self.change(|config| config.expiry.negative = ttl)
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
