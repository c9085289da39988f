//! The faults of other detectors, each with a test that ours does not have it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::sim::{KINDS, Kind, Sim, Stream};
use crate::{
    anomaly::{
        Signal,
        detector::{Detector, Fresh},
        weights::bucket_of,
    },
    histogram::BUCKETS,
};

/// What such detectors are at their simplest: a z-score against the last 50 calls, where a call that is odd is not
/// remembered. Nothing of the crate uses it.
struct Naive {
    window: VecDeque<f64>,
}

impl Naive {
    fn is_odd(&mut self, ms: f64) -> bool {
        let n = self.window.len() as f64;
        let mean = self.window.iter().sum::<f64>() / n;
        let variance = self.window.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / n;
        let is_odd = n >= 10.0 && (ms - mean).abs() / variance.sqrt() > 2.0;
        if !is_odd {
            self.window.push_back(ms);
            if self.window.len() > 50 {
                self.window.pop_front();
            }
        }
        is_odd
    }
}

/// The share of the last `of` calls of a stream that the naive detector calls odd.
fn naive(kind: Kind, before: usize, of: usize, by: f64) -> f64 {
    let mut stream = Stream::new(kind, 11);
    let mut naive = Naive {
        window: VecDeque::new(),
    };
    for _ in 0..before {
        naive.is_odd(stream.next());
    }
    let odd = (0..of).filter(|_| naive.is_odd(stream.next() * by)).count();
    odd as f64 / of as f64
}

#[test]
fn feedback_loop_of_leaving_out_what_is_odd() {
    // Leaving out what is odd trims the tail, so that more is odd: 20 % and more of calls like any other.
    for kind in [
        Kind::LogNormal(0.1),
        Kind::LogNormal(0.5),
        Kind::LogNormal(1.0),
        Kind::Pareto(1.8),
    ] {
        let share = naive(kind, 0, 20_000, 1.0);
        assert!(share > 0.15, "{kind:?}: the naive detector finds {share}");
        let mut sim = Sim::new(kind, 11);
        sim.run(20_000);
        assert_eq!((sim.flagged, sim.changes.len()), (0, 0), "{kind:?}");
        // What is learned is the whole stream, tail and all.
        let p99 = sim.detector.baseline().expect("a baseline").p99.as_secs_f64() * 1e3;
        let mut whole: Vec<_> = (0..20_000)
            .scan(Stream::new(kind, 12), |stream, _| Some(stream.next()))
            .collect();
        whole.sort_by(f64::total_cmp);
        assert!(
            (0.7..1.5).contains(&(p99 / whole[19_800])),
            "{kind:?}: {p99} for {}",
            whole[19_800]
        );
    }
}

#[test]
fn stuck_after_a_level_shift() {
    for kind in [Kind::LogNormal(0.1), Kind::LogNormal(0.5), Kind::Bimodal] {
        let stuck = naive(kind, 5_000, 20_000, 10.0);
        assert!(stuck > 0.95, "{kind:?}: the naive detector finds {stuck}");
        let mut sim = Sim::new(kind, 11);
        sim.run(5_000);
        sim.run_with(20_000, |_, ms| ms * 10.0);
        let share = sim.flagged as f64 / 20_000.0;
        assert!(
            share > 0.0 && share < 0.1 && !sim.is_active(Signal::Latency),
            "{kind:?}: {share}"
        );
    }
}

#[test]
fn zero_variance_divides_by_zero() {
    // The naive detector finds everything odd that is not the very same.
    let mut constant = Naive {
        window: std::iter::repeat_n(10.0, 50).collect(),
    };
    assert!(constant.is_odd(10.000_001));
    // Ours finds nothing in a constant, at zero, at the edge of a bucket, or at the end of time; nor in a tremble of it.
    for nanos in [0, 1, 1_024, 1 << 30, u64::MAX] {
        let mut detector = Detector::new();
        let mut now = Instant::now();
        for tick in 0..2_000u64 {
            let mut fresh = Fresh::new();
            // A hundred ticks on this side of the edge, and a hundred on the other.
            let trembling = nanos - nanos.min(tick / 100 % 2);
            fresh
                .latency
                .add(bucket_of(Duration::from_nanos(trembling)), 50.0);
            now += Duration::from_secs(1);
            assert_eq!(detector.tick(now, &fresh), [], "{nanos} ns, tick {tick}");
        }
        let (p50, p99) = detector.against_the_day().expect("a day");
        assert!(
            (p50, p99) == (1.0, 1.0) || nanos == 1 << 30 || nanos == 1_024,
            "{p50} {p99}"
        );
    }
}

