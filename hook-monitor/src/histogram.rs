use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Every octave of nanoseconds is cut into this many buckets, so a bucket is at most 1/8 wide.
const PER_OCTAVE: usize = 8;
pub(crate) const BUCKETS: usize = (64 - 2) * PER_OCTAVE;
/// The most that one value adds to the sum, in nanoseconds: a year.
const SUMMED: u64 = 365 * 24 * 60 * 60 * 1_000_000_000;

/// A latency histogram that any number of threads may record into, wait-free.
///
/// Buckets are logarithmic, eight to an octave: from one nanosecond to five centuries in 4 KiB, each
/// value known to within 12.5 %, its maximum exactly. Recording is three relaxed atomic operations
/// and never allocates. In the sum and the mean no value counts for more than a year (of 365 days): a single absurd
/// one does not make them wrap. Values above that, and what is no duration at all, are counted as
/// [`invalid`](HistogramSnapshot::invalid) beside.
///
/// ```
/// use hook_monitor::Histogram;
/// use std::time::Duration;
///
/// let latency = Histogram::new();
/// for ms in 1..=100 {
///     latency.record(Duration::from_millis(ms));
/// }
/// let seen = latency.snapshot();
/// assert_eq!(seen.count(), 100);
/// assert_eq!(seen.max(), Duration::from_millis(100));
/// let median = seen.quantile(0.5).as_millis();
/// assert!((50..=57).contains(&median));
/// ```
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
    invalid: AtomicU64,
}

impl Histogram {
    /// An empty histogram.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
            invalid: AtomicU64::new(0),
        }
    }

    /// Adds one value.
    #[inline]
    pub fn record(&self, value: Duration) {
        self.record_n(value, 1);
    }

    /// Adds one value `n` times: of `n` calls that were alike, only this one was timed.
    #[inline]
    pub fn record_n(&self, value: Duration, n: u32) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let n = u64::from(n);
        self.buckets[bucket(nanos)].fetch_add(n, Relaxed);
        if nanos > SUMMED {
            self.invalid.fetch_add(n, Relaxed);
        }
        self.sum.fetch_add(nanos.min(SUMMED).wrapping_mul(n), Relaxed);
        // Most values are no new maximum: a load leaves the line shared, a `fetch_max` would not.
        if nanos > self.max.load(Relaxed) {
            self.max.fetch_max(nanos, Relaxed);
        }
    }

    /// Adds one value given in seconds. One that is no time (NaN, negative) is left out, one that is no finite time
    /// is cut to the longest there is; both count as [`invalid`](HistogramSnapshot::invalid).
    pub fn record_secs(&self, secs: f64) {
        if secs.is_nan() || secs < 0.0 {
            self.invalid.fetch_add(1, Relaxed);
        } else {
            self.record(Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX));
        }
    }

    /// Forgets everything. What others record meanwhile may be lost or kept, in part.
    pub fn clear(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
        for part in [&self.sum, &self.max, &self.invalid] {
            part.store(0, Relaxed);
        }
    }

    /// What was recorded so far. Allocates 4 KiB; meant for whoever looks, not for the call path.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum: self.sum.load(Relaxed),
            max: self.max.load(Relaxed),
            invalid: self.invalid.load(Relaxed),
        }
    }
}

/// Bucket of a value: below eight nanoseconds the value itself, then octave and three bits below it.
#[inline]
pub(crate) fn bucket(nanos: u64) -> usize {
    if nanos < PER_OCTAVE as u64 {
        return nanos as usize;
    }
    let octave = 63 - nanos.leading_zeros() as usize;
    let within = (nanos >> (octave - 3)) as usize & (PER_OCTAVE - 1);
    (octave - 2) * PER_OCTAVE + within
}

/// The largest value that falls into a bucket, the inverse of [`bucket`].
pub(crate) fn upper_edge(bucket: usize) -> u64 {
    if bucket < PER_OCTAVE {
        return bucket as u64;
    }
    let octave = bucket / PER_OCTAVE + 2;
    let within = (bucket % PER_OCTAVE) as u64;
    let width = 1u64 << (octave - 3);
    // Written so that the last bucket does not overflow.
    (PER_OCTAVE as u64 + within) * width + (width - 1)
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// What a [`Histogram`] held when it was looked at.
///
/// While others record, the parts may be a few records apart; the counts themselves are exact.
#[derive(Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    buckets: Box<[u64]>,
    sum: u64,
    max: u64,
    invalid: u64,
}

