use std::time::{Duration, Instant};

use crate::policy::Tally;

/// The calls of the last while: a ring of buckets, each with the calls of a part of it.
///
/// Buckets lie from `origin` on, each `bucket` long. Alive are the one that `now` is in and those before it, as
/// many in all as there are; a call exactly as old as the window is out.
#[derive(Clone, Debug)]
pub(crate) struct Lapse {
    buckets: Box<[Bucket]>,
    origin: Instant,
    /// In nanoseconds; never zero.
    bucket: u64,
    /// The latest bucket there is.
    latest: u64,
    sum: Bucket,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow_calls: u64,
}

impl Lapse {
    pub(crate) fn new(length: Duration, buckets: u32, now: Instant) -> Self {
        let nanos = length.as_nanos().div_ceil(u128::from(buckets));
        Self {
            buckets: vec![Bucket::default(); buckets as usize].into(),
            origin: now,
            bucket: u64::try_from(nanos).unwrap_or(u64::MAX).max(1),
            latest: 0,
            sum: Bucket::default(),
        }
    }

    /// Forgets everything, and begins its first bucket now.
    pub(crate) fn clear(&mut self, now: Instant) {
        self.buckets.fill(Bucket::default());
        self.sum = Bucket::default();
        (self.origin, self.latest) = (now, 0);
    }

    /// Calls of the time `at`. What is older than the window is not heard; what is younger advances it.
    pub(crate) fn push(&mut self, what: Bucket, at: Instant) {
        let index = self.index(at);
        self.advance(index);
        if self.latest - index < self.buckets.len() as u64 {
            let place = self.place(index);
            self.buckets[place].add(what);
            self.sum.add(what);
        }
    }

    /// Forgets everything, and begins its first bucket a whole window ago, so that there is a past to be told of.
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn clear_with_past(&mut self, now: Instant) {
        let length = Duration::from_nanos(self.bucket.saturating_mul(self.buckets.len() as u64));
        self.clear(now.checked_sub(length).unwrap_or(now));
        self.prune(now);
    }

    /// Lets what is too old at `now` go.
    pub(crate) fn prune(&mut self, now: Instant) {
        self.advance(self.index(now));
    }

    fn advance(&mut self, to: u64) {
        let steps = to.saturating_sub(self.latest).min(self.buckets.len() as u64);
        self.latest = self.latest.max(to);
        for back in 0..steps {
            let place = self.place(self.latest - back);
            let gone = std::mem::take(&mut self.buckets[place]);
            self.sum.subtract(gone);
        }
    }

    fn index(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX) / self.bucket
    }

    fn place(&self, index: u64) -> usize {
        (index % self.buckets.len() as u64) as usize
    }

    /// When the bucket that `now` is in ends, if it ever does.
    pub(crate) fn next_bucket(&self, now: Instant) -> Option<Instant> {
        let nanos = self.bucket.checked_mul(self.index(now) + 1)?;
        self.origin.checked_add(Duration::from_nanos(nanos))
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            calls: self.sum.calls,
            failures: self.sum.failures,
            slow_calls: self.sum.slow_calls,
            ..Tally::default()
        }
    }

    /// The buckets that are not empty, the oldest first, each with when it began.
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, Bucket)> {
        let oldest = (self.latest + 1).saturating_sub(self.buckets.len() as u64);
        (oldest..=self.latest)
            .map(|index| {
                let began = self.origin + Duration::from_nanos(self.bucket.saturating_mul(index));
                (began, self.buckets[self.place(index)])
            })
            .filter(|(_, bucket)| *bucket != Bucket::default())
    }
}

impl Bucket {
    pub(crate) fn successes(calls: u64) -> Self {
        Self {
            calls,
            ..Self::default()
        }
    }

    pub(crate) fn call(failed: bool, slow: bool) -> Self {
        Self {
            calls: 1,
            failures: failed.into(),
            slow_calls: slow.into(),
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow_calls += other.slow_calls;
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow_calls -= other.slow_calls;
    }
}
