//! Counters, gauges and histograms, by value.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hook_monitor::{
    CallMonitor, Histogram, HistogramSnapshot, Label, Monitor, Outcome,
    metrics::{CATALOG, Kind, Publisher},
    prometheus::{self, Exporter},
};

use crate::scrape::Scrape;
use crate::support::{parsed, tells};

#[test]
fn every_series_is_in_the_first_scrape_with_help_and_type() {
    let monitor = Monitor::new();
    monitor.register(CallMonitor::new("api").handle()).unwrap();
    let seen = parsed(&Exporter::new(&monitor));
    for outcome in [
        "ok",
        "error",
        "ignored",
        "rejected",
        "timeout",
        "cancelled",
        "panicked",
    ] {
        let labels = [("layer", "monitor"), ("name", "api"), ("outcome", outcome)];
        assert_eq!(seen.get("hook_calls_total", &labels), Some(0.0), "{outcome}");
    }
    assert_eq!(seen.get("hook_calls_in_flight", &[]), Some(0.0));
    assert_eq!(seen.get("hook_call_duration_seconds_count", &[]), Some(0.0));
    assert_eq!(seen.get("hook_monitor_label_overflow_total", &[]), Some(0.0));
    assert_eq!(
        seen.get("hook_monitor_invalid_samples_total", &[("reason", "value")]),
        Some(0.0)
    );
    for (name, family) in &seen.families {
        let known = CATALOG.iter().find(|known| known.name == name).expect(name);
        assert_eq!(family.help.as_deref(), Some(known.help));
        let kind = match known.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(family.kind, kind, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_histogram_is_one_with_buckets_and_not_a_summary_and_its_sum_is_right() {
    let calls = CallMonitor::new("api");
    let monitor = Monitor::new();
    monitor.register(calls.handle()).unwrap();
    let exporter = Exporter::new(&monitor);
    let mut sum = 0.0;
    for round in 1..=3u64 {
        for ms in [3, 30, 300, 301, 302] {
            let call = calls.start();
            tokio::time::advance(Duration::from_millis(ms)).await;
            call.finish(Outcome::Success);
            sum += ms as f64 / 1e3;
        }
        // Each round is told once, however often it is asked.
        parsed(&exporter);
        let seen = parsed(&exporter);
        let count = |le: &str| {
            seen.get("hook_call_duration_seconds_bucket", &[("le", le)])
                .unwrap()
        };
        let n = round as f64;
        assert_eq!([count("0.001"), count("0.005"), count("0.05")], [0.0, n, 2.0 * n]);
        assert_eq!(
            [count("0.25"), count("0.5"), count("+Inf")],
            [2.0 * n, 5.0 * n, 5.0 * n]
        );
        let told = seen.get("hook_call_duration_seconds_sum", &[]).unwrap();
        assert!((told / sum - 1.0).abs() < 0.01, "{told} of {sum}");
    }
}

#[test]
fn a_recorder_that_is_installed_late_has_lost_nothing_and_another_is_told_all() {
    let calls = CallMonitor::new("api");
    let monitor = Monitor::new();
    monitor.register(calls.handle()).unwrap();
    let mut publisher = Publisher::new(&monitor);
    (0..5).for_each(|_| calls.start().finish(Outcome::Success));
    assert!(!publisher.publish(), "there is none yet");

    let late = prometheus::builder().build_recorder();
    metrics::with_local_recorder(&late, || assert!(publisher.publish()));
    calls.start().finish(Outcome::Success);
    metrics::with_local_recorder(&late, || assert!(publisher.publish()));
    let other = prometheus::builder().build_recorder();
    publisher.publish_to(&other);
    for recorder in [late, other] {
        let seen = Scrape::parse(&recorder.handle().render()).unwrap();
        assert_eq!(seen.get("hook_calls_total", &[("outcome", "ok")]), Some(6.0));
        assert_eq!(seen.get("hook_call_duration_seconds_count", &[]), Some(6.0));
    }
}

#[test]
fn a_counter_that_goes_back_stays_and_does_not_wrap() {
    let count = Arc::new(AtomicU64::new(10));
    let told = Arc::clone(&count);
    let exporter = Exporter::new(&tells("x", move |into| {
        into.counter("hook_told_total", &[], told.load(Relaxed));
    }));
    for (value, expected) in [(10, 10.0), (5, 10.0), (u64::MAX, u64::MAX as f64)] {
        count.store(value, Relaxed);
        assert_eq!(parsed(&exporter).get("hook_told_total", &[]), Some(expected));
    }
}

#[test]
fn what_is_no_number_is_dropped_and_counted_and_no_sum_is_nan_for_ever() {
    let histogram = Histogram::new();
    histogram.record_secs(f64::NAN);
    histogram.record_secs(-1.0);
    histogram.record(Duration::MAX);
    histogram.record(Duration::from_millis(5));
    let exporter = Exporter::new(&tells("x", move |into| {
        into.gauge("hook_told_nan", &[], f64::NAN);
        into.gauge("hook_told_level", &[], 1.0);
        into.gauge("hook_told_level", &[], f64::INFINITY);
        into.histogram("hook_told_seconds", &[], &histogram.snapshot());
    }));
    let seen = parsed(&exporter);
    assert_eq!(seen.get("hook_told_nan", &[]), None);
    assert_eq!(seen.get("hook_told_level", &[]), Some(1.0));
    assert_eq!(seen.get("hook_told_seconds_count", &[]), Some(2.0));
    let invalid =
        |seen: &Scrape, reason| seen.get("hook_monitor_invalid_samples_total", &[("reason", reason)]);
    assert_eq!(invalid(&seen, "value"), Some(2.0));
    assert_eq!(invalid(&seen, "duration"), Some(3.0));
    // A year is what an absurd one counts for in the sum.
    let sum = seen.get("hook_told_seconds_sum", &[]).unwrap();
    assert!(sum.is_finite() && sum > 0.0, "{sum}");
    assert_eq!(
        invalid(&parsed(&exporter), "duration"),
        Some(3.0),
        "counted again"
    );
}

#[test]
fn other_gauges_and_histograms_are_sums_of_this_moment() {
    let labels: Vec<&'static str> = (0..262)
        .map(|n| &*Box::leak(format!("{n}").into_boxed_str()))
        .collect();
    let one = Histogram::new();
    one.record(Duration::from_millis(10));
    let exporter = Exporter::new(&tells("x", move |into| {
        for label in &labels {
            let label: [Label; 1] = [("user", *label)];
            into.gauge("hook_told_level", &label, 2.0);
            into.histogram("hook_told_seconds", &label, &one.snapshot());
        }
    }));
    for _ in 0..2 {
        let seen = parsed(&exporter);
        assert_eq!(seen.get("hook_told_level", &[("user", "other")]), Some(12.0));
        assert_eq!(
            seen.get("hook_told_seconds_count", &[("user", "other")]),
            Some(6.0)
        );
    }
}

#[test]
fn a_distribution_of_values_is_a_histogram_that_counts_each_once() {
    let rounds = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&rounds);
    let exporter = Exporter::new(&tells("x", move |into| {
        let n = told.load(Relaxed);
        let seen = [(1.0, 3 * n), (2.0, n), (9.0, n), (f64::NAN, n)];
        into.distribution("hook_retry_attempts", &[], &seen);
        into.gauge("hook_retry_attempts", &[], 1.0);
    }));
    for round in 0..4u64 {
        rounds.store(round, Relaxed);
        let seen = parsed(&exporter);
        let n = round as f64;
        let bucket = |le| seen.get("hook_retry_attempts_bucket", &[("le", le)]);
        assert_eq!(
            [bucket("1"), bucket("2"), bucket("8"), bucket("+Inf")],
            [3.0 * n, 4.0 * n, 4.0 * n, 5.0 * n].map(Some),
        );
        assert_eq!(seen.get("hook_retry_attempts_sum", &[]), Some(14.0 * n));
        let invalid = |reason| seen.get("hook_monitor_invalid_samples_total", &[("reason", reason)]);
        // One each time that there was one to be told.
        assert_eq!((invalid("value"), invalid("kind")), (Some(n), Some(n + 1.0)));
    }
}

/// Samples pile up in a recorder that nobody scrapes, unless it is told to tidy up.
#[test]
fn a_histogram_that_is_not_scraped_does_not_pile_up_samples() {
    let calls = CallMonitor::new("api");
    let monitor = Monitor::new();
    monitor.register(calls.handle()).unwrap();
    let exporter = Exporter::new(&monitor);
    exporter.tick();
    let held = |exporter: &Exporter| {
        (0..1_000).for_each(|_| calls.start().finish(Outcome::Success));
        let kept = allocation_counter::measure(|| exporter.tick());
        kept.bytes_current
    };
    held(&exporter);
    let kept: i64 = (0..50).map(|_| held(&exporter)).sum();
    // 800,000 if they piled up. What the recorder frees, it frees some time later, so that a few blocks are always about.
    assert!(kept < 200_000, "{kept} bytes were kept of 50,000 samples");
}

/// The empty snapshot is what a histogram begins with.
#[test]
fn nothing_recorded_is_nothing_told() {
    let exporter = Exporter::new(&tells("x", |into| {
        into.histogram("hook_told_seconds", &[], &HistogramSnapshot::empty());
    }));
    assert_eq!(parsed(&exporter).get("hook_told_seconds_sum", &[]), Some(0.0));
}
