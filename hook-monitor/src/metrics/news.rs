//! What is new since a recorder was told last: sources say what there is in all, recorders add up.

use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::HistogramSnapshot;

/// Samples of one histogram that are passed on at once: a recorder keeps each of them for a while. What is left over
/// is passed on next time.
const SAMPLES: u64 = 1_000_000;
/// Values one distribution may have.
const VALUES: usize = 64;

#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    before: u64,
    now: u64,
    /// Of several label sets, until they are told as one.
    pub(super) sum: u64,
}

impl Count {
    /// A count never goes back, whatever the source says and whichever recorder it is.
    pub(super) fn tell(&mut self, counter: &Counter, value: u64, is_left: bool) {
        if is_left && value < self.now {
            self.before = self.before.wrapping_add(self.now);
            self.now = value;
        }
        self.now = self.now.max(value);
        counter.absolute(self.before.wrapping_add(self.now));
    }
}

/// Records what came in addition to `told`, and notes that it is told. Returns how much of it was invalid.
///
/// Each sample is passed on as a value within its bucket, such that their sum is that of the samples as nearly as
/// the buckets allow.
pub(super) fn pass_on(histogram: &Histogram, told: &mut HistogramSnapshot, now: &HistogramSnapshot) -> u64 {
    let news = now.since(told);
    let middle = |low: Duration, high: Duration| (low.as_secs_f64() + high.as_secs_f64()) / 2.0;
    let guessed: f64 = news
        .ranges()
        .map(|(low, high, n)| middle(low, high) * n as f64)
        .sum();
    let scale = if guessed > 0.0 {
        news.sum().as_secs_f64() / guessed
    } else {
        1.0
    };
    let mut left = SAMPLES;
    let mut passed = HistogramSnapshot::empty();
    for (low, high, n) in news.ranges() {
        let n = n.min(left);
        left -= n;
        let (low_secs, high_secs) = (low.as_secs_f64(), high.as_secs_f64());
        let value = (middle(low, high) * scale).clamp(low_secs, high_secs);
        histogram.record_many(value, usize::try_from(n).unwrap_or(usize::MAX));
        passed.put(high, n, value);
    }
    let invalid = news.invalid();
    if left > 0 {
        told.clone_from(now);
    } else {
        let so_far = std::mem::replace(told, HistogramSnapshot::empty());
        *told = so_far.merged(&passed).with_invalid(now.invalid());
    }
    invalid
}

pub(super) fn begin_anew(told: &mut HistogramSnapshot, now: &HistogramSnapshot, is_left: bool) {
    if is_left && now.count() < told.count() {
        *told = HistogramSnapshot::empty();
    }
}

pub(super) fn begin_values_anew(told: &mut Vec<(f64, u64)>, now: &[(f64, u64)], is_left: bool) {
    let all = |seen: &[(f64, u64)]| seen.iter().fold(0_u64, |sum, (_, n)| sum.wrapping_add(*n));
    if is_left && all(now) < all(told) {
        told.clear();
    }
}

/// The same for a distribution. A value that is no number, or one too many, is left out and counted.
pub(super) fn pass_on_values(histogram: &Histogram, told: &mut Vec<(f64, u64)>, now: &[(f64, u64)]) -> u64 {
    let mut left = SAMPLES;
    let mut invalid = 0;
    for &(value, n) in now {
        let Some(so_far) = place_of(told, value) else {
            invalid += u64::from(n > 0);
            continue;
        };
        let news = n.saturating_sub(*so_far).min(left);
        left -= news;
        *so_far += news;
        if news > 0 {
            histogram.record_many(value, usize::try_from(news).unwrap_or(usize::MAX));
        }
    }
    invalid
}

pub(super) fn add_values(sum: &mut Vec<(f64, u64)>, seen: &[(f64, u64)]) -> u64 {
    let mut invalid = 0;
    for &(value, n) in seen {
        match place_of(sum, value) {
            Some(so_far) => *so_far = so_far.wrapping_add(n),
            None => invalid += u64::from(n > 0),
        }
    }
    invalid
}

fn place_of(values: &mut Vec<(f64, u64)>, value: f64) -> Option<&mut u64> {
    let place = match values.iter().position(|(known, _)| *known == value) {
        Some(place) => place,
        None if !value.is_finite() || values.len() >= VALUES => return None,
        None => {
            values.push((value, 0));
            values.len() - 1
        }
    };
    Some(&mut values[place].1)
}
