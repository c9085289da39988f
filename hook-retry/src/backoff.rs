//! How long to wait before a retry: iterators of [`Duration`] that read no clock and never sleep.
//!
//! ```
//! use hook_retry::{Backoff, Exponential};
//! use std::time::Duration;
//!
//! let backoff = Exponential::from_millis(100).cap(Duration::from_millis(500)).no_jitter();
//! let waits: Vec<_> = backoff.delays(0).take(4).map(|wait| wait.as_millis()).collect();
//! assert_eq!(waits, [100, 200, 400, 500]);
//! ```

use std::{iter, time::Duration};

use crate::random::Random;

/// Makes the sequence of waits of one call.
///
/// Any closure that makes an iterator is a back-off; where the iterator ends, so do the retries:
///
/// ```
/// use hook_retry::{Backoff, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = RetryPolicy::new().backoff(|| [10, 50, 250].map(Duration::from_millis));
/// ```
pub trait Backoff {
    /// The waits before the first retry, the second and so on.
    type Delays: Iterator<Item = Duration>;

    /// The waits of one call. `seed` differs from call to call and is where jitter comes from: the
    /// same seed gives the same waits.
    fn delays(&self, seed: u64) -> Self::Delays;
}

impl<F, I> Backoff for F
where
    F: Fn() -> I,
    I: IntoIterator<Item = Duration>,
{
    type Delays = I::IntoIter;

    fn delays(&self, _seed: u64) -> Self::Delays {
        self().into_iter()
    }
}

/// These waits, and then no more retries.
impl<const N: usize> Backoff for [Duration; N] {
    type Delays = std::array::IntoIter<Duration, N>;

    fn delays(&self, _seed: u64) -> Self::Delays {
        (*self).into_iter()
    }
}

/// Each wait is a multiple of the one before, up to a cap; with full jitter unless told otherwise.
///
/// Waits saturate: at the cap, however many retries there are.
///
/// The default is 100 ms, times 2, at most 5 s.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Exponential {
    first: u64,
    factor: f64,
    cap: u64,
    jitter: Jitter,
}

impl Exponential {
    /// Waits `first` before the first retry, and then twice as long each time.
    pub fn new(first: Duration) -> Self {
        Self {
            first: nanos(first),
            factor: 2.0,
            cap: nanos(first).max(DEFAULT_CAP),
            jitter: Jitter::Full,
        }
    }

    /// Waits so many milliseconds before the first retry, and then twice as long each time.
    pub fn from_millis(first: u64) -> Self {
        Self::new(Duration::from_millis(first))
    }

    /// How much longer each wait is than the one before. Default: 2.
    ///
    /// # Panics
    ///
    /// If `factor` is below 1, infinite or not a number.
    #[track_caller]
    pub fn factor(mut self, factor: f64) -> Self {
        assert!(
            factor.is_finite() && factor >= 1.0,
            "The factor of an exponential back-off must be a finite number of at least 1, but it was {factor}."
        );
        self.factor = factor;
        self
    }

    /// The longest wait. Default: 5 s, or the first wait if that is longer.
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = nanos(cap);
        self
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self::from_millis(100)
    }
}

impl Backoff for Exponential {
    type Delays = Delays;

    fn delays(&self, seed: u64) -> Delays {
        let growth = Growth::Exponential(self.factor);
        Delays::new(self.first, growth, self.cap, self.jitter, seed)
    }
}

/// Each wait is longer than the one before by the first; with full jitter unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Linear {
    step: u64,
    cap: u64,
    jitter: Jitter,
}

impl Linear {
    /// Waits `step` before the first retry, twice that before the second, three times before the third.
    pub fn new(step: Duration) -> Self {
        Self {
            step: nanos(step),
            cap: nanos(step).max(DEFAULT_CAP),
            jitter: Jitter::Full,
        }
    }

    /// Waits so many milliseconds before the first retry, twice that before the second, and so on.
    pub fn from_millis(step: u64) -> Self {
        Self::new(Duration::from_millis(step))
    }

    /// The longest wait. Default: 5 s, or the first wait if that is longer.
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = nanos(cap);
        self
    }
}

impl Backoff for Linear {
    type Delays = Delays;

    fn delays(&self, seed: u64) -> Delays {
        Delays::new(self.step, Growth::Linear, self.cap, self.jitter, seed)
    }
}

