//! What the figures suggest: each rule at its threshold, and with nothing to go by.

use std::time::Duration;

use hook_monitor::{Advisor, Gather, Histogram, Label, Monitor, Rule, Source};

#[derive(Default)]
struct Figures {
    layer: &'static str,
    counters: Vec<(&'static str, Label, u64)>,
    gauges: Vec<(&'static str, f64)>,
    latency: Option<Histogram>,
}

impl Source for Figures {
    fn layer(&self) -> &'static str {
        self.layer
    }

    fn name(&self) -> &str {
        "it"
    }

    fn read(&self, into: &mut dyn Gather) {
        for (name, label, value) in &self.counters {
            into.counter(name, &[*label], *value);
        }
        for (name, value) in &self.gauges {
            into.gauge(name, &[], *value);
        }
        if let Some(latency) = &self.latency {
            into.histogram("hook_call_duration_seconds", &[], &latency.snapshot());
        }
    }
}

fn advice(figures: Figures) -> Vec<(Rule, f64)> {
    let monitor = Monitor::new();
    monitor.register(figures).unwrap();
    let found = Advisor::default().advise(&monitor.snapshot());
    found.iter().map(|advice| (advice.rule, advice.figure)).collect()
}

fn calls(n: u32, took: Duration) -> Figures {
    let latency = Histogram::new();
    latency.record_n(took, n);
    Figures {
        layer: "monitor",
        latency: Some(latency),
        ..Figures::default()
    }
}

fn counts(
    layer: &'static str,
    name: &'static str,
    key: &'static str,
    counts: &[(&'static str, u64)],
) -> Figures {
    Figures {
        layer,
        counters: counts
            .iter()
            .map(|(value, n)| (name, (key, *value), *n))
            .collect(),
        ..Figures::default()
    }
}

#[test]
fn slow_calls_are_told_with_their_mean_and_only_when_there_are_enough() {
    let ms = Duration::from_millis;
    assert_eq!(advice(calls(10, ms(200))), []);
    assert_eq!(advice(calls(10, ms(201))), [(Rule::SlowCalls, 0.201)]);
    assert_eq!(advice(calls(10, ms(500))), [(Rule::SlowCalls, 0.5)]);
    assert_eq!(
        advice(calls(10, ms(501))),
        [(Rule::SlowAverage, 0.501), (Rule::SlowCalls, 0.501)]
    );
    assert_eq!(advice(calls(9, ms(501))), []);
    assert_eq!(advice(calls(0, ms(501))), []);
}

#[test]
fn calls_that_do_not_succeed_are_told_and_those_that_say_nothing_do_not_count() {
    let of = |counted: &[_]| advice(counts("monitor", "hook_calls_total", "outcome", counted));
    assert_eq!(of(&[("ok", 8), ("error", 2)]), []);
    assert_eq!(of(&[("ok", 79), ("error", 21)]), [(Rule::LowSuccess, 0.79)]);
    assert_eq!(
        of(&[("ok", 5), ("rejected", 2), ("timeout", 2), ("panicked", 1)]),
        [(Rule::LowSuccess, 0.5)]
    );
    assert_eq!(of(&[("ok", 10), ("cancelled", 90), ("ignored", 90)]), []);
    assert_eq!(of(&[("error", 9)]), []);
    assert_eq!(of(&[]), []);
}

#[test]
fn a_cache_that_does_not_help_is_told() {
    let of = |counted: &[_]| advice(counts("cache", "hook_cache_gets_total", "result", counted));
    assert_eq!(of(&[("hit", 3), ("miss", 7)]), []);
    assert_eq!(
        of(&[("hit", 29), ("miss", 71), ("bypass", 1_000)]),
        [(Rule::LowHitRate, 0.29)]
    );
    assert_eq!(
        of(&[("coalesced", 1), ("stale", 1), ("negative", 1), ("miss", 7)]),
        []
    );
    assert_eq!(of(&[("miss", 9)]), []);
}

#[test]
fn a_circuit_that_opens_often_is_told_once_more_than_five() {
    let of = |counted: &[_]| advice(counts("breaker", "hook_breaker_transitions_total", "to", counted));
    assert_eq!(of(&[("open", 5), ("closed", 50)]), []);
    assert_eq!(of(&[("open", 6)]), [(Rule::ManyTrips, 6.0)]);
}

#[test]
fn memory_is_told_above_five_hundred_megabytes() {
    let of = |bytes| {
        advice(Figures {
            layer: "process",
            gauges: vec![("process_resident_memory_bytes", bytes)],
            ..Figures::default()
        })
    };
    assert_eq!(of(500e6), []);
    assert_eq!(of(501e6), [(Rule::MuchMemory, 501e6)]);
    assert_eq!(of(f64::NAN), []);
}

#[test]
fn advice_says_whose_figure_it_is_and_what_to_change() {
    let monitor = Monitor::new();
    monitor.register(calls(10, Duration::from_millis(750))).unwrap();
    let found = Advisor::default().advise(&monitor.snapshot());
    let text: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(
        text[0].starts_with("calls take 750 ms on average, more than 500 ms; cache"),
        "{text:?}"
    );
    assert!(text[1].starts_with("monitor \"it\": calls take 750 ms on average, more than 200 ms; look"));
}
