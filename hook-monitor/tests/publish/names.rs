//! Names and labels, and the reader that is strict about them.

use hook_monitor::prometheus::Exporter;

use crate::scrape::Scrape;
use crate::support::{parsed, tells};

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
fn a_process_wide_figure_has_no_labels_of_a_source() {
    let exporter = Exporter::new(&tells("x", |into| into.gauge("process_threads", &[], 4.0)));
    let seen = parsed(&exporter);
    let (labels, value) = seen.samples("process_threads").next().unwrap();
    assert!(labels.is_empty() && value == 4.0, "{labels:?} {value}");
}
