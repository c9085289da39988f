use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    Classify, ErrorsAsFailures, Lanes, MonitorHandle,
    call::{Share, Ticket, Unwinding},
    future::ResponseFuture,
};

/// A service whose calls are counted, made by [`MonitorLayer`](crate::MonitorLayer).
///
/// Clones count in the same place.
///
/// # Readiness
///
/// That of the inner service, errors included. Being ready counts as nothing; a call begins with
/// `call`.
///
/// # Cancellation
///
/// A response future that is dropped before it gave its result, polled or not, counts as cancelled.
pub struct Monitor<S, C = ErrorsAsFailures> {
    inner: S,
    lanes: Lanes<Share<Arc<C>>>,
}

impl<S, C> Monitor<S, C> {
    pub(crate) fn new(inner: S, lanes: Lanes<Share<Arc<C>>>) -> Self {
        Self { inner, lanes }
    }

    /// The figures, to look at.
    pub fn handle(&self) -> MonitorHandle {
        MonitorHandle::new(Arc::clone(&self.lanes.any().tally))
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What is called on it is not counted.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the monitor off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, Req> Service<Req> for Monitor<S, C>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let mut ticket = Ticket::new(self.lanes.mine());
        let unwinding = Unwinding::guard(&mut ticket);
        let future = self.inner.call(req);
        unwinding.survived();
        ResponseFuture::new(future, ticket)
    }
}

// By hand: the classifier is shared, so it need not be `Clone`.
impl<S: Clone, C> Clone for Monitor<S, C> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            lanes: self.lanes.clone(),
        }
    }
}

// By hand: a closure is not `Debug`.
impl<S: fmt::Debug, C> fmt::Debug for Monitor<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("inner", &self.inner)
            .field("name", &self.lanes.any().tally.name)
            .finish_non_exhaustive()
    }
}
