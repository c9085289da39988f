use std::time::Instant;

use super::{
    Direction,
    exceedance::{ALARM, CALM, Exceedance},
    latency::{ACCEPT_AFTER, ACCEPTED, ENOUGH, SILENCE, Step, TICK, WEIGHT, is_past},
};

/// The half-life of the baseline, in calls.
const HALF_LIFE: f64 = 2_000.0;

/// What share of the calls fails: the same detector as for latency, with a share for a histogram.
#[derive(Debug)]
pub(super) struct Errors {
    baseline: Share,
    candidate: Share,
    pending: Share,
    watched: Exceedance,
    alarm: Option<Instant>,
    heard: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) calls: f64,
    pub(super) failed: f64,
}

impl Share {
    /// 0 to 1; 0 of nothing.
    pub(super) fn ratio(&self) -> f64 {
        if self.calls > 0.0 {
            (self.failed / self.calls).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    fn add(&mut self, other: Self, weight: f64) {
        self.calls += other.calls * weight;
        self.failed += other.failed * weight;
    }

    fn fade(&mut self, rest: f64) {
        self.calls *= rest;
        self.failed *= rest;
    }
}

impl Errors {
    pub(super) fn new() -> Self {
        Self {
            baseline: Share::default(),
            candidate: Share::default(),
            pending: Share::default(),
            watched: Exceedance::new(5.0),
            alarm: None,
            heard: None,
        }
    }

    pub(super) fn usual(&self) -> f64 {
        self.baseline.ratio()
    }

    /// What is seen now: in the anomaly, if there is one.
    pub(super) fn seen(&self) -> f64 {
        if self.alarm.is_some() {
            self.candidate.ratio()
        } else {
            self.baseline.ratio()
        }
    }

    /// Judges `fresh` calls, and learns from them.
    pub(super) fn step(&mut self, now: Instant, fresh: Share) -> Step {
        self.pending.add(fresh, 1.0);
        if fresh.calls > 0.0 {
            self.heard = Some(now);
        }
        let pending = self.pending;
        if pending.calls < TICK {
            let silent = self.alarm.is_some() && self.heard.is_some_and(|heard| is_past(now, heard, SILENCE));
            if silent {
                self.calm_down();
            }
            return if silent { Step::Silent } else { Step::Waiting };
        }
        self.pending = Share::default();
        if self.baseline.calls >= ENOUGH {
            let seen = self.alarm.map(|_| self.candidate.ratio());
            self.watched
                .update(self.usual(), pending.failed, pending.calls, seen);
        }
        let (score, weight) = (self.watched.score(), (WEIGHT / pending.calls).min(1.0));
        let Some(since) = self.alarm else {
            if score > ALARM {
                self.alarm = Some(now);
                self.candidate.add(pending, weight);
                return Step::Began(Direction::Failing);
            }
            self.learn(pending, weight);
            return Step::Usual;
        };
        if score < CALM {
            self.calm_down();
            self.learn(pending, weight);
            return Step::Recovered;
        }
        self.candidate.add(pending, weight);
        let calls = self.candidate.calls;
        if calls < ACCEPTED && !(calls >= ENOUGH && is_past(now, since, ACCEPT_AFTER)) {
            return Step::GoesOn;
        }
        self.baseline = self.candidate;
        self.calm_down();
        Step::Accepted
    }

    fn learn(&mut self, pending: Share, weight: f64) {
        self.baseline
            .fade((-pending.calls.min(WEIGHT) / HALF_LIFE).exp2());
        self.baseline.add(pending, weight);
    }

    fn calm_down(&mut self) {
        self.alarm = None;
        self.candidate = Share::default();
        self.watched.reset();
    }
}