/// Always the same wait, and exactly that: without jitter unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fixed {
    wait: u64,
    jitter: Jitter,
}

impl Fixed {
    /// Waits `wait` before each retry.
    pub fn new(wait: Duration) -> Self {
        Self {
            wait: nanos(wait),
            jitter: Jitter::None,
        }
    }

    /// Waits so many milliseconds before each retry.
    pub fn from_millis(wait: u64) -> Self {
        Self::new(Duration::from_millis(wait))
    }
}

impl Backoff for Fixed {
    type Delays = Delays;

    fn delays(&self, seed: u64) -> Delays {
        Delays::new(self.wait, Growth::None, self.wait, self.jitter, seed)
    }
}

/// Retries at once.
///
/// For what fails by chance rather than under load: a lost race, a stale connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoWait;

impl Backoff for NoWait {
    type Delays = iter::Repeat<Duration>;

    fn delays(&self, _seed: u64) -> Self::Delays {
        iter::repeat(Duration::ZERO)
    }
}

macro_rules! jitter_setters {
    ($($backoff:ident)*) => {$(
        impl $backoff {
            /// Waits anything from nothing to the whole wait, evenly spread: the most even load on what
            /// is being retried.
            pub fn full_jitter(mut self) -> Self {
                self.jitter = Jitter::Full;
                self
            }

            /// Waits anything from half of the wait to the whole, evenly spread: never at once.
            pub fn equal_jitter(mut self) -> Self {
                self.jitter = Jitter::Equal;
                self
            }

            /// Waits exactly the wait. Callers that failed together come back together.
            pub fn no_jitter(mut self) -> Self {
                self.jitter = Jitter::None;
                self
            }
        }
    )*};
}

jitter_setters! { Exponential Linear Fixed }

impl Exponential {
    /// Waits anything from the first wait to three times the wait before, evenly spread and never above the cap:
    /// the waits grow by chance, and those of two callers drift apart. The factor has no say in it.
    ///
    /// After Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), but the cap limits what is
    /// drawn from and not what was drawn, so that callers do not gather at the cap.
    pub fn decorrelated_jitter(mut self) -> Self {
        self.jitter = Jitter::Decorrelated;
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    None,
    Equal,
    Full,
    Decorrelated,
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    None,
    Linear,
    Exponential(f64),
}

/// 5 s, in nanoseconds.
const DEFAULT_CAP: u64 = 5_000_000_000;

/// The waits of one call by [`Exponential`], [`Linear`] or [`Fixed`]. It does not end.
#[derive(Clone, Debug)]
pub struct Delays {
    /// All in nanoseconds: 584 years are enough, and whole numbers keep what seconds would lose.
    first: u64,
    cap: u64,
    growth: Growth,
    jitter: Jitter,
    retries: u32,
    /// The wait before, which only decorrelated jitter looks at.
    before: u64,
    random: Random,
}

impl Delays {
    fn new(first: u64, growth: Growth, cap: u64, jitter: Jitter, seed: u64) -> Self {
        Self {
            first,
            cap,
            growth,
            jitter,
            retries: 0,
            before: first.min(cap),
            random: Random::new(seed),
        }
    }

    /// The wait after so many retries, before jitter and never above the cap.
    fn base(&self) -> u64 {
        let grown = match self.growth {
            Growth::None => self.first,
            Growth::Linear => self.first.saturating_mul(u64::from(self.retries) + 1),
            // A cast of a float saturates. Zero times infinity is not a number, which casts to zero.
            Growth::Exponential(factor) => {
                let grown = (self.first as f64 * factor.powf(f64::from(self.retries))).round() as u64;
                // Beyond 104 days a float knows nanoseconds only roughly.
                grown.max(self.first)
            }
        };
        grown.min(self.cap)
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Jitter only takes away, so what is below the cap stays below it.
        let base = self.base();
        let wait = match self.jitter {
            Jitter::None => base,
            Jitter::Equal => base - self.random.up_to(base / 2),
            Jitter::Full => self.random.up_to(base),
            Jitter::Decorrelated => {
                let least = self.first.min(self.cap);
                let most = self.before.saturating_mul(3).min(self.cap);
                least + self.random.up_to(most - least)
            }
        };
        self.before = wait;
        self.retries = self.retries.saturating_add(1);
        Some(Duration::from_nanos(wait))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
