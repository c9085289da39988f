//! The futures of this crate, by name.

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hook_monitor::OnReject;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{ConnectionPool, error::GetError, lease::InDoubt, policy::Keep, shared::Served};

pub use crate::checkout::{Checkout, Get};

pin_project! {
    /// The future of [`Pool`](crate::Pool).
    ///
    /// Dropping it gives up its turn, or throws the connection away if it already had one.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<Req, M, K, C, R, P>
    where
        M: Service<K>,
        C: Service<Req>,
    {
        #[pin]
        state: State<Checkout<M, K, C>, C::Future, K, C>,
        req: Option<Req>,
        on_reject: R,
        keep: P,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<Out, Fut, K, C> {
        CheckingOut {
            #[pin]
            checkout: Out,
        },
        Readying {
            connection: Option<InDoubt<K, C>>,
        },
        Calling {
            // Before the connection, so that it is dropped before: it may well hold a part of it.
            #[pin]
            response: Fut,
            connection: Option<InDoubt<K, C>>,
        },
        Done,
    }
}

impl<Req, M, K, C, R, P> ResponseFuture<Req, M, K, C, R, P>
where
    M: Service<K, Response = C> + Clone,
    K: Hash + Eq + Clone,
    C: Service<Req>,
{
    #[inline]
    pub(crate) fn new(pool: &ConnectionPool<M, K, C>, key: K, req: Req, on_reject: R, keep: P) -> Self {
        let state = match pool.core().ask(&key) {
            Ok(Served::Connection(pooled)) => State::Readying {
                connection: Some(InDoubt::new(pooled)),
            },
            asked => State::CheckingOut {
                checkout: Checkout::resume(pool, asked, key),
            },
        };
        Self {
            state,
            req: Some(req),
            on_reject,
            keep,
        }
    }
}

impl<Req, M, K, C, R, P> Future for ResponseFuture<Req, M, K, C, R, P>
where
    M: Service<K, Response = C>,
    C: Service<Req>,
    P: Keep<C::Response, C::Error>,
    R: OnReject<C::Response, M::Error>
        + OnReject<C::Response, C::Error, Error = <R as OnReject<C::Response, M::Error>>::Error>,
{
    type Output = Result<C::Response, <R as OnReject<C::Response, M::Error>>::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::CheckingOut { checkout } => match ready!(checkout.poll(cx)) {
                    Ok(pooled) => this.state.set(State::Readying {
                        connection: Some(InDoubt::new(pooled)),
                    }),
                    Err(err) => {
                        this.state.set(State::Done);
                        let on_reject: &R = this.on_reject;
                        return Poll::Ready(match err {
                            GetError::Connect(err) => Err(<R as OnReject<C::Response, M::Error>>::inner(err)),
                            GetError::Rejected(rejected) => {
                                OnReject::<C::Response, M::Error>::reject(on_reject, rejected)
                            }
                        });
                    }
                },

                StateProj::Readying { connection } => {
                    let Some(lease) = connection.as_mut() else {
                        unreachable!("taken on the way out only")
                    };
                    match (ready!(lease.connection().poll_ready(cx)), this.req.take()) {
                        (Ok(()), Some(req)) => {
                            let response = lease.connection().call(req);
                            let connection = connection.take();
                            this.state.set(State::Calling { response, connection });
                        }
                        (Ok(()), None) => unreachable!("a request is called once"),
                        (Err(err), _) => {
                            // Still in doubt, so it is thrown away.
                            this.state.set(State::Done);
                            return Poll::Ready(Err(<R as OnReject<C::Response, C::Error>>::inner(err)));
                        }
                    }
                }

                StateProj::Calling { response, connection } => {
                    let result = ready!(response.poll(cx));
                    let connection = connection.take();
                    this.state.set(State::Done);
                    if let Some(connection) = connection {
                        connection.settle(this.keep.keep(result.as_ref()));
                    }
                    return Poll::Ready(result.map_err(<R as OnReject<C::Response, C::Error>>::inner));
                }

                StateProj::Done => panic!("polled after it was ready"),
            }
        }
    }
}

// By hand: neither requests nor connections need be `Debug`.
impl<Req, M, K, C, R, P> fmt::Debug for ResponseFuture<Req, M, K, C, R, P>
where
    M: Service<K>,
    C: Service<Req>,
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
