use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Calling, OneCall};
use crate::{
    carry::Carry,
    errand::Claim,
    errors::Errors,
    hashed::Hashed,
    layer::Shared,
    load::{Load, Miss, SPENT},
    policy::StoreIf,
};

pin_project! {
    /// The response of a [`Cache`](crate::Cache).
    ///
    /// Dropping it is safe at any time; what that does is told [there](crate::Cache#cancellation).
    pub struct ResponseFuture<S, Req, K, V, F, J, X, D>
    where
        S: Service<Req, Response = V>,
        D: Carry<Calling<S, Req>>,
        K: Eq,
    {
        #[pin]
        state: State<S, Req, K, V, F, J, X, D>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, K, V, F, J, X, D>
    where
        S: Service<Req, Response = V>,
        D: Carry<Calling<S, Req>>,
        K: Eq,
    {
        Hit { value: Option<V> },
        // No load of this cache: nobody else could be served by it.
        PassingBy { #[pin] call: Calling<S, Req> },
        // In a box, as the caller is about to wait: so a hit is moved about at the price of its value.
        Missed { miss: Pin<Box<Led<S, Req, K, V, F, J, X, D>>> },
    }
}

type Led<S, Req, K, V, F, J, X, D> = Miss<Arc<Shared<K, V, F, J, X>>, OneCall<S, Req>, K, V, D>;

impl<S, Req, K, V, F, J, X, D> ResponseFuture<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    D: Carry<Calling<S, Req>>,
    K: Eq,
{
    #[inline]
    pub(crate) fn hit(value: V) -> Self {
        Self {
            state: State::Hit { value: Some(value) },
        }
    }

    #[cold]
    pub(crate) fn miss(
        shared: Arc<Shared<K, V, F, J, X>>,
        key: Hashed<K>,
        call: OneCall<S, Req>,
        claim: Option<Claim<K, V>>,
    ) -> Self {
        let mut miss = Miss::new(shared, key, call);
        if let Some(claim) = claim {
            miss = miss.claimed(claim);
        }
        Self {
            state: State::Missed { miss: Box::pin(miss) },
        }
    }

    #[inline]
    pub(crate) fn passing_by(call: OneCall<S, Req>) -> Self {
        Self {
            state: State::PassingBy { call: call.load() },
        }
    }
}

impl<S, Req, K, V, F, J, X, D> Future for ResponseFuture<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    K: Hash + Eq + Clone,
    V: Clone,
    J: StoreIf<K, V>,
    X: Errors<S::Error>,
    D: Carry<Calling<S, Req>>,
{
    type Output = Result<V, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Hit { value } => Poll::Ready(Ok(value.take().expect(SPENT))),
            StateProj::PassingBy { call } => call.poll(cx),
            StateProj::Missed { miss } => miss.as_mut().poll(cx),
        }
    }
}

impl<S, Req, K, V, F, J, X, D> fmt::Debug for ResponseFuture<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    D: Carry<Calling<S, Req>>,
    K: Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
