use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    backoff::{Backoff, Exponential},
    decide::{Decide, RetryErrors},
    future::{Replay, ResponseFuture},
    handle::RetryHandle,
    request::{RequestRules, Requests},
    rules::Rules,
    session::Session,
    shared::Shared,
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
pub struct Retry<S, B = Exponential, C = RetryErrors, R = Requests> {
    inner: S,
    rules: Rules<B, C, R>,
    shared: Arc<Shared>,
}

impl<S, B, C, R> Retry<S, B, C, R> {
    pub(crate) const fn new(inner: S, rules: Rules<B, C, R>, shared: Arc<Shared>) -> Self {
        Self { inner, rules, shared }
    }

    /// The figures of the layer that made this service.
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(&self.shared)
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

impl<S, B, C, R, Req> Service<Req> for Retry<S, B, C, R>
where
    S: Service<Req> + Clone,
    B: Backoff + Clone,
    C: Decide<S::Response, S::Error> + Clone,
    R: RequestRules<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, B, C, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let limits = &self.shared.plan.limits;
        let deadline = self.rules.requests.deadline(&req);
        let session = Session::begin(limits, self.rules.decide.is_timed(), deadline);
        let kept = if session.is_last() {
            None
        } else {
            self.rules.requests.keep(&req)
        };
        let Some(kept) = kept else {
            // It goes through once; no clone of the service is needed.
            let future = self.inner.call(req);
            return ResponseFuture::called(future, None, session, self.rules.clone(), self.shared.call());
        };
        let clone = self.inner.clone(); // stays behind, not ready
        let mut service = mem::replace(&mut self.inner, clone); // was polled ready, goes with the call
        let future = service.call(req);
        let replay = Some(Replay { service, req: kept });
        ResponseFuture::called(future, replay, session, self.rules.clone(), self.shared.call())
    }
}

impl<S: Clone, B: Clone, C: Clone, R: Clone> Clone for Retry<S, B, C, R> {
    /// Another service by the same policy and with the same figures. It is not ready, whatever this one is.
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.rules.clone(), Arc::clone(&self.shared))
    }
}

// By hand: a policy need not be `Debug`.
impl<S: fmt::Debug, B, C, R> fmt::Debug for Retry<S, B, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("handle", &self.handle())
            .finish_non_exhaustive()
    }
}
