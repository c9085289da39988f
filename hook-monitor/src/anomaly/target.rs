use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{Gather, HistogramSnapshot, Label, Source, Status, histogram::BUCKETS};

use super::{
    Anomaly, BaselineShift, Change, Exemplar, Level, Limit, Outlier, Totals,
    detector::{Detector, Fresh},
};

/// One thing that an [`AnomalyWatch`](super::AnomalyWatch) watches. A clone is the same target.
#[derive(Clone)]
pub struct AnomalyTarget {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    label: &'static str,
    observe: Observe,
    /// In nanoseconds: above this a call is out of the ordinary. Says nothing about other memory.
    threshold: AtomicU64,
    state: Mutex<State>,
}

type Observe = Box<dyn Fn() -> Observed + Send + Sync>;

#[derive(Debug)]
struct State {
    detector: Detector,
    /// The reading before; `None` before the first.
    last: Option<Last>,
    ticked: Option<Instant>,
    /// The last reading panicked.
    is_unreadable: bool,
}

#[derive(Debug)]
struct Last {
    counts: Box<[u64]>,
    successes: u64,
    failures: u64,
    slowest: Duration,
}

/// What a target has counted since it was made; all of it only ever grows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observed {
    /// How long calls took; `None` if that is not known.
    pub latency: Option<HistogramSnapshot>,
    /// Calls that did what they were for.
    pub successes: u64,
    /// Calls that did not.
    pub failures: u64,
}

impl Observed {
    /// So many successes and failures, and how long they took.
    pub fn new(latency: HistogramSnapshot, successes: u64, failures: u64) -> Self {
        Self {
            latency: Some(latency),
            successes,
            failures,
        }
    }

    /// What a source tells: its histogram of durations (`hook_call_duration_seconds`, or else the first whose
    /// name ends in `_duration_seconds`), and `hook_calls_total` by its `outcome`. Refusals (`rejected`) are failures, for
    /// they are to the caller; calls that are `ignored` or were `cancelled` are neither.
    pub fn of(source: &dyn Source) -> Self {
        let mut reader = Reader(Self {
            latency: None,
            successes: 0,
            failures: 0,
        });
        source.read(&mut reader);
        reader.0
    }
}

struct Reader(Observed);

impl Gather for Reader {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        if name != "hook_calls_total" {
            return;
        }
        match labels.iter().find(|(key, _)| *key == "outcome") {
            Some((_, "success" | "ok")) => self.0.successes = self.0.successes.saturating_add(value),
            Some((_, "failure" | "error" | "timeout" | "panicked" | "rejected")) => {
                self.0.failures = self.0.failures.saturating_add(value);
            }
            _ => {}
        }
    }

    fn gauge(&mut self, _: &'static str, _: &[Label], _: f64) {}

    fn histogram(&mut self, name: &'static str, _: &[Label], value: &HistogramSnapshot) {
        let is_known = self.0.latency.is_some();
        if name == "hook_call_duration_seconds" || (!is_known && name.ends_with("_duration_seconds")) {
            self.0.latency = Some(value.clone());
        }
    }
}

/// All that is known about a target, from [`AnomalyTarget::state`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TargetState {
    /// What is usual; `None` before 200 calls.
    pub baseline: Option<Level>,
    /// By how much the median and the 99th percentile are above those of the last day (a baseline with a half-life of
    /// 24 h): 1 is as they were, 2 twice as long. `None` before 200 calls. Tells of a drift too slow to be an anomaly.
    pub against_the_day: Option<(f64, f64)>,
    /// The anomalies of now: one of each [`Signal`](super::Signal) at most.
    pub active: Vec<Anomaly>,
    /// The last shift of the baseline, for ten minutes.
    pub shift: Option<BaselineShift>,
    /// The last 64 calls out of the ordinary, oldest first.
    pub exemplars: Vec<Exemplar>,
    /// What was counted since the target is watched.
    pub totals: Totals,
    /// The last tick.
    pub ticked: Option<Instant>,
    /// Whether the last reading of the target panicked; all else is as before it.
    pub is_unreadable: bool,
}

