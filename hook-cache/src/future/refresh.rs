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

use super::{ForRequests, Loading, OneCall};
use crate::{
    carry::Carry, errand::Claim, errors::Errors, hashed::Hashed, layer::Shared, load::Miss, policy::StoreIf,
};

pin_project! {
    /// Loads a stale response anew, behind the back of the caller who was given it.
    pub struct Refresh<S, Req, K, V, F, J, X, D>
    where
        S: Service<Req, Response = V>,
        J: StoreIf<Req, K, V>,
        D: Carry<Loading<S, Req, J::Note>>,
        K: Eq,
    {
        #[pin]
        miss: Miss<ForRequests<K, V, F, J, X, Req>, OneCall<S, Req, J::Note>, K, V, D>,
    }
}

impl<S, Req, K, V, F, J, X, D> Refresh<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    J: StoreIf<Req, K, V>,
    D: Carry<Loading<S, Req, J::Note>>,
    K: Eq,
{
    pub(crate) fn new(
        shared: Arc<Shared<K, V, F, J, X>>,
        key: Hashed<K>,
        call: OneCall<S, Req, J::Note>,
        claim: Claim<K, V>,
    ) -> Self {
        Self {
            miss: Miss::new(
                ForRequests {
                    shared,
                    of: PhantomData,
                },
                key,
                call,
            )
            .claimed(claim)
            .in_background(),
        }
    }
}

impl<S, Req, K, V, F, J, X, D> Future for Refresh<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    K: Hash + Eq + Clone,
    V: Clone,
    X: Errors<S::Error>,
    J: StoreIf<Req, K, V>,
    D: Carry<Loading<S, Req, J::Note>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whatever comes of it was stored and shared, or counted as an error.
        self.project().miss.poll(cx).map(drop)
    }
}

impl<S, Req, K, V, F, J, X, D> fmt::Debug for Refresh<S, Req, K, V, F, J, X, D>
where
    S: Service<Req, Response = V>,
    J: StoreIf<Req, K, V>,
    D: Carry<Loading<S, Req, J::Note>>,
    K: Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}
