use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    Classify, ErrorsAsFailures, MonitorHandle,
    call::{Ticket, Unwinding},
    future::ResponseFuture,
    shared::Core,
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
pub struct Monitored<S, C = ErrorsAsFailures> {
    inner: S,
    core: Core,
    judge: C,
}

impl<S, C> Monitored<S, C> {
    pub(crate) fn new(inner: S, core: Core, judge: C) -> Self {
        Self { inner, core, judge }
    }

    /// The figures, to look at.
    pub fn handle(&self) -> MonitorHandle {
        MonitorHandle::new(self.core.clone())
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

impl<S, C, Req> Service<Req> for Monitored<S, C>
where
    S: Service<Req>,
    S::Error: 'static,
    C: Classify<S::Response, S::Error> + Clone,
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
        // Cloned before there is a call that its panic would leave behind.
        let judge = self.judge.clone();
        let mut ticket = Ticket::new(&self.core);
        let unwinding = Unwinding::guard(&mut ticket);
        let future = self.inner.call(req);
        unwinding.survived();
        ResponseFuture::new(future, judge, ticket)
    }
}

impl<S: Clone, C: Clone> Clone for Monitored<S, C> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            core: self.core.clone(),
            judge: self.judge.clone(),
        }
    }
}

// By hand: a closure is not `Debug`.
impl<S: fmt::Debug, C> fmt::Debug for Monitored<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitored")
            .field("inner", &self.inner)
            .field("name", &self.core.name())
            .finish_non_exhaustive()
    }
}
