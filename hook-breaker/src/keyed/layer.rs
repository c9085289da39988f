use std::{
    fmt,
    hash::Hash,
    sync::{Arc, OnceLock},
};

use hook_monitor::{ErrorsAsFailures, RejectWithError, Rejected, RespondWith};
use tower_layer::Layer;

use super::{KeyedBreaker, KeyedCircuits, Registry};
use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    settings::setters,
};

/// Puts a circuit for each key before a service: one for each host, tenant or shard, so that one that is down takes
/// no other with it. From [`CircuitBreakerLayer::keyed_by`](crate::CircuitBreakerLayer::keyed_by).
///
/// The circuits are the layer's, as that of a [`CircuitBreakerLayer`](crate::CircuitBreakerLayer) is, and the setters
/// begin anew in the same way.
///
/// There are never more than [`max_keys`](Self::max_keys) circuits. When another is needed, one that is closed, has no
/// call under way and was not used lately is evicted; an open one never is, so that a flood of new keys opens no
/// door. Where none can be evicted, calls for new keys go through unguarded, and are counted.
///
/// ```
/// use hook_breaker::{BoxError, CircuitBreakerLayer};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let layer = CircuitBreakerLayer::keyed_by(|(host, _path): &(&'static str, u32)| *host).consecutive_failures(1);
/// let circuits = layer.handle();
/// let mut service = ServiceBuilder::new().layer(layer).service(service_fn(|(host, path)| async move {
///     if host == "b" { Err("down".into()) } else { Ok::<u32, BoxError>(path) }
/// }));
/// # let mut ask = async |req| service.ready().await.unwrap().call(req).await.map_err(|err| err.to_string());
///
/// assert_eq!(ask(("a", 1)).await, Ok(1));
/// assert_eq!(ask(("b", 1)).await, Err("down".to_owned()));
/// assert!(ask(("b", 2)).await.unwrap_err().starts_with("circuit open"));
/// assert_eq!(ask(("a", 2)).await, Ok(2));
///
/// circuits.reset(&"b");
/// assert_eq!(ask(("b", 3)).await, Err("down".to_owned()));
/// # }
/// ```
pub struct KeyedBreakerLayer<F, K, C = ErrorsAsFailures, R = RejectWithError> {
    key: F,
    builder: CircuitBreakerBuilder,
    max_keys: usize,
    registry: OnceLock<Arc<Registry<K>>>,
    classify: C,
    on_reject: R,
}

impl<F, K> KeyedBreakerLayer<F, K> {
    /// How many circuits there are at most, where nothing is said.
    const MAX_KEYS: usize = 1_024;

    pub(crate) fn new(key: F) -> Self {
        Self {
            key,
            builder: CircuitBreaker::builder(),
            max_keys: Self::MAX_KEYS,
            registry: OnceLock::new(),
            classify: ErrorsAsFailures,
            on_reject: RejectWithError,
        }
    }
}

impl<F, K, C, R> KeyedBreakerLayer<F, K, C, R> {
    setters!();

    /// How many circuits there are at most. Default: 1,024. Each takes about 2 KiB, and 130 bytes more for each
    /// processor.
    ///
    /// # Panics
    ///
    /// If `max_keys` is zero.
    #[must_use]
    #[track_caller]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        assert!(
            max_keys > 0,
            "A keyed breaker has at least one circuit, but `max_keys` was 0."
        );
        self.max_keys = max_keys;
        self.registry = OnceLock::new();
        self
    }

    /// Judges results with `classify`, see
    /// [`CircuitBreakerLayer::classify_with`](crate::CircuitBreakerLayer::classify_with).
    #[must_use]
    pub fn classify_with<D>(self, classify: D) -> KeyedBreakerLayer<F, K, D, R> {
        KeyedBreakerLayer {
            key: self.key,
            builder: self.builder,
            max_keys: self.max_keys,
            registry: self.registry,
            classify,
            on_reject: self.on_reject,
        }
    }

    /// Answers a refused call with what `respond` makes of the refusal; the service keeps its error type.
    #[must_use]
    pub fn respond_with<Q, Res>(self, respond: Q) -> KeyedBreakerLayer<F, K, C, RespondWith<Q>>
    where
        Q: Fn(Rejected) -> Res,
    {
        self.on_reject(RespondWith::new(respond))
    }

    /// Turns a refusal into what `on_reject`, an [`OnReject`](crate::OnReject), makes of it.
    #[must_use]
    pub fn on_reject<Q>(self, on_reject: Q) -> KeyedBreakerLayer<F, K, C, Q> {
        KeyedBreakerLayer {
            key: self.key,
            builder: self.builder,
            max_keys: self.max_keys,
            registry: self.registry,
            classify: self.classify,
            on_reject,
        }
    }

    fn with(mut self, builder: CircuitBreakerBuilder) -> Self {
        self.builder = builder;
        self.registry = OnceLock::new();
        self
    }
}

impl<F, K: Hash + Eq + Clone, C, R> KeyedBreakerLayer<F, K, C, R> {
    /// The circuits, to look at and to change by hand. To be taken after the setters: those about circuits begin anew, and a
    /// handle taken before looks at what nobody uses.
    pub fn handle(&self) -> KeyedCircuits<K> {
        let registry = self
            .registry
            .get_or_init(|| Arc::new(Registry::new(self.builder.clone(), self.max_keys)));
        KeyedCircuits(Arc::clone(registry))
    }
}

impl<S, F: Clone, K: Hash + Eq + Clone, C: Clone, R: Clone> Layer<S> for KeyedBreakerLayer<F, K, C, R> {
    type Service = KeyedBreaker<S, F, K, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let (key, classify, on_reject) = (self.key.clone(), self.classify.clone(), self.on_reject.clone());
        KeyedBreaker::new(inner, key, self.handle(), classify, on_reject)
    }
}

impl<F: Clone, K: Hash + Eq + Clone, C: Clone, R: Clone> Clone for KeyedBreakerLayer<F, K, C, R> {
    /// Another layer on the same circuits.
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            builder: self.builder.clone(),
            max_keys: self.max_keys,
            registry: OnceLock::from(self.handle().0),
            classify: self.classify.clone(),
            on_reject: self.on_reject.clone(),
        }
    }
}

// By hand: closures and keys are not `Debug`.
impl<F, K, C, R> fmt::Debug for KeyedBreakerLayer<F, K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreakerLayer")
            .field("builder", &self.builder)
            .field("registry", &self.registry.get())
            .finish_non_exhaustive()
    }
}
