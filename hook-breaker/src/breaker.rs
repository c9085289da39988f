use std::{fmt, future::Future, sync::Arc, time::Duration};

use hook_monitor::{Classify, Clock, ErrorsAsFailures, Lanes, Rejected};

use crate::{
    config::{DroppedCall, Settings},
    future::Call,
    permit::{Admission, Permit},
    shared::{Core, Owner},
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
pub struct CircuitBreaker {
    lanes: Lanes<Local>,
}

/// What a call through a handle holds on to: see [`Owner`].
#[derive(Clone)]
pub(crate) struct Local(Arc<Core>);

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
        Call::new(self.lanes.mine(), classify, future)
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
    /// half-open and every probe is under way.
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        Admission::acquire(self.lanes.mine())
            .map(Permit::new)
            .map_err(|(rejected, _)| rejected)
    }

    pub(crate) fn of(core: &Arc<Core>) -> Self {
        Self {
            lanes: Lanes::new(&Local(Arc::clone(core))),
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.lanes.any().0
    }
}

impl Owner for Local {
    #[inline]
    fn core(&self) -> &Core {
        &self.0
    }
}

impl Clone for CircuitBreaker {
    fn clone(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
        }
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
            .field("name", &self.core().name)
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

    /// So many failures in a row, with no success in between, open the circuit. Default: 3.
    ///
    /// # Panics
    ///
    /// If `failures` is zero.
    #[track_caller]
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        assert!(
            failures > 0,
            "A circuit needs at least one failure to open, but `consecutive_failures` was 0."
        );
        self.settings.consecutive_failures = failures;
        self
    }

    /// How long a break lasts before probes are let in. Default: 60 s. Capped at a century.
    pub fn open_for(mut self, open_for: Duration) -> Self {
        self.settings.open_for = open_for.min(Settings::CENTURY);
        self
    }

    /// How many calls a half-open circuit lets in, and how many of them must succeed for it to close:
    /// all. Default: 5. At most 1,024.
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

    /// How long a probe may take; one that takes longer has failed, so that a hung probe cannot keep
    /// the circuit half-open. Default: 30 s, about where most clients stop waiting.
    ///
    /// There is no background task: the lease of a probe under way is looked at when the next call asks
    /// to come in, and when the probe ends. Set it well above the slowest call you would call healthy.
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

    /// What a call counts as that is dropped before it has a result, by a timeout outside the breaker
    /// for one. Default: a failure if it is older than 100 ms, see [`DroppedCall`].
    pub fn dropped_call(mut self, dropped_call: DroppedCall) -> Self {
        self.settings.dropped_call = dropped_call;
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
        CircuitBreaker::of(&Arc::new(Core::new(self.name, self.settings, self.clock)))
    }

    /// The settings of a breaker that exists, for another.
    pub(crate) fn like(core: &Core) -> Self {
        Self {
            name: core.name.clone(),
            settings: core.settings,
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
