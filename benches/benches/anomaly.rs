//! The watch over anomalies: what a call pays for asking whether it is out of the ordinary, and what a tick costs.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use benches::Mode;
use criterion::{BenchmarkId, Criterion};
use hook_monitor::{
    Histogram,
    anomaly::{AnomalyTarget, AnomalyWatch, Observed},
};

/// Targets that are watched, and the histograms behind them, each with a baseline of a few thousand calls.
fn watched(targets: usize) -> (AnomalyWatch, Vec<(Arc<Histogram>, AnomalyTarget)>, Instant) {
    let watch = AnomalyWatch::new();
    let targets = (0..targets).map(|i| {
        let latency = Arc::new(Histogram::new());
        let target = {
            let latency = Arc::clone(&latency);
            watch.watch_with(format!("target {i}").into(), move || {
                Observed::new(latency.snapshot(), 0, 0)
            })
        };
        (latency, target)
    });
    let targets: Vec<_> = targets.collect();
    let mut now = Instant::now();
    for _ in 0..100 {
        targets.iter().for_each(|(latency, _)| fifty(latency));
        now += Duration::from_secs(1);
        assert!(watch.tick(now).is_empty(), "nothing is amiss");
    }
    (watch, targets, now)
}

/// Calls of 1 to 3.5 ms.
fn fifty(latency: &Histogram) {
    (0..50).for_each(|i| latency.record(Duration::from_micros(1_000 + i * 50)));
}

fn a_call(c: &mut Criterion) {
    let mut group = c.benchmark_group("anomaly/call");
    let (_watch, targets, _) = watched(1);
    let (latency, target) = &targets[0];
    let took = Duration::from_millis(2);
    group.bench_function("Histogram::record, what is recorded anyway", |b| {
        b.iter(|| latency.record(black_box(took)));
    });
    group.bench_function("AnomalyTarget::judge", |b| {
        b.iter(|| target.judge(black_box(took)))
    });
    group.finish();
}

fn a_tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("anomaly/tick");
    for n in [1, 100] {
        let (watch, targets, mut now) = watched(n);
        group.bench_function(BenchmarkId::new("50 calls each, targets", n), |b| {
            b.iter(|| {
                for (latency, _) in &targets {
                    fifty(latency);
                }
                now += Duration::from_secs(1);
                watch.tick(now)
            });
        });
    }
    let (latency, _) = &watched(1).1[0];
    group.bench_function("50 calls alone, to subtract", |b| b.iter(|| fifty(latency)));
    group.finish();
}

fn main() {
    let mut criterion = Mode::asked().criterion();
    a_call(&mut criterion);
    a_tick(&mut criterion);
    criterion.final_summary();
}
