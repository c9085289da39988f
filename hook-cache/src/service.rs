use std::{
    fmt,
    hash::Hash,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    carry::{Background, Carry, Restart},
    errand::Claim,
    errors::{Errors, ErrorsReleased},
    future::{Calling, Loading, OneCall, Refresh, ResponseFuture},
    hashed::Hashed,
    key::{FindKey, sealed::Looked},
    layer::Shared,
    policy::{StoreAll, StoreIf},
    stats::Count,
};

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
/// service adds none.
///
/// # Cancellation
///
/// Dropping the future that leads a miss hands the lead to one of the callers waiting for it, which
/// calls the inner service anew, or goes on with the call as it is if the layer was told to
/// [`resume`](crate::CacheLayer::resume). Dropping one that waits concerns nobody else.
pub struct Cache<S, K, V, F, J = StoreAll, X = ErrorsReleased, D = Restart> {
    /// Never polled: each miss polls a clone of its own.
    inner: S,
    shared: Arc<Shared<K, V, F, J, X>>,
    loads: PhantomData<fn() -> D>,
}

impl<S, K, V, F, J, X, D> Cache<S, K, V, F, J, X, D> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<K, V, F, J, X>>) -> Self {
        Self {
            inner,
            shared,
            loads: PhantomData,
        }
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

impl<S, Req, K, V, F, J, X, D> Service<Req> for Cache<S, K, V, F, J, X, D>
where
    S: Service<Req, Response = V> + Clone,
    K: Hash + Eq + Clone,
    V: Clone,
    F: FindKey<Req, K>,
    J: StoreIf<Req, K, V>,
    X: Errors<S::Error>,
    D: Carry<Loading<S, Req, J::Note>> + Background<Refresh<S, Req, K, V, F, J, X, D>>,
{
    type Response = V;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, K, V, F, J, X, D>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Readiness belongs to the leader of a miss: a hit must not sit on a permit.
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let cache = &self.shared.cache;
        match self.shared.key.look_up(&req, cache) {
            Looked::Hit(value) => ResponseFuture::hit(value),
            Looked::Stale(value, claimed) => self.stale(req, value, claimed),
            Looked::Absent(key) => ResponseFuture::miss(self.shared.clone(), key, self.one_call(req), None),
            Looked::Keyless => {
                cache.counts().one(Count::Bypassed);
                ResponseFuture::passing_by(Calling::new(self.inner.clone(), req))
            }
        }
    }
}

impl<S: Clone, K, V, F, J, X, D> Cache<S, K, V, F, J, X, D> {
    fn one_call<Req>(&self, req: Req) -> OneCall<S, Req, J::Note>
    where
        J: StoreIf<Req, K, V>,
    {
        let note = self.shared.store_if.note(&req);
        OneCall::new(self.inner.clone(), req, note)
    }

    /// Serves what is there, and loads it anew if that is this caller's part.
    #[cold]
    fn stale<Req>(
        &self,
        req: Req,
        value: V,
        claimed: Option<(Hashed<K>, Claim<K, V>)>,
    ) -> ResponseFuture<S, Req, K, V, F, J, X, D>
    where
        S: Service<Req, Response = V>,
        K: Hash + Eq + Clone,
        V: Clone,
        J: StoreIf<Req, K, V>,
        D: Carry<Loading<S, Req, J::Note>> + Background<Refresh<S, Req, K, V, F, J, X, D>>,
    {
        let cache = &self.shared.cache;
        match claimed {
            Some((key, claim)) if !D::is_there() => {
                return ResponseFuture::miss(self.shared.clone(), key, self.one_call(req), Some(claim));
            }
            Some((key, claim)) => {
                cache.counts().one(Count::StaleHit);
                D::spawn(Refresh::new(self.shared.clone(), key, self.one_call(req), claim));
            }
            None => cache.counts().one(Count::StaleHit),
        }
        ResponseFuture::hit(value)
    }
}

// By hand: neither the closures nor what is cached need be `Clone` for this.
impl<S: Clone, K, V, F, J, X, D> Clone for Cache<S, K, V, F, J, X, D> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: self.shared.clone(),
            loads: PhantomData,
        }
    }
}

impl<S: fmt::Debug, K, V, F, J, X, D> fmt::Debug for Cache<S, K, V, F, J, X, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}
