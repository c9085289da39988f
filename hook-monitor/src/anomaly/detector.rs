use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::histogram::{BUCKETS, bucket, upper_edge};

use super::{
    Anomaly, BaselineShift, Change, Direction, EndedBy, Exemplar, Level, Limit, Severity, Signal,
    errors::{Errors, Share},
    latency::{ENOUGH, Judged, Latency, SILENCE, Step, is_past},
    weights::{self, Weights},
};

/// A call that takes more than so many times the usual 99th percentile is out of the ordinary.
const OUTLIER: u64 = 4;
/// Where everything takes no time at all, only what takes longer than this is out of the ordinary.
const LEAST: u64 = 1_000;
/// The exemplars that are kept.
const KEPT: usize = 64;
/// A shift of the baseline is noted for so long.
pub(super) const NOTED: Duration = Duration::from_secs(10 * 60);
/// The half-life of the slow baseline.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// All that is known about one target. Told of its calls and of the time, once per tick; a pure state machine.
#[derive(Debug)]
pub(super) struct Detector {
    latency: Latency,
    errors: Errors,
    pub(super) limit: Option<Limit>,
    /// Judged ticks in a row on the other side of the limit than the last verdict.
    against: u32,
    /// When the limit was last judged.
    judged: Option<Instant>,
    day: Weights,
    day_at: Option<Instant>,
    pub(super) active: [Option<Anomaly>; 3],
    pub(super) shift: Option<BaselineShift>,
    pub(super) exemplars: VecDeque<Exemplar>,
    pub(super) totals: Totals,
}

/// What was counted since the target is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Calls whose latency was learned or judged, and those that wait for more.
    pub calls: u64,
    /// Anomalies of latency, slow.
    pub slow: u64,
    /// Anomalies of latency, fast.
    pub fast: u64,
    /// Anomalies of errors.
    pub failing: u64,
    /// Times the limit was exceeded.
    pub over_limit: u64,
    /// Times an anomaly became the baseline.
    pub shifts: u64,
    /// Calls out of the ordinary.
    pub outliers: u64,
}

/// The calls that ended since the last tick.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) latency: Weights,
    /// The slowest call ever, if it was one of these.
    pub(super) slowest: Option<Duration>,
    pub(super) outcomes: Share,
}

impl Fresh {
    pub(super) fn new() -> Self {
        Self {
            latency: Weights::new(),
            slowest: None,
            outcomes: Share::default(),
        }
    }
}

impl Detector {
    pub(super) fn new() -> Self {
        Self {
            latency: Latency::new(),
            errors: Errors::new(),
            limit: None,
            against: 0,
            judged: None,
            day: Weights::new(),
            day_at: None,
            active: [None; 3],
            shift: None,
            exemplars: VecDeque::new(),
            totals: Totals::default(),
        }
    }

    /// Judges what is fresh, and learns from it. Says what changed, in order.
    pub(super) fn tick(&mut self, now: Instant, fresh: &Fresh) -> Vec<Change> {
        let mut changes = Vec::new();
        let calls = fresh.latency.total();
        self.totals.calls = self.totals.calls.saturating_add(calls as u64);
        self.note_outliers(now, fresh);
        self.remember_the_day(now, &fresh.latency);
        if self.shift.is_some_and(|shift| is_past(now, shift.at, NOTED)) {
            self.shift = None;
        }

        let before = self.usual();
        let limit = self.limit.map_or(BUCKETS, |limit| weights::bucket_of(limit.p99));
        let seen = self.seen();
        let (step, judged) = self.latency.step(now, &fresh.latency, limit);
        self.follow(Signal::Latency, step, now, before, seen, &mut changes);

        let (before, seen) = (self.usual(), self.seen());
        let step = self.errors.step(now, fresh.outcomes);
        self.follow(Signal::Errors, step, now, before, seen, &mut changes);

        self.watch_limit(now, judged, &mut changes);
        changes
    }

