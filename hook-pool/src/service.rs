use std::{
    fmt,
    hash::Hash,
    task::{Context, Poll},
};

use hook_monitor::{OnReject, RejectWithError};
use tower_service::Service;

use crate::{
    ConnectionPool, PoolHandle,
    future::ResponseFuture,
    policy::{Keep, KeepUnlessError, KeyOf, OneKey, Policy},
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
/// called, and the line is bounded.
///
/// # Cancellation
///
/// A response future that is dropped before it got a connection gives its turn to the next in line. One
/// that is dropped later throws the connection away: nobody knows what state it is in.
///
/// # Errors
///
/// With [`RejectWithError`], the default, a `BoxError`: the connector's error, the connection's, or a
/// [`Rejected`](hook_monitor::Rejected). With `respond_with` the error that connector and connections share.
pub struct Pool<M, K, C, F = OneKey, R = RejectWithError, P = KeepUnlessError> {
    pool: ConnectionPool<M, K, C>,
    policy: Policy<F, R, P>,
}

impl<M, K, C, F, R, P> Pool<M, K, C, F, R, P> {
    pub(crate) const fn new(connector: M, core: Core<K, C>, policy: Policy<F, R, P>) -> Self {
        Self {
            pool: ConnectionPool::from_core(connector, core),
            policy,
        }
    }

    /// The pool this takes its connections from.
    pub const fn connections(&self) -> &ConnectionPool<M, K, C> {
        &self.pool
    }

    /// A handle for looking in from outside. It does not keep the pool open.
    pub fn handle(&self) -> PoolHandle<K, C> {
        self.pool.handle()
    }
}

impl<Req, M, K, C, F, R, P> Service<Req> for Pool<M, K, C, F, R, P>
where
    M: Service<K, Response = C> + Clone,
    K: Hash + Eq + Clone,
    C: Service<Req>,
    F: KeyOf<Req, K>,
    P: Keep<C::Response, C::Error> + Clone,
    R: OnReject<C::Response, M::Error>
        + OnReject<C::Response, C::Error, Error = <R as OnReject<C::Response, M::Error>>::Error>
        + Clone,
{
    type Response = C::Response;
    type Error = <R as OnReject<C::Response, M::Error>>::Error;
    type Future = ResponseFuture<Req, M, K, C, R, P>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let key = self.policy.key_of.key(&req);
        let (on_reject, keep) = (self.policy.on_reject.clone(), self.policy.keep.clone());
        ResponseFuture::new(&self.pool, key, req, on_reject, keep)
    }
}

// By hand: neither keys nor connections need be `Clone`, they stay where they are.
impl<M: Clone, K, C, F: Clone, R: Clone, P: Clone> Clone for Pool<M, K, C, F, R, P> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<M, K, C, F, R, P> fmt::Debug for Pool<M, K, C, F, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
