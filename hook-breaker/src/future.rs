//! The futures of this crate, named so that they can be stored without a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hook_monitor::{Classify, Lane, OnReject, Outcome, Rejected};
use pin_project_lite::pin_project;

use crate::{
    breaker::Local,
    error::CallError,
    permit::{Admission, Unwinding},
    service::Held,
    shared::Owner,
};

pin_project! {
    /// The response of a [`Breaker`](crate::Breaker).
    ///
    /// # Panics
    ///
    /// If polled after it gave its result.
    pub struct ResponseFuture<F, C, R> {
        #[pin]
        state: State<F, C, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C, R> {
        Called {
            #[pin]
            future: F,
            admission: Option<Admission<Held<C, R>>>,
        },
        Refused {
            rejected: Option<Rejected>,
            judge: Held<C, R>,
        },
    }
}

impl<F, C, R> ResponseFuture<F, C, R> {
    #[inline]
    pub(crate) fn called(future: F, admission: Admission<Held<C, R>>) -> Self {
        Self {
            state: State::Called {
                future,
                admission: Some(admission),
            },
        }
    }

    #[inline]
    pub(crate) fn refused(rejected: Rejected, judge: Held<C, R>) -> Self {
        Self {
            state: State::Refused {
                rejected: Some(rejected),
                judge,
            },
        }
    }
}

impl<F, T, E, C, R> Future for ResponseFuture<F, C, R>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    R: OnReject<T, E>,
{
    type Output = Result<T, R::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { future, admission } => {
                poll_admitted(future, admission, cx, |judge, result, took| {
                    judge.classify.classify(result, took)
                })
                .map_err(R::inner)
            }
            StateProj::Refused { rejected, judge } => {
                let rejected = rejected.take().expect(POLLED_AGAIN);
                Poll::Ready(judge.on_reject.reject(rejected))
            }
        }
    }
}

impl<F, C, R> fmt::Debug for ResponseFuture<F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// ===== impl Call =====

pin_project! {
    /// A future run by [`CircuitBreaker::call`](crate::CircuitBreaker::call).
    ///
    /// # Panics
    ///
    /// If polled after it gave its result.
    #[must_use = "futures do nothing unless polled"]
    pub struct Call<F, C> {
        #[pin]
        future: F,
        classify: C,
        // Until the first poll.
        asking: Option<Arc<Lane<Local>>>,
        // From the first poll to the last.
        admission: Option<Admission<Arc<Lane<Local>>>>,
    }
}

impl<F, C> Call<F, C> {
    pub(crate) fn new(local: Arc<Lane<Local>>, classify: C, future: F) -> Self {
        Self {
            future,
            classify,
            asking: Some(local),
            admission: None,
        }
    }
}

impl<F, T, E, C> Future for Call<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(local) = this.asking.take() {
            match Admission::acquire(local) {
                Ok(mut admitted) => {
                    if this.classify.is_timed() {
                        admitted.start();
                    }
                    *this.admission = Some(admitted);
                }
                Err((rejected, _)) => return Poll::Ready(Err(CallError::Rejected(rejected))),
            }
        }
        let classify = this.classify;
        poll_admitted(this.future, this.admission, cx, |_, result, took| {
            classify.classify(result, took)
        })
        .map_err(CallError::Inner)
    }
}

impl<F, C> fmt::Debug for Call<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "the future of a circuit breaker was polled after it gave its result";

/// Polls an admitted call, and settles it when it ends, by panic too.
#[inline]
fn poll_admitted<F, T, E, O>(
    future: Pin<&mut F>,
    admission: &mut Option<Admission<O>>,
    cx: &mut Context<'_>,
    classify: impl FnOnce(&O, Result<&T, &E>, Duration) -> Outcome,
) -> Poll<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
    O: Owner,
{
    let guard = Unwinding::guard(admission.take().expect(POLLED_AGAIN));
    match future.poll(cx) {
        Poll::Ready(result) => {
            let admitted = guard.admission();
            let outcome = classify(admitted.owner(), result.as_ref(), admitted.took());
            guard.survived().settle(outcome);
            Poll::Ready(result)
        }
        Poll::Pending => {
            let mut admitted = guard.survived();
            admitted.wait();
            *admission = Some(admitted);
            Poll::Pending
        }
    }
}
