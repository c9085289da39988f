use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use super::{
    CacheBody,
    errand::{Errand, Missed, labelled},
    stored::{Key, Stored, find},
};
use crate::{
    errand::Coalesced,
    flight::{Flights, Follower, Joined, Turn},
    future::Calling,
    load::SPENT,
    stats::Count,
};

pin_project! {
    /// The response of an [`HttpCache`](super::HttpCache).
    ///
    /// Dropping it drops the call of the inner service, if there is one. One of those who wait for its response then
    /// calls for itself and the others.
    pub struct HttpResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R>
    where
        S: Service<Request<B>>,
    {
        Known { response: Option<Response<CacheBody<R>>> },
        // In a box, as they may come to wait.
        Asking { asked: Option<Box<Asked<S, B>>> },
        Waiting { waiting: Option<Box<Waiting<S, B>>> },
        Called { #[pin] call: Calling<S, Request<B>>, errand: Option<Errand> },
    }
}

/// A request that the cache has no answer for.
pub(super) struct Asked<S, B> {
    pub(super) inner: S,
    pub(super) req: Request<B>,
    pub(super) missed: Box<Missed>,
    /// Whether it may wait for another's response, and others for its own.
    pub(super) joins: bool,
}

/// In line for what another call brings.
struct Waiting<S, B> {
    follower: Follower<Key, Stored>,
    asked: Box<Asked<S, B>>,
    counted: Coalesced<Key, Stored>,
    limit: Pin<Box<Sleep>>,
}

impl<S, B, R> HttpResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    pub(super) fn known(response: Response<CacheBody<R>>) -> Self {
        Self {
            state: State::Known {
                response: Some(response),
            },
        }
    }

    pub(super) fn asking(asked: Asked<S, B>) -> Self {
        Self {
            state: State::Asking {
                asked: Some(Box::new(asked)),
            },
        }
    }

    pub(super) fn called(call: Calling<S, Request<B>>, errand: Errand) -> Self {
        Self {
            state: State::Called {
                call,
                errand: Some(errand),
            },
        }
    }
}

impl<S, B, R> Future for HttpResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<CacheBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Known { response } => return Poll::Ready(Ok(response.take().expect(SPENT))),
                StateProj::Asking { asked } => asked.take().expect(SPENT).ask(cx.waker()),
                StateProj::Waiting { waiting } => {
                    let turn = ready!(waiting.as_mut().expect(SPENT).poll(cx));
                    waiting.take().expect(SPENT).go_on(turn)
                }
                StateProj::Called { call, errand } => {
                    let result = ready!(call.poll(cx));
                    return Poll::Ready(errand.take().expect(SPENT).finish(result));
                }
            };
            state.set(next);
        }
    }
}

impl<S, B> Asked<S, B>
where
    S: Service<Request<B>>,
{
    /// Leads, follows, or calls for itself.
    fn ask<R>(mut self: Box<Self>, waker: &Waker) -> State<S, B, R> {
        if !self.joins {
            return self.set_out();
        }
        let cache = &self.missed.shared.cache;
        let key = cache.hashed(Key::of(&self.missed.uri));
        let most = cache.config().flight.waiters;
        match Flights::join(cache.flights(), key, waker.clone(), most) {
            Joined::Leading(lead, _) => {
                // It may have come in since this one looked.
                if let Some(known) = self.look() {
                    lead.dissolve();
                    return known;
                }
                self.missed.lead = Some(lead);
                self.set_out()
            }
            Joined::Crowded(_) => self.set_out(),
            Joined::Following(follower) => {
                let patience = self.missed.shared.patience;
                let limit = match follower.promised() {
                    None => patience,
                    Some(since) => left(patience, since, cache.now()),
                };
                // Without a runtime there is no timer to end the waiting.
                if limit.is_zero() || tokio::runtime::Handle::try_current().is_err() {
                    drop(follower);
                    return self.set_out();
                }
                let waiting = Waiting {
                    follower,
                    counted: Coalesced::new(Some(cache.clone())),
                    limit: Box::pin(sleep(limit)),
                    asked: self,
                };
                State::Waiting {
                    waiting: Some(Box::new(waiting)),
                }
            }
        }
    }

    /// The answer that is in the cache by now.
    fn look<R>(&self) -> Option<State<S, B, R>> {
        let missed = &self.missed;
        let cache = &missed.shared.cache;
        let kept = find(cache, &missed.uri, &missed.headers)?;
        cache.counts().one(Count::Hit);
        let answer = kept.answer(&missed.method, &missed.headers, cache.now());
        Some(State::Known {
            response: Some(labelled(answer, "hit")),
        })
    }

    /// Calls the inner service.
    fn set_out<R>(self) -> State<S, B, R> {
        let Self {
            inner,
            mut req,
            mut missed,
            ..
        } = self;
        missed.begin(req.headers_mut());
        State::Called {
            call: Calling::new(inner, req),
            errand: Some(Errand::Miss(missed)),
        }
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    /// Its turn; none if the body it waits for takes too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Turn<Key, Stored>>> {
        loop {
            if let Poll::Ready(turn) = self.follower.poll(cx.waker()) {
                return Poll::Ready(Some(turn));
            }
            ready!(self.limit.as_mut().poll(cx));
            let shared = &self.asked.missed.shared;
            // The call itself may take as long as it does; the body, in the hands of its client, may not.
            let more = match self.follower.promised() {
                None => shared.patience,
                Some(since) => left(shared.patience, since, shared.cache.now()),
            };
            if more.is_zero() {
                return Poll::Ready(None);
            }
            self.limit.as_mut().reset(Instant::now() + more);
        }
    }

    fn go_on<R>(self, turn: Option<Turn<Key, Stored>>) -> State<S, B, R> {
        let Self {
            follower,
            mut asked,
            mut counted,
            ..
        } = self;
        let Some(turn) = turn else {
            drop(follower);
            counted.not();
            return asked.set_out();
        };
        match turn {
            Turn::Leading(lead, _) => {
                counted.not();
                if let Some(known) = asked.look() {
                    lead.dissolve();
                    return known;
                }
                asked.missed.lead = Some(lead);
                asked.set_out()
            }
            Turn::Failed(..) => match asked.missed.stand_in() {
                Some(answer) => State::Known {
                    response: Some(answer),
                },
                None => {
                    counted.not();
                    asked.set_out()
                }
            },
            // What was stored may be another variant. Those who find none go all at once, not one after the other.
            Turn::Served(_) | Turn::Alone(_) => match asked.served() {
                Some(answer) => answer,
                None => {
                    counted.not();
                    asked.set_out()
                }
            },
            Turn::Again(_) => match asked.served() {
                Some(answer) => answer,
                None => {
                    counted.not();
                    State::Asking { asked: Some(asked) }
                }
            },
        }
    }
}

impl<S, B> Asked<S, B>
where
    S: Service<Request<B>>,
{
    /// As [`look`](Self::look), for one that counts as having waited.
    fn served<R>(&self) -> Option<State<S, B, R>> {
        let missed = &self.missed;
        let cache = &missed.shared.cache;
        let kept = find(cache, &missed.uri, &missed.headers)?;
        let answer = kept.answer(&missed.method, &missed.headers, cache.now());
        Some(State::Known {
            response: Some(labelled(answer, "hit")),
        })
    }
}

/// What is left of `patience`, counted from `since`.
fn left(patience: Duration, since: u64, now: u64) -> Duration {
    patience.saturating_sub(crate::load::took(since, now))
}

impl<S, B, R> fmt::Debug for HttpResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponseFuture").finish_non_exhaustive()
    }
}
