use std::{fmt, sync::OnceLock};

use hook_monitor::{ErrorsAsFailures, RejectWithError, Rejected, RespondWith};
use tower_layer::Layer;

use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    keyed::KeyedBreakerLayer,
    service::Breaker,
    settings::setters,
};

/// Puts a circuit breaker before a service.
///
/// The circuit is the layer's: every service the layer makes, and every clone of the layer, shares it,
/// however often `layer` is called. A second circuit is a second `CircuitBreakerLayer`.
///
/// The setters of figures ([`trip_when`](Self::trip_when) to [`name`](Self::name)) begin a new circuit; use them
/// before [`handle`](Self::handle), `clone` and `layer`. See the [crate page](crate) for what the circuit does.
///
/// Closures are cloned for each call, which costs nothing for those that hold nothing or references; let one that
/// holds much hold an `Arc` of it.
pub struct CircuitBreakerLayer<C = ErrorsAsFailures, R = RejectWithError> {
    builder: CircuitBreakerBuilder,
    /// Made when it is first needed, so that setters make none.
    circuit: OnceLock<CircuitBreaker>,
    classify: C,
    on_reject: R,
    waits: bool,
}

impl CircuitBreakerLayer {
    /// A breaker with the default settings, to which `Err` is a failure, and which refuses with an
    /// error.
    pub fn new() -> Self {
        Self {
            builder: CircuitBreaker::builder(),
            circuit: OnceLock::new(),
            classify: ErrorsAsFailures,
            on_reject: RejectWithError,
            waits: false,
        }
    }

    /// A circuit for each key: see [`KeyedBreakerLayer`]. What the closure returns is the key as it is: `None` is a key like
    /// any other, with a circuit that all share who have it.
    pub fn keyed_by<F, Req, K>(key: F) -> KeyedBreakerLayer<F, K>
    where
        F: Fn(&Req) -> K,
    {
        KeyedBreakerLayer::new(key)
    }
}

impl<C, R> CircuitBreakerLayer<C, R> {
    setters!();

    /// Has `poll_ready` wait until the circuit lets calls in, instead of refusing them: for a caller with nothing
    /// better to do, a worker that drains a queue say.
    ///
    /// A service that is ready was promised its call and is not refused, even if the circuit opens before it comes.
    /// Whoever waits stands in a queue, first come, first served: as many are woken as there are probes, and by a
    /// timer for the end of the break, not by asking again and again. The first in the queue watches the clock for
    /// all, so a service that waited must be polled on or dropped. A probe's lease runs from when it was let in,
    /// while it waits for the inner service too.
    ///
    /// Waiting for a break needs a tokio runtime with its timer: without one `poll_ready` panics.
    #[must_use]
    pub fn wait_until_permitted(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Judges results with `classify`: a [`Classify`](crate::Classify) or a closure
    /// `Fn(Result<&Res, &Err>, Duration) -> Outcome`, whose arguments need their types written
    /// out.
    ///
    /// A closure makes the breaker read the clock twice more a call, for it is told how long the call
    /// took; a `Classify` whose `is_timed` says `false` does not.
    ///
    /// A panic in it counts as a failure of the call, and goes on unwinding.
    #[must_use]
    pub fn classify_with<D>(self, classify: D) -> CircuitBreakerLayer<D, R> {
        CircuitBreakerLayer {
            builder: self.builder,
            circuit: self.circuit,
            classify,
            on_reject: self.on_reject,
            waits: self.waits,
        }
    }

    /// Answers a refused call with what `respond` makes of the refusal; the service keeps its error
    /// type.
    #[must_use]
    pub fn respond_with<F, Res>(self, respond: F) -> CircuitBreakerLayer<C, RespondWith<F>>
    where
        F: Fn(Rejected) -> Res,
    {
        self.on_reject(RespondWith::new(respond))
    }

    /// Turns a refusal into what `on_reject`, an [`OnReject`](crate::OnReject), makes of it.
    #[must_use]
    pub fn on_reject<Q>(self, on_reject: Q) -> CircuitBreakerLayer<C, Q> {
        CircuitBreakerLayer {
            builder: self.builder,
            circuit: self.circuit,
            classify: self.classify,
            on_reject,
            waits: self.waits,
        }
    }

    /// The circuit, to look at and to reset. To be taken after the setters: those about the circuit begin a new one, and a
    /// handle taken before looks at what nobody uses.
    pub fn handle(&self) -> CircuitBreaker {
        self.circuit().clone()
    }

    fn circuit(&self) -> &CircuitBreaker {
        self.circuit.get_or_init(|| self.builder.clone().build())
    }

    fn with(mut self, builder: CircuitBreakerBuilder) -> Self {
        self.builder = builder;
        self.circuit = OnceLock::new();
        self
    }
}

impl<S, C: Clone, R: Clone> Layer<S> for CircuitBreakerLayer<C, R> {
    type Service = Breaker<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let (classify, on_reject) = (self.classify.clone(), self.on_reject.clone());
        Breaker::new(inner, self.handle(), classify, on_reject, self.waits)
    }
}

/// A layer around a circuit that exists, for one circuit that guards services and other code alike.
impl From<CircuitBreaker> for CircuitBreakerLayer {
    fn from(breaker: CircuitBreaker) -> Self {
        Self {
            builder: CircuitBreakerBuilder::like(&breaker),
            circuit: OnceLock::from(breaker),
            ..Self::new()
        }
    }
}

impl Default for CircuitBreakerLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clone, R: Clone> Clone for CircuitBreakerLayer<C, R> {
    /// Another layer on the same circuit.
    fn clone(&self) -> Self {
        Self {
            builder: self.builder.clone(),
            circuit: OnceLock::from(self.handle()),
            classify: self.classify.clone(),
            on_reject: self.on_reject.clone(),
            waits: self.waits,
        }
    }
}

// By hand: a closure is not `Debug`.
impl<C, R> fmt::Debug for CircuitBreakerLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer")
            .field("builder", &self.builder)
            .field("circuit", &self.circuit.get())
            .finish_non_exhaustive()
    }
}
