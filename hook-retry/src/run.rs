use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{
    backoff::Backoff,
    budget::Withdrawal,
    decide::Decide,
    policy::RetryPolicy,
    session::{Next, Session},
};

pin_project! {
    /// The future of [`RetryPolicy::run`].
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with its timer enabled.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<'p, B, C, F, Fut>
    where
        B: Backoff,
    {
        policy: &'p RetryPolicy<B, C>,
        attempt: F,
        deadline: Option<Instant>,
        // Begun at the first poll.
        session: Option<Session<B::Delays>>,
        #[pin]
        state: State<Fut>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<Fut> {
        Starting { paid: Option<Withdrawal> },
        Called { #[pin] future: Fut },
        Waiting { #[pin] sleep: Sleep, paid: Option<Withdrawal> },
    }
}

impl<'p, B: Backoff, C, F, Fut> Run<'p, B, C, F, Fut> {
    pub(crate) const fn new(policy: &'p RetryPolicy<B, C>, attempt: F) -> Self {
        Self {
            policy,
            attempt,
            deadline: None,
            session: None,
            state: State::Starting { paid: None },
        }
    }

    /// A wait that would reach this moment is not begun: the run ends at once with the result it has.
    /// Default: none. Nothing that has begun is interrupted, and an attempt may begin later than this, if
    /// the timer of its wait was late.
    pub const fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl<B, C, F, Fut, T, E> Future for Run<'_, B, C, F, Fut>
where
    B: Backoff,
    C: Decide<T, E>,
    F: FnMut(crate::Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let RetryPolicy { rules, plan } = *this.policy;
        let session = this.session.get_or_insert_with(|| {
            if let Some(budget) = &plan.budget {
                budget.deposit();
            }
            // An attempt is told the time, so the time is kept, whatever the classifier wants.
            Session::begin(&plan.limits, true, *this.deadline)
        });
        loop {
            match this.state.as_mut().project() {
                StateProj::Starting { paid } => {
                    if let Some(paid) = paid.take() {
                        paid.spend();
                    }
                    let future = (this.attempt)(session.attempt());
                    this.state.set(State::Called { future });
                }
                StateProj::Called { future } => {
                    let result = ready!(future.poll(cx));
                    let verdict = rules.decide.decide(result.as_ref(), &session.attempt());
                    let Ok(Next { delay, paid }) = session.next(verdict, true, &rules.backoff, plan) else {
                        return Poll::Ready(result);
                    };
                    // Nothing of a failed attempt is held while waiting.
                    drop(result);
                    session.advance();
                    if !delay.is_zero() {
                        let sleep = sleep(delay);
                        this.state.set(State::Waiting { sleep, paid });
                        continue;
                    }
                    this.state.set(State::Starting { paid });
                    if session.is_hogging() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                StateProj::Waiting { sleep, paid } => {
                    ready!(sleep.poll(cx));
                    let paid = paid.take();
                    this.state.set(State::Starting { paid });
                }
            }
        }
    }
}

// By hand: neither futures nor closures are `Debug`.
impl<B: Backoff, C, F, Fut> fmt::Debug for Run<'_, B, C, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}
