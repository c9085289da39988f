//! The futures of this crate, by name.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hook_monitor::{BoxError, OnReject};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    ConnectionPool,
    connector::{AnyError, Connector, Key},
    lease::InDoubt,
    policy::{Keep, Lease, Release},
};

pub use crate::{
    checkout::{Checkout, Get},
    connector::AnyErrorFuture,
};

use crate::patience::Patience;

type Connections<M, K> = Arc<ConnectionPool<AnyError<M>, K>>;

pin_project! {
    /// The future of [`Pool`](crate::Pool).
    ///
    /// Dropping it gives up its turn, or throws the connection away if it already had one.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<Req, M, K, R, P, W>
    where
        M: Connector<K>,
        M::Error: Into<BoxError>,
        K: Send,
        K: 'static,
        M::Response: Service<Req>,
    {
        #[pin]
        state: State<Checkout<AnyError<M>, K>, <M::Response as Service<Req>>::Future, M::Response>,
        req: Option<Req>,
        // To check out another connection with, in place of one that has gone stale.
        pool: Connections<M, K>,
        on_reject: R,
        keep: P,
        release: W,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<Out, Fut, C> {
        CheckingOut {
            #[pin]
            checkout: Out,
        },
        Readying {
            connection: Option<InDoubt<C>>,
            patience: Option<Patience>,
        },
        Calling {
            // Before the connection, so that it is dropped before: it may well hold a part of it.
            #[pin]
            response: Fut,
            connection: Option<InDoubt<C>>,
        },
        Done,
    }
}

/// What comes first: a connection, if one is at hand.
#[inline]
fn begin<M, K, Fut>(
    pool: &ConnectionPool<AnyError<M>, K>,
    key: &K,
) -> State<Checkout<AnyError<M>, K>, Fut, M::Response>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Key,
{
    let now = pool.core().clock().now();
    match pool.core().take(key, now, None) {
        Some(pooled) => State::Readying {
            connection: Some(InDoubt::new(pooled)),
            patience: None,
        },
        None => State::CheckingOut {
            checkout: Checkout::ask(pool, key, now),
        },
    }
}

/// Whether a connection that is not ready may just have gone stale, and there is time for another.
fn may_be_stale<C>(lease: &InDoubt<C>, patience: Option<Patience>) -> bool {
    lease.has_rested(patience.map(|patience| patience.since()))
        && !patience.is_some_and(|patience| patience.is_over())
}

impl<Req, M, K, R, P, W> ResponseFuture<Req, M, K, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Key,
    M::Response: Service<Req>,
{
    #[inline]
    pub(crate) fn new(pool: Connections<M, K>, key: K, req: Req, policy: (R, P, W)) -> Self {
        let (on_reject, keep, release) = policy;
        Self {
            state: begin(&pool, &key),
            req: Some(req),
            pool,
            on_reject,
            keep,
            release,
        }
    }
}

impl<Req, M, K, R, P, W> Future for ResponseFuture<Req, M, K, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Key,
    M::Response: Service<Req>,
    P: Keep<<M::Response as Service<Req>>::Response, <M::Response as Service<Req>>::Error>,
    W: Release<<M::Response as Service<Req>>::Response, M::Response>,
    R: OnReject<W::Response, <M::Response as Service<Req>>::Error>,
{
    type Output = Result<W::Response, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::CheckingOut { mut checkout } => match ready!(checkout.as_mut().poll_refusal(cx)) {
                    Ok(pooled) => {
                        let patience = Some(checkout.patience());
                        this.state.set(State::Readying {
                            connection: Some(InDoubt::new(pooled)),
                            patience,
                        });
                    }
                    Err(refusal) => {
                        this.state.set(State::Done);
                        return Poll::Ready(this.on_reject.reject(refusal.into_rejected()));
                    }
                },

                StateProj::Readying { connection, patience } => {
                    let Some(lease) = connection.as_mut() else {
                        unreachable!("taken on the way out only")
                    };
                    lease.begin();
                    match ready!(lease.connection().poll_ready(cx)) {
                        Ok(()) => {
                            let Some(req) = this.req.take() else {
                                unreachable!("a request is called once")
                            };
                            let response = lease.connection().call(req);
                            let connection = connection.take();
                            this.state.set(State::Calling { response, connection });
                        }
                        // It went stale while it was idle, and nothing was sent. Each that does is thrown away, and
                        // none that was opened since counts, so this comes to an end.
                        Err(_) if may_be_stale(lease, *patience) => {
                            let (stale, patience) = (connection.take(), *patience);
                            this.state.set(State::Done);
                            if let Some(stale) = stale {
                                let stale = stale.into_entry();
                                let checkout = Checkout::again(this.pool, stale, patience, cx);
                                this.state.set(State::CheckingOut { checkout });
                            }
                        }
                        Err(err) => {
                            // Still in doubt, so it is thrown away.
                            this.state.set(State::Done);
                            return Poll::Ready(Err(R::inner(err)));
                        }
                    }
                }

                StateProj::Calling { response, connection } => {
                    let result = ready!(response.poll(cx));
                    let connection = connection.take();
                    this.state.set(State::Done);
                    let fit = this.keep.keep(result.as_ref());
                    let Some(connection) = connection else {
                        unreachable!("taken on the way out only")
                    };
                    return Poll::Ready(match result {
                        Ok(response) => Ok(this.release.release(response, Lease::new(connection, fit))),
                        Err(err) => {
                            connection.settle(fit);
                            Err(R::inner(err))
                        }
                    });
                }

                StateProj::Done => panic!("polled after it was ready"),
            }
        }
    }
}

// By hand: neither requests nor connections need be `Debug`.
impl<Req, M, K, R, P, W> fmt::Debug for ResponseFuture<Req, M, K, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Send + 'static,
    M::Response: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::CheckingOut { .. } => "CheckingOut",
            State::Readying { .. } => "Readying",
            State::Calling { .. } => "Calling",
            State::Done => "Done",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
