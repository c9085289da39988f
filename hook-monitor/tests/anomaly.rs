//! The watch over the calls of real monitors, in virtual time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hook_monitor::{
    BoxError, CallMonitor, Gather, Histogram, HistogramSnapshot, Label, MonitorLayer, Source, Status,
    anomaly::{AnomalyTarget, AnomalyWatch, Change, Direction, EndedBy, Limit, Observed, Signal},
};
use tower::{Layer, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

/// A target that is fed by hand: `n` calls of a duration.
#[derive(Clone, Default)]
struct Fed(Arc<FedInner>);

#[derive(Default)]
struct FedInner {
    latency: Histogram,
    successes: AtomicU64,
    failures: AtomicU64,
}

impl Fed {
    fn watched(&self, watch: &AnomalyWatch, name: &str) -> AnomalyTarget {
        let fed = self.clone();
        watch.watch_with(name.into(), move || fed.observed())
    }

    fn observed(&self) -> Observed {
        let latency = self.0.latency.snapshot();
        Observed::new(
            latency,
            self.0.successes.load(Relaxed),
            self.0.failures.load(Relaxed),
        )
    }

    fn calls(&self, n: u32, took: Duration) {
        self.0.latency.record_n(took, n);
        self.0.successes.fetch_add(u64::from(n), Relaxed);
    }
}

/// Ticks once a second, each with fifty calls of that duration.
fn ticks(watch: &AnomalyWatch, fed: &Fed, now: &mut Instant, n: usize, took: Duration) -> Vec<Change> {
    let ticks = (0..n).flat_map(|_| {
        fed.calls(50, took);
        *now += Duration::from_secs(1);
        watch.tick(*now)
    });
    ticks.map(|event| event.change).collect()
}

#[derive(Default)]
struct Figures(Vec<(String, f64)>);

impl Gather for Figures {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.gauge(name, labels, value as f64);
    }
    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.0.push((format!("{name}{{{}}}", labels.join(",")), value));
    }
    fn histogram(&mut self, _: &'static str, _: &[Label], _: &HistogramSnapshot) {}
}

fn figures(watch: &AnomalyWatch) -> Vec<(String, f64)> {
    let mut figures = Figures::default();
    watch.read(&mut figures);
    figures.0
}

fn figure(watch: &AnomalyWatch, name: &str) -> f64 {
    let figures = figures(watch);
    let found = figures.iter().find(|(figure, _)| figure == name);
    found.unwrap_or_else(|| panic!("{name} is not in {figures:?}")).1
}

