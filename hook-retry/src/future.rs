//! The futures of this crate, named so that they can be stored without a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::{
    backoff::Backoff,
    budget::Withdrawal,
    decide::{Decide, Verdict},
    request::RequestRules,
    rules::Rules,
    session::{End, Next, Session},
    shared::Call,
};

pub use crate::run::Run;

pin_project! {
    /// The response of a [`Retry`](crate::Retry).
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with its timer enabled. Polled after it gave its result,
    /// it does what the inner future does then.
    #[repr(C)]
    pub struct ResponseFuture<S, Req, B, C, R>
    where
        S: Service<Req>,
        B: Backoff,
    {
        rules: Rules<B, C, R>,
        call: Call,
        session: Session<B::Delays>,
        replay: Option<Replay<S, Req>>,
        #[pin]
        state: State<S::Future>,
    }
}

/// All it takes for another attempt. The last one leaves none.
pub(crate) struct Replay<S, Req> {
    pub(crate) service: S,
    pub(crate) req: Req,
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called { #[pin] future: F },
        // The sleep is in here, not in a box: it is as large as a few pointers and moves nowhere.
        Waiting { #[pin] sleep: Sleep, delay: Duration, paid: Option<Withdrawal> },
        Readying { paid: Option<Withdrawal>, yields: bool },
    }
}

impl<S, Req, B, C, R> ResponseFuture<S, Req, B, C, R>
where
    S: Service<Req>,
    B: Backoff,
{
    #[inline(always)]
    pub(crate) fn called(
        future: S::Future,
        replay: Option<Replay<S, Req>>,
        session: Session<B::Delays>,
        rules: Rules<B, C, R>,
        call: Call,
    ) -> Self {
        Self {
            call,
            rules,
            session,
            replay,
            state: State::Called { future },
        }
    }
}

impl<S, Req, B, C, R> Future for ResponseFuture<S, Req, B, C, R>
where
    S: Service<Req> + Clone,
    B: Backoff,
    C: Decide<S::Response, S::Error>,
    R: RequestRules<Req>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = self.as_mut().project();
            if let StateProj::Called { future } = this.state.project() {
                let result = ready!(future.poll(cx));
                let attempt = this.session.attempt();
                let verdict = this.rules.decide.decide(result.as_ref(), &attempt);
                if verdict == Verdict::Stop && result.is_ok() {
                    this.call.succeeded(attempt.number);
                    return Poll::Ready(result);
                }
                if let Some(answer) = self.as_mut().failed(result, verdict) {
                    return Poll::Ready(answer);
                }
            }
            if let Err(err) = ready!(self.as_mut().poll_again(cx)) {
                return Poll::Ready(Err(err));
            }
        }
    }
}

// What a call that goes well at once never does, out of its way.
impl<S, Req, B, C, R> ResponseFuture<S, Req, B, C, R>
where
    S: Service<Req> + Clone,
    B: Backoff,
    C: Decide<S::Response, S::Error>,
    R: RequestRules<Req>,
{
    /// Ends the call with this result, or else drops it and begins to wait for the next attempt.
    #[cold]
    #[inline(never)]
    fn failed(
        self: Pin<&mut Self>,
        result: Result<S::Response, S::Error>,
        verdict: Verdict,
    ) -> Option<Result<S::Response, S::Error>> {
        let mut this = self.project();
        // Absent only in a future that is polled after its end.
        let Some(cell) = this.call.cell() else {
            return Some(result);
        };
        let plan = cell.after(this.rules.decide.failure(result.as_ref()));
        let can_repeat = this.replay.is_some();
        let next = this.session.next(verdict, can_repeat, &this.rules.backoff, &plan);
        let Next { delay, paid } = match next {
            Ok(next) => next,
            Err(end) => {
                this.call.failed(this.session.number(), end);
                return Some(result);
            }
        };
        // Nothing of a failed attempt is held while waiting: what it answered goes here, its future with the
        // state.
        drop(result);
        if delay.is_zero() {
            let yields = this.session.is_hogging();
            this.state.set(State::Readying { paid, yields });
            return None;
        }
        if let Some(Replay { service, .. }) = &mut *this.replay {
            // What it reserved or queued for below and was not called for (a breaker that refused is ready without
            // that) goes with it: a clone begins with nothing.
            *service = service.clone();
        }
        let sleep = sleep(delay);
        this.state.set(State::Waiting { sleep, delay, paid });
        None
    }

    /// Waits, and makes the next attempt.
    #[cold]
    #[inline(never)]
    fn poll_again(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Called { .. } => return Poll::Ready(Ok(())),
                StateProj::Waiting { sleep, delay, paid } => {
                    ready!(sleep.poll(cx));
                    if let Some(cell) = this.call.cell() {
                        cell.stats.waited(*delay);
                    }
                    let (paid, yields) = (paid.take(), false);
                    this.state.set(State::Readying { paid, yields });
                }
                StateProj::Readying { yields, .. } if *yields => {
                    *yields = false;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                StateProj::Readying { paid, .. } => {
                    let replay = this.replay.as_mut().expect("a retry has something to send");
                    if let Err(err) = ready!(replay.service.poll_ready(cx)) {
                        this.call.failed(this.session.number(), End::Unready);
                        return Poll::Ready(Err(err));
                    }
                    // Present: it was just asked whether it is ready.
                    let Some(Replay { mut service, mut req }) = this.replay.take() else {
                        continue;
                    };
                    let is_last = this.session.advance();
                    let kept = if is_last {
                        None
                    } else {
                        this.rules.requests.keep(&req)
                    };
                    this.rules.requests.change(&mut req, this.session.number());
                    if let Some(paid) = paid.take() {
                        paid.spend();
                    }
                    if let Some(cell) = this.call.cell() {
                        cell.stats.retried();
                    }
                    let future = service.call(req);
                    *this.replay = kept.map(|req| Replay { service, req });
                    this.state.set(State::Called { future });
                }
            }
        }
    }
}

// By hand: neither futures nor closures are `Debug`.
impl<S, Req, B, C, R> fmt::Debug for ResponseFuture<S, Req, B, C, R>
where
    S: Service<Req>,
    B: Backoff,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("attempt", &self.session.number())
            .finish_non_exhaustive()
    }
}
