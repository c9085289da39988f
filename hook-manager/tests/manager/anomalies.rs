//! What is told of hooks that are no more what they were.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_manager::{
    Anomaly, CacheRule, Hook, HookEvent, HookManager, HookManagerBuilder, HookOutput,
    layers::{
        HistogramSnapshot, Status,
        anomaly::{Change, Direction, EndedBy, Severity, Signal},
    },
};
use tokio::time::{Instant, advance, sleep};

use crate::support::{EVENT, bash, manager, run};

const MS: Duration = Duration::from_millis(1);

/// A hook that takes as long, and ends as, its test says.
#[derive(Clone, Default)]
struct Moody {
    micros: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
}

impl Moody {
    fn takes(&self, time: Duration) {
        self.micros.store(time.as_micros() as u64, SeqCst);
    }

    fn hook(&self, name: &str) -> Hook {
        let moody = self.clone();
        Hook::function(name, EVENT, move |_| {
            let moody = moody.clone();
            async move {
                sleep(Duration::from_micros(moody.micros.load(SeqCst))).await;
                match moody.fails.load(SeqCst) {
                    true => Err(io::Error::other("no luck")),
                    false => Ok(HookOutput::none()),
                }
            }
        })
    }
}

async fn times(n: usize, manager: &HookManager) {
    for _ in 0..n {
        run(manager).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_twice_as_long_is_slow_until_that_is_what_is_usual() {
    let (lint, steady) = (Moody::default(), Moody::default());
    lint.takes(10 * MS);
    steady.takes(MS);
    let manager = manager([lint.hook("lint"), steady.hook("steady")]);
    times(500, &manager).await;
    assert!(manager.anomalies().now.is_empty() && manager.anomalies().log.is_empty());
    assert!(manager.health().is_healthy());

    lint.takes(20 * MS);
    times(200, &manager).await;
    let anomalies = manager.anomalies();
    let [one] = &anomalies.now[..] else {
        panic!("{anomalies:?}");
    };
    assert_eq!((&*one.hook, &one.event), ("lint", &EVENT));
    assert_eq!(
        (one.anomaly.signal, one.anomaly.direction, one.anomaly.severity),
        (Signal::Latency, Direction::Slow, Severity::Medium)
    );
    let results = run(&manager).await.results;
    let Some(Anomaly::Ongoing(ongoing)) = results[0].anomaly.as_deref() else {
        panic!("{results:?}");
    };
    assert_eq!(ongoing.since, one.anomaly.since);
    assert_eq!(results[1].anomaly, None, "the other one is as it was");
    let health = manager.health();
    assert_eq!(health.status, Status::Degraded);
    assert!(
        health
            .to_string()
            .contains("anomalies: degraded: lint (PreToolUse) takes "),
        "{health}"
    );

    times(1_100, &manager).await;
    let anomalies = manager.anomalies();
    assert!(anomalies.now.is_empty(), "{anomalies:?}");
    assert_eq!(run(&manager).await.results[0].anomaly, None);
    let [shift] = &anomalies.shifts[..] else {
        panic!("{anomalies:?}");
    };
    assert_eq!((&*shift.hook, shift.shift.direction), ("lint", Direction::Slow));
    assert!(
        shift.shift.old.p50 < 12 * MS && shift.shift.new.p50 >= 20 * MS,
        "{shift:?}"
    );
    let log: Vec<_> = anomalies
        .log
        .iter()
        .map(|event| (&*event.target, &event.change))
        .collect();
    assert!(
        matches!(
            log[..],
            [
                ("PreToolUse/lint", Change::Began(_)),
                (
                    "PreToolUse/lint",
                    Change::Ended {
                        why: EndedBy::Accepted,
                        ..
                    }
                ),
                ("PreToolUse/lint", Change::BaselineShift(_)),
            ]
        ),
        "{log:?}"
    );
    assert!(
        manager
            .health()
            .to_string()
            .contains("lint (PreToolUse) for good takes "),
        "a hook that became slower is no secret: {}",
        manager.health()
    );
    sleep(Duration::from_secs(601)).await;
    assert!(manager.health().is_healthy(), "{}", manager.health());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_five_times_as_long_is_highly_anomalous_and_a_quick_one_is_suspicious() {
    for (factor, direction) in [(5.0, Direction::Slow), (0.1, Direction::Fast)] {
        let lint = Moody::default();
        lint.takes(10 * MS);
        let manager = HookManager::builder()
            .hook(lint.hook("lint"))
            .max_runs_per_minute(u32::MAX)
            .build()
            .unwrap();
        times(1_500, &manager).await;
        lint.takes((10 * MS).mul_f64(factor));
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            run(&manager).await;
        }
        let anomalies = manager.anomalies();
        let [one] = &anomalies.now[..] else {
            panic!("{factor}: {anomalies:?}");
        };
        let anomaly = one.anomaly;
        assert_eq!((anomaly.direction, anomaly.severity), (direction, Severity::High));
    }
}

/// From -6 to 6, as if by chance: the sum of twelve.
fn normal(seed: &mut u64) -> f64 {
    let mut uniform = || {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

#[tokio::test(start_paused = true)]
async fn a_steady_hook_is_never_reported_however_uneven_it_is() {
    let (lint, mut seed) = (Moody::default(), 7);
    let manager = HookManager::builder()
        .hook(lint.hook("lint"))
        .max_runs_per_minute(u32::MAX)
        .build()
        .unwrap();
    for _ in 0..6_000 {
        lint.takes((10 * MS).mul_f64((0.5 * normal(&mut seed)).exp()));
        let result = &run(&manager).await.results[0];
        assert!(
            !matches!(result.anomaly.as_deref(), Some(Anomaly::Ongoing(_))),
            "{result:?}"
        );
    }
    let anomalies = manager.anomalies();
    assert!(
        anomalies.log.is_empty() && anomalies.now.is_empty(),
        "{anomalies:?}"
    );
    assert_eq!(anomalies.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_begins_to_fail_shows_in_its_share_of_errors() {
    let lint = Moody::default();
    lint.takes(10 * MS);
    let manager = HookManager::builder()
        .hook(lint.hook("lint"))
        .breaker(false)
        .build()
        .unwrap();
    times(500, &manager).await;
    for n in 0..400 {
        lint.fails.store(n % 4 == 0, SeqCst);
        run(&manager).await;
    }
    let anomalies = manager.anomalies();
    let [one] = &anomalies.now[..] else {
        panic!("{anomalies:?}");
    };
    assert_eq!(
        (one.anomaly.signal, one.anomaly.direction, one.anomaly.severity),
        (Signal::Errors, Direction::Failing, Severity::Medium)
    );
    let said = one.to_string();
    assert!(said.starts_with("lint (PreToolUse) fails 2"), "{said}");
    let result = &run(&manager).await.results[0];
    assert_eq!(
        result.anomaly.as_ref().map(|anomaly| anomaly.as_str()),
        Some("failing")
    );

    lint.fails.store(false, SeqCst);
    times(400, &manager).await;
    assert!(manager.anomalies().now.is_empty(), "it is well again");
    assert!(manager.health().to_string().find("anomalies").is_none());
}

#[tokio::test(start_paused = true)]
async fn answers_from_the_cache_say_nothing_about_what_is_usual() {
    let lint = Moody::default();
    lint.takes(10 * MS);
    let manager = manager([lint.hook("lint").cached(CacheRule::default())]);
    for n in 0..300 {
        manager.execute(bash(&n.to_string())).await;
    }
    // As quick as nothing: taken for runs, they would be suspicious.
    for _ in 0..1_000 {
        let hit = &run(&manager).await.results[0];
        assert_eq!(hit.anomaly, None);
        advance(MS).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert!(manager.anomalies().log.is_empty(), "{:?}", manager.anomalies());
    assert_eq!(
        manager.metrics().hooks[0]
            .latency
            .as_ref()
            .map(HistogramSnapshot::count),
        Some(301)
    );
}

#[tokio::test(start_paused = true)]
async fn figures_of_the_watch_are_in_the_registry_under_the_names_of_the_field() {
    let lint = Moody::default();
    lint.takes(10 * MS);
    let manager = manager([lint.hook("lint")]);
    let active = || {
        let seen = manager.monitor().snapshot();
        let watch = seen
            .source("anomaly", "anomalies")
            .expect("it is there from the start");
        let of = |signal| [("target", "PreToolUse/lint"), ("signal", signal)];
        let active = watch.gauge("hook_anomaly_active", &of("latency"));
        let slow = [
            ("target", "PreToolUse/lint"),
            ("signal", "latency"),
            ("direction", "slow"),
        ];
        (active, watch.counter("hook_anomaly_episodes_total", &slow))
    };
    assert_eq!(active(), (Some(0.0), Some(0)));
    times(500, &manager).await;
    lint.takes(40 * MS);
    times(200, &manager).await;
    assert_eq!(active(), (Some(1.0), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_usual_is_learned_from_the_first_run_on() {
    let lint = Moody::default();
    lint.takes(20 * MS);
    let manager = manager([lint.hook("lint")]);
    let usual = || {
        let seen = manager.monitor().snapshot();
        let median = [("target", "PreToolUse/lint"), ("quantile", "0.5")];
        let watch = seen.source("anomaly", "anomalies").unwrap();
        watch.gauge("hook_baseline_seconds", &median).unwrap()
    };
    // Nobody looks meanwhile. Four seconds of runs are a few less than the 200 it takes.
    let until = Instant::now() + Duration::from_millis(5_100);
    while Instant::now() < until {
        run(&manager).await;
    }
    assert!((0.02..0.0226).contains(&usual()), "{}", usual());
}

#[tokio::test(start_paused = true)]
async fn more_hooks_than_one_source_may_tell_of_are_told_of_in_several() {
    let moody = Moody::default();
    let manager = manager((0..130).map(|n| moody.hook(&format!("hook-{n}"))));
    let seen = manager.monitor().snapshot();
    let of = |name: &str| {
        let source = seen.source("anomaly", name).unwrap();
        source
            .figures
            .iter()
            .filter(|figure| figure.name == "hook_baseline_shifts_total")
            .count()
    };
    assert_eq!(
        (of("anomalies"), of("anomalies#2"), of("anomalies#3")),
        (64, 64, 2)
    );
}

#[test]
fn an_answer_from_the_cache_allocates_no_more_for_being_watched() {
    let allocations = |monitoring: bool| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let hooks = (0..4).map(|n| {
            Moody::default()
                .hook(&format!("hook-{n}"))
                .cached(CacheRule::default())
        });
        let builder = HookManager::builder().monitoring(monitoring);
        let manager = hooks.fold(builder, HookManagerBuilder::hook).build().unwrap();
        let req = bash("ls");
        let event = || runtime.block_on(manager.execute(req.clone()));
        for _ in 0..3 {
            event();
        }
        let mut all_cached = false;
        let measured = allocation_counter::measure(|| {
            all_cached = event().results.iter().all(|result| result.cached);
        });
        assert!(all_cached);
        measured.count_total
    };
    assert_eq!(allocations(true), allocations(false));
}

#[tokio::test(start_paused = true)]
async fn without_monitoring_nothing_is_watched() {
    let lint = Moody::default();
    let manager = HookManager::builder()
        .hook(lint.hook("lint"))
        .monitoring(false)
        .build()
        .unwrap();
    lint.takes(10 * MS);
    times(300, &manager).await;
    lint.takes(100 * MS);
    times(100, &manager).await;
    assert!(manager.anomalies().log.is_empty() && manager.anomalies().now.is_empty());
    assert!(manager.metrics().hooks[0].latency.is_none());
    assert!(
        manager
            .monitor()
            .snapshot()
            .source("anomaly", "anomalies")
            .is_none()
    );
    assert_eq!(
        manager.hooks().next().map(|spec| &spec.event),
        Some(&HookEvent::PreToolUse)
    );
}
