use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    ResultCache,
    errors::sealed::Errors,
    flight::SharedError,
    layer::Shared,
    load::{Load, Owner},
    policy::StoreIf,
};

/// A clone of the inner service, fresh and so not ready, and what it is to be called with.
pub(crate) struct OneCall<S, Req> {
    inner: S,
    req: Req,
}

impl<S, Req> OneCall<S, Req> {
    pub(crate) fn new(inner: S, req: Req) -> Self {
        Self { inner, req }
    }
}

impl<S: Service<Req>, Req> Load for OneCall<S, Req> {
    type Value = S::Response;
    type Error = S::Error;
    type Future = Calling<S, Req>;

    fn load(self) -> Calling<S, Req> {
        Calling {
            state: State::Readying {
                inner: self.inner,
                req: Some(self.req),
            },
        }
    }
}

pin_project! {
    /// One call of the inner service: drives a clone of it to readiness and calls that very clone.
    pub struct Calling<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        Readying { inner: S, req: Option<Req> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Req>, Req> Future for Calling<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Readying { inner, req } => {
                    ready!(inner.poll_ready(cx))?;
                    let future = inner.call(req.take().expect("a service is called once"));
                    state.set(State::Called { future });
                }
                StateProj::Called { future } => return future.poll(cx),
            }
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Calling<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").finish_non_exhaustive()
    }
}

impl<K, V, F, J, X, E> Owner<K, V, E> for Arc<Shared<K, V, F, J, X>>
where
    J: StoreIf<K, V>,
    X: Errors<E>,
{
    fn cache(&self) -> &ResultCache<K, V> {
        &self.cache
    }

    fn admits(&self, key: &K, value: &V) -> bool {
        self.store_if.store_if(key, value)
    }

    fn share(&self, error: &E) -> Option<SharedError> {
        self.errors.share(error)
    }

    fn unshare(&self, shared: &SharedError) -> Option<E> {
        self.errors.unshare(shared)
    }
}