impl AnomalyTarget {
    pub(super) fn new(name: Arc<str>, label: &'static str, observe: Observe) -> Self {
        let state = State {
            detector: Detector::new(),
            last: None,
            ticked: None,
            is_unreadable: false,
        };
        Self {
            inner: Arc::new(Inner {
                name,
                label,
                observe,
                threshold: AtomicU64::new(u64::MAX),
                state: Mutex::new(state),
            }),
        }
    }

    /// The name of what is watched.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Sets an absolute limit beside the baseline, in place of the one before. Default: none.
    #[must_use]
    pub fn limit(self, limit: Limit) -> Self {
        self.lock().detector.limit = Some(limit);
        self
    }

    /// Whether a call that took so long is out of the ordinary: more than four times the usual 99th percentile.
    ///
    /// One relaxed load; records nothing, for the next tick sees the call anyway. No call is before there is a baseline.
    #[inline]
    pub fn judge(&self, took: Duration) -> Option<Outlier> {
        let threshold = self.inner.threshold.load(Relaxed);
        let is_usual = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) <= threshold;
        (!is_usual).then(|| Outlier {
            took,
            threshold: Duration::from_nanos(threshold),
        })
    }

    /// All that is known. For whoever looks, not for the call path.
    pub fn state(&self) -> TargetState {
        let state = self.lock();
        let detector = &state.detector;
        TargetState {
            baseline: detector.baseline(),
            against_the_day: detector.against_the_day(),
            active: detector.active.iter().flatten().copied().collect(),
            shift: detector.shift,
            exemplars: detector.exemplars.iter().copied().collect(),
            totals: detector.totals,
            ticked: state.ticked,
            is_unreadable: state.is_unreadable,
        }
    }

    /// Degraded during an anomaly, for ten minutes after the baseline has shifted for the worse, and while the target cannot
    /// be read. As of the last tick.
    pub fn status(&self) -> Status {
        let state = self.lock();
        let detector = &state.detector;
        let is_noted = detector.shift.is_some_and(|shift| shift.is_regression());
        if state.is_unreadable || is_noted || detector.active.iter().any(Option::is_some) {
            Status::Degraded
        } else {
            Status::Healthy
        }
    }

    pub(super) fn label(&self) -> &'static str {
        self.inner.label
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.inner.name)
    }

    /// Reads the target, without a lock, and judges what is new.
    pub(super) fn tick(&self, now: Instant) -> Vec<Change> {
        // One that panics must not end the watch over the others.
        let observed = catch_unwind(AssertUnwindSafe(|| (self.inner.observe)()));
        let mut guard = self.lock();
        let state = &mut *guard;
        state.is_unreadable = observed.is_err();
        state.ticked = Some(now);
        let Ok(observed) = observed else { return Vec::new() };
        let current = Last::from(observed);
        let fresh = state.last.as_ref().map(|last| current.since(last));
        state.last = Some(current);
        // The first reading is where counting begins: what was before may be years of calls.
        let changes = state.detector.tick(now, &fresh.unwrap_or_else(Fresh::new));
        self.inner.threshold.store(state.detector.threshold(), Relaxed);
        changes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    /// What came since `last`; nothing, where the counts went back: then the source began anew.
    fn since(&self, last: &Self) -> Fresh {
        let mut fresh = Fresh::new();
        let pairs = || self.counts.iter().zip(&last.counts);
        if pairs().all(|(now, before)| now >= before) {
            for (bucket, (now, before)) in pairs().enumerate() {
                fresh.latency.add(bucket, (now - before) as f64);
            }
            fresh.slowest = (self.slowest > last.slowest).then_some(self.slowest);
        }
        let successes = self.successes.checked_sub(last.successes);
        let failures = self.failures.checked_sub(last.failures);
        if let (Some(successes), Some(failures)) = (successes, failures) {
            fresh.outcomes.failed = failures as f64;
            fresh.outcomes.calls = successes as f64 + failures as f64;
        }
        fresh
    }
}

impl From<Observed> for Last {
    fn from(observed: Observed) -> Self {
        let latency = observed.latency.as_ref();
        Self {
            counts: latency.map_or_else(|| vec![0; BUCKETS].into(), |latency| latency.counts().into()),
            successes: observed.successes,
            failures: observed.failures,
            slowest: latency.map_or(Duration::ZERO, HistogramSnapshot::max),
        }
    }
}

impl fmt::Debug for AnomalyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyTarget")
            .field("name", &self.inner.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
