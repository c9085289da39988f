use std::time::{Duration, Instant};

/// Where a layer reads the time.
///
/// The default is tokio's clock: it stands still and jumps in a test with paused time, and is the
/// system's monotonic clock everywhere else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug, Default)]
enum Kind {
    #[default]
    Tokio,
    #[cfg(feature = "coarse-clock")]
    Coarse,
}

impl Clock {
    /// Tokio's clock, which obeys `tokio::time::pause`.
    pub const fn tokio() -> Self {
        Self(Kind::Tokio)
    }

    /// A clock of the kernel's tick (1 to 10 ms) that costs a fraction of a precise reading.
    ///
    /// It does **not** obey tokio's paused time. Off Linux it is the system's monotonic clock.
    #[cfg(feature = "coarse-clock")]
    pub fn coarse() -> Self {
        Self(Kind::Coarse)
    }

    /// Whether this is the coarse clock of the kernel's tick.
    #[inline]
    pub const fn is_coarse(&self) -> bool {
        match self.0 {
            Kind::Tokio => false,
            #[cfg(feature = "coarse-clock")]
            Kind::Coarse => true,
        }
    }

    /// The time now. It never goes backwards.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::Tokio => tokio::time::Instant::now().into_std(),
            #[cfg(feature = "coarse-clock")]
            Kind::Coarse => coarse::now(),
        }
    }

    /// This moment, for [`nanos_since`](Self::nanos_since) to count from.
    pub fn epoch(&self) -> Epoch {
        Epoch {
            instant: self.now(),
            #[cfg(all(feature = "coarse-clock", target_os = "linux"))]
            coarse: coarse::nanos(),
        }
    }

    /// Nanoseconds since an epoch that this clock, or a copy of it, has set; 0 before it. They end after 584 years.
    ///
    /// By the coarse clock that costs half of what a reading and the difference to another do.
    #[inline]
    pub fn nanos_since(&self, epoch: &Epoch) -> u64 {
        match &self.0 {
            #[cfg(all(feature = "coarse-clock", target_os = "linux"))]
            Kind::Coarse => coarse::nanos().saturating_sub(epoch.coarse),
            _ => nanos(self.now().saturating_duration_since(epoch.instant)),
        }
    }
}

/// A moment that a [`Clock`] counts from.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    instant: Instant,
    #[cfg(all(feature = "coarse-clock", target_os = "linux"))]
    coarse: u64,
}

/// Not `as_nanos`, which reckons in 128 bits.
#[inline]
fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}

#[cfg(all(feature = "coarse-clock", target_os = "linux"))]
mod coarse {
    use std::{
        sync::LazyLock,
        time::{Duration, Instant},
    };

    use rustix::time::{ClockId, clock_gettime};

    /// An `Instant` cannot be made from a time stamp, so the coarse clock is read as a distance from
    /// the moment when both clocks were first read together.
    static ANCHOR: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), read()));

    #[inline]
    pub(super) fn now() -> Instant {
        let (instant, coarse) = *ANCHOR;
        instant + read().saturating_sub(coarse)
    }

    /// By the kernel's count, which begins at some fixed point.
    #[inline]
    pub(super) fn nanos() -> u64 {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        (time.tv_sec as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(time.tv_nsec as u64)
    }

    #[inline]
    fn read() -> Duration {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

#[cfg(all(feature = "coarse-clock", not(target_os = "linux")))]
mod coarse {
    use std::time::Instant;

    #[inline]
    pub(super) fn now() -> Instant {
        Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokios_clock_stands_still_until_time_is_moved() {
        let clock = Clock::tokio();
        let start = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn nanoseconds_are_counted_from_their_epoch_and_are_none_before_it() {
        let clock = Clock::tokio();
        let early = clock.epoch();
        tokio::time::advance(Duration::from_millis(1_500)).await;
        let late = clock.epoch();
        assert_eq!(clock.nanos_since(&early), 1_500_000_000);
        assert_eq!(clock.nanos_since(&late), 0);
        let ahead = Epoch {
            instant: late.instant + Duration::from_secs(1),
            ..late
        };
        assert_eq!(clock.nanos_since(&ahead), 0);
    }

    #[cfg(feature = "coarse-clock")]
    #[test]
    fn the_coarse_clock_counts_as_far_as_its_readings_are_apart() {
        let clock = Clock::coarse();
        let (earlier, epoch, later) = (clock.now(), clock.epoch(), clock.now());
        loop {
            let least = nanos(clock.now() - later);
            let counted = clock.nanos_since(&epoch);
            let most = nanos(clock.now() - earlier);
            assert!((least..=most).contains(&counted), "{least} {counted} {most}");
            if counted >= 50_000_000 {
                break;
            }
        }
    }

    #[cfg(feature = "coarse-clock")]
    #[test]
    fn the_coarse_clock_keeps_within_a_tick_of_the_precise_one_and_never_goes_back() {
        let clock = Clock::coarse();
        let start = Instant::now();
        let mut last = clock.now();
        while start.elapsed() < Duration::from_millis(50) {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        let precise = Instant::now();
        let apart = precise.max(last) - precise.min(last);
        // A tick is at most 10 ms; the rest is for a machine that was looking elsewhere.
        assert!(apart < Duration::from_secs(1), "{apart:?} apart");
        assert!(last > start, "the coarse clock stood still for 50 ms");
    }
}