#[tokio::test(start_paused = true)]
async fn a_service_that_gets_slow_is_told_to_subscribers_and_is_degraded_until_the_note_is_over() {
    let monitor = MonitorLayer::new("orders");
    let took = Arc::new(Mutex::new(10 * MS));
    let service = {
        let took = Arc::clone(&took);
        monitor.layer(service_fn(move |(): ()| {
            let took = *took.lock().unwrap();
            async move {
                tokio::time::sleep(took).await;
                Ok::<_, BoxError>(())
            }
        }))
    };
    let watch = AnomalyWatch::new();
    let orders = watch.watch(monitor.handle());
    let mut events = watch.subscribe();
    let task = watch.spawn(Duration::from_secs(1));

    let calls = |n: usize| {
        let service = service.clone();
        async move {
            for _ in 0..n {
                service.clone().oneshot(()).await.unwrap();
            }
        }
    };
    calls(1_000).await;
    assert_eq!(
        (orders.status(), watch.status()),
        (Status::Healthy, Status::Healthy)
    );
    let usual = orders.state().baseline.expect("a baseline");
    assert!(
        (10.0..11.5).contains(&(usual.p99.as_secs_f64() * 1e3)),
        "{usual:?}"
    );
    assert_eq!(orders.judge(40 * MS), None);
    assert!(
        orders
            .judge(60 * MS)
            .is_some_and(|outlier| outlier.took == 60 * MS)
    );

    *took.lock().unwrap() = 40 * MS;
    calls(100).await;
    let event = events.next().await.expect("the watch is there");
    let Change::Began(anomaly) = event.change else {
        panic!("{event:?}")
    };
    assert_eq!((&*event.target, anomaly.direction), ("orders", Direction::Slow));
    assert_eq!(
        (orders.status(), watch.status()),
        (Status::Degraded, Status::Degraded)
    );

    calls(2_000).await;
    let event = events.next().await.expect("the watch is there");
    assert!(
        matches!(
            event.change,
            Change::Ended {
                why: EndedBy::Accepted,
                ..
            }
        ),
        "{event:?}"
    );
    let event = events.next().await.expect("the watch is there");
    let Change::BaselineShift(shift) = event.change else {
        panic!("{event:?}")
    };
    assert!(
        shift.is_regression() && shift.new.p50 > 3 * shift.old.p50,
        "{shift:?}"
    );
    assert_eq!(
        (orders.status(), orders.state().active.len()),
        (Status::Degraded, 0)
    );
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!((orders.status(), events.missed()), (Status::Healthy, 0));

    // The task ends with its handle, and the subscription with the watch.
    drop((task, watch));
    tokio::task::yield_now().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_it_is_dropped() {
    let watch = AnomalyWatch::new();
    let target = Fed::default().watched(&watch, "dropped");
    let task = watch.spawn(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let ticked = target.state().ticked;
    assert!(ticked.is_some() && !task.is_over());
    drop(task);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(target.state().ticked, ticked);
}

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
fn a_source_that_panics_does_not_end_the_watch_over_the_others() {
    let (watch, fed, mut now) = (AnomalyWatch::new(), Fed::default(), Instant::now());
    let broken = Arc::new(AtomicBool::new(true));
    let panics = {
        let broken = Arc::clone(&broken);
        watch.watch_with("broken".into(), move || {
            assert!(!broken.load(Relaxed), "out of order");
            Fed::default().observed()
        })
    };
    let fine = fed.watched(&watch, "fine");
    ticks(&watch, &fed, &mut now, 10, MS);
    assert!(fine.state().baseline.is_some() && panics.state().is_unreadable);
    assert_eq!(
        (panics.status(), fine.status()),
        (Status::Degraded, Status::Healthy)
    );
    broken.store(false, Relaxed);
    ticks(&watch, &fed, &mut now, 1, MS);
    assert_eq!(panics.status(), Status::Healthy);
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
fn every_series_is_there_from_the_first_scrape() {
    let (watch, fed, mut now) = (AnomalyWatch::new(), Fed::default(), Instant::now());
    let target = fed.watched(&watch, "series").limit(Limit::p99(25 * MS));
    let first = figures(&watch);
    assert_eq!(first.len(), 13);
    assert!(
        first
            .iter()
            .all(|(name, value)| *value == f64::from(u8::from(name.contains("ratio")))),
        "{first:?}"
    );

    ticks(&watch, &fed, &mut now, 40, 10 * MS);
    ticks(&watch, &fed, &mut now, 4, 30 * MS);
    let names = |figures: Vec<(String, f64)>| figures.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(figures(&watch)), names(first));
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=latency}"),
        1.0
    );
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=limit}"),
        1.0
    );
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=errors}"),
        0.0
    );
    assert_eq!(
        figure(
            &watch,
            "hook_anomaly_episodes_total{target=series,signal=latency,direction=slow}"
        ),
        1.0
    );
    let baseline = figure(&watch, "hook_baseline_seconds{target=series,quantile=0.5}");
    assert!((0.010..0.0115).contains(&baseline), "{baseline}");
    let ratio = figure(&watch, "hook_baseline_day_ratio{target=series,quantile=0.5}");
    assert!((2.5..3.5).contains(&ratio), "{ratio}");

    ticks(&watch, &fed, &mut now, 30, 30 * MS);
    assert_eq!(figure(&watch, "hook_baseline_shifts_total{target=series}"), 1.0);
    assert_eq!(
        target
            .state()
            .active
            .iter()
            .map(|anomaly| anomaly.signal)
            .collect::<Vec<_>>(),
        [Signal::Limit]
    );
    // A limit that is taken away is exceeded by nothing.
    let _ = target.limit(Limit::p99(Duration::MAX).for_ticks(0));
    ticks(&watch, &fed, &mut now, 1, 30 * MS);
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=limit}"),
        0.0
    );
}

