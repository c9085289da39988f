use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Something that happened to a target, from [`AnomalyWatch::subscribe`](super::AnomalyWatch::subscribe) and
/// [`AnomalyWatch::tick`](super::AnomalyWatch::tick).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnomalyEvent {
    /// The name of the target.
    pub target: Arc<str>,
    /// When: the time of the tick that noticed.
    pub at: Instant,
    /// What.
    pub change: Change,
}

/// What happened to a target.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// An anomaly began.
    Began(Anomaly),
    /// An anomaly that was medium is high now.
    Worsened(Anomaly),
    /// An anomaly is over.
    Ended {
        /// As it was at last.
        anomaly: Anomaly,
        /// Why it is over.
        why: EndedBy,
    },
    /// What was an anomaly lasted, and is what is usual from now on.
    BaselineShift(BaselineShift),
}

/// What is not as usual.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Anomaly {
    /// Of what.
    pub signal: Signal,
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub severity: Severity,
    /// When it was noticed.
    pub since: Instant,
    /// What was usual before.
    pub usual: Level,
    /// What is seen since then.
    pub seen: Level,
}

/// What an anomaly is an anomaly of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// How long calls take, against what they usually take.
    Latency,
    /// The share of calls that fail, against what is usual.
    Errors,
    /// How long calls take, against the target's [`Limit`].
    Limit,
}

/// Which way an anomaly goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// Calls take longer.
    Slow,
    /// Calls take less, which is as suspicious: errors and empty answers are quick.
    Fast,
    /// More calls fail.
    Failing,
}

/// How bad an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Noticeable: some calls are affected, or all of them a little.
    Medium,
    /// The median is three times as high or as low, or half of the calls fail.
    High,
}

/// Why an anomaly is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndedBy {
    /// Things are as before.
    Recovered,
    /// It lasted, and is the new baseline; a [`BaselineShift`] follows.
    Accepted,
    /// There were no calls for five minutes that could say.
    Silent,
}

/// What was an anomaly lasted, and is what is usual from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BaselineShift {
    /// Of what.
    pub signal: Signal,
    /// Which way.
    pub direction: Direction,
    /// When.
    pub at: Instant,
    /// What was usual.
    pub old: Level,
    /// What is usual now.
    pub new: Level,
}

/// How a target does. Durations are the upper edges of their buckets: at most 12.5 % too high.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Level {
    /// The median latency; zero when there is none.
    pub p50: Duration,
    /// What 99 % of the calls do not exceed; zero when there is none.
    pub p99: Duration,
    /// The share of failures, 0 to 1; 0 when there are no calls.
    pub error_ratio: f64,
}

/// An absolute limit to the 99th percentile, beside what is usual: for slow drift, which a baseline follows.
///
/// A tick is over when more than 1 % of its calls took longer; in ticks of fewer than 100 calls, one does. The anomaly
/// begins with the last of [`for_ticks`](Limit::for_ticks) ticks in a row that are over, and ends with as many that are not.
/// The limit itself is taken up to the edge of its bucket (12.5 % at most).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub(super) p99: Duration,
    pub(super) ticks: u32,
}

impl Limit {
    /// The 99th percentile is to stay within `limit`. Three ticks in a row count.
    pub const fn p99(limit: Duration) -> Self {
        Self { p99: limit, ticks: 3 }
    }

    /// How many ticks in a row begin and end the anomaly; 0 counts as 1. Only ticks that were judged count: those with 20
    /// calls or more, of their own or left from before.
    #[must_use]
    pub const fn for_ticks(self, ticks: u32) -> Self {
        Self {
            p99: self.p99,
            ticks: if ticks == 0 { 1 } else { ticks },
        }
    }
}

/// One call, or a few of one tick, that took more than four times the usual 99th percentile.
///
/// Not an anomaly by itself: there is always a slowest call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exemplar {
    /// The tick that noticed.
    pub at: Instant,
    /// How long it took: exactly where it is the slowest call so far, at most 12.5 % too high else.
    pub took: Duration,
    /// How many there were of about that duration.
    pub calls: u64,
    /// What 99 % of the calls did not exceed.
    pub usual_p99: Duration,
}

/// A call that takes far longer than is usual, from [`AnomalyTarget::judge`](super::AnomalyTarget::judge).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlier {
    /// How long it took.
    pub took: Duration,
    /// More than this is out of the ordinary: four times the usual 99th percentile, up to the edge of its bucket.
    pub threshold: Duration,
}

impl BaselineShift {
    /// Whether the new baseline is worse than the old one: slower, or with more failures.
    pub fn is_regression(&self) -> bool {
        self.direction != Direction::Fast
    }
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Latency, Self::Errors, Self::Limit];

    /// As in the label of a figure.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Limit => "limit",
        }
    }
}

impl Direction {
    /// As in the label of a figure.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Fast => "fast",
            Self::Failing => "failing",
        }
    }
}

impl Severity {
    /// `medium` or `high`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
