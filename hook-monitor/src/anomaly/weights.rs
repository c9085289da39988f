use std::time::Duration;

use crate::histogram::{BUCKETS, bucket, upper_edge};

/// A histogram of weights, in the buckets of a [`Histogram`](crate::Histogram), that can fade.
///
/// Only the buckets between `low` and `high` hold anything, and only they are ever walked.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    mass: Box<[f64]>,
    total: f64,
    low: usize,
    high: usize,
}

/// What has faded below this is gone. Keeps the walked range to what is in use.
const GONE: f64 = 1e-6;

impl Weights {
    pub(super) fn new() -> Self {
        Self {
            mass: vec![0.0; BUCKETS].into(),
            total: 0.0,
            low: BUCKETS,
            high: 0,
        }
    }

    pub(super) fn total(&self) -> f64 {
        self.total
    }

    pub(super) fn clear(&mut self) {
        if self.low <= self.high {
            self.mass[self.low..=self.high].fill(0.0);
        }
        (self.total, self.low, self.high) = (0.0, BUCKETS, 0);
    }

    pub(super) fn add(&mut self, bucket: usize, weight: f64) {
        if weight > 0.0 {
            self.mass[bucket] += weight;
            self.total += weight;
            self.low = self.low.min(bucket);
            self.high = self.high.max(bucket);
        }
    }

    /// Adds all of `other`, each as `weight` of itself.
    pub(super) fn add_all(&mut self, other: &Self, weight: f64) {
        for (bucket, mass) in other.filled() {
            self.add(bucket, mass * weight);
        }
    }

    /// Lets everything fade to `rest` of itself.
    pub(super) fn fade(&mut self, rest: f64) {
        if self.low > self.high {
            return;
        }
        self.total = 0.0;
        for mass in &mut self.mass[self.low..=self.high] {
            *mass *= rest;
            self.total += *mass;
        }
        while self.low <= self.high && self.mass[self.low] < GONE {
            self.total -= self.mass[self.low];
            self.mass[self.low] = 0.0;
            self.low += 1;
        }
        while self.low <= self.high && self.mass[self.high] < GONE {
            self.total -= self.mass[self.high];
            self.mass[self.high] = 0.0;
            // The loop above ended at a bucket that holds something, and this one ends there at the latest.
            self.high -= 1;
        }
        if self.low > self.high {
            self.clear();
        }
    }

    /// The bucket in which the share `q` of the mass is reached; 0 when there is none.
    pub(super) fn bucket_of(&self, q: f64) -> usize {
        let rank = self.total * q.clamp(0.0, 1.0);
        // What floats lose in adding must not move a quantile past the last bucket.
        let rank = rank - rank * 1e-12;
        if self.low > self.high {
            return 0;
        }
        let (mut bucket, mut seen) = (self.low, self.mass[self.low]);
        while seen < rank && bucket < self.high {
            bucket += 1;
            seen += self.mass[bucket];
        }
        bucket
    }

    /// The upper edge of the bucket in which the share `q` is reached, in nanoseconds; 0 when there is none.
    pub(super) fn nanos(&self, q: f64) -> u64 {
        if self.total > 0.0 {
            upper_edge(self.bucket_of(q))
        } else {
            0
        }
    }

    pub(super) fn quantile(&self, q: f64) -> Duration {
        Duration::from_nanos(self.nanos(q))
    }

    /// The mass strictly above a bucket.
    pub(super) fn above(&self, bucket: usize) -> f64 {
        let from = (bucket + 1).max(self.low);
        self.mass[..(self.high + 1).min(BUCKETS)]
            .get(from..)
            .map_or(0.0, |above| above.iter().sum())
    }

    /// The mass strictly below a bucket.
    pub(super) fn below(&self, bucket: usize) -> f64 {
        let to = bucket.min(self.high + 1);
        self.mass[..to]
            .get(self.low..)
            .map_or(0.0, |below| below.iter().sum())
    }

    /// The buckets that hold something, smallest first.
    pub(super) fn filled(&self) -> impl DoubleEndedIterator<Item = (usize, f64)> + '_ {
        let end = if self.low <= self.high {
            self.high + 1
        } else {
            self.low
        };
        (self.low..end)
            .map(|bucket| (bucket, self.mass[bucket]))
            .filter(|(_, mass)| *mass > 0.0)
    }
}

/// The bucket of a duration; what is longer than `u64::MAX` nanoseconds is in the last one.
pub(super) fn bucket_of(took: Duration) -> usize {
    bucket(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_bucket_excludes_the_bucket_itself() {
        let mut weights = Weights::new();
        for (bucket, weight) in [(10, 1.0), (20, 2.0), (30, 4.0)] {
            weights.add(bucket, weight);
        }
        for (bucket, below, above) in [
            (0, 0.0, 7.0),
            (10, 0.0, 6.0),
            (20, 1.0, 4.0),
            (25, 3.0, 4.0),
            (30, 3.0, 0.0),
            (495, 7.0, 0.0),
        ] {
            assert_eq!(
                (weights.below(bucket), weights.above(bucket)),
                (below, above),
                "{bucket}"
            );
        }
        assert_eq!(
            (
                weights.bucket_of(0.0),
                weights.bucket_of(0.3),
                weights.bucket_of(1.0)
            ),
            (10, 20, 30)
        );
    }

    #[test]
    fn nothing_has_no_quantile_and_nothing_beyond() {
        let mut nothing = Weights::new();
        for _ in 0..2 {
            assert_eq!(
                (nothing.above(0), nothing.below(495), nothing.nanos(0.99)),
                (0.0, 0.0, 0)
            );
            assert_eq!(nothing.filled().count(), 0);
            nothing.add(3, 1.0);
            nothing.fade(0.0);
        }
        assert_eq!(nothing.total(), 0.0);
    }

    #[test]
    fn a_lone_outlier_fades_out_of_the_range_that_is_walked() {
        let mut weights = Weights::new();
        weights.add(100, 100.0);
        weights.add(400, 1.0);
        for _ in 0..1_200 {
            weights.fade(0.98);
            weights.add(100, 2.0);
        }
        assert_eq!((weights.low, weights.high), (100, 100));
        assert!((weights.total() - 100.0).abs() < 0.01, "{}", weights.total());
    }
}
