use std::{fmt, time::Duration};

use hook_breaker::CircuitBreakerLayer;
use hook_cache::CacheLayer;
use hook_monitor::MonitorLayer;
use hook_pool::PoolLayer;
use hook_retry::RetryLayer;
use tower::{Layer, layer::util::Identity, timeout::TimeoutLayer};

pub(crate) mod key;
pub(crate) mod own;
pub(crate) mod stamp;

/// The layers around a service in their recommended order, each of them optional, whatever the order in which
/// they are given: Monitor, Cache, Retry, Breaker, Timeout (of each attempt), Pool, and the service.
///
/// The monitor sees what the caller sees. A hit of the cache asks nobody, an open circuit included. Every attempt of a
/// retry passes the breaker, so that it stops when the circuit opens. A time-out is inside the breaker, which
/// therefore counts it. The breaker also guards the dialling of connections.
///
/// A stack is a [`Layer`]: for tower's `ServiceBuilder`, for axum's `Router`, for anything. It needs no manager. Where
/// another order is wanted, the layers are ordinary ones; stack them by hand.
///
/// ```
/// use hook_manager::Stack;
/// use hook_manager::layers::{BoxError, CacheLayer, CircuitBreakerLayer, MonitorLayer, RetryLayer, RetryPolicy};
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let monitor = MonitorLayer::new("prices");
/// let calls = monitor.handle();
/// let service = Stack::new()
///     .breaker(CircuitBreakerLayer::new().consecutive_failures(5))
///     .timeout(Duration::from_secs(1))
///     .cache(CacheLayer::keyed_by(|id: &u32| Some(*id)))
///     .retry(RetryLayer::new(RetryPolicy::new().retries(2)))
///     .monitor(monitor)
///     .layer(service_fn(|id: u32| async move { Ok::<_, BoxError>(id * 100) }));
///
/// assert_eq!(service.oneshot(7).await?, 700);
/// assert_eq!(calls.snapshot().successes, 1);
/// # Ok(())
/// # }
/// ```
///
/// In axum, whose errors are answers, with refusals that are answers too:
///
/// ```
/// use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
/// use hook_manager::Stack;
/// use hook_manager::layers::{CircuitBreakerLayer, DroppedCall, MonitorLayer, Rejected};
///
/// let stack = Stack::new()
///     .monitor(MonitorLayer::new("api"))
///     .breaker(
///         CircuitBreakerLayer::new()
///             .dropped_call(DroppedCall::Neutral)
///             .respond_with(|rejected: Rejected| (StatusCode::SERVICE_UNAVAILABLE, rejected.to_string()).into_response()),
///     );
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(stack);
/// ```
///
/// # State
///
/// It is in the layers: all services that a stack makes share it, as do the stack's clones. Take
/// [handles](hook_breaker::CircuitBreakerLayer::handle) from the layers before they go in.
#[derive(Clone)]
#[must_use = "a stack does nothing until it wraps a service"]
pub struct Stack<M = Identity, C = Identity, R = Identity, B = Identity, T = Identity, P = Identity> {
    monitor: M,
    cache: C,
    retry: R,
    breaker: B,
    timeout: T,
    pool: P,
}

impl Stack {
    /// No layers at all: what it wraps is the service itself.
    pub fn new() -> Self {
        let none = Identity::new;
        Self {
            monitor: none(),
            cache: none(),
            retry: none(),
            breaker: none(),
            timeout: none(),
            pool: none(),
        }
    }
}

/// Makes a stack with one slot filled, and the others as they were.
macro_rules! with {
    ($self:ident, $slot:ident: $layer:ident, $($other:ident)*) => {
        Stack {
            $slot: $layer,
            $($other: $self.$other,)*
        }
    };
}

impl<M, C, R, B, T, P> Stack<M, C, R, B, T, P> {
    /// Counts and times what the caller sees.
    pub fn monitor<J>(self, layer: MonitorLayer<J>) -> Stack<MonitorLayer<J>, C, R, B, T, P> {
        with!(self, monitor: layer, cache retry breaker timeout pool)
    }

    /// Answers from memory what was asked before.
    #[allow(clippy::type_complexity, reason = "it says which slot is filled")]
    pub fn cache<K, V, F, J, X, D>(
        self,
        layer: CacheLayer<K, V, F, J, X, D>,
    ) -> Stack<M, CacheLayer<K, V, F, J, X, D>, R, B, T, P> {
        with!(self, cache: layer, monitor retry breaker timeout pool)
    }

    /// Tries again.
    pub fn retry<O, J, Q>(self, layer: RetryLayer<O, J, Q>) -> Stack<M, C, RetryLayer<O, J, Q>, B, T, P> {
        with!(self, retry: layer, monitor cache breaker timeout pool)
    }

    /// Leaves alone what keeps failing.
    pub fn breaker<J, O>(
        self,
        layer: CircuitBreakerLayer<J, O>,
    ) -> Stack<M, C, R, CircuitBreakerLayer<J, O>, T, P> {
        with!(self, breaker: layer, monitor cache retry timeout pool)
    }

    /// How long each attempt may take. One that takes longer ends in tower's
    /// [`Elapsed`](tower::timeout::error::Elapsed), so that the error becomes a `BoxError`.
    pub fn timeout(self, limit: Duration) -> Stack<M, C, R, B, TimeoutLayer, P> {
        self.timeout_by(TimeoutLayer::new(limit))
    }

    /// The time of each attempt, limited by a layer of your choice, such as tower-http's, which answers instead.
    pub fn timeout_by<L>(self, layer: L) -> Stack<M, C, R, B, L, P> {
        with!(self, timeout: layer, monitor cache retry breaker pool)
    }

    /// Shares connections. What the stack wraps is then the connector.
    #[allow(clippy::type_complexity, reason = "it says which slot is filled")]
    pub fn pool<K, N, F, O, J, W>(
        self,
        layer: PoolLayer<K, N, F, O, J, W>,
    ) -> Stack<M, C, R, B, T, PoolLayer<K, N, F, O, J, W>> {
        with!(self, pool: layer, monitor cache retry breaker timeout)
    }
}

impl<S, M, C, R, B, T, P> Layer<S> for Stack<M, C, R, B, T, P>
where
    P: Layer<S>,
    T: Layer<P::Service>,
    B: Layer<T::Service>,
    R: Layer<B::Service>,
    C: Layer<R::Service>,
    M: Layer<C::Service>,
{
    type Service = M::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let attempt = self.breaker.layer(self.timeout.layer(self.pool.layer(inner)));
        self.monitor.layer(self.cache.layer(self.retry.layer(attempt)))
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

// By hand: what the layers hold need not be `Debug`.
impl<M, C, R, B, T, P> fmt::Debug for Stack<M, C, R, B, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}
