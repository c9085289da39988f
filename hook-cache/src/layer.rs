use std::{borrow::Borrow, fmt, hash::Hash, marker::PhantomData, sync::Arc, time::Duration};

use tower_layer::Layer;

use crate::{
    Cache, CacheHandle, ResultCache, StoreAll,
    carry::{Restart, Resume},
    config::Config,
    errors::{ErrorsReleased, ErrorsShared, ErrorsSharedBy},
    key::{FindKey, KeyInRequest},
    knobs::knobs,
    policy::{StoreIfKey, StoreIfNoted, StoreIfRequest},
    store::Limits,
};

/// Serves repeated requests from memory.
///
/// All services a layer makes, and all its clones, share one cache. The [crate page](crate) shows it
/// at work. `K` is the key, `V` the response of the service it will wrap, `F` finds the key of a
/// request, `J` judges responses, `X` is what becomes of errors, and `D` of loads whose callers go away.
///
/// A setter makes a new layer with a cache of its own: take [handles](Self::handle) and clones last.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct CacheLayer<K, V, F, J = StoreAll, X = ErrorsReleased, D = Restart> {
    shared: Arc<Shared<K, V, F, J, X>>,
    loads: PhantomData<fn() -> D>,
}

/// What all services of a layer share, behind a single pointer.
pub(crate) struct Shared<K, V, F, J, X> {
    pub(crate) cache: ResultCache<K, V>,
    // Their own pointers, so that setters can take them along.
    pub(crate) key: Arc<F>,
    pub(crate) store_if: Arc<J>,
    pub(crate) errors: Arc<X>,
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
        Self::with(
            Config::default(),
            Arc::new(key),
            Arc::new(StoreAll),
            Arc::new(ErrorsReleased),
        )
    }
}

impl<K, V, G, Q> CacheLayer<K, V, KeyInRequest<G, Q>>
where
    K: Borrow<Q> + Hash + Eq,
    V: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// As [`keyed_by`](CacheLayer::keyed_by), with a key that is a part of the request: a `&str` of it for keys that are
    /// `String`s, say. A hit copies nothing then; a miss makes the key that is kept.
    ///
    /// ```
    /// use hook_cache::CacheLayer;
    /// use axum::{extract::Request, http::Method};
    ///
    /// // One answer for each path, whatever the query. The keys are `String`s.
    /// let layer = CacheLayer::<_, u16, _>::keyed_by_ref(|req: &Request| (req.method() == Method::GET).then(|| req.uri().path()));
    /// # drop(layer);
    /// ```
    pub fn keyed_by_ref<Req>(key: G) -> Self
    where
        G: Fn(&Req) -> Option<&Q>,
    {
        Self::with(
            Config::default(),
            Arc::new(KeyInRequest::new(key)),
            Arc::new(StoreAll),
            Arc::new(ErrorsReleased),
        )
    }
}