    /// Above this many nanoseconds a call is out of the ordinary; nothing is, before there is a baseline.
    pub(super) fn threshold(&self) -> u64 {
        if !self.latency.knows_enough() {
            return u64::MAX;
        }
        let p99 = self.latency.baseline.nanos(0.99);
        upper_edge(bucket(p99.saturating_mul(OUTLIER).max(LEAST)))
    }

    /// What is usual, once there is enough to say.
    pub(super) fn baseline(&self) -> Option<Level> {
        self.latency.knows_enough().then(|| self.usual())
    }

    /// By how much the median and the 99th percentile of now are above those of the slow baseline; `None` while
    /// there is too little of either.
    pub(super) fn against_the_day(&self) -> Option<(f64, f64)> {
        let seen = self.latency.seen();
        // An anomaly has had a tick at least, the baseline enough to be one.
        (self.latency.knows_enough() && self.day.total() >= ENOUGH)
            .then(|| [0.5, 0.99].map(|q| ratio(seen.quantile(q), self.day.quantile(q))))
            .map(|[p50, p99]| (p50, p99))
    }

    fn usual(&self) -> Level {
        level(&self.latency.baseline, self.errors.usual())
    }

    fn seen(&self) -> Level {
        level(self.latency.seen(), self.errors.seen())
    }

    /// What becomes of the anomaly of `signal` by a step of its detector. `before` and `last` are what was usual and what was
    /// seen before the step.
    fn follow(
        &mut self,
        signal: Signal,
        step: Step,
        now: Instant,
        before: Level,
        last: Level,
        changes: &mut Vec<Change>,
    ) {
        match step {
            Step::Waiting | Step::Usual => {}
            Step::Began(direction) => self.begin(signal, direction, now, before, self.seen(), changes),
            Step::GoesOn => self.go_on(signal, self.seen(), changes),
            Step::Recovered | Step::Silent => {
                let why = if step == Step::Silent {
                    EndedBy::Silent
                } else {
                    EndedBy::Recovered
                };
                self.end(signal, why, last, changes);
            }
            Step::Accepted => {
                let new = self.usual();
                if let Some(anomaly) = self.end(signal, EndedBy::Accepted, new, changes) {
                    let shift = BaselineShift {
                        signal,
                        direction: anomaly.direction,
                        at: now,
                        old: anomaly.usual,
                        new,
                    };
                    self.totals.shifts += 1;
                    self.shift = Some(shift);
                    changes.push(Change::BaselineShift(shift));
                }
            }
        }
    }

    fn begin(
        &mut self,
        signal: Signal,
        direction: Direction,
        now: Instant,
        usual: Level,
        seen: Level,
        changes: &mut Vec<Change>,
    ) {
        let count = match (signal, direction) {
            (Signal::Limit, _) => &mut self.totals.over_limit,
            (_, Direction::Slow) => &mut self.totals.slow,
            (_, Direction::Fast) => &mut self.totals.fast,
            (_, Direction::Failing) => &mut self.totals.failing,
        };
        *count += 1;
        let anomaly = Anomaly {
            signal,
            direction,
            severity: self.severity(signal, &usual, &seen),
            since: now,
            usual,
            seen,
        };
        self.active[signal as usize] = Some(anomaly);
        changes.push(Change::Began(anomaly));
    }

    fn go_on(&mut self, signal: Signal, seen: Level, changes: &mut Vec<Change>) {
        let Some(mut anomaly) = self.active[signal as usize] else {
            return;
        };
        anomaly.seen = seen;
        let severity = self.severity(signal, &anomaly.usual, &seen);
        if severity > anomaly.severity {
            anomaly.severity = severity;
            changes.push(Change::Worsened(anomaly));
        }
        self.active[signal as usize] = Some(anomaly);
    }

    fn end(
        &mut self,
        signal: Signal,
        why: EndedBy,
        seen: Level,
        changes: &mut Vec<Change>,
    ) -> Option<Anomaly> {
        let mut anomaly = self.active[signal as usize].take()?;
        anomaly.seen = seen;
        changes.push(Change::Ended { anomaly, why });
        Some(anomaly)
    }

