use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use hook_monitor::Lanes;
use tower_service::Service;

use crate::{
    backoff::Backoff,
    decide::Decide,
    future::{Replay, ResponseFuture},
    handle::{RetryHandle, Stats},
    policy::RetryPolicy,
    request::RequestRules,
    session::Session,
};

/// A service whose calls are tried again, made by [`RetryLayer`](crate::RetryLayer).
///
/// # Readiness
///
/// That of the inner service. Before each retry the clone that is going to be called is driven to
/// readiness inside the response future. Where there is a wait before, that is a fresh clone: what the one
/// before had reserved is given back for the time of the wait.
///
/// # Errors
///
/// Those of the inner service; this one adds none. An error of its readiness before a retry ends the call
/// with that error, for it is terminal by the contract of `Service`.
///
/// # Cancellation
///
/// Dropping the response future drops the attempt or the wait under way. Nothing is left behind.
pub struct Retry<S, P = RetryPolicy> {
    inner: S,
    lanes: Lanes<Local<P>>,
}

/// What the calls of a layer's services share.
pub(crate) struct Local<P> {
    pub(crate) policy: Arc<P>,
    pub(crate) stats: Arc<Stats>,
}

impl<S, P> Retry<S, P> {
    pub(crate) fn new(inner: S, lanes: Lanes<Local<P>>) -> Self {
        Self { inner, lanes }
    }

    /// The figures of the layer that made this service.
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(&self.lanes.any().stats)
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What is called on it is not tried again.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the retries off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, C, R, Req> Service<Req> for Retry<S, RetryPolicy<B, C, R>>
where
    S: Service<Req> + Clone,
    B: Backoff,
    C: Decide<S::Response, S::Error>,
    R: RequestRules<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, B, C, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let local = self.lanes.mine();
        let policy = &local.policy;
        let is_timed = policy.max_elapsed.is_some() || policy.decide.is_timed();
        let started = is_timed.then(|| policy.clock.now());
        let deadline = policy.requests.deadline(&req);
        let session = Session::new(started, policy.max_elapsed, deadline);

        let kept = match policy.max_retries() {
            0 => None,
            _ => policy.requests.keep(&req),
        };
        let Some(kept) = kept else {
            // It goes through once; no clone of the service is needed.
            let future = self.inner.call(req);
            return ResponseFuture::called(future, None, session, local);
        };
        let clone = self.inner.clone(); // stays behind, not ready
        let mut service = mem::replace(&mut self.inner, clone); // was polled ready, goes with the call
        let future = service.call(req);
        ResponseFuture::called(future, Some(Replay { service, req: kept }), session, local)
    }
}

impl<S: Clone, P> Clone for Retry<S, P> {
    /// Another service by the same policy and with the same figures. It is not ready, whatever this one is.
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.lanes.clone())
    }
}

// By hand: a policy need not be `Debug`.
impl<S: fmt::Debug, P> fmt::Debug for Retry<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("handle", &self.handle())
            .finish_non_exhaustive()
    }
}

// ===== impl Local =====

// By hand: both are shared, so the policy need not be `Clone`.
impl<P> Clone for Local<P> {
    fn clone(&self) -> Self {
        Self {
            policy: Arc::clone(&self.policy),
            stats: Arc::clone(&self.stats),
        }
    }
}
