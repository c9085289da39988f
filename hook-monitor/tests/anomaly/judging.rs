//! What counts as what.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use hook_monitor::{
    CallMonitor, Gather, Histogram, Source,
    anomaly::{AnomalyWatch, Limit, Observed},
};

use crate::support::{Fed, MS, figures, ticks};

#[test]
fn what_was_before_the_watch_is_no_news() {
    let (watch, fed, mut now) = (AnomalyWatch::new(), Fed::default(), Instant::now());
    fed.calls(1_000_000, 10 * MS);
    let target = fed.watched(&watch, "before");
    assert_eq!(watch.tick(now), []);
    assert_eq!((target.state().totals.calls, target.state().baseline), (0, None));
    ticks(&watch, &fed, &mut now, 5, MS);
    assert_eq!(target.state().totals.calls, 250);
    assert!(target.state().baseline.is_some_and(|level| level.p50 < 2 * MS));
}

#[test]
fn a_source_that_begins_anew_is_no_anomaly() {
    let (watch, fed, mut now) = (
        AnomalyWatch::new(),
        Arc::new(Mutex::new(Fed::default())),
        Instant::now(),
    );
    let target = {
        let fed = Arc::clone(&fed);
        watch.watch_with("anew".into(), move || fed.lock().unwrap().observed())
    };
    let first = fed.lock().unwrap().clone();
    assert_eq!(ticks(&watch, &first, &mut now, 40, 10 * MS), []);
    let calls = target.state().totals.calls;
    let second = Fed::default();
    *fed.lock().unwrap() = second.clone();
    assert_eq!(ticks(&watch, &second, &mut now, 1, 10 * MS), []);
    assert_eq!(target.state().totals.calls, calls);
    assert_eq!(ticks(&watch, &second, &mut now, 40, 10 * MS), []);
    assert_eq!(target.state().totals.calls, calls + 2_000);
}

#[test]
fn failures_panics_and_refusals_are_errors_and_cancelled_calls_are_not() {
    struct Told;
    impl Source for Told {
        fn layer(&self) -> &'static str {
            "test"
        }
        fn name(&self) -> &str {
            "told"
        }
        fn read(&self, into: &mut dyn Gather) {
            let outcomes = [
                ("success", 1),
                ("failure", 10),
                ("ignored", 100),
                ("cancelled", 1_000),
                ("panicked", 10_000),
                ("timeout", 100_000),
                ("rejected", 1_000_000),
            ];
            for (outcome, value) in outcomes {
                into.counter("hook_calls_total", &[("outcome", outcome)], value);
                into.counter("hook_other_total", &[("outcome", outcome)], value);
            }
            let other = Histogram::new();
            into.histogram("hook_cache_load_duration_seconds", &[], &other.snapshot());
            other.record(MS);
            into.histogram("hook_call_duration_seconds", &[], &other.snapshot());
        }
    }
    let told = Observed::of(&Told);
    assert_eq!((told.successes, told.failures), (1, 1_110_010));
    assert_eq!(told.latency.map(|latency| latency.count()), Some(1));

    let monitor = CallMonitor::new("real");
    monitor.start().finish(hook_monitor::Outcome::Success);
    monitor.start().finish(hook_monitor::Outcome::Failure);
    drop(monitor.start());
    let told = Observed::of(&monitor.handle());
    assert_eq!(
        (told.successes, told.failures),
        (1, 1),
        "cancelled calls say nothing"
    );
    assert_eq!(told.latency.map(|latency| latency.count()), Some(2));
}

#[test]
fn asking_about_a_call_allocates_nothing() {
    let (watch, fed, mut now) = (AnomalyWatch::new(), Fed::default(), Instant::now());
    let target = fed.watched(&watch, "asked");
    assert_eq!(target.judge(Duration::MAX), None);
    ticks(&watch, &fed, &mut now, 10, 10 * MS);
    let allocated = allocation_counter::measure(|| {
        assert_eq!(target.judge(10 * MS), None);
        assert!(target.judge(Duration::MAX).is_some());
    });
    assert_eq!(allocated.count_total, 0);
    fed.calls(1, Duration::MAX);
    watch.tick(now);
    assert_eq!(target.state().exemplars.len(), 1);
}

/// Counts near their ends, that go back and that come again, at instants that stand still and that go back.
#[test]
fn counts_at_their_ends_and_time_that_goes_nowhere_give_figures() {
    let successes = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let watch = AnomalyWatch::new();
    let latency = Arc::new(Histogram::new());
    let target = {
        let (latency, successes) = (Arc::clone(&latency), Arc::clone(&successes));
        watch.watch_with("ends".into(), move || {
            let count = successes.load(Relaxed);
            Observed::new(latency.snapshot(), count, u64::MAX - count)
        })
    };
    let target = target.limit(Limit::p99(Duration::MAX).for_ticks(u32::MAX));
    let start = Instant::now() + Duration::from_secs(100);
    for tick in 0..200_u64 {
        for took in [Duration::ZERO, MS, Duration::MAX] {
            (0..10).for_each(|_| latency.record(took));
        }
        successes.store([0, u64::MAX, 7, 1 << 63][tick as usize % 4], Relaxed);
        let now = match tick % 3 {
            0 => start,
            1 => start - Duration::from_secs(100),
            _ => start + Duration::from_secs(tick),
        };
        watch.tick(now);
        let state = target.state();
        let levels = state
            .active
            .iter()
            .flat_map(|anomaly| [anomaly.usual, anomaly.seen]);
        for level in levels.chain(state.baseline) {
            assert!((0.0..=1.0).contains(&level.error_ratio), "{level:?}");
        }
        if let Some((p50, p99)) = state.against_the_day {
            assert!(
                p50.is_finite() && p99.is_finite() && p50 > 0.0 && p99 > 0.0,
                "{p50} {p99}"
            );
        }
        assert!(state.exemplars.len() <= 64);
    }
    assert_eq!(
        target.state().totals.calls,
        199 * 30,
        "all but those before the first tick"
    );
    assert!(figures(&watch).iter().all(|(_, value)| value.is_finite()));
}
