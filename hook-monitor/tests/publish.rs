//! What is published, by value, read back by a strict reader of the text format. Each fault that exporters and their
//! users are known for has a test here.

mod scrape;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hook_monitor::{
    CallMonitor, Ending, Gather, Histogram, HistogramSnapshot, Label, Monitor, Outcome, Source,
    metrics::{CATALOG, Kind, Publisher},
    prometheus::{self, Exporter},
};
use scrape::Scrape;

/// A source that tells whatever a closure tells.
struct Tells<F>(&'static str, String, F);

impl<F: Fn(&mut dyn Gather) + Send + Sync> Source for Tells<F> {
    fn layer(&self) -> &'static str {
        self.0
    }

    fn name(&self) -> &str {
        &self.1
    }

    fn read(&self, into: &mut dyn Gather) {
        (self.2)(into);
    }
}

fn tells(name: &str, tell: impl Fn(&mut dyn Gather) + Send + Sync + 'static) -> Monitor {
    let monitor = Monitor::new();
    monitor.register(Tells("told", name.to_owned(), tell)).unwrap();
    monitor
}

#[track_caller]
fn parsed(exporter: &Exporter) -> Scrape {
    let text = exporter.render();
    Scrape::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

#[test]
fn the_reader_is_strict() {
    for (text, wrong) in [
        ("x 1", "no end"),
        ("x 1\n", "before any TYPE"),
        ("# TYPE x counter\n# TYPE x gauge\nx 1\n", "TYPE is there twice"),
        ("# TYPE x counter\n# HELP x late\nx 1\n", "after TYPE"),
        ("# HELP x a\n# HELP x b\n# TYPE x counter\nx 1\n", "twice"),
        ("# HELP x a\n", "without a TYPE"),
        ("# TYPE x counter\n", "without a sample"),
        ("# TYPE x counter\ny 1\n", "outside its family"),
        ("# TYPE x counter\nx -1\n", "counts nothing"),
        ("# TYPE x counter\nx 1\nx 2\n", "series is there twice"),
        (
            "# TYPE x gauge\nx{a=\"1\",b=\"2\"} 1\nx{b=\"2\",a=\"1\"} 1\n",
            "series is there twice",
        ),
        ("# TYPE x gauge\nx{a=\"1\",a=\"1\"} 1\n", "label a is there twice"),
        ("# TYPE x gauge\nx{a=\"\\q\"} 1\n", "escape"),
        ("# TYPE x gauge\nx{__name__=\"y\"} 1\n", "name of a label"),
        ("# TYPE x gauge\nx inf\n", "no number"),
        ("# TYPE x gauge\nx  1\n", "no number"),
        (
            "# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 1\nx_count 1\n",
            "+Inf",
        ),
        (
            "# TYPE x histogram\nx_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 1\n",
            "ascend",
        ),
        (
            "# TYPE x histogram\nx_bucket{le=\"+Inf\"} 1\nx_sum NaN\nx_count 1\n",
            "finite",
        ),
        (
            "# TYPE x histogram\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 2\n",
            "+Inf",
        ),
    ] {
        let why = Scrape::parse(text).expect_err(text);
        assert!(why.contains(wrong), "{text}: {why}");
    }
    let fine = "# HELP x y z\n# TYPE x gauge\nx{a=\"\\\\ \\\" \\n }\"} 1e3\n";
    assert_eq!(
        Scrape::parse(fine).unwrap().get("x", &[("a", "\\ \" \n }")]),
        Some(1000.0)
    );
}

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
fn names_that_would_be_rewritten_or_taken_and_kinds_that_clash_are_left_out() {
    let exporter = Exporter::new(&tells("x", |into| {
        into.counter("cache.requests-by/route", &[], 1);
        into.counter("cache_requests_by_route", &[], 2);
        into.counter("hook_told_total", &[("__name__", "evil")], 1);
        into.counter("hook_told_dual", &[], 1);
        into.gauge("hook_told_dual", &[("a", "b")], 2.0);
        into.gauge("hook_calls_total", &[], 7.0);
    }));
    let seen = parsed(&exporter);
    assert_eq!(seen.get("cache_requests_by_route", &[]), Some(2.0));
    assert_eq!(seen.get("hook_told_dual", &[]), Some(1.0));
    assert!(
        !seen.families.contains_key("hook_told_total") && !seen.families.contains_key("hook_calls_total")
    );
    let invalid = |reason| {
        seen.get("hook_monitor_invalid_samples_total", &[("reason", reason)])
            .unwrap()
    };
    assert_eq!(
        [invalid("name"), invalid("label"), invalid("kind")],
        [1.0, 1.0, 2.0]
    );
}

#[test]
fn hostile_names_are_escaped() {
    let name = "a\"} 1\n# TYPE evil counter\nevil{x=\"\\";
    let exporter = Exporter::new(&tells(name, |into| into.gauge("hook_told_level", &[], 1.0)));
    let seen = parsed(&exporter);
    assert_eq!(seen.get("hook_told_level", &[("name", name)]), Some(1.0));
    assert!(!seen.families.contains_key("evil"));
}

#[test]
fn a_hundred_thousand_hostile_labels_are_a_few_series_and_an_other_that_has_the_rest() {
    let labels: Vec<&'static str> = (0..100_000)
        .map(|n| &*Box::leak(format!("user {n}").into_boxed_str()))
        .collect();
    let exporter = Exporter::new(&tells("x", move |into| {
        for label in &labels {
            into.counter("hook_told_total", &[("user", *label)], 1);
        }
    }));
    for round in 1..=2 {
        let seen = parsed(&exporter);
        assert_eq!(seen.samples("hook_told_total").count(), 257);
        let other = seen.get("hook_told_total", &[("user", "other")]);
        assert_eq!(other, Some(100_000.0 - 256.0));
        let overflow = seen.get("hook_monitor_label_overflow_total", &[]);
        assert_eq!(overflow, Some(f64::from(round) * (100_000.0 - 256.0)));
        assert!(seen.series() < 300, "{}", seen.series());
    }
}

#[test]
fn sources_without_room_count_as_overflow() {
    let monitor = Monitor::new().limit_per_layer(2);
    for n in 0..1_000 {
        let source = Tells("told", format!("{n}"), |into: &mut dyn Gather| {
            into.gauge("hook_told_level", &[], 1.0);
        });
        assert_eq!(monitor.register(source).is_ok(), n < 2);
    }
    let seen = parsed(&Exporter::new(&monitor));
    assert_eq!(seen.samples("hook_told_level").count(), 2);
    assert_eq!(seen.get("hook_monitor_label_overflow_total", &[]), Some(998.0));
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
fn a_source_that_panics_does_not_take_the_scrape_with_it() {
    let monitor = tells("bad", |into| {
        into.gauge("hook_told_level", &[], 1.0);
        panic!("as asked");
    });
    monitor.register(CallMonitor::new("good").handle()).unwrap();
    let exporter = Exporter::new(&monitor);
    let seen = catch_unwind(AssertUnwindSafe(|| parsed(&exporter))).expect("no panic");
    assert_eq!(seen.get("hook_calls_in_flight", &[("name", "good")]), Some(0.0));
    assert_eq!(
        seen.get("hook_monitor_invalid_samples_total", &[("reason", "panic")]),
        Some(1.0)
    );
}

#[test]
fn sources_that_come_and_go_are_followed() {
    let monitor = Monitor::new();
    let exporter = Exporter::new(&monitor);
    let (one, two) = (CallMonitor::new("one"), CallMonitor::new("two"));
    monitor.register(one.handle()).unwrap();
    one.start().finish_as(Ending::Rejected);
    let refused =
        |seen: &Scrape, name| seen.get("hook_calls_total", &[("name", name), ("outcome", "rejected")]);
    assert_eq!(refused(&parsed(&exporter), "one"), Some(1.0));
    monitor.register(two.handle()).unwrap();
    let gone = monitor.remove("monitor", "one");
    one.start().finish_as(Ending::Rejected);
    let seen = parsed(&exporter);
    assert_eq!(
        (refused(&seen, "one"), refused(&seen, "two")),
        (Some(1.0), Some(0.0))
    );
    monitor.register_shared(gone.unwrap()).unwrap();
    assert_eq!(refused(&parsed(&exporter), "one"), Some(2.0));
}

#[test]
fn what_takes_the_place_of_a_source_that_is_gone_counts_on_from_there() {
    let monitor = Monitor::new();
    let exporter = Exporter::new(&monitor);
    let seen = |exporter: &Exporter| {
        let seen = parsed(exporter);
        [
            seen.get("hook_calls_total", &[("outcome", "ok")]).unwrap(),
            seen.get("hook_calls_in_flight", &[]).unwrap(),
            seen.get("hook_call_duration_seconds_count", &[]).unwrap(),
        ]
    };
    let one = CallMonitor::new("api");
    monitor.register(one.handle()).unwrap();
    (0..3).for_each(|_| one.start().finish(Outcome::Success));
    let _under_way = one.start();
    assert_eq!(seen(&exporter), [3.0, 1.0, 3.0]);

    // Gone: what it counted stays, what it was at does not.
    monitor.remove("monitor", "api").unwrap();
    assert_eq!(seen(&exporter), [3.0, 0.0, 3.0]);
    // Another of its name, which begins at zero.
    let two = CallMonitor::new("api");
    monitor.register(two.handle()).unwrap();
    two.start().finish(Outcome::Success);
    assert_eq!(seen(&exporter), [4.0, 0.0, 4.0]);
    two.start().finish(Outcome::Success);
    assert_eq!(seen(&exporter), [5.0, 0.0, 5.0]);
    // The same figures again, by another handle: not counted twice.
    monitor.remove("monitor", "api").unwrap();
    assert_eq!(seen(&exporter), [5.0, 0.0, 5.0]);
    monitor.register(two.handle()).unwrap();
    two.start().finish(Outcome::Success);
    assert_eq!(seen(&exporter), [6.0, 0.0, 6.0]);
}

/// It is known by the name it had when it was registered.
#[test]
fn a_source_that_panics_when_asked_for_its_name_does_not_take_the_others_with_it() {
    struct Nameless(AtomicU64);
    impl Source for Nameless {
        fn layer(&self) -> &'static str {
            "told"
        }
        fn name(&self) -> &str {
            assert_eq!(self.0.fetch_add(1, Relaxed), 0, "asked again");
            "once"
        }
        fn read(&self, into: &mut dyn Gather) {
            into.gauge("hook_told_level", &[], 1.0);
        }
    }

    let monitor = Monitor::new();
    monitor.register(Nameless(AtomicU64::new(0))).unwrap();
    monitor.register(CallMonitor::new("good").handle()).unwrap();
    let seen = parsed(&Exporter::new(&monitor));
    assert_eq!(seen.get("hook_told_level", &[("name", "once")]), Some(1.0));
    assert_eq!(seen.get("hook_calls_in_flight", &[("name", "good")]), Some(0.0));
    let snapshot = monitor.snapshot();
    assert!(snapshot.source("told", "once").is_some() && !format!("{monitor:?}").is_empty());
    assert!(monitor.remove("told", "once").is_some());
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

#[test]
fn a_process_wide_figure_has_no_labels_of_a_source() {
    let exporter = Exporter::new(&tells("x", |into| into.gauge("process_threads", &[], 4.0)));
    let seen = parsed(&exporter);
    let (labels, value) = seen.samples("process_threads").next().unwrap();
    assert!(labels.is_empty() && value == 4.0, "{labels:?} {value}");
}

/// The empty snapshot is what a histogram begins with.
#[test]
fn nothing_recorded_is_nothing_told() {
    let exporter = Exporter::new(&tells("x", |into| {
        into.histogram("hook_told_seconds", &[], &HistogramSnapshot::empty());
    }));
    assert_eq!(parsed(&exporter).get("hook_told_seconds_sum", &[]), Some(0.0));
}
