use std::{iter::Sum, ops::Add, sync::atomic::Ordering::Relaxed, time::Duration};

use serde::{Deserialize, Serialize};

use crate::stack::own::Own;

/// Calls added up, over processes where there is a [state](crate::HookManagerBuilder::state_dir).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Totals {
    /// Calls, those included that were answered from the cache.
    pub calls: u64,
    /// Calls that were answered.
    pub successes: u64,
    /// Calls that failed, those among them that took too long.
    pub failures: u64,
    /// Calls that were refused: by an open circuit, or because the hook ran wild.
    pub refused: u64,
    /// Times the hook was really run, retries included.
    pub runs: u64,
    /// Calls answered from the cache.
    pub cache_hits: u64,
    /// Calls that the cache could not answer.
    pub cache_misses: u64,
    /// Retries.
    pub retries: u64,
    /// Times a circuit opened by itself.
    pub trips: u64,
    /// The time of all calls that succeeded or failed, in microseconds.
    pub micros: u64,
}

impl Totals {
    /// The share of calls that were answered, 0 to 1, in those that were answered or failed; `None` without any.
    pub fn success_rate(&self) -> Option<f64> {
        share(self.successes, self.successes + self.failures)
    }

    /// The share of hits, 0 to 1, in the calls that a cache was asked about; `None` without any.
    pub fn hit_rate(&self) -> Option<f64> {
        share(self.cache_hits, self.cache_hits + self.cache_misses)
    }

    /// The mean time of a call, hits included; zero without any.
    pub fn average(&self) -> Duration {
        let judged = self.successes + self.failures;
        Duration::from_micros(self.micros.checked_div(judged).unwrap_or(0))
    }

    /// What came on top of `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        self.both(before, u64::saturating_sub)
    }

    fn both(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            calls: with(self.calls, other.calls),
            successes: with(self.successes, other.successes),
            failures: with(self.failures, other.failures),
            refused: with(self.refused, other.refused),
            runs: with(self.runs, other.runs),
            cache_hits: with(self.cache_hits, other.cache_hits),
            cache_misses: with(self.cache_misses, other.cache_misses),
            retries: with(self.retries, other.retries),
            trips: with(self.trips, other.trips),
            micros: with(self.micros, other.micros),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.both(other, u64::saturating_add)
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

impl Own {
    /// Since this manager was made.
    pub(crate) fn live(&self) -> Totals {
        let mut totals = Totals {
            runs: self.ran.load(Relaxed),
            ..Totals::default()
        };
        if let Some(monitor) = &self.monitor {
            let calls = monitor.snapshot();
            totals.calls = calls.started;
            totals.successes = calls.successes;
            totals.failures = calls.failures + calls.timeouts + calls.panicked;
            totals.refused = calls.rejected;
            totals.micros = u64::try_from(calls.latency.sum().as_micros()).unwrap_or(u64::MAX);
        }
        if let Some(cache) = &self.cache {
            let stats = cache.stats();
            totals.cache_hits = stats.hits + stats.stale_hits + stats.coalesced;
            totals.cache_misses = stats.misses;
        }
        totals.retries = self.retry.as_ref().map_or(0, |retry| retry.snapshot().retries);
        totals.trips = self
            .breaker
            .as_ref()
            .map_or(0, |breaker| breaker.snapshot().opened);
        totals
    }

    /// With what a saved state tells of.
    pub(crate) fn totals(&self) -> Totals {
        self.past.get().copied().unwrap_or_default() + self.live()
    }
}
