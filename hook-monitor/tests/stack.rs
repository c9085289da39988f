//! One look at everything that is registered.

use std::{sync::Arc, thread};

use hook_monitor::{Gather, Monitor, NotRegistered, Source, Status};

/// Says what it is told to say.
struct Told {
    name: String,
    status: Status,
    panics: bool,
    /// Counted to see how many are there.
    _alive: Arc<()>,
}

impl Told {
    fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status: Status::Healthy,
            panics: false,
            _alive: Arc::default(),
        }
    }
}

impl Source for Told {
    fn layer(&self) -> &'static str {
        "told"
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn status(&self) -> Status {
        self.status
    }

    fn read(&self, into: &mut dyn Gather) {
        into.counter("hook_told_total", &[("kind", "first")], 1);
        assert!(!self.panics, "as asked");
        into.counter("hook_told_total", &[("kind", "second")], 2);
        into.gauge("hook_told_level", &[], 0.5);
    }
}

#[test]
fn a_snapshot_has_every_source_and_the_worst_of_their_states() {
    let monitor = Monitor::new();
    assert_eq!(monitor.snapshot().status, Status::Healthy);
    monitor.register(Told::new("one")).unwrap();
    let two = Told {
        status: Status::Degraded,
        ..Told::new("two")
    };
    monitor.clone().register(two).unwrap();

    let seen = monitor.snapshot();
    assert_eq!((seen.status, seen.sources.len()), (Status::Degraded, 2));
    let one = seen.source("told", "one").unwrap();
    assert_eq!(one.counter("hook_told_total", &[("kind", "second")]), Some(2));
    assert_eq!(one.counter("hook_told_total", &[]), None);
    assert_eq!(one.total("hook_told_total"), 3);
    assert_eq!(one.gauge("hook_told_level", &[]), Some(0.5));
    assert!(seen.source("told", "three").is_none());
}

#[test]
fn a_source_that_panics_is_unhealthy_and_does_not_hide_the_others() {
    let monitor = Monitor::new();
    let panics = Told {
        panics: true,
        ..Told::new("bad")
    };
    monitor.register(panics).unwrap();
    monitor.register(Told::new("good")).unwrap();
    let seen = monitor.snapshot();
    assert_eq!(seen.status, Status::Unhealthy);
    let bad = seen.source("told", "bad").unwrap();
    assert!(bad.has_panicked);
    assert_eq!(bad.total("hook_told_total"), 1);
    assert_eq!(seen.source("told", "good").unwrap().total("hook_told_total"), 3);
}

#[test]
fn a_name_is_given_once_and_is_free_again_when_its_source_is_gone() {
    let monitor = Monitor::new();
    monitor.register(Told::new("one")).unwrap();
    let twin = monitor.register(Told::new("one")).unwrap_err();
    assert_eq!(twin.to_string(), r#"a told called "one" is registered already"#);
    assert!(monitor.remove("told", "one").is_some());
    assert!(monitor.remove("told", "one").is_none());
    monitor.register(Told::new("one")).unwrap();
    assert_eq!(monitor.refused(), 1);
}

#[test]
fn a_hundred_thousand_hostile_names_take_bounded_memory() {
    let monitor = Monitor::new().limit_per_layer(50);
    let alive = Arc::new(());
    for n in 0..100_000 {
        let source = Told {
            _alive: Arc::clone(&alive),
            ..Told::new(format!("{n}\"}}\n# TYPE evil counter\\"))
        };
        assert_eq!(monitor.register(source).is_ok(), n < 50);
    }
    assert_eq!((monitor.sources().len(), Arc::strong_count(&alive)), (50, 51));
    assert_eq!(monitor.refused(), 99_950);

    let long = Monitor::new().register(Told::new("x".repeat(257))).unwrap_err();
    assert!(
        matches!(long, NotRegistered::LongName { length: 257, .. }),
        "{long}"
    );
}

#[test]
fn of_threads_that_register_one_name_one_does() {
    let monitor = Monitor::new();
    let registered: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .filter(|n| monitor.register(Told::new(n.to_string())).is_ok())
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .sum()
    });
    assert_eq!((registered, monitor.sources().len()), (50, 50));
}

#[cfg(all(feature = "serde", feature = "layer"))]
#[test]
fn a_snapshot_can_be_serialised() {
    let layer = hook_monitor::MonitorLayer::new("calls");
    let monitor = Monitor::new();
    monitor.register(layer.handle()).unwrap();
    let seen = serde_json::to_value(monitor.snapshot()).unwrap();
    assert_eq!(seen["status"], "healthy");
    let calls = &seen["sources"][0];
    assert_eq!(
        (&calls["layer"], &calls["name"]),
        (&"monitor".into(), &"calls".into())
    );
    assert_eq!(calls["figures"][0]["labels"]["outcome"], "ok");
    assert_eq!(calls["figures"][0]["counter"], 0);

    let own = serde_json::to_value(layer.handle().snapshot()).unwrap();
    assert_eq!((&own["ok"], &own["in_flight"]), (&0.into(), &0.into()));
    assert_eq!(own["success_rate"], serde_json::Value::Null);
    assert_eq!(own["latency"]["p99_seconds"], 0.0);
}
