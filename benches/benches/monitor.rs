//! What a monitored call costs over the bare one, and what it takes to pass all figures on.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use benches::{Bare, alone, calls, claims::Suite};
use hook_monitor::{Gather, Histogram, Monitor, MonitorLayer, Source, metrics::Publisher, prometheus};
use tower::Layer;

/// Ten thousand calls, as a layer with all kinds of figures: twenty series.
struct Busy(String, Histogram);

const COUNTERS: [&str; 18] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
];

impl Source for Busy {
    fn layer(&self) -> &'static str {
        "busy"
    }

    fn name(&self) -> &str {
        &self.0
    }

    fn read(&self, into: &mut dyn Gather) {
        for kind in COUNTERS {
            into.counter("hook_busy_total", &[("kind", kind)], black_box(10_000));
        }
        into.gauge("hook_busy_level", &[], black_box(0.5));
        into.histogram("hook_busy_seconds", &[], &self.1.snapshot());
    }
}

/// Fifty sources of twenty series, each with a hundred new calls since the last time.
fn publish(suite: &mut Suite) {
    const SOURCES: usize = 50;
    let monitor = Monitor::new();
    let sources: Vec<_> = (0..SOURCES)
        .map(|n| std::sync::Arc::new(Busy(format!("source {n}"), Histogram::new())))
        .collect();
    for source in &sources {
        monitor.register_shared(source.clone()).expect("room for fifty");
    }
    let recorder = prometheus::builder().build_recorder();
    let handle = recorder.handle();
    let mut publisher = Publisher::new(&monitor);
    publisher.publish_to(&recorder);
    let spread = alone(suite.mode(), |n| {
        let mut took = Duration::ZERO;
        for _ in 0..n {
            for source in &sources {
                (0..100).for_each(|n| source.1.record(Duration::from_micros(50 + n)));
            }
            let began = Instant::now();
            publisher.publish_to(&recorder);
            took += began.elapsed();
            handle.run_upkeep();
        }
        took
    });
    suite.value(
        "monitor.publish",
        spread.median / 1e6,
        "50 sources of 20 series, 5,000 new samples",
    );
}

fn main() {
    let mut suite = Suite::named("monitor");
    let precise = || calls(MonitorLayer::new("bench").layer(Bare));
    let coarse = || calls(MonitorLayer::new("bench").coarse_clock().layer(Bare));
    suite.over("monitor.call", precise(), calls(Bare));
    suite.over("monitor.call.coarse", coarse(), calls(Bare));
    publish(&mut suite);
    suite.finish();
}
