use std::{
    fmt,
    future::Future,
    panic::Location,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use crate::{
    PoolHandle,
    checkout::{Checkout, Get},
    config::knobs,
    connector::{Connector, Key},
    drain::DrainReport,
    error::GetError,
    lease::Pooled,
    shared::Core,
    warm,
};

/// Keeps the connections a connector makes, and lends them out.
///
/// The connector is a `Service<K> + Clone`, see [`Connector`](crate::Connector): asked for a key, it opens a
/// connection. The pool opens at most `max_per_key` of them for a key, lends each to one caller at a time and makes the
/// others wait in line.
///
/// A clone is another handle on the same pool. When the last one is gone, and nobody waits any more, the
/// pool is closed: idle connections now, those in use when they come back.
///
/// It is a `Service<K>` itself whose response is a [`Pooled`], so tower's layers go over it as well as under.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use hook_pool::ConnectionPool;
/// use tokio::net::TcpStream;
/// use tower::service_fn;
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
///
/// let pool = ConnectionPool::new(service_fn(TcpStream::connect), 10);
///
/// let mut stream = pool.get(&address).await?;
/// stream.set_nodelay(true)?;
/// drop(stream);
///
/// let stream = pool.get(&address).await?;
/// assert_eq!(stream.uses(), 2);
/// # Ok(())
/// # }
/// ```
///
/// # Readiness
///
/// Always ready. The connector is driven to readiness when a connection is to be opened, by a clone of
/// its own.
///
/// # Cancellation
///
/// [`get`](Self::get) and `call` may be dropped at any time: a place in line is given up; a connection that was
/// handed over but not yet taken goes to the next in line; a connection in the middle of its check is closed. A
/// connect under way goes on, for whoever comes next: it is the pool's, and runs as a task.
///
/// # Errors
///
/// [`GetError`]. An error of the connector reaches everybody whom nothing else can serve, at once.
pub struct ConnectionPool<M, K>
where
    M: Service<K>,
{
    connector: M,
    core: Core<K, M::Response, M::Error>,
}

impl<M: Service<K>, K> ConnectionPool<M, K> {
    /// A pool of at most `max_per_key` connections per key, idle, in use and being opened.
    ///
    /// # Panics
    ///
    /// If `max_per_key` is zero.
    #[track_caller]
    pub fn new(connector: M, max_per_key: usize) -> Self {
        assert!(
            max_per_key > 0,
            "a pool of no connections serves nobody: max_per_key must be 1 or more, not 0"
        );
        Self::from_core(connector, Core::new(max_per_key))
    }

    /// A pool of at most 10 connections per key.
    pub fn of(connector: M) -> Self {
        Self::new(connector, crate::DEFAULT_MAX_PER_KEY)
    }

    pub(crate) const fn from_core(connector: M, core: Core<K, M::Response, M::Error>) -> Self {
        Self { connector, core }
    }

    knobs!(M::Response);

    /// Closes the pool for good: callers in line and those to come get
    /// [`PoolClosed`](hook_monitor::Reason::PoolClosed), idle connections are dropped before this returns, those
    /// in use when they come back; connects under way are dropped.
    pub fn close(&self) {
        self.core.shared().close();
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.core.shared().with(|shelves, _| shelves.is_closed())
    }

    #[inline]
    pub(crate) fn core(&self) -> &Core<K, M::Response, M::Error> {
        &self.core
    }

    #[inline]
    pub(crate) fn connector(&self) -> &M {
        &self.connector
    }
}

impl<M: Connector<K>, K: Key> ConnectionPool<M, K> {
    /// Lends a connection for `key`: the idle one that was used last, or whatever comes back or is opened when it
    /// is this caller's turn.
    ///
    /// Nothing happens before the future is first polled.
    ///
    /// # Errors
    ///
    /// - [`GetError::Connect`]: the connector's error, if nothing else could serve this caller
    /// - [`GetError::Timeout`]: nothing came free within [`wait_timeout`](Self::wait_timeout)
    /// - [`GetError::Rejected`], with one of these reasons:
    ///   - [`ConnectTimeout`]: the connector took longer than [`connect_timeout`](Self::connect_timeout), and nothing
    ///     else could serve this caller
    ///   - [`ConnectFailed`]: the connector panicked, and nothing else could serve this caller
    ///   - [`PoolQueueFull`], at once: [`max_waiting`](Self::max_waiting) are in line
    ///   - [`TooManyKeys`], at once: see [`max_keys`](Self::max_keys)
    ///   - [`PoolClosed`]: see [`close`](Self::close)
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer on, if the caller has to wait. And if the connector panics before it
    /// has to wait for anything; later, its panic is the pool's to bear.
    ///
    /// # Cancellation
    ///
    /// See [`ConnectionPool`]; dropping the future loses nothing but this caller's turn.
    ///
    /// [`ConnectTimeout`]: hook_monitor::Reason::ConnectTimeout
    /// [`ConnectFailed`]: hook_monitor::Reason::ConnectFailed
    /// [`PoolQueueFull`]: hook_monitor::Reason::PoolQueueFull
    /// [`TooManyKeys`]: hook_monitor::Reason::TooManyKeys
    /// [`PoolClosed`]: hook_monitor::Reason::PoolClosed
    #[inline]
    #[track_caller]
    pub fn get<'a>(&'a self, key: &'a K) -> Get<'a, M, K> {
        Get::new(self, key, Location::caller())
    }

    /// Opens connections for `key` until `n` are open, in use or not, or as many as there may be: per key, and in
    /// all beside those of other keys, none of which is closed for it.
    ///
    /// They stay until they have been idle for too long; see [`min_idle`](Self::min_idle) for more than that. Like
    /// any connects these are the pool's, and no more at a time than [`max_connecting`](Self::max_connecting).
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get): at the first connect that fails, or when
    /// [`wait_timeout`](Self::wait_timeout) has passed.
    ///
    /// # Cancellation
    ///
    /// What is open or under way then stays so.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer on, unless [`wait_timeout`](Self::wait_timeout) is
    /// [`Duration::MAX`] and each connect ends at once. And if the connector panics before it has to wait for
    /// anything.
    pub async fn warm_up(&self, key: &K, n: usize) -> Result<(), GetError<M::Error>> {
        warm::warm_up(self, key, n).await
    }

    /// A handle for looking in from outside, resizing and resetting. It does not keep the pool open.
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.core.shared().clone())
    }

    /// Closes the pool, and waits until what is in use has come back, or for `deadline`.
    ///
    /// [`close`](Self::close) happens before this returns a future; whoever drops that only stops waiting.
    ///
    /// # Panics
    ///
    /// When the future is polled outside a tokio runtime with its timer on, unless `deadline` is
    /// [`Duration::MAX`].
    pub fn drain(&self, deadline: Duration) -> impl Future<Output = DrainReport> + Send + use<M, K> {
        self.handle().drain(deadline)
    }
}

impl<M, K> Service<K> for ConnectionPool<M, K>
where
    M: Connector<K>,
    K: Key,
{
    type Response = Pooled<M::Response>;
    type Error = GetError<M::Error>;
    type Future = Checkout<M, K>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Takes what there is at once: a connection, or a place in line. The future holds it.
    ///
    /// Where there is no connection at hand the future takes a clone of the pool along, and so of the connector, to
    /// dial with when it is woken: a connector should be cheap to clone. [`get`](Self::get) borrows instead.
    fn call(&mut self, key: K) -> Self::Future {
        Checkout::new(self, &key)
    }
}

// By hand: neither keys nor connections need be `Clone`, they stay where they are.
impl<M: Service<K> + Clone, K> Clone for ConnectionPool<M, K> {
    fn clone(&self) -> Self {
        Self::from_core(self.connector.clone(), self.core.clone())
    }
}

impl<M: Service<K>, K> fmt::Debug for ConnectionPool<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}
