//! The futures of this crate, named so that they can be stored without a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hook_monitor::{Classify, OnReject, Outcome, Visit};
use pin_project_lite::pin_project;

use crate::{
    error::CallError,
    gate::Gate,
    permit::{Admission, UnwindingIn},
    refusal::Refusal,
};

pin_project! {
    /// The response of a [`Breaker`](crate::Breaker) or a [`KeyedBreaker`](crate::KeyedBreaker).
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
            admission: Admission,
            classify: C,
        },
        /// Not guarded at all, for there is no circuit for its key.
        Unguarded {
            #[pin]
            future: F,
        },
        Refused {
            refusal: Option<Refusal>,
            on_reject: R,
        },
    }
}

impl<F, C, R> ResponseFuture<F, C, R> {
    #[inline(always)]
    pub(crate) fn called(future: F, admission: Admission, classify: C) -> Self {
        Self {
            state: State::Called {
                future,
                admission,
                classify,
            },
        }
    }

    pub(crate) fn unguarded(future: F) -> Self {
        Self {
            state: State::Unguarded { future },
        }
    }

    #[inline]
    pub(crate) fn refused(refusal: Refusal, on_reject: R) -> Self {
        let refusal = Some(refusal);
        Self {
            state: State::Refused { refusal, on_reject },
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

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called {
                future,
                admission,
                classify,
            } => poll_admitted(future, admission, cx, |result, took| {
                classify.classify(result, took)
            })
            .map_err(R::inner),
            StateProj::Unguarded { future } => future.poll(cx).map_err(R::inner),
            StateProj::Refused { refusal, on_reject } => {
                let refusal = refusal.take().expect(POLLED_AGAIN);
                Poll::Ready(on_reject.reject(refusal.into()))
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
        asking: Option<Visit<Gate>>,
        // From the first poll to the last.
        admission: Option<Admission>,
    }
}

impl<F, C> Call<F, C> {
    pub(crate) fn new(gate: Visit<Gate>, classify: C, future: F) -> Self {
        Self {
            future,
            classify,
            asking: Some(gate),
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

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(gate) = this.asking.take() {
            match Admission::acquire_in(gate) {
                Ok(mut admission) => {
                    admission.start(this.classify.is_timed());
                    *this.admission = Some(admission);
                }
                Err(refusal) => return Poll::Ready(Err(CallError::Rejected(refusal.into()))),
            }
        }
        let classify = this.classify;
        let admission = this.admission.as_mut().expect(POLLED_AGAIN);
        poll_admitted(this.future, admission, cx, |result, took| {
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
#[inline(always)]
fn poll_admitted<F, T, E>(
    future: Pin<&mut F>,
    admission: &mut Admission,
    cx: &mut Context<'_>,
    classify: impl FnOnce(Result<&T, &E>, Duration) -> Outcome,
) -> Poll<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    assert!(!admission.is_over(), "{POLLED_AGAIN}");
    let guard = UnwindingIn::guard(admission);
    match future.poll(cx) {
        Poll::Ready(result) => {
            let took = guard.took();
            let outcome = classify(result.as_ref(), took.unwrap_or_default());
            guard.settle(outcome, took);
            Poll::Ready(result)
        }
        Poll::Pending => {
            guard.survived();
            Poll::Pending
        }
    }
}
