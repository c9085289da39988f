use std::{
    fmt,
    future::Future,
    marker::PhantomData,
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
    load::{Load, Owner, SPENT},
    policy::StoreIf,
};

/// A clone of the inner service, fresh and so not ready, what it is to be called with, and what is noted of that.
pub(crate) struct OneCall<S, Req, N> {
    inner: S,
    req: Req,
    note: N,
}

impl<S, Req, N> OneCall<S, Req, N> {
    pub(crate) fn new(inner: S, req: Req, note: N) -> Self {
        Self { inner, req, note }
    }
}

impl<S: Service<Req>, Req, N> Load for OneCall<S, Req, N> {
    type Value = S::Response;
    type Error = S::Error;
    type Note = N;
    type Output = Noted<Result<S::Response, S::Error>, N>;
    type Future = Loading<S, Req, N>;

    fn load(self) -> Loading<S, Req, N> {
        Loading {
            call: Calling::new(self.inner, self.req),
            note: Some(self.note),
        }
    }

    fn split(Noted(result, note): Self::Output) -> (Result<S::Response, S::Error>, N) {
        (result, note)
    }
}

/// What a call came to, and what was noted of its request.
#[derive(Debug)]
pub struct Noted<R, N>(R, N);

pin_project! {
    /// One call of the inner service that may be stored, with what was noted of its request.
    pub struct Loading<S, Req, N>
    where
        S: Service<Req>,
    {
        #[pin]
        call: Calling<S, Req>,
        note: Option<N>,
    }
}

impl<S: Service<Req>, Req, N> Future for Loading<S, Req, N> {
    type Output = Noted<Result<S::Response, S::Error>, N>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.call.poll(cx));
        Poll::Ready(Noted(result, this.note.take().expect(SPENT)))
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

impl<S: Service<Req>, Req> Calling<S, Req> {
    pub(crate) fn new(inner: S, req: Req) -> Self {
        Self {
            state: State::Readying {
                inner,
                req: Some(req),
            },
        }
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

impl<S: Service<Req>, Req, N> fmt::Debug for Loading<S, Req, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
    }
}

/// The owner of what is loaded for a layer, which judges by the requests `Req`.
pub(crate) struct ForRequests<K, V, F, J, X, Req> {
    pub(crate) shared: Arc<Shared<K, V, F, J, X>>,
    pub(crate) of: PhantomData<fn(Req)>,
}

impl<K, V, F, J, X, E, Req> Owner<K, V, E, J::Note> for ForRequests<K, V, F, J, X, Req>
where
    J: StoreIf<Req, K, V>,
    X: Errors<E>,
{
    fn cache(&self) -> &ResultCache<K, V> {
        &self.shared.cache
    }

    fn admits(&self, note: &J::Note, key: &K, value: &V) -> bool {
        self.shared.store_if.store_if(note, key, value)
    }

    fn share(&self, error: &E) -> Option<SharedError> {
        self.shared.errors.share(error)
    }

    fn unshare(&self, shared: &SharedError) -> Option<E> {
        self.shared.errors.unshare(shared)
    }
}
