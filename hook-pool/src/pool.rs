use std::{
    fmt,
    hash::Hash,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    PoolHandle,
    checkout::{Checkout, Get},
    config::knobs,
    error::GetError,
    lease::Pooled,
    shared::Core,
};

/// Keeps the connections a connector makes, and lends them out.
///
/// The connector is a `Service<K, Response = C> + Clone`: asked for a key, it opens a connection. The
/// pool opens at most `max_per_key` of them for a key, lends each to one caller at a time and makes the
/// others wait in line.
///
/// A clone is another handle on the same pool. When the last one is gone, and nobody waits any more, the
/// pool is closed: idle connections now, those in use when they come back.
///
/// It is a `Service<K, Response = Pooled<C, K>>` itself, so tower's layers go over it as well as under.
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
/// [`get`](Self::get) and `call` may be dropped at any time: a place in line is given up; a connection or a
/// slot that was handed over but not yet taken goes to the next in line; a connect under way is dropped, and
/// its slot goes to the next in line.
///
/// # Errors
///
/// [`GetError`]. An error of the connector reaches the caller that was connecting at once; whoever is next
/// in line tries for itself.
pub struct ConnectionPool<M, K, C> {
    connector: M,
    core: Core<K, C>,
}

impl<M, K, C> ConnectionPool<M, K, C> {
    /// A pool of at most `max_per_key` connections per key, idle, in use and being opened.
    ///
    /// # Panics
    ///
    /// If `max_per_key` is zero.
    #[track_caller]
    pub fn new(connector: M, max_per_key: usize) -> Self
    where
        K: Hash + Eq,
    {
        assert!(
            max_per_key > 0,
            "a pool of no connections serves nobody: max_per_key must be 1 or more"
        );
        Self::from_core(connector, Core::new(max_per_key))
    }

    pub(crate) const fn from_core(connector: M, core: Core<K, C>) -> Self {
        Self { connector, core }
    }

    knobs!();

    /// Lends a connection for `key`: the idle one that was used last, or a new one, or whatever comes free
    /// when it is this caller's turn.
    ///
    /// Nothing happens before the future is first polled. It has to be polled in a tokio runtime with its
    /// timer on, unless it never has to wait.
    ///
    /// # Errors
    ///
    /// - [`GetError::Connect`]: the connector's error, at once
    /// - [`GetError::Rejected`], with one of these reasons:
    ///   - [`ConnectTimeout`]: the connector took longer than [`connect_timeout`](Self::connect_timeout)
    ///   - [`PoolTimeout`]: no connection came free within [`wait_timeout`](Self::wait_timeout)
    ///   - [`PoolQueueFull`], at once: [`max_waiting`](Self::max_waiting) are in line
    ///   - [`TooManyKeys`], at once: see [`max_keys`](Self::max_keys)
    ///   - [`PoolClosed`]: see [`close`](Self::close)
    ///
    /// # Cancellation
    ///
    /// See [`ConnectionPool`]; dropping the future loses nothing but this caller's turn.
    ///
    /// [`ConnectTimeout`]: hook_monitor::Reason::ConnectTimeout
    /// [`PoolTimeout`]: hook_monitor::Reason::PoolTimeout
    /// [`PoolQueueFull`]: hook_monitor::Reason::PoolQueueFull
    /// [`TooManyKeys`]: hook_monitor::Reason::TooManyKeys
    /// [`PoolClosed`]: hook_monitor::Reason::PoolClosed
    pub fn get<'a>(&'a self, key: &'a K) -> Get<'a, M, K, C>
    where
        M: Service<K, Response = C> + Clone,
        K: Hash + Eq + Clone,
    {
        Get::new(self, key)
    }

    /// Closes the pool for good: callers in line and those to come get
    /// [`PoolClosed`](hook_monitor::Reason::PoolClosed), idle connections are dropped before this returns, those
    /// in use when they come back, those being opened when they are open.
    pub fn close(&self) {
        self.core.shared().close();
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.core.shared().with(|shelves, _| shelves.is_closed())
    }

    /// A handle for looking in from outside. It does not keep the pool open.
    pub fn handle(&self) -> PoolHandle<K, C> {
        PoolHandle::new(self.core.shared().clone())
    }

    #[inline]
    pub(crate) fn core(&self) -> &Core<K, C> {
        &self.core
    }

    #[inline]
    pub(crate) fn connector(&self) -> &M {
        &self.connector
    }
}

impl<M, K, C> Service<K> for ConnectionPool<M, K, C>
where
    M: Service<K, Response = C> + Clone,
    K: Hash + Eq + Clone,
{
    type Response = Pooled<C, K>;
    type Error = GetError<M::Error>;
    type Future = Checkout<M, K, C>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Takes what there is at once: a connection, a slot or a place in line. The future holds it.
    fn call(&mut self, key: K) -> Self::Future {
        Checkout::new(self, key)
    }
}

// By hand: neither keys nor connections need be `Clone`, they stay where they are.
impl<M: Clone, K, C> Clone for ConnectionPool<M, K, C> {
    fn clone(&self) -> Self {
        Self::from_core(self.connector.clone(), self.core.clone())
    }
}

impl<M, K, C> fmt::Debug for ConnectionPool<M, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}
