//! Streams of latencies, and a detector that watches them tick by tick.

use std::time::{Duration, Instant};

use crate::{
    anomaly::{
        Change, Signal,
        detector::{Detector, Fresh},
    },
    histogram::bucket,
};

/// Distributions of latency, in milliseconds, each with a median or mean of about ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Constant,
    LogNormal(f64),
    /// Nine of ten are hits, the tenth takes 50 times as long.
    Bimodal,
    Pareto(f64),
    /// The logarithm depends on the one before by this much.
    Autocorrelated(f64),
    /// The sum of three exponential ones.
    Erlang3,
}

pub(super) const KINDS: [Kind; 8] = [
    Kind::Constant,
    Kind::LogNormal(0.1),
    Kind::LogNormal(0.5),
    Kind::LogNormal(1.0),
    Kind::Bimodal,
    Kind::Pareto(1.8),
    Kind::Autocorrelated(0.5),
    Kind::Erlang3,
];

/// A seeded stream: the same seed, the same calls.
pub(super) struct Stream {
    kind: Kind,
    state: u64,
    previous: f64,
    spare: Option<f64>,
}

impl Stream {
    pub(super) fn new(kind: Kind, seed: u64) -> Self {
        Self {
            kind,
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d,
            previous: 0.0,
            spare: None,
        }
    }

    /// Uniform in 0..1, by SplitMix64.
    pub(super) fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    pub(super) fn next(&mut self) -> f64 {
        10.0 * match self.kind {
            Kind::Constant => 1.0,
            Kind::LogNormal(sigma) => (sigma * self.normal()).exp(),
            Kind::Bimodal => {
                let mode = if self.uniform() < 0.9 { 1.0 } else { 50.0 };
                mode * (0.2 * self.normal()).exp()
            }
            Kind::Pareto(alpha) => (1.0 - self.uniform()).powf(-1.0 / alpha),
            Kind::Autocorrelated(by) => {
                self.previous = by * self.previous + (1.0 - by * by).sqrt() * self.normal();
                (0.5 * self.previous).exp()
            }
            Kind::Erlang3 => {
                let product = (1.0 - self.uniform()) * (1.0 - self.uniform()) * (1.0 - self.uniform());
                -product.ln() / 3.0
            }
        }
    }
}

/// A detector, the stream it watches, and what it said.
pub(super) struct Sim {
    pub(super) detector: Detector,
    pub(super) stream: Stream,
    pub(super) now: Instant,
    /// Calls per tick. A tick is a second.
    pub(super) per_tick: usize,
    /// The share of calls that fail.
    pub(super) failing: f64,
    fresh: Fresh,
    slowest: f64,
    /// How many calls there were, and with which call each change came.
    pub(super) calls: usize,
    pub(super) changes: Vec<(usize, Change)>,
    /// Calls in ticks after which there was an anomaly of latency.
    pub(super) flagged: usize,
}

impl Sim {
    pub(super) fn new(kind: Kind, seed: u64) -> Self {
        Self {
            detector: Detector::new(),
            stream: Stream::new(kind, seed),
            now: Instant::now(),
            per_tick: 50,
            failing: 0.0,
            fresh: Fresh::new(),
            slowest: 0.0,
            calls: 0,
            changes: Vec::new(),
            flagged: 0,
        }
    }

    /// Lets `calls` happen as the stream has them.
    pub(super) fn run(&mut self, calls: usize) {
        self.run_with(calls, |_, ms| ms);
    }

    /// Lets `calls` happen, and each take what `change` makes of it.
    pub(super) fn run_with(&mut self, calls: usize, mut change: impl FnMut(&mut Stream, f64) -> f64) {
        let end = self.calls + calls;
        while self.calls < end {
            let batch = self.per_tick.min(end - self.calls);
            for _ in 0..batch {
                let ms = self.stream.next();
                let ms = change(&mut self.stream, ms);
                self.fresh.latency.add(bucket((ms * 1e6) as u64), 1.0);
                if ms > self.slowest {
                    self.slowest = ms;
                    self.fresh.slowest = Some(Duration::from_secs_f64(ms / 1_000.0));
                }
                self.fresh.outcomes.calls += 1.0;
                if self.failing > 0.0 && self.stream.uniform() < self.failing {
                    self.fresh.outcomes.failed += 1.0;
                }
            }
            self.calls += batch;
            self.tick();
            if self.is_active(Signal::Latency) {
                self.flagged += batch;
            }
        }
    }

    /// A second passes, and what is fresh is judged.
    pub(super) fn tick(&mut self) {
        self.now += Duration::from_secs(1);
        let changes = self.detector.tick(self.now, &self.fresh);
        self.changes
            .extend(changes.into_iter().map(|change| (self.calls, change)));
        self.fresh.latency.clear();
        self.fresh.slowest = None;
        self.fresh.outcomes = Default::default();
    }

    pub(super) fn is_active(&self, signal: Signal) -> bool {
        self.detector.active[signal as usize].is_some()
    }

    /// With which call each anomaly of a signal began.
    pub(super) fn begun(&self, signal: Signal) -> Vec<usize> {
        let begun = self.changes.iter().filter_map(|(call, change)| match change {
            Change::Began(anomaly) if anomaly.signal == signal => Some(*call),
            _ => None,
        });
        begun.collect()
    }

    /// With which call each anomaly of a signal ended.
    pub(super) fn ended(&self, signal: Signal) -> Vec<usize> {
        let ended = self.changes.iter().filter_map(|(call, change)| match change {
            Change::Ended { anomaly, .. } if anomaly.signal == signal => Some(*call),
            _ => None,
        });
        ended.collect()
    }
}
