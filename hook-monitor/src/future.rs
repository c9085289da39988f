//! The futures of this crate, named so that they can be stored without a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    Classify, Ending,
    call::{Ticket, Unwinding},
    cause,
};

pin_project! {
    /// The response of a [`Monitored`](crate::Monitored).
    ///
    /// # Cancellation
    ///
    /// Dropped before it gave its result, polled or not, the call counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        inner: F,
        judge: C,
        ticket: Ticket,
    }
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(crate) fn new(inner: F, judge: C, ticket: Ticket) -> Self {
        Self { inner, judge, ticket }
    }
}

impl<F, T, E, C> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    E: 'static,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_counted(this.inner, this.judge, this.ticket, cx)
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
        ticket: Ticket,
    }
}

impl<F, C> Watch<F, C> {
    #[inline]
    pub(crate) fn new(inner: F, classify: C, ticket: Ticket) -> Self {
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
    E: 'static,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_counted(this.inner, this.classify, this.ticket, cx)
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
fn poll_counted<F, T, E, C>(
    inner: Pin<&mut F>,
    judge: &C,
    ticket: &mut Ticket,
    cx: &mut Context<'_>,
) -> Poll<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
    E: 'static,
    C: Classify<T, E>,
{
    // Also over the classifier: the user's code, too.
    let mut unwinding = Unwinding::guard(ticket);
    let poll = inner.poll(cx);
    if let Poll::Ready(result) = &poll {
        unwinding.finish(|took| match (judge.ending(result.as_ref(), took), result) {
            (Ending::Error, Err(err)) => cause::ending_of(err),
            (ending, _) => ending,
        });
    }
    unwinding.survived();
    poll
}
