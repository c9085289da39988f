//! What a hook's last runs say about its next one.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hook_monitor::{Histogram, HistogramSnapshot};

use crate::{anomalies::Outlier, hook::Priority};

/// The runs that are remembered; as many as there are bits in [`Recent::failed`].
const WINDOW: usize = 64;
/// Fewer say nothing about what is usual.
const ENOUGH: usize = 20;
/// A run is out of the ordinary when it takes so many times the 95th percentile of those before it. A single
/// slow run is worth a mark, not an alarm.
const FACTOR: u32 = 4;
/// What passes for slow at all: below it, a busy machine is the likelier cause.
const LEAST: Duration = Duration::from_millis(20);

/// How long a hook takes and how reliable it is, learned from the runs that really happened: answers from the
/// cache say nothing about the hook.
#[derive(Debug)]
pub(crate) struct Estimate {
    /// The median of the runs that are remembered, in nanoseconds; before any, what the name suggests.
    median: AtomicU64,
    runs: AtomicU64,
    /// The share of successes, in millionths, the last run weighing a fifth.
    success: AtomicU32,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// In nanoseconds, in a ring.
    took: Vec<u64>,
    /// A bit for each of them: whether it failed.
    failed: u64,
    next: usize,
}

impl Estimate {
    pub(crate) fn new(guess: Duration) -> Self {
        Self {
            median: AtomicU64::new(nanos(guess)),
            runs: AtomicU64::new(0),
            success: AtomicU32::new(1_000_000),
            recent: Mutex::default(),
        }
    }

    /// How long the next run will probably take.
    pub(crate) fn typical(&self) -> Duration {
        Duration::from_nanos(self.median.load(Relaxed))
    }

    /// Runs that were learned from.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Relaxed)
    }

    /// The share of successes lately, 0 to 1.
    pub(crate) fn reliability(&self) -> f64 {
        f64::from(self.success.load(Relaxed)) / 1_000_000.0
    }

    /// Learns from one run, and says whether it was out of the ordinary.
    pub(crate) fn learn(&self, took: Duration, success: bool) -> Option<Outlier> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let outlier = recent.judge(took);
        recent.add(nanos(took), !success);
        self.median.store(recent.quantile(0.5), Relaxed);
        self.runs.fetch_add(1, Relaxed);
        let target = if success { 1_000_000 } else { 0 };
        let before = self.success.load(Relaxed);
        self.success.store((before * 4 + target) / 5, Relaxed);
        outlier
    }

    /// The runs that are remembered: how long they took, and how many of them failed.
    pub(crate) fn lately(&self) -> (HistogramSnapshot, u64) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let took = Histogram::new();
        recent
            .took
            .iter()
            .for_each(|nanos| took.record(Duration::from_nanos(*nanos)));
        (took.snapshot(), u64::from(recent.failed.count_ones()))
    }

    /// The place in the order of one event, less being earlier: ten for each priority; up to 4.9 for the median, at
    /// 100 ms each; and 5 for a hook that fails more than every tenth time lately. Slowness and failures never
    /// move a hook out of its priority.
    pub(crate) fn score(&self, priority: Priority) -> f64 {
        let class = f64::from(priority as u8 + 1) * 10.0;
        let slow = (self.typical().as_secs_f64() * 10.0).min(4.9);
        let unreliable = if self.reliability() < 0.9 { 5.0 } else { 0.0 };
        class + slow + unreliable
    }

    /// For the next process: what was learned.
    pub(crate) fn save(&self) -> Saved {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        Saved {
            runs: self.runs(),
            success_millionths: self.success.load(Relaxed),
            recent_micros: recent.in_order().map(|(nanos, _)| nanos / 1_000).collect(),
            recent_failed: recent.in_order().map(|(_, failed)| failed).collect(),
        }
    }

    pub(crate) fn restore(&self, saved: &Saved) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        *recent = Recent::default();
        let skip = saved.recent_micros.len().saturating_sub(WINDOW);
        for (at, micros) in saved.recent_micros.iter().enumerate().skip(skip) {
            let failed = saved.recent_failed.get(at).copied().unwrap_or_default();
            recent.add(micros.saturating_mul(1_000), failed);
        }
        if !recent.took.is_empty() {
            self.median.store(recent.quantile(0.5), Relaxed);
        }
        self.runs.store(saved.runs, Relaxed);
        self.success
            .store(saved.success_millionths.min(1_000_000), Relaxed);
    }
}

