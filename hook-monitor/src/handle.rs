use std::{fmt, time::Duration};

use crate::{Clock, Gather, HistogramSnapshot, Source, shared::Core, tally::End};

/// Looks at the figures of one monitor, from any thread and at any time.
///
/// A clone looks at the same figures. Looking never holds up a call.
///
/// As a [`Source`] it tells `hook_calls_total` with an `outcome` of `ok`, `error`, `ignored`, `rejected`,
/// `timeout`, `cancelled` or `panicked` (all of them from the start), `hook_calls_in_flight` (which may be
/// [ahead](MonitorSnapshot::in_flight)), and `hook_call_duration_seconds`.
#[derive(Clone)]
pub struct MonitorHandle {
    core: Core,
}

/// The figures of one monitor when they were looked at, all since it was made.
///
/// At every instant, [`started`](Self::started) is the sum of the seven ends and
/// [`in_flight`](Self::in_flight). The [`latency`](Self::latency) may be ahead of the counts by the calls
/// that are ending at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorSnapshot {
    /// How long ago the monitor was made; of a [difference](Self::since), the time in between.
    pub age: Duration,
    /// Calls that began.
    pub started: u64,
    /// Calls that did what they were for.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls that say nothing either way.
    pub ignored: u64,
    /// Calls that were refused without being tried.
    pub rejected: u64,
    /// Calls that took longer than they may, by a timeout inside the monitor.
    pub timeouts: u64,
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
    /// How long the successes, failures and timeouts took, from `call` to the result. The others are left out: a
    /// call that says nothing says nothing about speed, a refusal is quick whatever is behind it, and what a
    /// cancelled call measures is the patience of its caller.
    pub latency: HistogramSnapshot,
}

impl MonitorHandle {
    pub(crate) fn new(core: Core) -> Self {
        Self { core }
    }

    /// Everything there is to know. Allocates 4 KiB for the histogram.
    pub fn snapshot(&self) -> MonitorSnapshot {
        let counts = self.core.tally().counts();
        MonitorSnapshot {
            age: Clock::default().now().saturating_duration_since(self.core.made()),
            started: counts.started,
            successes: counts.of(End::Ok),
            failures: counts.of(End::Error),
            ignored: counts.of(End::Ignored),
            rejected: counts.of(End::Rejected),
            timeouts: counts.of(End::Timeout),
            cancelled: counts.of(End::Cancelled),
            panicked: counts.of(End::Panicked),
            in_flight: counts.in_flight(),
            latency: self.core.tally().latency.snapshot(),
        }
    }
}

impl Source for MonitorHandle {
    fn layer(&self) -> &'static str {
        "monitor"
    }

    fn name(&self) -> &str {
        self.core.name()
    }

    fn read(&self, into: &mut dyn Gather) {
        let counts = self.core.tally().counts();
        for end in End::ALL {
            into.counter("hook_calls_total", &[("outcome", end.as_str())], counts.of(end));
        }
        into.gauge("hook_calls_in_flight", &[], counts.in_flight() as f64);
        let latency = self.core.tally().latency.snapshot();
        into.histogram("hook_call_duration_seconds", &[], &latency);
    }
}

impl fmt::Debug for MonitorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorHandle")
            .field("name", &self.core.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

// ===== impl MonitorSnapshot =====

impl MonitorSnapshot {
    /// Calls that ended, whichever way.
    pub const fn ended(&self) -> u64 {
        self.started.wrapping_sub(self.in_flight)
    }

    /// Calls that ended in a second, over the whole of [`age`](Self::age); zero when that is. For the rate of the last
    /// minute, take the [difference](Self::since) to the snapshot of a minute ago.
    pub fn rate(&self) -> f64 {
        let secs = self.age.as_secs_f64();
        if secs > 0.0 {
            self.ended() as f64 / secs
        } else {
            0.0
        }
    }

    /// What happened after `earlier` was taken of the same monitor. Calls in flight stay those of now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let ends = |of: fn(&Self) -> u64| of(self).wrapping_sub(of(earlier));
        let (successes, failures) = (ends(|s| s.successes), ends(|s| s.failures));
        let (ignored, rejected) = (ends(|s| s.ignored), ends(|s| s.rejected));
        let (timeouts, cancelled) = (ends(|s| s.timeouts), ends(|s| s.cancelled));
        let panicked = ends(|s| s.panicked);
        let ended = successes + failures + ignored + rejected + timeouts + cancelled + panicked;
        Self {
            age: self.age.saturating_sub(earlier.age),
            // With those that were under way at the time: they are in the ends.
            started: ended + self.in_flight,
            successes,
            failures,
            ignored,
            rejected,
            timeouts,
            cancelled,
            panicked,
            in_flight: self.in_flight,
            latency: self.latency.since(&earlier.latency),
        }
    }

    /// The share of successes, 0 to 1, in the calls that succeeded, failed, timed out, panicked or were refused; `None`
    /// while there are none. Ignored and cancelled calls count for neither side.
    pub fn success_rate(&self) -> Option<f64> {
        let judged = self.successes + self.failures + self.timeouts + self.panicked + self.rejected;
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
