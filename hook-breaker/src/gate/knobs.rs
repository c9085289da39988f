use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hook_monitor::{Clock, Outcome};

use crate::config::{DroppedCall, Settings};

/// What calls have to know of the settings, without the lock. It does not change while there are calls.
#[derive(Debug)]
pub(crate) struct Knobs {
    /// In nanoseconds.
    slow_after: AtomicU64,
    /// In nanoseconds.
    dropped_after: AtomicU64,
    is_coarse: AtomicBool,
}

const NEVER: u64 = u64::MAX;
/// However young, and without an age too.
const ALWAYS: u64 = u64::MAX - 1;

impl Knobs {
    pub(crate) fn new() -> Self {
        Self {
            slow_after: AtomicU64::new(NEVER),
            dropped_after: AtomicU64::new(NEVER),
            is_coarse: AtomicBool::new(false),
        }
    }

    pub(crate) fn set(&self, settings: &Settings, clock: Clock) {
        let slow_after = settings.trip.slow_after().map_or(NEVER, whole);
        let dropped_after = match settings.dropped_call() {
            DroppedCall::Neutral => NEVER,
            DroppedCall::Failure => ALWAYS,
            DroppedCall::FailureIfOlderThan(limit) => whole(limit),
        };
        self.slow_after.store(slow_after, Relaxed);
        self.dropped_after.store(dropped_after, Relaxed);
        self.is_coarse.store(clock.is_coarse(), Relaxed);
    }

    #[inline]
    pub(crate) fn clock(&self) -> Clock {
        #[cfg(feature = "coarse-clock")]
        if self.is_coarse.load(Relaxed) {
            return Clock::coarse();
        }
        Clock::tokio()
    }

    #[inline]
    pub(crate) fn is_coarse(&self) -> bool {
        self.is_coarse.load(Relaxed)
    }

    /// Whether anyone will want to know how long a call took, whatever the classifier looks at.
    #[inline]
    pub(crate) fn is_time_of_use(&self) -> bool {
        self.slow_after.load(Relaxed) != NEVER
    }

    #[inline]
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        self.is_time_of_use() && whole(took) >= self.slow_after.load(Relaxed)
    }

    /// Whether anyone will want to know how old a call was when it was dropped.
    #[inline]
    pub(crate) fn is_age_of_use(&self) -> bool {
        !matches!(self.dropped_after.load(Relaxed), ALWAYS | NEVER)
    }

    /// What a dropped call of that age is; one that never had to wait has none.
    pub(crate) fn dropped(&self, age: Option<Duration>) -> Outcome {
        let limit = self.dropped_after.load(Relaxed);
        let is_old = age.is_some_and(|age| whole(age) >= limit);
        if limit == ALWAYS || is_old {
            Outcome::Failure
        } else {
            Outcome::Ignored
        }
    }
}

/// In nanoseconds, up to 584 years, which are still less than always and never.
#[inline]
fn whole(duration: Duration) -> u64 {
    // Not `as_nanos`, which reckons in 128 bits.
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    let nanos = seconds.saturating_add(duration.subsec_nanos().into());
    nanos.min(ALWAYS - 1)
}

/// An instant as a number that fits an atomic, exact to the nanosecond for 292 years into either direction.
#[inline]
pub(crate) fn nanos(instant: Instant) -> u64 {
    /// The middle of the range: a paused clock may lie behind the first reading.
    const MIDDLE: u64 = 1 << 63;
    static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

    let epoch = *EPOCH;
    match instant.checked_duration_since(epoch) {
        Some(after) => MIDDLE.saturating_add(whole(after)),
        None => MIDDLE.saturating_sub(whole(epoch.duration_since(instant))),
    }
}

/// An instant, or none, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn at(instant: Instant) -> Self {
        Self(nanos(instant).max(1))
    }

    #[inline]
    pub(crate) const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }

    /// How long ago it was, if it is one; asks for the time only then.
    #[inline]
    pub(crate) fn until(self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        (!self.is_none()).then(|| Duration::from_nanos(nanos(now()).saturating_sub(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_distance_as_numbers() {
        let early = Instant::now();
        for distance in [
            Duration::from_nanos(1),
            Duration::from_secs(60),
            Settings::CENTURY,
        ] {
            let late = early + distance;
            assert_eq!(Duration::from_nanos(nanos(late) - nanos(early)), distance);
        }
    }

    #[test]
    fn a_dropped_call_is_judged_by_the_rule_and_its_age() {
        let ages = [
            None,
            Some(Duration::ZERO),
            Some(Duration::from_secs(1)),
            Some(Duration::MAX),
        ];
        let (failed, ignored) = (Outcome::Failure, Outcome::Ignored);
        for (rule, expected) in [
            (DroppedCall::Neutral, [ignored; 4]),
            (DroppedCall::Failure, [failed; 4]),
            (
                DroppedCall::FailureIfOlderThan(Duration::from_secs(1)),
                [ignored, ignored, failed, failed],
            ),
            (
                DroppedCall::FailureIfOlderThan(Duration::ZERO),
                [ignored, failed, failed, failed],
            ),
        ] {
            let knobs = Knobs::new();
            let settings = Settings {
                dropped_call: Some(rule),
                ..Settings::default()
            };
            knobs.set(&settings, Clock::tokio());
            assert_eq!(ages.map(|age| knobs.dropped(age)), expected, "{rule:?}");
        }
    }
}
