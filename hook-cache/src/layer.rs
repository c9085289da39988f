use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use tower_layer::Layer;

use crate::{Cache, CacheHandle, ResultCache, StoreAll, config::Config, policy::StoreIf};

/// Serves repeated requests from memory.
///
/// All services a layer makes, and all its clones, share one cache. The [crate page](crate) shows it
/// at work. `K` is the key, `V` the response of the service it will wrap, `F` finds the key of a
/// request, `P` judges responses.
///
/// A setter makes a new layer with a cache of its own: take [handles](Self::handle) and clones last.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct CacheLayer<K, V, F, P = StoreAll> {
    shared: Arc<Shared<K, V, F, P>>,
}

/// What all services of a layer share, behind a single pointer.
pub(crate) struct Shared<K, V, F, P> {
    pub(crate) cache: ResultCache<K, V>,
    // Their own pointers, so that setters can take them along.
    pub(crate) key: Arc<F>,
    pub(crate) store_if: Arc<P>,
}

impl<K, V, F> CacheLayer<K, V, F>
where
    K: Hash + Eq,
    V: Clone,
{
    /// Keeps each response under the key that `key` finds in its request, 1,000 of them for 300
    /// seconds each. A request without a key passes by: nothing is looked up, nothing stored.
    ///
    /// Everything the response depends on must be in the key: who asks, if the answer depends on it.
    pub fn keyed_by<Req>(key: F) -> Self
    where
        F: Fn(&Req) -> Option<K>,
    {
        Self::with(Config::default(), Arc::new(key), Arc::new(StoreAll))
    }
}

impl<K, V, F, P> CacheLayer<K, V, F, P>
where
    K: Hash + Eq,
    V: Clone,
{
    fn with(config: Config, key: Arc<F>, store_if: Arc<P>) -> Self {
        let cache = ResultCache::with_config(config);
        Self {
            shared: Arc::new(Shared { cache, key, store_if }),
        }
    }

    fn reconfigure(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.shared.cache.config().clone();
        change(&mut config);
        Self::with(config, self.shared.key.clone(), self.shared.store_if.clone())
    }

    /// How long a response lives, from when it came. The default is 300 seconds.
    ///
    /// At the deadline itself it is not served any more. With a `ttl` of zero none is ever served from
    /// memory, and concurrent calls still become one; one too long for the clock never ends.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.reconfigure(|config| config.ttl = ttl)
    }

    /// How many responses there may be, as explained at [`ResultCache::new`]. The default is 1,000.
    ///
    /// With 0 nothing is stored, and concurrent calls still become one.
    pub fn capacity(self, entries: usize) -> Self {
        self.reconfigure(|config| config.capacity = entries)
    }

    /// The name of this instance among the figures. The default is `cache`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.reconfigure(|config| config.name = name.into())
    }

    /// Reads time from a clock that costs less and ticks every 1 to 10 ms: a response may live a tick
    /// longer. It does not obey tokio's paused time.
    #[cfg(feature = "coarse-clock")]
    pub fn coarse_clock(self) -> Self {
        self.reconfigure(|config| config.clock = hook_monitor::Clock::coarse())
    }

    /// Keeps only what `judge` says yes to, which is asked about each `Ok` response with its key. By
    /// default each is kept; errors never are.
    ///
    /// A response that is not kept is not shared either: those who waited for it call the inner
    /// service for themselves, all at once.
    pub fn store_if<J>(self, judge: J) -> CacheLayer<K, V, F, J>
    where
        J: StoreIf<K, V>,
    {
        let config = self.shared.cache.config().clone();
        CacheLayer::with(config, self.shared.key.clone(), Arc::new(judge))
    }

    /// Looks into the cache from outside, and empties it. To be taken after the setters.
    pub fn handle(&self) -> CacheHandle<K, V> {
        CacheHandle::new(self.shared.cache.clone())
    }
}

impl<S, K, V, F, P> Layer<S> for CacheLayer<K, V, F, P> {
    type Service = Cache<S, K, V, F, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache::new(inner, self.shared.clone())
    }
}

// By hand: neither the closures nor what is cached need be `Clone` for this.
impl<K, V, F, P> Clone for CacheLayer<K, V, F, P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K, V, F, P> fmt::Debug for CacheLayer<K, V, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}
