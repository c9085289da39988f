//! The futures of this crate, named so that they can be stored without a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hook_monitor::Lane;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::{
    backoff::Backoff,
    decide::Decide,
    policy::RetryPolicy,
    request::RequestRules,
    service::Local,
    session::{End, Session},
};

pub use crate::run::Run;

pin_project! {
    /// The response of a [`Retry`](crate::Retry).
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with its timer enabled. Polled after it gave its result,
    /// it does what the inner future does then.
    pub struct ResponseFuture<S, Req, B, C, R>
    where
        S: Service<Req>,
        B: Backoff,
    {
        local: Arc<Lane<Local<RetryPolicy<B, C, R>>>>,
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
        Waiting { #[pin] sleep: Sleep, delay: Duration },
        Readying,
    }
}

impl<S, Req, B, C, R> ResponseFuture<S, Req, B, C, R>
where
    S: Service<Req>,
    B: Backoff,
{
    #[inline]
    pub(crate) fn called(
        future: S::Future,
        replay: Option<Replay<S, Req>>,
        session: Session<B::Delays>,
        local: Arc<Lane<Local<RetryPolicy<B, C, R>>>>,
    ) -> Self {
        Self {
            local,
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Local { policy, stats } = &***this.local;
        let now = || policy.clock.now();
        loop {
            match this.state.as_mut().project() {
                StateProj::Called { future } => {
                    let result = ready!(future.poll(cx));
                    let attempt = this.session.attempt(now);
                    let verdict = policy.decide.decide(result.as_ref(), &attempt);
                    let can_repeat = this.replay.is_some();
                    let delay = match this.session.wait(verdict, can_repeat, policy, now) {
                        Ok(delay) => delay,
                        Err(End::Stopped) if result.is_ok() => {
                            stats.succeeded(attempt.number);
                            return Poll::Ready(result);
                        }
                        Err(end) => {
                            stats.failed(attempt.number, end);
                            return Poll::Ready(result);
                        }
                    };
                    // Nothing of a failed attempt is held while waiting: what it answered goes here, its
                    // future with the state.
                    drop(result);
                    if !delay.is_zero() {
                        if let Some(Replay { service, .. }) = &mut *this.replay {
                            // What it reserved or queued for below and was not called for (a breaker that
                            // refused is ready without that) goes with it: a clone begins with nothing.
                            *service = service.clone();
                        }
                        let sleep = sleep(delay);
                        this.state.set(State::Waiting { sleep, delay });
                        continue;
                    }
                    this.state.set(State::Readying);
                    if this.session.is_hogging() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                StateProj::Waiting { sleep, delay } => {
                    ready!(sleep.poll(cx));
                    stats.waited(*delay);
                    this.state.set(State::Readying);
                }
                StateProj::Readying => {
                    let replay = this.replay.as_mut().expect("a retry has something to send");
                    if let Err(err) = ready!(replay.service.poll_ready(cx)) {
                        stats.unready(this.session.number());
                        return Poll::Ready(Err(err));
                    }
                    // Present: it was just asked whether it is ready.
                    let Some(Replay { mut service, mut req }) = this.replay.take() else {
                        continue;
                    };
                    this.session.advance();
                    stats.retried();
                    let is_last = this.session.is_last(policy.max_retries());
                    let kept = if is_last { None } else { policy.requests.keep(&req) };
                    policy.requests.change(&mut req, this.session.number());
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
