//! The futures of this crate.

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    ResultCache,
    layer::Shared,
    load::{Load, Miss, Owner},
    policy::StoreIf,
};

pin_project! {
    /// The response of a [`Cache`](crate::Cache).
    ///
    /// Dropping it is safe at any time; what that does is told [there](crate::Cache#cancellation).
    pub struct ResponseFuture<S, Req, K, V, F, P>
    where
        S: Service<Req, Response = V>,
        K: Hash,
        K: Eq,
    {
        #[pin]
        state: State<Arc<Shared<K, V, F, P>>, OneCall<S, Req>, K, V>,
    }
}

pin_project! {
    /// The result of [`ResultCache::get_or_load`].
    ///
    /// Dropping it is safe at any time; what that does is told [there](ResultCache::get_or_load).
    pub struct GetOrLoad<K, V, E, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        K: Hash,
        K: Eq,
    {
        #[pin]
        miss: Miss<ResultCache<K, V>, Loader<F>, K, V>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<O, L, K, V>
    where
        L: Load,
        K: Hash,
        K: Eq,
    {
        // Apart from the rest, so that a hit costs no more than the value.
        Hit { value: Option<V> },
        Missed { #[pin] miss: Miss<O, L, K, V> },
    }
}

// ===== impl ResponseFuture =====

impl<S, Req, K, V, F, P> ResponseFuture<S, Req, K, V, F, P>
where
    S: Service<Req, Response = V>,
    K: Hash + Eq,
{
    #[inline]
    pub(crate) fn hit(value: V) -> Self {
        Self {
            state: State::Hit { value: Some(value) },
        }
    }

    pub(crate) fn miss(inner: S, req: Req, key: K, shared: Arc<Shared<K, V, F, P>>) -> Self {
        Self {
            state: State::Missed {
                miss: Miss::new(shared, key, OneCall { inner, req }, false),
            },
        }
    }

    pub(crate) fn passing_by(inner: S, req: Req, shared: Arc<Shared<K, V, F, P>>) -> Self {
        Self {
            state: State::Missed {
                miss: Miss::passing_by(shared, OneCall { inner, req }),
            },
        }
    }
}

impl<S, Req, K, V, F, P> Future for ResponseFuture<S, Req, K, V, F, P>
where
    S: Service<Req, Response = V>,
    K: Hash + Eq + Clone,
    V: Clone,
    P: StoreIf<K, V>,
{
    type Output = Result<V, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().state.poll(cx)
    }
}

impl<S, Req, K, V, F, P> fmt::Debug for ResponseFuture<S, Req, K, V, F, P>
where
    S: Service<Req, Response = V>,
    K: Hash + Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// ===== impl GetOrLoad =====

impl<K, V, E, F, Fut> GetOrLoad<K, V, E, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    K: Hash + Eq,
    V: Clone,
{
    pub(crate) fn new(cache: &ResultCache<K, V>, key: K, load: F) -> Self {
        // Not looked up yet: it may be polled long after this, when the answer is another.
        Self {
            miss: Miss::new(cache.clone(), key, Loader(load), true),
        }
    }
}

impl<K, V, E, F, Fut> Future for GetOrLoad<K, V, E, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    type Output = Result<V, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().miss.poll(cx)
    }
}

impl<K, V, E, F, Fut> fmt::Debug for GetOrLoad<K, V, E, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    K: Hash + Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").finish_non_exhaustive()
    }
}

// ===== impl State =====

impl<O, L, K, V> Future for State<O, L, K, V>
where
    O: Owner<K, V>,
    L: Load<Value = V>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    type Output = Result<V, L::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            StateProj::Hit { value } => Poll::Ready(Ok(value.take().expect(crate::load::SPENT))),
            StateProj::Missed { miss } => miss.poll(cx),
        }
    }
}

// ===== whom and what the futures load for =====

impl<K, V, F, P: StoreIf<K, V>> Owner<K, V> for Arc<Shared<K, V, F, P>> {
    fn cache(&self) -> &ResultCache<K, V> {
        &self.cache
    }

    fn admits(&self, key: &K, value: &V) -> bool {
        self.store_if.store_if(key, value)
    }
}

impl<K, V> Owner<K, V> for ResultCache<K, V> {
    fn cache(&self) -> &ResultCache<K, V> {
        self
    }

    fn admits(&self, _key: &K, _value: &V) -> bool {
        true
    }
}

struct Loader<F>(F);

impl<F, Fut, V, E> Load for Loader<F>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
{
    type Value = V;
    type Error = E;
    type Future = Fut;

    fn load(self) -> Fut {
        (self.0)()
    }
}

/// A clone of the inner service, fresh and so not ready, and what it is to be called with.
struct OneCall<S, Req> {
    inner: S,
    req: Req,
}

impl<S: Service<Req>, Req> Load for OneCall<S, Req> {
    type Value = S::Response;
    type Error = S::Error;
    type Future = Calling<S, Req>;

    fn load(self) -> Calling<S, Req> {
        Calling::Readying {
            inner: self.inner,
            req: Some(self.req),
        }
    }
}

pin_project! {
    /// Drives a service to readiness and calls that very service.
    #[project = CallingProj]
    enum Calling<S, Req>
    where
        S: Service<Req>,
    {
        Readying { inner: S, req: Option<Req> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Req>, Req> Future for Calling<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                CallingProj::Readying { inner, req } => {
                    ready!(inner.poll_ready(cx))?;
                    let future = inner.call(req.take().expect("a service is called once"));
                    self.set(Calling::Called { future });
                }
                CallingProj::Called { future } => return future.poll(cx),
            }
        }
    }
}
