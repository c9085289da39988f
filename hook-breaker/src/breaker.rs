use std::{fmt, future::Future, sync::Arc, time::Duration};

use hook_monitor::{Classify, Clock, ErrorsAsFailures, Rejected, Visit};

use crate::{
    config::{AfterWait, DroppedCall, Settings},
    future::Call,
    gate::Gate,
    open_for::OpenFor,
    permit::{Admission, Permit},
    policy::{TripPolicy, Window},
    shared::Core,
};

/// A circuit breaker for any fallible future or piece of code; the core of
/// [`CircuitBreakerLayer`](crate::CircuitBreakerLayer), usable without tower.
///
/// A clone is another handle to the same circuit. Neither cloning nor a call allocates.
///
/// ```
/// use hook_breaker::{CallError, CircuitBreaker};
///
/// # futures::executor::block_on(async {
/// let breaker = CircuitBreaker::new();
///
/// for _ in 0..3 {
///     let answer = breaker.call(async { Err::<(), _>("connection reset") }).await;
///     assert_eq!(answer, Err(CallError::Inner("connection reset")));
/// }
/// let answer = breaker.call(async { Ok::<_, &str>("not even tried") }).await;
/// assert!(matches!(answer, Err(CallError::Rejected(_))));
/// # });
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    core: Arc<Core>,
    /// That of the core, a step nearer.
    gate: &'static Gate,
}

impl CircuitBreaker {
    /// A closed circuit with the default settings, see [`CircuitBreakerBuilder`].
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts from the default settings.
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::default()
    }

    /// Runs `future` if the circuit lets it in. `Ok` is a success, `Err` a failure.
    ///
    /// The circuit is asked when the returned future is first polled; a refused `future` is never
    /// polled.
    ///
    /// # Errors
    ///
    /// [`CallError::Rejected`](crate::CallError::Rejected) if the circuit refused, and
    /// [`CallError::Inner`](crate::CallError::Inner) with the future's own error. Where that is a
    /// [`BoxError`](crate::BoxError), [`CallError::into_box`](crate::CallError::into_box) makes one of
    /// either.
    ///
    /// # Retries
    ///
    /// Whoever retries has to know a refusal when he sees one, or he asks an open circuit again and
    /// again. A policy that judges errors by their type does not know `CallError`: with `hook-retry`'s
    /// `run`, judge what is in it,
    ///
    /// ```text
    /// .classify_with(|result: Result<&T, &CallError<E>>, _: &Attempt| match result {
    ///     Err(err) => Verdict::of(err),
    ///     Ok(_) => Verdict::Stop,
    /// })
    /// ```
    ///
    /// which waits for as long as the refusal's `retry_after` says, or gives up where that is too long.
    /// It takes an `E` that is an error, for only then is `CallError<E>` one.
    ///
    /// # Panics
    ///
    /// A panic in `future` counts as a failure and goes on unwinding.
    ///
    /// # Cancellation
    ///
    /// Dropped before it was polled, it is as if it had never been. Dropped later, it counts by the
    /// [`DroppedCall`] rule.
    pub fn call<F, T, E>(&self, future: F) -> Call<F, ErrorsAsFailures>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_with(ErrorsAsFailures, future)
    }

    /// Runs `future` like [`call`](CircuitBreaker::call), and lets `classify` judge its result.
    ///
    /// ```
    /// use hook_breaker::{CircuitBreaker, Outcome};
    /// use std::{io, time::Duration};
    ///
    /// # futures::executor::block_on(async {
    /// # async fn look_up() -> io::Result<u32> { Err(io::ErrorKind::NotFound.into()) }
    /// let breaker = CircuitBreaker::new();
    /// let absent_is_fine = |result: Result<&u32, &io::Error>, _took: Duration| match result {
    ///     Ok(_) => Outcome::Success,
    ///     Err(err) if err.kind() == io::ErrorKind::NotFound => Outcome::Ignored,
    ///     Err(_) => Outcome::Failure,
    /// };
    /// let _ = breaker.call_with(absent_is_fine, look_up()).await;
    /// assert_eq!(breaker.snapshot().ignored, 1);
    /// # });
    /// ```
    pub fn call_with<C, F, T, E>(&self, classify: C, future: F) -> Call<F, C>
    where
        C: Classify<T, E>,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(Visit::to(self.gate), classify, future)
    }

    /// Leave for one call, to be settled by hand.
    ///
    /// Does not read the clock while the circuit is closed, unless the [`DroppedCall`] rule is about
    /// age, as the default is.
    ///
    /// # Errors
    ///
    /// [`Rejected`] with [`Reason::CircuitOpen`](crate::Reason::CircuitOpen) and the rest of the break
    /// as `retry_after`, or with [`Reason::ProbesTaken`](crate::Reason::ProbesTaken) if the circuit is
    /// half-open and every probe is under way, or with
    /// [`Reason::CircuitIsolated`](crate::Reason::CircuitIsolated) if it was opened by hand.
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        let admission = Admission::acquire(self.gate)?;
        Ok(Permit::new(admission))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    #[inline]
    pub(crate) fn gate(&self) -> &'static Gate {
        self.gate
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.core().name())
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}