impl HistogramSnapshot {
    /// How many values each bucket holds.
    #[cfg(feature = "anomaly")]
    pub(crate) fn counts(&self) -> &[u64] {
        &self.buckets
    }

    /// One that holds nothing.
    pub fn empty() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            sum: 0,
            max: 0,
            invalid: 0,
        }
    }

    /// What was recorded after `earlier` was taken of the same histogram. The maximum is known exactly if it is a new
    /// one, and to within its bucket if not.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        let buckets: Box<[u64]> = pairs.map(|(now, then)| now.saturating_sub(*then)).collect();
        let last = buckets.iter().rposition(|n| *n > 0);
        let max = match last {
            Some(last) => upper_edge(last).min(self.max),
            None => 0,
        };
        Self {
            buckets,
            sum: self.sum.wrapping_sub(earlier.sum),
            max,
            invalid: self.invalid.saturating_sub(earlier.invalid),
        }
    }

    /// This and `other` as one.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.wrapping_add(*theirs);
        }
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
        self.invalid += other.invalid;
        self
    }

    /// Values that were no duration (left out) or longer than a year (in the sum counted as one).
    pub const fn invalid(&self) -> u64 {
        self.invalid
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All values added up, each as a year (of 365 days) at most; wraps after 584 years.
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The largest value, exactly; zero when there is none.
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The mean, by the same [`sum`](Self::sum); zero when there is none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum.checked_div(self.count()).unwrap_or(0))
    }

    /// The value that a share `q` of all values does not exceed, rounded up to the edge of its
    /// bucket (at most 12.5 %) and never above [`max`](Self::max); zero when there is none.
    ///
    /// `q` is taken into 0..=1; NaN counts as 1.
    pub fn quantile(&self, q: f64) -> Duration {
        let q = if q.is_nan() { 1.0 } else { q.clamp(0.0, 1.0) };
        let rank = self.count() as f64 * q;
        // 0.55 * 100.0 is a little more than 55: what floats add must not make it the 56th.
        let rank = ((rank - rank * 4.0 * f64::EPSILON).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return Duration::from_nanos(upper_edge(index).min(self.max));
            }
        }
        self.max()
    }

    /// The smallest and the largest value of each bucket that holds something, with how many it holds.
    #[cfg(feature = "metrics")]
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (Duration, Duration, u64)> + '_ {
        let filled = self.buckets.iter().enumerate().filter(|(_, n)| **n > 0);
        filled.map(|(index, n)| {
            let low = index.checked_sub(1).map_or(0, |below| upper_edge(below) + 1);
            (
                Duration::from_nanos(low),
                Duration::from_nanos(upper_edge(index)),
                *n,
            )
        })
    }

    /// `n` more values in the bucket of `at`, each of `secs`.
    #[cfg(feature = "metrics")]
    pub(crate) fn put(&mut self, at: Duration, n: u64, secs: f64) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += n;
        self.sum = self.sum.wrapping_add((secs * 1e9 * n as f64) as u64);
        self.max = self.max.max(nanos);
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn with_invalid(mut self, invalid: u64) -> Self {
        self.invalid = invalid;
        self
    }

    /// The upper edge of each bucket that holds something, with how many it holds, smallest first.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let filled = self.buckets.iter().enumerate().filter(|(_, n)| **n > 0);
        filled.map(|(index, n)| (Duration::from_nanos(upper_edge(index)), *n))
    }
}

