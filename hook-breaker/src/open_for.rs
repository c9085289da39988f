use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::config::Settings;

/// How long a break lasts before probes are let in: always the same time, or longer each time in a row.
///
/// A [`Duration`] is one of the first kind, so `open_for(Duration::from_secs(5))` reads as it should. Default: 60 s,
/// fixed.
///
/// ```
/// use hook_breaker::{CircuitBreakerLayer, OpenFor};
/// use std::time::Duration;
///
/// // 1 s, 2 s, 4 s, ... up to a minute, each shortened by up to a fifth.
/// let growing = OpenFor::exponential(Duration::from_secs(1))
///     .at_most(Duration::from_secs(60))
///     .jitter(0.2);
/// let layer = CircuitBreakerLayer::new().open_for(growing);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OpenFor {
    first: Duration,
    factor: f64,
    at_most: Duration,
    jitter: f64,
    seed: Option<u64>,
}

impl OpenFor {
    /// Every break lasts as long as the first. Capped at a century.
    pub fn fixed(open_for: Duration) -> Self {
        Self {
            first: open_for.min(Settings::CENTURY),
            factor: 1.0,
            at_most: Settings::CENTURY,
            jitter: 0.0,
            seed: None,
        }
    }

    /// The first break lasts `first`, and each that follows without the circuit having closed in between twice as
    /// long as the one before, up to ten minutes.
    pub fn exponential(first: Duration) -> Self {
        Self {
            factor: 2.0,
            at_most: Duration::from_secs(600),
            ..Self::fixed(first)
        }
    }

    /// How many times as long as the one before a break lasts. Default: 2 for `exponential`.
    ///
    /// # Panics
    ///
    /// If `factor` is not a number from 1 to 1,000.
    #[must_use]
    #[track_caller]
    pub fn factor(mut self, factor: f64) -> Self {
        assert!(
            (1.0..=1_000.0).contains(&factor),
            "A break lasts 1 to 1,000 times as long as the one before, but `factor` was {factor}."
        );
        self.factor = factor;
        self
    }

    /// No break lasts longer. Default: ten minutes for `exponential`.
    #[must_use]
    pub fn at_most(mut self, at_most: Duration) -> Self {
        self.at_most = at_most.min(Settings::CENTURY);
        self
    }

    /// Shortens each break by a random part of itself, up to `ratio`, so that many processes do not come back in
    /// the same instant. Default: 0, for a break that one process takes is best kept to the letter.
    ///
    /// # Panics
    ///
    /// If `ratio` is not a number from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn jitter(mut self, ratio: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&ratio),
            "Jitter is a part of the break, from 0 to 1, but `ratio` was {ratio}."
        );
        self.jitter = ratio;
        self
    }

    /// Makes the jitter the same in every run, for a test. Default: another seed for each circuit.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The length of a break that follows `before` others without health in between. `chance` is from 0 to 1.
    pub(crate) fn length(&self, before: u32, chance: f64) -> Duration {
        let at_most = self.at_most.as_secs_f64();
        // Not infinite, or nothing at all times it were no number.
        let times = self.factor.powi(before.min(100_000) as i32).min(f64::MAX);
        let grown = self.first.as_secs_f64() * times;
        let kept = 1.0 - self.jitter * chance;
        if kept == 1.0 && (before == 0 || self.factor == 1.0) {
            // To the nanosecond, where no arithmetic is called for.
            return self.first.min(self.at_most);
        }
        Duration::from_secs_f64(grown.min(at_most) * kept)
    }

    pub(crate) fn dice(&self) -> Dice {
        Dice(self.seed.unwrap_or_else(|| RandomState::new().hash_one(())))
    }
}

impl Default for OpenFor {
    fn default() -> Self {
        Self::fixed(Duration::from_secs(60))
    }
}

impl From<Duration> for OpenFor {
    fn from(open_for: Duration) -> Self {
        Self::fixed(open_for)
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): eight bytes of
/// state, and every seed is as good as another.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From 0 to below 1.
    pub(crate) fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn breaks_grow_by_the_factor_up_to_the_cap_and_never_overflow() {
        let doubling = OpenFor::exponential(secs(5)).at_most(secs(60));
        let lengths = [0, 1, 2, 3, 4, u32::MAX].map(|before| doubling.length(before, 0.0).as_secs());
        assert_eq!(lengths, [5, 10, 20, 40, 60, 60]);

        let longest = OpenFor::exponential(Duration::MAX)
            .at_most(Duration::MAX)
            .factor(1_000.0);
        assert_eq!(longest.length(u32::MAX, 0.0), Settings::CENTURY);
        assert_eq!(
            OpenFor::exponential(secs(90)).at_most(secs(60)).length(0, 0.0),
            secs(60)
        );
        assert_eq!(
            OpenFor::exponential(Duration::ZERO).length(u32::MAX, 0.5),
            Duration::ZERO
        );
    }

    #[test]
    fn jitter_only_shortens_and_by_no_more_than_its_part() {
        let open_for = OpenFor::fixed(secs(100)).jitter(0.2).seed(7);
        let mut dice = open_for.dice();
        let lengths: Vec<_> = (0..10_000).map(|_| open_for.length(0, dice.throw())).collect();
        assert!(
            lengths
                .iter()
                .all(|length| (secs(80)..=secs(100)).contains(length))
        );
        let mean = lengths.iter().sum::<Duration>() / 10_000;
        assert!((secs(89)..secs(91)).contains(&mean), "{mean:?}");

        let mut again = open_for.dice();
        assert_eq!(
            open_for.length(0, again.throw()),
            lengths[0],
            "the same seed, the same dice"
        );
    }

    #[test]
    #[should_panic(expected = "`ratio` was NaN")]
    fn jitter_that_is_no_number_is_refused() {
        let _ = OpenFor::default().jitter(f64::NAN);
    }

    #[test]
    #[should_panic(expected = "`factor` was inf")]
    fn an_infinite_factor_is_refused() {
        let _ = OpenFor::default().factor(f64::INFINITY);
    }
}