#[tokio::test]
async fn a_subscriber_who_is_far_behind_is_told_how_many_events_it_lost() {
    let (watch, mut now) = (AnomalyWatch::new(), Instant::now());
    let targets: Vec<_> = (0..300).map(|i| (Fed::default(), format!("many {i}"))).collect();
    for (fed, name) in &targets {
        fed.watched(&watch, name);
    }
    let mut events = watch.subscribe();
    let mut told = 0;
    for tick in 0..12 {
        for (fed, _) in &targets {
            fed.calls(50, if tick < 8 { 10 * MS } else { 100 * MS });
        }
        now += Duration::from_secs(1);
        told += watch.tick(now).len();
    }
    assert_eq!(told, 300);
    drop(watch);
    let mut read = 0;
    while events.next().await.is_some() {
        read += 1;
    }
    assert_eq!((read, events.missed()), (256, 44));
}

#[test]
fn a_name_is_one_target_and_can_be_forgotten() {
    let watch = AnomalyWatch::new();
    let old = Fed::default().watched(&watch, "name");
    let new = Fed::default().watched(&watch, "name");
    let now = Instant::now();
    watch.tick(now);
    assert_eq!((old.state().ticked, new.state().ticked), (None, Some(now)));
    assert_eq!((watch.all().len(), watch.target("name").is_some()), (1, true));
    assert_eq!(
        (watch.forget("name"), watch.forget("name"), watch.all().len()),
        (true, false, 0)
    );
}

#[test]
#[should_panic(expected = "an AnomalyWatch has 1000 targets at most; \"one too many\" would be one more")]
fn targets_are_bounded() {
    let watch = AnomalyWatch::new();
    for i in 0..1_000 {
        Fed::default().watched(&watch, &format!("bounded {i}"));
    }
    assert_eq!(watch.all().len(), 1_000);
    // One of the same name has a place.
    Fed::default().watched(&watch, "bounded 7");
    Fed::default().watched(&watch, "one too many");
}

#[test]
fn ticks_of_two_threads_at_once_judge_each_call_once() {
    let (watch, fed) = (AnomalyWatch::new(), Fed::default());
    let target = fed.watched(&watch, "threads");
    let start = Instant::now();
    watch.tick(start);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    fed.calls(1, 10 * MS);
                    watch.tick(start);
                }
            });
        }
    });
    watch.tick(start);
    assert_eq!(target.state().totals.calls, 2_000);
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

/// The last handles go while a tick reads the target, which itself ticks, forgets and subscribes.
#[test]
fn a_watch_and_a_target_may_go_while_they_are_read() {
    let watch = AnomalyWatch::new();
    let (inner, held) = (watch.clone(), Arc::new(()));
    let holds = Arc::clone(&held);
    let target = watch.watch_with("gone".into(), move || {
        let _holds = &holds;
        assert!(inner.tick(Instant::now()).is_empty(), "one tick at a time");
        drop(inner.subscribe());
        inner.forget("gone");
        Observed::new(Histogram::new().snapshot(), 0, 0)
    });
    drop(target);
    watch.tick(Instant::now());
    assert!(watch.all().is_empty());
    assert_eq!(
        Arc::strong_count(&held),
        1,
        "what was forgotten is dropped when it has been read"
    );
    std::thread::scope(|scope| {
        for at in 0..4 {
            let watch = &watch;
            scope.spawn(move || {
                for n in 0..200 {
                    let name = format!("racing {}", (at + n) % 3);
                    let target = Fed::default().watched(watch, &name);
                    watch.tick(Instant::now());
                    drop((target.state(), watch.forget(&name), figures(watch)));
                }
            });
        }
    });
}
