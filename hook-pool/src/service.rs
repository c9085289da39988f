use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use hook_monitor::{BoxError, OnReject, RejectWithError};
use tower_service::Service;

use crate::{
    ConnectionPool, PoolHandle,
    connector::{AnyError, ConnectError, Connector, Key},
    future::ResponseFuture,
    policy::{AtResponse, Keep, KeepUnlessError, KeyOf, OneKey, Policy, Release},
    shared::Core,
};

/// A client over pooled connections; made by [`PoolLayer`](crate::PoolLayer).
///
/// A request checks a connection out, drives it to readiness, and is its only call until the response
/// future has ended; then the connection goes back.
///
/// # Readiness
///
/// Always ready: requests wait in line inside their response futures, in the order in which they were
/// called, and the line is bounded. An idle connection that turns out not to be ready any more is thrown away, and
/// the request takes another: nothing was sent yet.
///
/// # Cancellation
///
/// A response future that is dropped before it got a connection gives its turn to the next in line. One
/// that is dropped later throws the connection away: nobody knows what state it is in.
///
/// # Errors
///
/// With [`RejectWithError`], the default, a `BoxError`: the connection's error, or a
/// [`Rejected`](hook_monitor::Rejected), whose source is the connector's error where that is what is wrong. With
/// `respond_with` the error of the connections.
pub struct Pool<M, K, F = OneKey, R = RejectWithError, P = KeepUnlessError, W = AtResponse>
where
    M: Connector<K>,
    M::Error: Into<BoxError>,
    K: Send + 'static,
{
    // Each call takes a reference to it along, and no clone of the connector.
    pool: Arc<ConnectionPool<AnyError<M>, K>>,
    policy: Policy<F, R, P, W>,
}

impl<M, K, F, R, P, W> Pool<M, K, F, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Key,
{
    pub(crate) fn new(
        connector: M,
        core: Core<K, M::Response, ConnectError>,
        policy: Policy<F, R, P, W>,
    ) -> Self {
        Self {
            pool: Arc::new(ConnectionPool::from_core(AnyError::new(connector), core)),
            policy,
        }
    }

    /// The pool this takes its connections from.
    pub fn connections(&self) -> &ConnectionPool<AnyError<M>, K> {
        &self.pool
    }

    /// A handle for looking in from outside, resizing and resetting. It does not keep the pool open.
    pub fn handle(&self) -> PoolHandle {
        self.pool.handle()
    }
}

impl<Req, M, K, F, R, P, W> Service<Req> for Pool<M, K, F, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Key,
    M::Response: Service<Req>,
    F: KeyOf<Req, K>,
    P: Keep<<M::Response as Service<Req>>::Response, <M::Response as Service<Req>>::Error> + Clone,
    W: Release<<M::Response as Service<Req>>::Response, M::Response> + Clone,
    R: OnReject<W::Response, <M::Response as Service<Req>>::Error> + Clone,
{
    type Response = W::Response;
    type Error = R::Error;
    type Future = ResponseFuture<Req, M, K, R, P, W>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let key = self.policy.key_of.key(&req);
        let Policy {
            on_reject,
            keep,
            release,
            ..
        } = &self.policy;
        let policy = (on_reject.clone(), keep.clone(), release.clone());
        ResponseFuture::new(self.pool.clone(), key, req, policy)
    }
}

// By hand: neither keys nor connections need be `Clone`, they stay where they are.
impl<M, K, F: Clone, R: Clone, P: Clone, W: Clone> Clone for Pool<M, K, F, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Send + 'static,
{
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<M, K, F, R, P, W> fmt::Debug for Pool<M, K, F, R, P, W>
where
    M: Connector<K, Error: Into<BoxError>>,
    K: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
