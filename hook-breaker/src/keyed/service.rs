use std::{
    fmt,
    hash::Hash,
    task::{Context, Poll},
};

use hook_monitor::{Classify, ErrorsAsFailures, OnReject, RejectWithError};
use tower_service::Service;

use super::KeyedCircuits;
use crate::{future::ResponseFuture, service::call_inner};

/// A service behind a circuit for each key, made by [`KeyedBreakerLayer`](crate::KeyedBreakerLayer).
///
/// # Readiness
///
/// That of the inner service, for before the request there is no key. A refused call leaves the inner service as
/// ready as it was.
///
/// # Cancellation
///
/// A response future that is dropped counts by the [`DroppedCall`](crate::DroppedCall) rule.
///
/// # Panics
///
/// A panic of the closure that makes the key, or of the key's `Hash`, `Eq` or `Clone`, unwinds out of `call`; nothing
/// is counted.
pub struct KeyedBreaker<S, F, K, C = ErrorsAsFailures, R = RejectWithError> {
    inner: S,
    key: F,
    circuits: KeyedCircuits<K>,
    classify: C,
    on_reject: R,
}

impl<S, F, K, C, R> KeyedBreaker<S, F, K, C, R> {
    pub(super) fn new(inner: S, key: F, circuits: KeyedCircuits<K>, classify: C, on_reject: R) -> Self {
        Self {
            inner,
            key,
            circuits,
            classify,
            on_reject,
        }
    }

    /// The circuits, to look at and to change by hand.
    pub fn handle(&self) -> KeyedCircuits<K> {
        self.circuits.clone()
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What is called on it passes no circuit.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the breaker off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, K, C, R, Req> Service<Req> for KeyedBreaker<S, F, K, C, R>
where
    S: Service<Req>,
    F: Fn(&Req) -> K,
    K: Hash + Eq + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    R: OnReject<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = R::Error;
    type Future = ResponseFuture<S::Future, C, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(R::inner)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let (key, classify) = ((self.key)(&req), self.classify.clone());
        match self.circuits.0.acquire(key) {
            Some(Ok(admission)) => call_inner(&mut self.inner, admission, classify, req),
            Some(Err(refusal)) => ResponseFuture::refused(refusal, self.on_reject.clone()),
            None => ResponseFuture::unguarded(self.inner.call(req)),
        }
    }
}

// By hand: keys are shared.
impl<S: Clone, F: Clone, K, C: Clone, R: Clone> Clone for KeyedBreaker<S, F, K, C, R> {
    /// Another service on the same circuits. It is not ready, whatever this one is.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            key: self.key.clone(),
            circuits: self.circuits.clone(),
            classify: self.classify.clone(),
            on_reject: self.on_reject.clone(),
        }
    }
}

impl<S: fmt::Debug, F, K, C, R> fmt::Debug for KeyedBreaker<S, F, K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreaker")
            .field("inner", &self.inner)
            .field("circuits", &self.circuits)
            .finish_non_exhaustive()
    }
}
