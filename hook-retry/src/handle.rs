use std::{fmt, sync::Arc, time::Duration};

use hook_monitor::{Gather, Source};

use crate::{
    budget::Budget,
    failure::Failure,
    shared::Shared,
    stats::{
        BACKOFF_NANOS, DROPPED, EXHAUSTED, FAILED, MOST_ATTEMPTS, OVER_BUDGET, RETRIES, STOPPED, SUCCESSFUL,
        TOO_LATE, TWO_ATTEMPTS, UNREADY, UNREPEATABLE, WITH_RETRY,
    },
};

/// Looks at the calls of a [`RetryLayer`](crate::RetryLayer) from outside. Nothing here waits.
///
/// A clone looks at the same layer.
#[derive(Clone)]
pub struct RetryHandle {
    shared: Arc<Shared>,
}

/// What had happened when it was looked at, since the layer was made.
///
/// Calls count when they end. A call that is dropped before, or that a panic ends, is `dropped` and nothing else, though
/// the retries it had begun and the waits it had finished count. While calls are ending, figures may be apart by those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls that ended with an `Ok` that the policy was content with, at the first attempt.
    pub successful_without_retry: u64,
    /// The same, at a later attempt.
    pub successful_with_retry: u64,
    /// Calls that ended with anything else, after one attempt.
    pub failed_without_retry: u64,
    /// The same, after more than one attempt.
    pub failed_with_retry: u64,
    /// Calls that were dropped before they ended, or that a panic ended. They are not among
    /// [`calls`](Snapshot::calls) and [`attempts`](Snapshot::attempts).
    pub dropped: u64,
    /// Attempts beyond the first of a call.
    pub retries: u64,
    /// Failed calls whose last result was worth a retry, but there was none left.
    pub exhausted: u64,
    /// Failed calls that ended with an error the policy does not retry.
    pub stopped: u64,
    /// Failed calls for which the wait would have been too long: for the deadline, for the total time, or
    /// for the policy's patience.
    pub too_late: u64,
    /// Failed calls whose request could be sent only once.
    pub unrepeatable: u64,
    /// Failed calls that ended because the service's readiness failed before a retry.
    pub unready: u64,
    /// Failed calls whose retry the budget refused.
    pub over_budget: u64,
    /// All the time calls were told to wait before a retry and did.
    pub backoff: Duration,
}

impl Snapshot {
    /// Calls that ended.
    pub const fn calls(&self) -> u64 {
        self.successful() + self.failed()
    }

    /// Attempts: one for each call that ended, and the retries.
    pub const fn attempts(&self) -> u64 {
        self.calls() + self.retries
    }

    /// Calls that ended well.
    pub const fn successful(&self) -> u64 {
        self.successful_without_retry + self.successful_with_retry
    }

    /// Calls that did not end well.
    pub const fn failed(&self) -> u64 {
        self.failed_without_retry + self.failed_with_retry
    }
}

impl RetryHandle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }

    /// All the figures.
    pub fn snapshot(&self) -> Snapshot {
        let counters = self.shared.stats().read();
        Snapshot {
            successful_without_retry: counters[SUCCESSFUL],
            successful_with_retry: counters[SUCCESSFUL + WITH_RETRY],
            failed_without_retry: counters[FAILED],
            failed_with_retry: counters[FAILED + WITH_RETRY],
            dropped: counters[DROPPED],
            retries: counters[RETRIES],
            exhausted: counters[EXHAUSTED],
            stopped: counters[STOPPED],
            too_late: counters[TOO_LATE],
            unrepeatable: counters[UNREPEATABLE],
            unready: counters[UNREADY],
            over_budget: counters[OVER_BUDGET],
            backoff: Duration::from_nanos(counters[BACKOFF_NANOS]),
        }
    }

    /// What kind of failures the latest failed attempts were, the last one first: up to eight, whether they were
    /// retried or not. Of attempts that fail at the same moment on several threads, some are left out.
    ///
    /// How much is known depends on the classifier: [`RetryErrors`](crate::RetryErrors), which is the default,
    /// knows refusals and errors of input and output; a closure knows an error from a response.
    pub fn last_failures(&self) -> Vec<Failure> {
        self.shared.last_failures()
    }

    /// The budget that the calls of this layer share, if there is one.
    pub fn budget(&self) -> Option<&Budget> {
        self.shared.plan.budget.as_ref()
    }
}

impl Source for RetryHandle {
    fn layer(&self) -> &'static str {
        "retry"
    }

    fn name(&self) -> &str {
        &self.shared.name
    }

    fn read(&self, into: &mut dyn Gather) {
        let seen = self.snapshot();
        for (kind, count) in [
            ("successful_without_retry", seen.successful_without_retry),
            ("successful_with_retry", seen.successful_with_retry),
            ("failed_without_retry", seen.failed_without_retry),
            ("failed_with_retry", seen.failed_with_retry),
        ] {
            into.counter("hook_retry_calls_total", &[("kind", kind)], count);
        }
        let counters = self.shared.stats().read();
        let mut attempts = [(0.0, 0); MOST_ATTEMPTS];
        for (number, (value, calls)) in (1..).zip(&mut attempts) {
            *value = f64::from(number);
            *calls = match number {
                1 => counters[SUCCESSFUL] + counters[FAILED],
                _ => counters[TWO_ATTEMPTS + number as usize - 2],
            };
        }
        into.distribution("hook_retry_attempts", &[], &attempts);
        into.counter("hook_retry_attempts_total", &[], seen.attempts());
        into.counter("hook_retry_retries_total", &[], seen.retries);
        for (cause, count) in [
            ("exhausted", seen.exhausted),
            ("stopped", seen.stopped),
            ("too_late", seen.too_late),
            ("unrepeatable", seen.unrepeatable),
            ("unready", seen.unready),
            ("over_budget", seen.over_budget),
        ] {
            into.counter("hook_retry_given_up_total", &[("cause", cause)], count);
        }
        // A counter is whole: the fraction of a second shows once it is one.
        into.counter("hook_retry_backoff_seconds_total", &[], seen.backoff.as_secs());
        if let Some(budget) = self.budget() {
            into.gauge("hook_retry_budget_tokens", &[], budget.left() as f64);
        }
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryHandle")
            .field("name", &self.shared.name)
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