impl fmt::Debug for HistogramSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistogramSnapshot")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_meet_without_gap_or_overlap_from_zero_to_the_end() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(upper_edge(BUCKETS - 1), u64::MAX);
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper_edge(index)), index);
            assert_eq!(bucket(upper_edge(index) + 1), index + 1);
        }
    }

    #[test]
    fn a_bucket_is_at_most_an_eighth_wide() {
        for index in PER_OCTAVE..BUCKETS {
            let (below, edge) = (upper_edge(index - 1), upper_edge(index));
            assert!(
                (edge - below) as f64 <= 0.125 * (below + 1) as f64,
                "bucket {index}"
            );
        }
    }

    #[test]
    fn quantiles_of_nothing_and_of_nonsense_are_answers() {
        let nothing = Histogram::new().snapshot();
        assert_eq!(
            (nothing.mean(), nothing.quantile(0.99)),
            (Duration::ZERO, Duration::ZERO)
        );

        let one = Histogram::new();
        one.record(Duration::MAX);
        let one = one.snapshot();
        for q in [f64::NAN, -1.0, 0.0, 0.5, 1.0, f64::INFINITY] {
            assert_eq!(one.quantile(q), Duration::from_nanos(u64::MAX));
        }
    }

    #[test]
    fn a_quantile_is_of_the_rank_it_says_where_floats_round_up() {
        // 0.55 * 100.0 is a little more than 55.
        for (count, step) in [(100, 1), (1_000, 1), (1_000_000, 9_973)] {
            for fast in (1..count).step_by(step) {
                let times = |fast: u64| {
                    let histogram = Histogram::new();
                    histogram.buckets[bucket(1_000)].store(fast, Relaxed);
                    histogram.buckets[bucket(1_000_000)].store(count - fast, Relaxed);
                    histogram.max.store(1_000_000, Relaxed);
                    histogram.snapshot()
                };
                let q = fast as f64 / count as f64;
                assert!(times(fast).quantile(q).as_nanos() < 2_000, "{fast} of {count}");
                assert_eq!(
                    times(fast - 1).quantile(q).as_nanos(),
                    1_000_000,
                    "{fast} of {count}"
                );
            }
        }
    }

    #[test]
    fn a_value_that_stands_for_others_counts_as_often() {
        let histogram = Histogram::new();
        histogram.record_n(Duration::from_millis(10), 16);
        histogram.record(Duration::from_millis(20));
        let seen = histogram.snapshot();
        assert_eq!((seen.count(), seen.sum()), (17, Duration::from_millis(180)));
        assert_eq!(seen.max(), Duration::from_millis(20));
    }

    #[test]
    fn an_absurd_value_does_not_wrap_the_sum() {
        let histogram = Histogram::new();
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        for _ in 0..100 {
            histogram.record(Duration::MAX);
        }
        histogram.record(Duration::from_millis(1));
        let seen = histogram.snapshot();
        assert_eq!(seen.sum(), 100 * year + Duration::from_millis(1));
        assert!(seen.mean() > year / 2 && seen.mean() <= year, "{:?}", seen.mean());
        assert_eq!((seen.count(), seen.max()), (101, Duration::from_nanos(u64::MAX)));
    }

    #[test]
    fn what_is_no_duration_is_left_out_and_what_is_absurd_is_cut_and_both_are_counted() {
        let histogram = Histogram::new();
        for secs in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            histogram.record_secs(secs);
        }
        assert_eq!(
            (histogram.snapshot().count(), histogram.snapshot().invalid()),
            (0, 3)
        );
        histogram.record_secs(f64::INFINITY);
        histogram.record(Duration::MAX);
        assert_eq!(
            (histogram.snapshot().count(), histogram.snapshot().invalid()),
            (2, 5)
        );
        histogram.record_secs(0.25);
        histogram.record_secs(-0.0);
        assert_eq!(
            (histogram.snapshot().count(), histogram.snapshot().invalid()),
            (4, 5)
        );
    }

    #[test]
    fn the_difference_of_two_snapshots_is_what_came_in_between() {
        let histogram = Histogram::new();
        histogram.record(Duration::from_secs(9));
        let before = histogram.snapshot();
        let between = Histogram::new();
        for ms in [1, 1, 50] {
            histogram.record(Duration::from_millis(ms));
            between.record(Duration::from_millis(ms));
        }
        let (seen, between) = (histogram.snapshot().since(&before), between.snapshot());
        assert_eq!((seen.count(), seen.sum()), (3, Duration::from_millis(52)));
        assert!(seen.max() >= between.max() && seen.max() < Duration::from_millis(57));
        assert_eq!(before.clone().merged(&seen).buckets, histogram.snapshot().buckets);
        assert_eq!(before.since(&before), HistogramSnapshot::empty());
    }

    #[test]
    fn nothing_is_lost_when_threads_record_at_once() {
        let histogram = Histogram::new();
        std::thread::scope(|scope| {
            for thread in 1..=4u64 {
                let histogram = &histogram;
                scope.spawn(move || {
                    (0..1_000).for_each(|i| histogram.record(Duration::from_nanos(thread * i)));
                });
            }
        });
        let seen = histogram.snapshot();
        assert_eq!(seen.count(), 4_000);
        assert_eq!(seen.sum(), Duration::from_nanos(10 * 999 * 1_000 / 2));
        assert_eq!(seen.max(), Duration::from_nanos(4 * 999));
    }
}