impl<K, V, F, J, X, D> CacheLayer<K, V, F, J, X, D>
where
    K: Hash + Eq,
    V: Clone,
{
    fn with(config: Config<K, V>, key: Arc<F>, store_if: Arc<J>, errors: Arc<X>) -> Self {
        let cache = ResultCache::with_config(config);
        Self {
            shared: Arc::new(Shared {
                cache,
                key,
                store_if,
                errors,
            }),
            loads: PhantomData,
        }
    }

    fn config(&self) -> Config<K, V> {
        self.shared.cache.config().clone()
    }

    fn change(self, change: impl FnOnce(&mut Config<K, V>)) -> Self {
        let mut config = self.config();
        change(&mut config);
        let shared = &self.shared;
        Self::with(
            config,
            shared.key.clone(),
            shared.store_if.clone(),
            shared.errors.clone(),
        )
    }

    fn with_loads<E>(self, config: Config<K, V>) -> CacheLayer<K, V, F, J, X, E> {
        let shared = &self.shared;
        CacheLayer::with(
            config,
            shared.key.clone(),
            shared.store_if.clone(),
            shared.errors.clone(),
        )
    }

    knobs!();

    /// The name of this instance among the figures. The default is `cache`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.change(|config| config.name = name.into())
    }

    /// Keeps only what `judge` says yes to, which is asked about each `Ok` response with its request. By
    /// default each is kept; errors never are.
    ///
    /// The request is cloned when it misses, and not on a hit. Where that is dear or cannot be done, as with a request that
    /// has a body, [`store_if_noted`](Self::store_if_noted) keeps a part of it, and [`store_if_key`](Self::store_if_key)
    /// does with the key.
    ///
    /// A response that is not kept is not shared either: those who waited for it call the inner
    /// service for themselves, all at once.
    ///
    /// ```
    /// use hook_cache::CacheLayer;
    ///
    /// let layer = CacheLayer::<u32, String, _>::keyed_by(|id: &u32| Some(*id))
    ///     .store_if(|id, name| *id > 0 && !name.is_empty());
    /// # drop(layer);
    /// ```
    pub fn store_if<Req, P>(self, judge: P) -> CacheLayer<K, V, F, StoreIfRequest<P>, X, D>
    where
        F: FindKey<Req, K>,
        Req: Clone,
        P: Fn(&Req, &V) -> bool,
    {
        self.judged_by(StoreIfRequest(judge))
    }

    /// As [`store_if`](Self::store_if), with what `note` keeps of each request that misses in the place of the request.
    ///
    /// ```
    /// use hook_cache::CacheLayer;
    /// use axum::{extract::Request, http::Method};
    ///
    /// let layer = CacheLayer::<String, u16, _>::keyed_by(|req: &Request| Some(req.uri().to_string()))
    ///     .store_if_noted(|req| req.method().clone(), |method, status| method == Method::GET && *status == 200);
    /// # drop(layer);
    /// ```
    pub fn store_if_noted<Req, N, G, P>(
        self,
        note: G,
        judge: P,
    ) -> CacheLayer<K, V, F, StoreIfNoted<G, P>, X, D>
    where
        F: FindKey<Req, K>,
        G: Fn(&Req) -> N,
        P: Fn(&N, &V) -> bool,
    {
        self.judged_by(StoreIfNoted { note, judge })
    }

    /// As [`store_if`](Self::store_if), with the key in the place of the request, which is not cloned.
    pub fn store_if_key<P>(self, judge: P) -> CacheLayer<K, V, F, StoreIfKey<P>, X, D>
    where
        P: Fn(&K, &V) -> bool,
    {
        self.judged_by(StoreIfKey(judge))
    }

    fn judged_by<P>(self, judge: P) -> CacheLayer<K, V, F, P, X, D> {
        let shared = &self.shared;
        CacheLayer::with(
            self.config(),
            shared.key.clone(),
            Arc::new(judge),
            shared.errors.clone(),
        )
    }

    /// Gives a clone of the error to everybody who waited for a call that fails, so that there is one call per key
    /// also then. By default those who waited each call the inner service for themselves, at once.
    ///
    /// An error need not be `Clone` where it is never shared; [`share_errors_by`](Self::share_errors_by) is for others,
    /// such as boxed ones.
    pub fn share_errors(self) -> CacheLayer<K, V, F, J, ErrorsShared, D> {
        let shared = &self.shared;
        CacheLayer::with(
            self.config(),
            shared.key.clone(),
            shared.store_if.clone(),
            Arc::new(ErrorsShared),
        )
    }

    /// As [`share_errors`](Self::share_errors), for errors that are not `Clone`: `twin` makes one of another.
    ///
    /// ```
    /// use hook_cache::CacheLayer;
    /// use hook_monitor::BoxError;
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut service = ServiceBuilder::new()
    ///     .layer(CacheLayer::keyed_by(|id: &u32| Some(*id)).share_errors_by(|err: &BoxError| err.to_string().into()))
    ///     .service(service_fn(|_id: u32| async { Err::<u32, BoxError>("down".into()) }));
    ///
    /// assert_eq!(service.ready().await.unwrap().call(7).await.unwrap_err().to_string(), "down");
    /// # }
    /// ```
    pub fn share_errors_by<E, G>(self, twin: G) -> CacheLayer<K, V, F, J, ErrorsSharedBy<G>, D>
    where
        G: Fn(&E) -> E,
    {
        let shared = &self.shared;
        let errors = Arc::new(ErrorsSharedBy(twin));
        CacheLayer::with(self.config(), shared.key.clone(), shared.store_if.clone(), errors)
    }

    /// Lets the next in line go on with a call of the inner service whose caller has gone away, where it is. By default
    /// the call ends with its caller, and the next one begins anew.
    ///
    /// Each miss then puts its call in a box, and the inner service, its future and the request must be `Send` and
    /// `'static`. After a panic or an invalidation, of any tag too, the next one begins anew all the same.
    pub fn resume(self) -> CacheLayer<K, V, F, J, X, Resume> {
        let config = self.config();
        self.with_loads(config)
    }

    /// For how long after its time to live a response is served while it is loaded anew, once, in the background.
    ///
    /// The refresh is a task of the tokio runtime that the caller is in; where there is none, the caller that would have
    /// begun it waits for it. A refresh that fails is tried again after the [back-off](Self::backoff). All that
    /// [`resume`](Self::resume) says holds too.
    pub fn stale_while_revalidate(self, window: Duration) -> CacheLayer<K, V, F, J, X, Resume> {
        let mut config = self.config();
        config.expiry.revalidate = window;
        self.with_loads(config)
    }

    /// Looks into the cache from outside, and empties it. To be taken after the setters: each of them makes another cache,
    /// and a handle taken before looks into, and empties, one that nobody uses.
    pub fn handle(&self) -> CacheHandle<K, V> {
        CacheHandle::new(self.shared.cache.clone())
    }
}

impl<K, V, F, J, D> CacheLayer<K, V, F, J, ErrorsShared, D>
where
    K: Hash + Eq,
    V: Clone,
{
    /// For how long an error is remembered and given to whoever asks for its key, without another call. The default is
    /// zero: each call tries again.
    ///
    /// Up to 1,000 errors are remembered. Where a stale response may stand in for an error, it does.
    pub fn remember_errors(self, ttl: Duration) -> Self {
        self.change(|config| config.expiry.negative = ttl)
    }
}

impl<K, V, F, J, G, D> CacheLayer<K, V, F, J, ErrorsSharedBy<G>, D>
where
    K: Hash + Eq,
    V: Clone,
{
    /// For how long an error is remembered and given to whoever asks for its key, without another call. The default is
    /// zero: each call tries again.
    ///
    /// Up to 1,000 errors are remembered. Where a stale response may stand in for an error, it does.
    pub fn remember_errors(self, ttl: Duration) -> Self {
        self.change(|config| config.expiry.negative = ttl)
    }
}

impl<S, K, V, F, J, X, D> Layer<S> for CacheLayer<K, V, F, J, X, D> {
    type Service = Cache<S, K, V, F, J, X, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache::new(inner, self.shared.clone())
    }
}

// By hand: neither the closures nor what is cached need be `Clone` for this.
impl<K, V, F, J, X, D> Clone for CacheLayer<K, V, F, J, X, D> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            loads: PhantomData,
        }
    }
}

impl<K, V, F, J, X, D> fmt::Debug for CacheLayer<K, V, F, J, X, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}