// ===== impl CircuitBreakerBuilder =====

/// Settings of a [`CircuitBreaker`], each with a default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct CircuitBreakerBuilder {
    name: String,
    settings: Settings,
    clock: Clock,
}

impl CircuitBreakerBuilder {
    /// What this breaker is called in figures and listings. Default: `breaker`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// When the circuit opens. Default: after three failures in a row.
    pub fn trip_when(mut self, policy: TripPolicy) -> Self {
        self.settings.trip = policy;
        self
    }

    /// So many failures in a row, with no success in between, open the circuit, and nothing else does. Default: 3.
    ///
    /// # Panics
    ///
    /// If `failures` is zero.
    #[track_caller]
    pub fn consecutive_failures(self, failures: u32) -> Self {
        self.trip_when(TripPolicy::consecutive_failures(failures))
    }

    /// The circuit opens when at least this part of the calls in `window` failed, above 0 and up to 1, and for
    /// nothing else.
    ///
    /// # Panics
    ///
    /// If `rate` is not a number above 0 and up to 1.
    #[track_caller]
    pub fn failure_rate(self, rate: f64, window: Window) -> Self {
        self.trip_when(TripPolicy::failure_rate(rate, window))
    }

    /// How long a break lasts before probes are let in. Default: 60 s. Capped at a century. See [`OpenFor`].
    pub fn open_for(mut self, open_for: impl Into<OpenFor>) -> Self {
        self.settings.open_for = open_for.into();
        self
    }

    /// How many calls a half-open circuit lets in to probe. Default: 5. At most 1,024. See
    /// [`CircuitBreakerLayer::probes`](crate::CircuitBreakerLayer::probes).
    ///
    /// # Panics
    ///
    /// If `probes` is zero or more than 1,024.
    #[track_caller]
    pub fn probes(mut self, probes: u32) -> Self {
        assert!(
            probes > 0,
            "A circuit that lets no probe in never closes again, but `probes` was 0."
        );
        assert!(
            probes <= Settings::MOST_PROBES,
            "Probes are a careful few, at most 1,024, but `probes` was {probes}."
        );
        self.settings.probes = probes;
        self
    }

    /// How long a probe may take; one that takes longer has failed. Default: 30 s. See
    /// [`CircuitBreakerLayer::probe_lease`](crate::CircuitBreakerLayer::probe_lease).
    ///
    /// # Panics
    ///
    /// If `lease` is zero.
    #[track_caller]
    pub fn probe_lease(mut self, lease: Duration) -> Self {
        assert!(
            !lease.is_zero(),
            "A probe needs some time to succeed in, but `probe_lease` was 0."
        );
        self.settings.probe_lease = lease;
        self
    }

    /// How long a circuit may be half-open without a verdict, and what follows. Default: for ever.
    ///
    /// # Panics
    ///
    /// If `wait` is zero.
    #[track_caller]
    pub fn max_half_open(mut self, wait: Duration, then: AfterWait) -> Self {
        assert!(
            !wait.is_zero(),
            "Probes need some time to come to a verdict in, but `max_half_open` was 0."
        );
        self.settings.half_open_wait = Some(wait);
        self.settings.after_wait = then;
        self
    }

    /// What a call counts as that is dropped before it has a result, by a timeout outside the breaker
    /// for one. Default: a failure if it is old, see [`DroppedCall`].
    pub fn dropped_call(mut self, dropped_call: DroppedCall) -> Self {
        self.settings.dropped_call = Some(dropped_call);
        self
    }

    /// Reads time from the kernel's tick: a few nanoseconds a reading, exact to 1 to 10 ms, and deaf to
    /// tokio's paused time. Default: tokio's clock.
    #[cfg(feature = "coarse-clock")]
    pub fn coarse_clock(mut self) -> Self {
        self.clock = Clock::coarse();
        self
    }

    /// A new circuit, closed.
    #[must_use]
    pub fn build(self) -> CircuitBreaker {
        let core = Core::new(self.name, self.settings, self.clock);
        CircuitBreaker {
            gate: core.gate(),
            core: Arc::new(core),
        }
    }

    pub(crate) fn called(&self) -> &str {
        &self.name
    }

    /// The settings of a breaker that exists, for another.
    pub(crate) fn like(breaker: &CircuitBreaker) -> Self {
        let core = breaker.core();
        Self {
            name: core.name().to_owned(),
            settings: core.settings.clone(),
            clock: core.clock,
        }
    }
}

impl Default for CircuitBreakerBuilder {
    fn default() -> Self {
        Self {
            name: "breaker".to_owned(),
            settings: Settings::default(),
            clock: Clock::default(),
        }
    }
}