#[test]
fn all_mass_in_one_bucket_is_not_below_its_own_tenth_percentile() {
    let mut sim = Sim::new(Kind::Constant, 0);
    sim.run(100_000);
    assert_eq!(sim.changes, []);
    // And a true change is noticed, for there is no scale in which it could be small.
    for by in [1.5, 0.5] {
        let before = sim.calls;
        sim.run_with(1_000, |_, ms| ms * by);
        assert!(
            sim.begun(Signal::Latency)
                .last()
                .is_some_and(|begun| begun - before <= 150),
            "x{by}"
        );
        sim.run_with(1_000, |_, ms| ms * by);
    }
}

#[test]
fn decay_during_an_alarm_freezes_it_under_the_guard() {
    // An anomaly at the moment when there is hardly enough for a verdict, and later ones, at every rate.
    for per_tick in [20, 50, 200, 5_000] {
        for before in [250, 400, 5_000] {
            let mut sim = Sim::new(Kind::LogNormal(0.3), 4);
            sim.per_tick = 50;
            sim.run(before);
            sim.per_tick = per_tick;
            sim.run_with(per_tick * 4, |_, ms| ms * 10.0);
            assert!(sim.is_active(Signal::Latency), "{per_tick} {before}");
            // The baseline of an anomaly is not touched, so it stays good for a verdict ...
            assert!(sim.detector.baseline().is_some());
            // ... and the anomaly is over, after 20 ticks or 1,000 calls, or a minute.
            sim.run_with((per_tick * 20).max(1_000), |_, ms| ms * 10.0);
            assert!(!sim.is_active(Signal::Latency), "{per_tick} {before}");
            assert!(sim.detector.baseline().is_some());
        }
    }
}

#[test]
fn dispersion_learned_from_an_anomaly_makes_the_next_one_look_usual() {
    // Ten incidents of the tail, with peace in between: the last is noticed like the first.
    let mut noticed = 0;
    for seed in 0..10 {
        let mut sim = Sim::new(Kind::LogNormal(0.5), seed);
        sim.run(5_000);
        for _ in 0..10 {
            let before = sim.calls;
            sim.run_with(
                900,
                |stream, ms| if stream.uniform() < 0.05 { ms * 20.0 } else { ms },
            );
            noticed += usize::from(sim.begun(Signal::Latency).iter().any(|begun| *begun > before));
            sim.run(5_000);
        }
    }
    println!("{noticed} of 100 incidents noticed");
    assert!(noticed >= 95, "{noticed} of 100 incidents noticed");
}

#[test]
fn single_samples_are_never_an_alert() {
    // A z-score of 3 is 2.7 alarms a second at a thousand calls. Ours waits for two ticks, whatever is in the first.
    for kind in KINDS {
        let mut sim = Sim::new(kind, 9);
        for _ in 0..20 {
            sim.run(2_000);
            sim.run_with(50, |_, _| 60_000.0);
        }
        assert_eq!(sim.begun(Signal::Latency), [] as [usize; 0], "{kind:?}");
    }
}

#[test]
fn extreme_input_gives_figures_and_not_nan() {
    let mut detector = Detector::new();
    let start = Instant::now();
    let counts = [0.0, 1.0, 49.0, 1e6, u64::MAX as f64];
    let mut seed = Stream::new(Kind::Constant, 3);
    for tick in 0..20_000 {
        let mut fresh = Fresh::new();
        for _ in 0..3 {
            let bucket = [0, 1, 7, 8, 200, BUCKETS - 2, BUCKETS - 1][(seed.uniform() * 7.0) as usize];
            fresh.latency.add(bucket, counts[(seed.uniform() * 5.0) as usize]);
        }
        fresh.slowest = (tick % 3 == 0).then_some(Duration::MAX);
        fresh.outcomes.calls = counts[(seed.uniform() * 5.0) as usize];
        fresh.outcomes.failed = fresh.outcomes.calls * [0.0, 0.5, 1.0][tick % 3];
        // A clock that stands still, jumps by a year, and goes back.
        let now = start + Duration::from_secs([0, 0, 365 * 24 * 3_600, 5][tick / 10 % 4]);
        detector.tick(now, &fresh);
        let baseline = detector.baseline().unwrap_or_default();
        assert!((0.0..=1.0).contains(&baseline.error_ratio));
        if let Some((p50, p99)) = detector.against_the_day() {
            assert!(p50.is_finite() && p99.is_finite() && p50 > 0.0 && p99 > 0.0);
        }
        for anomaly in detector.active.iter().flatten() {
            assert!((0.0..=1.0).contains(&anomaly.seen.error_ratio));
        }
    }
    // Afterwards it still works.
    let mut sim = Sim::new(Kind::LogNormal(0.5), 8);
    sim.detector = detector;
    sim.now = start + Duration::from_secs(2 * 365 * 24 * 3_600);
    sim.run(30_000);
    let before = sim.calls;
    sim.run_with(500, |_, ms| ms * 10.0);
    assert!(sim.begun(Signal::Latency).iter().any(|begun| *begun > before));
}
