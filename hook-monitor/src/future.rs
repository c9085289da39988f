//! The futures of this crate, named so that they can be stored without a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::{
    Classify, Outcome,
    call::{Ticket, Unwinding},
};

pin_project! {
    /// The response of a [`Monitor`](crate::Monitor).
    ///
    /// # Cancellation
    ///
    /// Dropped before it gave its result, polled or not, the call counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        inner: F,
        ticket: Ticket<Arc<C>>,
    }
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(crate) fn new(inner: F, ticket: Ticket<Arc<C>>) -> Self {
        Self { inner, ticket }
    }
}

impl<F, T, E, C> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_counted(this.inner, this.ticket, cx, |judge, result, took| {
            judge.classify(result, took)
        })
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// ===== impl Watch =====

pin_project! {
    /// A future counted by [`CallMonitor::watch`](crate::CallMonitor::watch).
    ///
    /// # Cancellation
    ///
    /// Dropped before it gave its result, polled or not, the call counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct Watch<F, C> {
        #[pin]
        inner: F,
        classify: C,
        ticket: Ticket<()>,
    }
}

impl<F, C> Watch<F, C> {
    #[inline]
    pub(crate) fn new(inner: F, classify: C, ticket: Ticket<()>) -> Self {
        Self {
            inner,
            classify,
            ticket,
        }
    }
}

impl<F, T, E, C> Future for Watch<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let classify = this.classify;
        poll_counted(this.inner, this.ticket, cx, |(), result, took| {
            classify.classify(result, took)
        })
    }
}

impl<F, C> fmt::Debug for Watch<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Polls a call, and counts how it ends if it ends here. What is polled after that is not our business:
/// it is passed on, uncounted.
#[inline]
fn poll_counted<F, T, E, X>(
    inner: Pin<&mut F>,
    ticket: &mut Ticket<X>,
    cx: &mut Context<'_>,
    classify: impl FnOnce(&X, Result<&T, &E>, Duration) -> Outcome,
) -> Poll<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    // Also over the classifier: the user's code, too.
    let mut unwinding = Unwinding::guard(ticket);
    let poll = inner.poll(cx);
    if let Poll::Ready(result) = &poll {
        unwinding.finish(|judge, took| classify(judge, result.as_ref(), took));
    }
    unwinding.survived();
    poll
}