    fn severity(&self, signal: Signal, usual: &Level, seen: &Level) -> Severity {
        let high = match signal {
            Signal::Latency => {
                let moved = ratio(seen.p50, usual.p50);
                !(1.0 / 3.0..3.0).contains(&moved)
            }
            Signal::Errors => seen.error_ratio >= 0.5,
            Signal::Limit => self.limit.is_some_and(|limit| ratio(seen.p99, limit.p99) >= 3.0),
        };
        if high { Severity::High } else { Severity::Medium }
    }

    fn watch_limit(&mut self, now: Instant, judged: Option<Judged>, changes: &mut Vec<Change>) {
        let active = self.active[Signal::Limit as usize];
        let Some(limit) = self.limit else {
            // It was taken away.
            if let Some(anomaly) = active {
                self.end(Signal::Limit, EndedBy::Recovered, anomaly.seen, changes);
            }
            return;
        };
        let Some(judged) = judged else {
            let silent = self.judged.is_some_and(|judged| is_past(now, judged, SILENCE));
            if let (Some(anomaly), true) = (active, silent) {
                self.against = 0;
                self.end(Signal::Limit, EndedBy::Silent, anomaly.seen, changes);
            }
            return;
        };
        self.judged = Some(now);
        let seen = Level {
            p50: judged.p50,
            p99: judged.p99,
            error_ratio: self.errors.seen(),
        };
        let is_over = judged.over > 0.01;
        self.against = if is_over == active.is_some() {
            0
        } else {
            self.against.saturating_add(1)
        };
        match active {
            None if self.against >= limit.ticks => {
                self.against = 0;
                self.begin(Signal::Limit, Direction::Slow, now, self.usual(), seen, changes);
            }
            Some(_) if self.against >= limit.ticks => {
                self.against = 0;
                self.end(Signal::Limit, EndedBy::Recovered, seen, changes);
            }
            Some(_) if is_over => self.go_on(Signal::Limit, seen, changes),
            _ => {}
        }
    }

    fn note_outliers(&mut self, now: Instant, fresh: &Fresh) {
        let is_slow =
            self.active[Signal::Latency as usize].is_some_and(|anomaly| anomaly.direction == Direction::Slow);
        // What is slow together is an anomaly, which has its own place.
        if !self.latency.knows_enough() || is_slow {
            return;
        }
        let above = bucket(self.threshold());
        let usual_p99 = self.latency.baseline.quantile(0.99);
        for (bucket, calls) in fresh
            .latency
            .filled()
            .rev()
            .take_while(|(bucket, _)| *bucket > above)
        {
            let calls = calls as u64;
            self.totals.outliers = self.totals.outliers.saturating_add(calls);
            if self.exemplars.len() == KEPT {
                self.exemplars.pop_front();
            }
            self.exemplars.push_back(Exemplar {
                at: now,
                took: fresh
                    .slowest
                    .filter(|slowest| weights::bucket_of(*slowest) == bucket)
                    .unwrap_or(Duration::from_nanos(upper_edge(bucket))),
                calls,
                usual_p99,
            });
        }
    }

    fn remember_the_day(&mut self, now: Instant, fresh: &Weights) {
        let last = *self.day_at.get_or_insert(now);
        let passed = now.saturating_duration_since(last);
        // A second is nothing in a day, and fading costs a walk over all of it.
        if passed >= Duration::from_secs(1) {
            self.day.fade((-passed.as_secs_f64() / DAY.as_secs_f64()).exp2());
            self.day_at = Some(now);
        }
        self.day.add_all(fresh, 1.0);
    }
}

fn level(latency: &Weights, error_ratio: f64) -> Level {
    Level {
        p50: latency.quantile(0.5),
        p99: latency.quantile(0.99),
        error_ratio,
    }
}

/// How many times `b` is `a`. A nanosecond more of each, so that nothing is divided by zero.
fn ratio(a: Duration, b: Duration) -> f64 {
    (a.as_nanos() as f64 + 1.0) / (b.as_nanos() as f64 + 1.0)
}
