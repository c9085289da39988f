use std::{
    fmt,
    future::Future,
    hash::Hash,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Calling, ForRequests, Loading, OneCall};
use crate::{
    carry::Carry,
    errand::Claim,
    errors::Errors,
    hashed::Hashed,
    layer::Shared,
    load::{Miss, SPENT},
    policy::StoreIf,
};

pin_project! {
    /// The response of a [`Cache`](crate::Cache).
    ///
    /// Dropping it is safe at any time; what that does is told [there](crate::Cache#cancellation).
    pub struct ResponseFuture<S, Req, K, V, F, J, X, D>
    where
        S: Service<Req, Response = V>,
        J: StoreIf<Req, K, V>,
        D: Carry<Loading<S, Req, J::Note>>,
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
        J: StoreIf<Req, K, V>,
        D: Carry<Loading<S, Req, J::Note>>,
        K: Eq,
    {
        Hit { value: Option<V> },
        // No load of this cache: nobody else could be served by it.
        PassingBy { #[pin] call: Calling<S, Req> },
        // In a box, as the caller is about to wait: so a hit is moved about at the price of its value.
        Missed { miss: Pin<Box<Led<S, Req, K, V, F, J, X, D>>> },
    }
}

type Led<S, Req, K, V, F, J, X, D> =
    Miss<ForRequests<K, V, F, J, X, Req>, OneCall<S, Req, <J as StoreIf<Req, K, V>>::Note>, K, V, D>;

impl<S, Req, K, V, F, J, X, D> ResponseFuture<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    J: StoreIf<Req, K, V>,
    D: Carry<Loading<S, Req, J::Note>>,
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
        call: OneCall<S, Req, J::Note>,
        claim: Option<Claim<K, V>>,
    ) -> Self {
        let mut miss = Miss::new(
            ForRequests {
                shared,
                of: PhantomData,
            },
            key,
            call,
        );
        if let Some(claim) = claim {
            miss = miss.claimed(claim);
        }
        Self {
            state: State::Missed { miss: Box::pin(miss) },
        }
    }

    #[inline]
    pub(crate) fn passing_by(call: Calling<S, Req>) -> Self {
        Self {
            state: State::PassingBy { call },
        }
    }
}

impl<S, Req, K, V, F, J, X, D> Future for ResponseFuture<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    K: Hash + Eq + Clone,
    V: Clone,
    X: Errors<S::Error>,
    J: StoreIf<Req, K, V>,
    D: Carry<Loading<S, Req, J::Note>>,
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
    J: StoreIf<Req, K, V>,
    D: Carry<Loading<S, Req, J::Note>>,
    K: Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
