use std::{
    sync::atomic::{
        Ordering::{Acquire, Release},
        fence,
    },
    time::Duration,
};

use hook_monitor::Counters;

use crate::session::End;

/// What the calls of a layer are counted in: that they began, how they ended, and what came in between.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    counters: Counters<{ Stats::COUNT }>,
}

const BEGUN: usize = 0;
/// Dropped, or ended by a panic.
pub(crate) const DROPPED: usize = 1;
pub(crate) const SUCCESSFUL: usize = 2;
pub(crate) const FAILED: usize = 4;
/// Added to either of the two.
pub(crate) const WITH_RETRY: usize = 1;
/// The ways in which calls end, those above, are below this.
const WAYS: usize = 6;
pub(crate) const RETRIES: usize = 6;
pub(crate) const EXHAUSTED: usize = 7;
pub(crate) const STOPPED: usize = 8;
pub(crate) const TOO_LATE: usize = 9;
pub(crate) const UNREPEATABLE: usize = 10;
pub(crate) const UNREADY: usize = 11;
pub(crate) const OVER_BUDGET: usize = 12;
pub(crate) const BACKOFF_NANOS: usize = 13;
/// Calls that ended with two attempts; then three, and so on, and at last all with [`MOST_ATTEMPTS`] or more.
pub(crate) const TWO_ATTEMPTS: usize = 14;
pub(crate) const MOST_ATTEMPTS: usize = 9;

impl Stats {
    pub(crate) const COUNT: usize = TWO_ATTEMPTS + MOST_ATTEMPTS - 1;

    #[inline]
    pub(crate) fn began(&self) {
        self.counters.add(BEGUN, 1);
    }

    #[inline]
    pub(crate) fn ended(&self, way: usize) {
        // What the call did is known to whoever knows of its end. Free on x86.
        fence(Release);
        self.counters.add(way, 1);
    }

    /// A call is about to end that was retried.
    pub(crate) fn took(&self, attempts: u32) {
        let attempts = usize::try_from(attempts).unwrap_or(MOST_ATTEMPTS);
        let place = attempts.clamp(2, MOST_ATTEMPTS) - 2;
        self.counters.add(TWO_ATTEMPTS + place, 1);
    }

    pub(crate) fn begun(&self) -> u64 {
        self.counters.get(BEGUN)
    }

    pub(crate) fn under_way(&self) -> u64 {
        let ended = (DROPPED..WAYS).map(|way| self.counters.get(way)).sum();
        fence(Acquire);
        self.begun().wrapping_sub(ended)
    }

    pub(crate) fn gave_up(&self, end: End) {
        self.counters.add(
            match end {
                End::Stopped => STOPPED,
                End::Exhausted => EXHAUSTED,
                End::Unrepeatable => UNREPEATABLE,
                End::Unready => UNREADY,
                End::OverBudget => OVER_BUDGET,
                End::TooLate => TOO_LATE,
            },
            1,
        );
    }

    pub(crate) fn retried(&self) {
        self.counters.add(RETRIES, 1);
    }

    pub(crate) fn waited(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.counters.add(BACKOFF_NANOS, nanos);
    }

    pub(crate) fn read(&self) -> [u64; Self::COUNT] {
        self.counters.read()
    }

    pub(crate) fn clear(&self) {
        self.counters.clear();
    }
}
