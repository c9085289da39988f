//! Sources that come, go and panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use hook_monitor::{CallMonitor, Ending, Gather, Monitor, Outcome, Source, prometheus::Exporter};

use crate::scrape::Scrape;
use crate::support::{Tells, parsed, tells};

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
