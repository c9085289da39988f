use std::{fmt, sync::Arc, time::Duration};

use hook_monitor::{ErrorsAsFailures, Lanes, RejectWithError, Rejected, RespondWith};
use tower_layer::Layer;

use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    config::DroppedCall,
    service::{Breaker, Judge},
};

/// Puts a circuit breaker before a service.
///
/// The circuit is the layer's: every service the layer makes, and every clone of the layer, shares it,
/// however often `layer` is called. A second circuit is a second `CircuitBreakerLayer`.
///
/// The setters of figures ([`consecutive_failures`](Self::consecutive_failures) to
/// [`name`](Self::name)) begin a new circuit; use them before [`handle`](Self::handle), `clone` and
/// `layer`. See the [crate page](crate) for what the circuit does.
pub struct CircuitBreakerLayer<C = ErrorsAsFailures, R = RejectWithError> {
    lanes: Lanes<Judge<C, R>>,
}

impl CircuitBreakerLayer {
    /// A breaker with the default settings, to which `Err` is a failure, and which refuses with an
    /// error.
    pub fn new() -> Self {
        CircuitBreaker::new().into()
    }
}

impl<C, R> CircuitBreakerLayer<C, R> {
    /// So many failures in a row, with no success in between, open the circuit. Default: 3.
    ///
    /// # Panics
    ///
    /// If `failures` is zero.
    #[must_use]
    #[track_caller]
    pub fn consecutive_failures(self, failures: u32) -> Self {
        let builder = self.builder().consecutive_failures(failures);
        self.rebuilt(builder)
    }

    /// How long a break lasts before probes are let in. Default: 60 s. Capped at a century.
    #[must_use]
    pub fn open_for(self, open_for: Duration) -> Self {
        let builder = self.builder().open_for(open_for);
        self.rebuilt(builder)
    }

    /// How many calls a half-open circuit lets in, and how many of them must succeed for it to close:
    /// all. Default: 5. At most 1,024.
    ///
    /// # Panics
    ///
    /// If `probes` is zero or more than 1,024.
    #[must_use]
    #[track_caller]
    pub fn probes(self, probes: u32) -> Self {
        let builder = self.builder().probes(probes);
        self.rebuilt(builder)
    }

    /// How long a probe may take; one that takes longer has failed. Default: 30 s. See
    /// [`CircuitBreakerBuilder::probe_lease`].
    ///
    /// # Panics
    ///
    /// If `lease` is zero.
    #[must_use]
    #[track_caller]
    pub fn probe_lease(self, lease: Duration) -> Self {
        let builder = self.builder().probe_lease(lease);
        self.rebuilt(builder)
    }

    /// What a call counts as that is dropped before it has a result, by a timeout outside the breaker
    /// for one. Default: a failure if it is older than 100 ms. Around a server's route, where clients
    /// hang up, say [`DroppedCall::Neutral`]; see there.
    #[must_use]
    pub fn dropped_call(self, dropped_call: DroppedCall) -> Self {
        let builder = self.builder().dropped_call(dropped_call);
        self.rebuilt(builder)
    }

    /// Reads time from the kernel's tick: a few nanoseconds a reading, exact to 1 to 10 ms, and deaf to
    /// tokio's paused time. Default: tokio's clock.
    #[cfg(feature = "coarse-clock")]
    #[must_use]
    pub fn coarse_clock(self) -> Self {
        let builder = self.builder().coarse_clock();
        self.rebuilt(builder)
    }

    /// What this breaker is called in figures and listings. Default: `breaker`.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        let builder = self.builder().name(name);
        self.rebuilt(builder)
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
        let Judge { core, on_reject, .. } = self.lanes.any().clone();
        let classify = Arc::new(classify);
        CircuitBreakerLayer::of(&Judge {
            core,
            classify,
            on_reject,
        })
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
        let Judge { core, classify, .. } = self.lanes.any().clone();
        let on_reject = Arc::new(on_reject);
        CircuitBreakerLayer::of(&Judge {
            core,
            classify,
            on_reject,
        })
    }

    /// The circuit, to look at and to reset.
    ///
    /// Each one made allocates a few times: keep it, and clone it where another is needed.
    pub fn handle(&self) -> CircuitBreaker {
        CircuitBreaker::of(&self.lanes.any().core)
    }

    fn builder(&self) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::like(&self.lanes.any().core)
    }

    fn of(judge: &Judge<C, R>) -> Self {
        Self {
            lanes: Lanes::new(judge),
        }
    }

    fn rebuilt(self, builder: CircuitBreakerBuilder) -> Self {
        let core = Arc::clone(builder.build().core());
        Self::of(&Judge {
            core,
            ..self.lanes.any().clone()
        })
    }
}

impl<S, C, R> Layer<S> for CircuitBreakerLayer<C, R> {
    type Service = Breaker<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaker::new(inner, self.lanes.clone())
    }
}

/// A layer around a circuit that exists, for one circuit that guards services and other code alike.
impl From<CircuitBreaker> for CircuitBreakerLayer {
    fn from(breaker: CircuitBreaker) -> Self {
        Self::of(&Judge {
            core: Arc::clone(breaker.core()),
            classify: Arc::new(ErrorsAsFailures),
            on_reject: Arc::new(RejectWithError),
        })
    }
}

impl Default for CircuitBreakerLayer {
    fn default() -> Self {
        Self::new()
    }
}

// By hand: a closure need not be `Clone`.
impl<C, R> Clone for CircuitBreakerLayer<C, R> {
    fn clone(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
        }
    }
}

// By hand: a closure is not `Debug`.
impl<C, R> fmt::Debug for CircuitBreakerLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer")
            .field("name", &self.lanes.any().core.name)
            .field("settings", &self.lanes.any().core.settings)
            .finish_non_exhaustive()
    }
}
