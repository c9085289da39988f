use std::{
    fmt,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{future::ResponseFuture, layer::Shared, policy::StoreIf, stats::Count};

/// Serves repeated requests from memory. Made by a [`CacheLayer`](crate::CacheLayer).
///
/// # Readiness
///
/// Always ready: a hit asks nobody, so it is served while the inner service is busy, and while it is
/// broken. Whoever calls the inner service drives a clone of it to readiness first, inside the response
/// future, and calls that very clone.
///
/// # When it is asked
///
/// `call` looks into the cache, not the first poll of what it returns. A hit is the answer of that moment: a
/// future kept aside still yields it after an invalidation, or after the deadline. What misses looks again
/// when it is polled first.
///
/// # Errors
///
/// Those of the inner service, from its readiness and from its call, out of the response future. This
/// service adds none. An error is never stored and never shared.
///
/// # Cancellation
///
/// Dropping the future that leads a miss hands the lead to one of the callers waiting for it, which
/// calls the inner service anew. Dropping one that waits concerns nobody else.
pub struct Cache<S, K, V, F, P> {
    /// Never polled: each miss polls a clone of its own.
    inner: S,
    shared: Arc<Shared<K, V, F, P>>,
}

impl<S, K, V, F, P> Cache<S, K, V, F, P> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<K, V, F, P>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service, which this one only ever clones.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, which this one only ever clones.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, K, V, F, P> Service<Req> for Cache<S, K, V, F, P>
where
    S: Service<Req, Response = V> + Clone,
    K: Hash + Eq + Clone,
    V: Clone,
    F: Fn(&Req) -> Option<K>,
    P: StoreIf<K, V>,
{
    type Response = V;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, K, V, F, P>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Readiness belongs to the leader of a miss: a hit must not sit on a permit.
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let Some(key) = (self.shared.key)(&req) else {
            self.shared.cache.counts().one(Count::Bypassed);
            return ResponseFuture::passing_by(self.inner.clone(), req, self.shared.clone());
        };
        match self.shared.cache.look_up(&key) {
            Some(value) => ResponseFuture::hit(value),
            None => ResponseFuture::miss(self.inner.clone(), req, key, self.shared.clone()),
        }
    }
}

// By hand: neither the closures nor what is cached need be `Clone` for this.
impl<S: Clone, K, V, F, P> Clone for Cache<S, K, V, F, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<S: fmt::Debug, K, V, F, P> fmt::Debug for Cache<S, K, V, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}
