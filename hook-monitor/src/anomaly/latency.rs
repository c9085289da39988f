use std::time::{Duration, Instant};

use super::{
    Direction,
    exceedance::{ALARM, CALM, Exceedance},
    weights::Weights,
};

/// Fewer calls than this wait for the next tick.
pub(super) const TICK: f64 = 20.0;
/// A tick weighs no more than this many calls: at any rate, the baseline remembers at least 40 ticks and an
/// anomaly is accepted after 20 at the earliest.
pub(super) const WEIGHT: f64 = 50.0;
/// The half-life of the baseline, in calls.
const HALF_LIFE: f64 = 2_000.0;
/// No verdict before the baseline knows this many.
pub(super) const ENOUGH: f64 = 200.0;
/// A quantile is watched when this many calls of the baseline are beyond it.
const BEYOND: f64 = 10.0;
/// An anomaly is the new baseline after this many calls, or [`ACCEPT_AFTER`].
pub(super) const ACCEPTED: f64 = 1_000.0;
/// An anomaly is the new baseline after this, if it has had [`ENOUGH`] calls to make one.
pub(super) const ACCEPT_AFTER: Duration = Duration::from_secs(60);
/// An anomaly is over when nothing was heard for so long.
pub(super) const SILENCE: Duration = Duration::from_secs(300);

/// What one tick came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Too few calls to judge.
    Waiting,
    /// As usual.
    Usual,
    Began(Direction),
    GoesOn,
    Recovered,
    /// The anomaly is the baseline now.
    Accepted,
    Silent,
}

/// How long calls take: the baseline, and four quantiles of it that are watched.
#[derive(Debug)]
pub(super) struct Latency {
    pub(super) baseline: Weights,
    /// What the anomaly that is going on looks like.
    pub(super) candidate: Weights,
    /// What was not judged yet.
    pending: Weights,
    watched: [Quantile; 4],
    alarm: Option<Instant>,
    heard: Option<Instant>,
}

#[derive(Debug)]
struct Quantile {
    q: f64,
    direction: Direction,
    share: Exceedance,
}

/// What the limit needs to know of a tick that was judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// The share of calls above the bucket of the limit.
    pub(super) over: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Latency {
    pub(super) fn new() -> Self {
        let watched = [
            (0.50, Direction::Slow, 4.0),
            (0.90, Direction::Slow, 3.0),
            (0.99, Direction::Slow, 5.0),
            (0.10, Direction::Fast, 4.0),
        ];
        Self {
            baseline: Weights::new(),
            candidate: Weights::new(),
            pending: Weights::new(),
            watched: watched.map(|(q, direction, odds)| Quantile {
                q,
                direction,
                share: Exceedance::new(odds),
            }),
            alarm: None,
            heard: None,
        }
    }

    pub(super) fn knows_enough(&self) -> bool {
        self.baseline.total() >= ENOUGH
    }

    /// What is seen now: the anomaly, if there is one.
    pub(super) fn seen(&self) -> &Weights {
        if self.alarm.is_some() {
            &self.candidate
        } else {
            &self.baseline
        }
    }

    /// Judges `fresh` calls, and learns from them. `limit` is a bucket.
    pub(super) fn step(&mut self, now: Instant, fresh: &Weights, limit: usize) -> (Step, Option<Judged>) {
        self.pending.add_all(fresh, 1.0);
        if fresh.total() > 0.0 {
            self.heard = Some(now);
        }
        let n = self.pending.total();
        if n < TICK {
            let silent = self.alarm.is_some() && self.heard.is_some_and(|heard| is_past(now, heard, SILENCE));
            if silent {
                self.calm_down();
            }
            return (if silent { Step::Silent } else { Step::Waiting }, None);
        }
        let judged = Judged {
            over: self.pending.above(limit) / n,
            p50: self.pending.quantile(0.5),
            p99: self.pending.quantile(0.99),
        };
        let step = self.judge(now, n);
        self.pending.clear();
        (step, Some(judged))
    }

    fn judge(&mut self, now: Instant, n: f64) -> Step {
        let (mut score, mut direction) = (0.0, Direction::Slow);
        if self.knows_enough() {
            for quantile in &mut self.watched {
                let seen = self.alarm.map(|_| &self.candidate);
                quantile.update(&self.baseline, &self.pending, n, seen);
                if quantile.share.score() > score {
                    (score, direction) = (quantile.share.score(), quantile.direction);
                }
            }
        }
        let weight = (WEIGHT / n).min(1.0);
        let Some(since) = self.alarm else {
            if score > ALARM {
                self.alarm = Some(now);
                self.candidate.add_all(&self.pending, weight);
                return Step::Began(direction);
            }
            // Every tick that is no alarm is learned, also the odd one: leaving out what is odd would trim the
            // tail, and find more and more of it odd.
            self.learn(n, weight);
            return Step::Usual;
        };
        if score < CALM {
            self.calm_down();
            self.learn(n, weight);
            return Step::Recovered;
        }
        self.candidate.add_all(&self.pending, weight);
        let total = self.candidate.total();
        if total < ACCEPTED && !(total >= ENOUGH && is_past(now, since, ACCEPT_AFTER)) {
            return Step::GoesOn;
        }
        std::mem::swap(&mut self.baseline, &mut self.candidate);
        self.calm_down();
        Step::Accepted
    }

    /// The half-life is the same during an anomaly, when nothing is learned: a baseline that faded meanwhile
    /// could fall under what a verdict needs, and the anomaly would never end.
    fn learn(&mut self, n: f64, weight: f64) {
        self.baseline.fade((-n.min(WEIGHT) / HALF_LIFE).exp2());
        self.baseline.add_all(&self.pending, weight);
    }

    fn calm_down(&mut self) {
        self.alarm = None;
        self.candidate.clear();
        self.watched
            .iter_mut()
            .for_each(|quantile| quantile.share.reset());
    }
}

impl Quantile {
    fn update(&mut self, baseline: &Weights, pending: &Weights, n: f64, seen: Option<&Weights>) {
        let total = baseline.total();
        let is_slow = self.direction == Direction::Slow;
        let tail = if is_slow { 1.0 - self.q } else { self.q };
        if total * tail < BEYOND {
            return;
        }
        // One bucket further than the quantile's own. What is beyond is strictly beyond, so that a constant
        // latency exceeds nothing; and one that trembles over the edge of a bucket does not either.
        let bucket = baseline.bucket_of(self.q);
        let share = |of: &Weights| {
            let beyond = if is_slow {
                of.above(bucket + 1)
            } else {
                of.below(bucket.saturating_sub(1))
            };
            (beyond / of.total()).clamp(0.0, 1.0)
        };
        // Of what is seen in an anomaly there is a tick at least.
        let seen = seen.map(share);
        self.share.update(share(baseline), share(pending) * n, n, seen);
    }
}

/// Whether `after` has passed since `since`; no, if the clock went back.
pub(super) fn is_past(now: Instant, since: Instant, after: Duration) -> bool {
    now.saturating_duration_since(since) >= after
}
