use std::{fmt, sync::Arc, time::Duration};

use hook_monitor::{Counters, Gather, Source};

use crate::session::End;

/// Looks at the calls of a [`RetryLayer`](crate::RetryLayer) from outside. Nothing here waits.
///
/// A clone looks at the same layer.
#[derive(Clone)]
pub struct RetryHandle {
    stats: Arc<Stats>,
}

/// What had happened when it was looked at, since the layer was made.
///
/// Calls count when they end. A call that is dropped before, or that a panic ends, is not among them, though
/// the retries it had begun and the waits it had finished are. While calls are ending, figures may be apart by those.
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
    pub(crate) fn new(stats: &Arc<Stats>) -> Self {
        Self {
            stats: Arc::clone(stats),
        }
    }

    /// All the figures.
    pub fn snapshot(&self) -> Snapshot {
        let counters = self.stats.counters.read();
        Snapshot {
            successful_without_retry: counters[SUCCESSFUL],
            successful_with_retry: counters[SUCCESSFUL + WITH_RETRY],
            failed_without_retry: counters[FAILED],
            failed_with_retry: counters[FAILED + WITH_RETRY],
            retries: counters[RETRIES],
            exhausted: counters[EXHAUSTED],
            stopped: counters[STOPPED],
            too_late: counters[TOO_LATE],
            unrepeatable: counters[UNREPEATABLE],
            unready: counters[UNREADY],
            backoff: Duration::from_nanos(counters[BACKOFF_NANOS]),
        }
    }
}

impl Source for RetryHandle {
    fn layer(&self) -> &'static str {
        "retry"
    }

    fn name(&self) -> &str {
        &self.stats.name
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
        into.counter("hook_retry_attempts_total", &[], seen.attempts());
        into.counter("hook_retry_retries_total", &[], seen.retries);
        for (cause, count) in [
            ("exhausted", seen.exhausted),
            ("stopped", seen.stopped),
            ("too_late", seen.too_late),
            ("unrepeatable", seen.unrepeatable),
            ("unready", seen.unready),
        ] {
            into.counter("hook_retry_given_up_total", &[("cause", cause)], count);
        }
        // A counter is whole: the fraction of a second shows once it is one.
        into.counter("hook_retry_backoff_seconds_total", &[], seen.backoff.as_secs());
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryHandle")
            .field("name", &self.stats.name)
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

// ===== impl Stats =====

const SUCCESSFUL: usize = 0;
const FAILED: usize = 2;
/// Added to either of the two.
const WITH_RETRY: usize = 1;
const RETRIES: usize = 4;
const EXHAUSTED: usize = 5;
const STOPPED: usize = 6;
const TOO_LATE: usize = 7;
const UNREPEATABLE: usize = 8;
const UNREADY: usize = 9;
const BACKOFF_NANOS: usize = 10;

/// What the services of one layer count together.
#[derive(Debug)]
pub(crate) struct Stats {
    name: String,
    counters: Counters<11>,
}

impl Stats {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            counters: Counters::new(),
        }
    }

    /// The one count of a call that needs no retry.
    #[inline]
    pub(crate) fn succeeded(&self, attempts: u32) {
        self.ended(SUCCESSFUL, attempts);
    }

    pub(crate) fn failed(&self, attempts: u32, end: End) {
        self.gave_up(
            attempts,
            match end {
                End::Stopped => STOPPED,
                End::Exhausted => EXHAUSTED,
                End::Unrepeatable => UNREPEATABLE,
                End::TooLate => TOO_LATE,
            },
        );
    }

    pub(crate) fn unready(&self, attempts: u32) {
        self.gave_up(attempts, UNREADY);
    }

    pub(crate) fn retried(&self) {
        self.counters.add(RETRIES, 1);
    }

    pub(crate) fn waited(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.counters.add(BACKOFF_NANOS, nanos);
    }

    fn gave_up(&self, attempts: u32, cause: usize) {
        self.ended(FAILED, attempts);
        self.counters.add(cause, 1);
    }

    #[inline]
    fn ended(&self, kind: usize, attempts: u32) {
        let with_retry = usize::from(attempts > 1) * WITH_RETRY;
        self.counters.add(kind + with_retry, 1);
    }
}
