//! The setters that every way to a circuit shares, written down once.

/// Setters that pass on to a [`CircuitBreakerBuilder`](crate::CircuitBreakerBuilder). The type has a field
/// `builder` and `fn with(self, CircuitBreakerBuilder) -> Self`.
macro_rules! setters {
    () => {
        /// When the circuit opens. Default: after three failures in a row. See [`TripPolicy`](crate::TripPolicy).
        #[must_use]
        pub fn trip_when(self, policy: crate::TripPolicy) -> Self {
            let builder = self.builder.clone().trip_when(policy);
            self.with(builder)
        }

        /// So many failures in a row, with no success in between, open the circuit, and nothing else does. Default: 3.
        ///
        /// # Panics
        ///
        /// If `failures` is zero.
        #[must_use]
        #[track_caller]
        pub fn consecutive_failures(self, failures: u32) -> Self {
            let policy = crate::TripPolicy::consecutive_failures(failures);
            self.trip_when(policy)
        }

        /// The circuit opens when at least this part of the calls in `window` failed, above 0 and up to 1, and for
        /// nothing else.
        ///
        /// # Panics
        ///
        /// If `rate` is not a number above 0 and up to 1.
        #[must_use]
        #[track_caller]
        pub fn failure_rate(self, rate: f64, window: crate::Window) -> Self {
            let policy = crate::TripPolicy::failure_rate(rate, window);
            self.trip_when(policy)
        }

        /// How long a break lasts before probes are let in: a `Duration`, or an [`OpenFor`](crate::OpenFor) that
        /// grows. Default: 60 s. Capped at a century.
        #[must_use]
        pub fn open_for(self, open_for: impl Into<crate::OpenFor>) -> Self {
            let builder = self.builder.clone().open_for(open_for);
            self.with(builder)
        }

        /// How many calls a half-open circuit lets in to probe. Default: 5. At most 1,024.
        ///
        /// The policy's rates are taken over them: the circuit closes as soon as so many have gone well that the
        /// rest makes no difference, and opens as soon as too many have not. To a rule about failures in a row, one
        /// failed probe is too many.
        ///
        /// # Panics
        ///
        /// If `probes` is zero or more than 1,024.
        #[must_use]
        #[track_caller]
        pub fn probes(self, probes: u32) -> Self {
            let builder = self.builder.clone().probes(probes);
            self.with(builder)
        }

        /// How long a probe may take; one that takes longer has failed, so that a hung probe cannot keep the circuit
        /// half-open. Default: 30 s, about where most clients stop waiting.
        ///
        /// There is no background task: the lease of a probe under way is looked at when the next call asks to come
        /// in, and when a probe ends. Set it well above the slowest call you would call healthy.
        ///
        /// # Panics
        ///
        /// If `lease` is zero.
        #[must_use]
        #[track_caller]
        pub fn probe_lease(self, lease: std::time::Duration) -> Self {
            let builder = self.builder.clone().probe_lease(lease);
            self.with(builder)
        }

        /// How long a circuit may be half-open without a verdict, and what follows. Default: for ever; as long as
        /// probes can be had, calls are let in, and every probe has its lease.
        ///
        /// # Panics
        ///
        /// If `wait` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_half_open(self, wait: std::time::Duration, then: crate::AfterWait) -> Self {
            let builder = self.builder.clone().max_half_open(wait, then);
            self.with(builder)
        }

        /// What a call counts as that is dropped before it has a result, by a timeout outside the breaker
        /// for one. Default: a failure if it is old. Around a server's route, where clients hang up, say
        /// [`DroppedCall::Neutral`](crate::DroppedCall::Neutral); see [`DroppedCall`](crate::DroppedCall).
        #[must_use]
        pub fn dropped_call(self, dropped_call: crate::DroppedCall) -> Self {
            let builder = self.builder.clone().dropped_call(dropped_call);
            self.with(builder)
        }

        /// Reads time from the kernel's tick: a few nanoseconds a reading, exact to 1 to 10 ms, and deaf to
        /// tokio's paused time. Default: tokio's clock.
        #[cfg(feature = "coarse-clock")]
        #[must_use]
        pub fn coarse_clock(self) -> Self {
            let builder = self.builder.clone().coarse_clock();
            self.with(builder)
        }

        /// What this breaker is called in figures and listings. Default: `breaker`.
        #[must_use]
        pub fn name(self, name: impl Into<String>) -> Self {
            let builder = self.builder.clone().name(name);
            self.with(builder)
        }
    };
}

pub(crate) use setters;
