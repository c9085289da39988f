//! A backend that does as it is told.

use std::{
    convert::Infallible,
    fmt,
    future::{pending, ready},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::oneshot, time::sleep};
use tower::{Service, ServiceExt};

/// What the backend is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Good,
    Bad,
    /// A second, and then good.
    Slow,
    /// Good once it is [released](Backend::release).
    Held,
    Hang,
    Panic,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Backend {
    calls: Arc<AtomicUsize>,
    held: Arc<Mutex<Vec<oneshot::Sender<Infallible>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was told to fail")
    }
}

impl std::error::Error for Failed {}

impl Backend {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// The oldest call that is held comes back.
    pub(crate) fn release(&self) {
        drop(self.held.lock().expect("no panic while it is held").remove(0));
    }
}

impl Service<Ask> for Backend {
    type Response = ();
    type Error = Failed;
    type Future = BoxFuture<'static, Result<(), Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        self.calls.fetch_add(1, SeqCst);
        match ask {
            Ask::Good => ready(Ok(())).boxed(),
            Ask::Bad => ready(Err(Failed)).boxed(),
            Ask::Slow => sleep(Duration::from_secs(1)).map(Ok).boxed(),
            Ask::Held => {
                let (sender, released) = oneshot::channel();
                self.held.lock().expect("no panic while it is held").push(sender);
                released.map(|_| Ok(())).boxed()
            }
            Ask::Hang => pending().boxed(),
            Ask::Panic => async { panic!("it was told to panic") }.boxed(),
        }
    }
}

/// A layer under test around a backend, and what is seen of it from outside: whether calls come through.
#[derive(Debug)]
pub(crate) struct Bench<S> {
    pub(crate) service: S,
    pub(crate) backend: Backend,
}

impl<S: Service<Ask>> Bench<S> {
    pub(crate) fn new(wrap: impl FnOnce(Backend) -> S) -> Self {
        let backend = Backend::default();
        Self {
            service: wrap(backend.clone()),
            backend,
        }
    }

    pub(crate) async fn call(&mut self, ask: Ask) -> S::Future {
        let Ok(service) = self.service.ready().await else {
            panic!("ready, or about to be");
        };
        service.call(ask)
    }

    /// Whether the call got through, however it ended.
    pub(crate) async fn admits(&mut self, ask: Ask) -> bool {
        let before = self.backend.calls();
        let call = self.call(ask).await;
        let _ = AssertUnwindSafe(call).catch_unwind().await;
        self.backend.calls() > before
    }

    /// How many calls like that get through until one does not; `most` if all do.
    pub(crate) async fn admitted(&mut self, ask: Ask, most: usize) -> usize {
        for admitted in 0..most {
            if !self.admits(ask).await {
                return admitted;
            }
        }
        most
    }
}
