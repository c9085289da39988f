use std::{fmt, sync::Arc, time::Duration};

use crate::{
    Gather, HistogramSnapshot, Source,
    tally::{End, Tally},
};

/// Looks at the figures of one monitor, from any thread and at any time.
///
/// A clone looks at the same figures. Looking never holds up a call.
///
/// As a [`Source`] it tells `hook_calls_total` with an `outcome` of `success`, `failure`, `ignored`,
/// `cancelled` or `panicked` (all five from the start), `hook_calls_in_flight` (which may be
/// [ahead](MonitorSnapshot::in_flight)), and `hook_call_duration_seconds`.
#[derive(Clone)]
pub struct MonitorHandle {
    tally: Arc<Tally>,
}

/// The figures of one monitor when they were looked at, all since it was made.
///
/// At every instant, [`started`](Self::started) is the sum of the five ends and
/// [`in_flight`](Self::in_flight). The [`latency`](Self::latency) may be ahead of the counts by the calls
/// that are ending at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorSnapshot {
    /// Calls that began.
    pub started: u64,
    /// Calls that did what they were for.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls that say nothing either way.
    pub ignored: u64,
    /// Calls that were dropped before they had a result: by a timeout outside the monitor, or because
    /// the client went away.
    pub cancelled: u64,
    /// Calls that ended in a panic.
    pub panicked: u64,
    /// Calls that began and have not ended.
    ///
    /// May be ahead by calls that began and ended while it was being read, and is never behind. The counters
    /// are read three times, one after the other, and the least of the three is told: with `n` calls begun
    /// meanwhile it is ahead by at most `n / 3`. Once all is quiet it is exact.
    pub in_flight: u64,
    /// How long the successes and failures took, from `call` to the result. The others are left out: a
    /// call that says nothing says nothing about speed, and what a cancelled call measures is the
    /// patience of its caller.
    pub latency: HistogramSnapshot,
}

impl MonitorHandle {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        Self { tally }
    }

    /// Everything there is to know. Allocates 4 KiB for the histogram.
    pub fn snapshot(&self) -> MonitorSnapshot {
        let counts = self.tally.counts();
        MonitorSnapshot {
            started: counts.started,
            successes: counts.of(End::Success),
            failures: counts.of(End::Failure),
            ignored: counts.of(End::Ignored),
            cancelled: counts.of(End::Cancelled),
            panicked: counts.of(End::Panicked),
            in_flight: counts.in_flight(),
            latency: self.tally.latency.snapshot(),
        }
    }
}

impl Source for MonitorHandle {
    fn layer(&self) -> &'static str {
        "monitor"
    }

    fn name(&self) -> &str {
        &self.tally.name
    }

    fn read(&self, into: &mut dyn Gather) {
        let counts = self.tally.counts();
        for end in End::ALL {
            into.counter("hook_calls_total", &[("outcome", end.as_str())], counts.of(end));
        }
        into.gauge("hook_calls_in_flight", &[], counts.in_flight() as f64);
        let latency = self.tally.latency.snapshot();
        into.histogram("hook_call_duration_seconds", &[], &latency);
    }
}

impl fmt::Debug for MonitorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorHandle")
            .field("name", &self.tally.name)
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

// ===== impl MonitorSnapshot =====

impl MonitorSnapshot {
    /// The share of successes, 0 to 1, in the calls that succeeded, failed or panicked; `None` while
    /// there are none. Ignored and cancelled calls count for neither side.
    pub fn success_rate(&self) -> Option<f64> {
        let judged = self.successes + self.failures + self.panicked;
        (judged > 0).then(|| self.successes as f64 / judged as f64)
    }

    /// The mean [`latency`](Self::latency); zero when there is none.
    pub fn mean(&self) -> Duration {
        self.latency.mean()
    }

    /// The median [`latency`](Self::latency), at most 12.5 % too high; zero when there is none.
    pub fn p50(&self) -> Duration {
        self.latency.quantile(0.5)
    }

    /// What 90 % of the calls did not exceed in [`latency`](Self::latency), at most 12.5 % too high; zero
    /// when there is none.
    pub fn p90(&self) -> Duration {
        self.latency.quantile(0.9)
    }

    /// What 99 % of the calls did not exceed in [`latency`](Self::latency), at most 12.5 % too high; zero
    /// when there is none.
    pub fn p99(&self) -> Duration {
        self.latency.quantile(0.99)
    }

    /// The longest [`latency`](Self::latency), exactly; zero when there is none.
    pub fn max(&self) -> Duration {
        self.latency.max()
    }
}