/// What is kept of an [`Estimate`] over the end of the process.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Saved {
    pub(crate) runs: u64,
    pub(crate) success_millionths: u32,
    /// The last runs, the oldest first.
    pub(crate) recent_micros: Vec<u64>,
    /// Which of them failed.
    #[serde(default)]
    pub(crate) recent_failed: Vec<bool>,
}

impl Recent {
    fn add(&mut self, nanos: u64, failed: bool) {
        self.failed = self.failed & !(1 << self.next) | u64::from(failed) << self.next;
        match self.took.len() {
            WINDOW => self.took[self.next] = nanos,
            _ => self.took.push(nanos),
        }
        self.next = (self.next + 1) % WINDOW;
    }

    /// How long each took and whether it failed, the oldest first.
    fn in_order(&self) -> impl Iterator<Item = (u64, bool)> + '_ {
        let from = if self.took.len() < WINDOW { 0 } else { self.next };
        let places = (from..self.took.len()).chain(0..from);
        places.map(|at| (self.took[at], self.failed >> at & 1 == 1))
    }

    /// The value at rank `q` of those remembered; zero when there is none.
    fn quantile(&self, q: f64) -> u64 {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let rank = ((sorted.len() as f64 * q).ceil() as usize).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    fn judge(&self, took: Duration) -> Option<Outlier> {
        if self.took.len() < ENOUGH || took < LEAST {
            return None;
        }
        let p95 = Duration::from_nanos(self.quantile(0.95));
        (took > p95.saturating_mul(FACTOR)).then(|| Outlier {
            took,
            usual: Duration::from_nanos(self.quantile(0.5)),
            p95,
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_median_follows_what_runs_really_take() {
        let estimate = Estimate::new(200 * MS);
        assert_eq!(estimate.typical(), 200 * MS);
        for _ in 0..3 {
            estimate.learn(30 * MS, true);
        }
        assert_eq!(estimate.typical(), 30 * MS);
        for _ in 0..WINDOW {
            estimate.learn(90 * MS, true);
        }
        assert_eq!(estimate.typical(), 90 * MS, "what is long ago is forgotten");
    }

    #[test]
    fn neither_slowness_nor_failures_move_a_hook_out_of_its_priority() {
        let slow = Estimate::new(MS);
        for _ in 0..WINDOW {
            slow.learn(Duration::from_secs(3600), false);
        }
        let quick = Estimate::new(MS);
        assert!(slow.score(Priority::Critical) < quick.score(Priority::High));
        assert!(slow.score(Priority::Normal) > quick.score(Priority::Normal));
    }

    #[test]
    fn a_run_far_above_the_usual_is_marked_and_constant_times_never_are() {
        let estimate = Estimate::new(MS);
        for _ in 0..100 {
            assert_eq!(estimate.learn(10 * MS, true), None);
        }
        let outlier = estimate.learn(100 * MS, true).expect("ten times the usual");
        assert_eq!((outlier.usual, outlier.took), (10 * MS, 100 * MS));
        // After a shift the new level is the usual one, not an anomaly for ever.
        let marked = (0..WINDOW)
            .filter(|_| estimate.learn(100 * MS, true).is_some())
            .count();
        assert!(marked <= 4, "{marked}");
    }

    #[test]
    fn what_was_learned_outlives_the_process() {
        let estimate = Estimate::new(MS);
        for run in 0..(2 * WINDOW as u32) {
            estimate.learn(run * MS, run % 2 == 0);
        }
        let other = Estimate::new(MS);
        other.restore(&estimate.save());
        assert_eq!(other.save(), estimate.save());
        assert_eq!(other.typical(), estimate.typical());
    }
}
