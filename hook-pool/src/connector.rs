use std::{
    error::Error,
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hook_monitor::BoxError;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::sync::Mutex;

/// Whatever opens connections: any cloneable `Service<K>` whose response is a connection.
///
/// Nobody implements this; every such service is one. Connects belong to the pool and go on when their
/// caller is gone, so they run as tasks, and everything that takes part in them has to be `Send` and
/// `'static`.
pub trait Connector<K>:
    Service<K, Response: Send + 'static, Error: Send + Sync + 'static, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<M, K> Connector<K> for M where
    M: Service<K, Response: Send + 'static, Error: Send + Sync + 'static, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// What tells connections apart: any plain value.
///
/// Nobody implements this; every type that can be one is one.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// A connector of any kind, with its error in a [`ConnectError`]. [`PoolLayer`](crate::PoolLayer) puts the
/// one it is given into this.
///
/// A clone shares the connector; each connect makes a clone of that, under a lock of its own that nothing
/// else takes.
///
/// ```
/// use hook_pool::{AnyError, ConnectionPool};
/// use tower::{BoxError, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let connector = service_fn(|_: &'static str| async { Ok::<_, BoxError>("a connection") });
/// let pool = ConnectionPool::new(AnyError::new(connector), 10);
/// assert_eq!(*pool.get(&"localhost").await?, "a connection");
/// # Ok(())
/// # }
/// ```
pub struct AnyError<M>(Arc<Mutex<M>>);

impl<M> AnyError<M> {
    /// Wraps `connector`.
    pub fn new(connector: M) -> Self {
        Self(Arc::new(Mutex::new(connector)))
    }
}

impl<M, K> Service<K> for AnyError<M>
where
    M: Connector<K>,
    M::Error: Into<BoxError>,
    K: Send + 'static,
{
    type Response = M::Response;
    type Error = ConnectError;
    type Future = AnyErrorFuture<M, K, M::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: K) -> Self::Future {
        let connector = self.0.lock().clone();
        AnyErrorFuture {
            state: State::Readying {
                dial: Some((connector, key)),
            },
        }
    }
}

pin_project! {
    /// The future of [`AnyError`].
    pub struct AnyErrorFuture<M, K, F> {
        #[pin]
        state: State<M, K, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<M, K, F> {
        Readying { dial: Option<(M, K)> },
        Connecting { #[pin] connect: F },
    }
}

impl<M, K> Future for AnyErrorFuture<M, K, M::Future>
where
    M: Service<K>,
    M::Error: Into<BoxError>,
{
    type Output = Result<M::Response, ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let connect = match this.state.as_mut().project() {
                StateProj::Readying { dial } => {
                    let (connector, _) = dial.as_mut().expect("polled after it was ready");
                    match connector.poll_ready(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(err)) => return Poll::Ready(Err(ConnectError(err.into()))),
                        Poll::Ready(Ok(())) => {
                            let (mut connector, key) = dial.take().expect("it was just there");
                            connector.call(key)
                        }
                    }
                }
                StateProj::Connecting { connect } => {
                    return connect.poll(cx).map_err(|err| ConnectError(err.into()));
                }
            };
            this.state.set(State::Connecting { connect });
        }
    }
}

/// Why a connector failed, whatever type of error that is.
///
/// Displays as that error does; [`get_ref`](Self::get_ref) is that error.
pub struct ConnectError(BoxError);

impl ConnectError {
    /// The connector's own error.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl<M> Clone for AnyError<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// By hand: a connector need not be `Debug`.
impl<M> fmt::Debug for AnyError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyError").finish_non_exhaustive()
    }
}

impl<M, K, F> fmt::Debug for AnyErrorFuture<M, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyErrorFuture").finish_non_exhaustive()
    }
}
