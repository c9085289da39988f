//! The health engine, in virtual time.

use std::{
    collections::HashSet,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_monitor::{
    Gather, Source, Status,
    health::{Change, Changes, Check, CheckReport, FailureReason, Health, MAX_CHECKS, Verdict},
};
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn seen(health: &Health, name: &str) -> CheckReport {
    let report = health.report();
    report
        .checks
        .iter()
        .find(|check| &*check.name == name)
        .expect("there is such a check")
        .clone()
}

/// Lets what is due run.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// A check that does what its switch says.
fn switched(on: &Arc<AtomicBool>) -> Check {
    let on = Arc::clone(on);
    Check::new(move || {
        let on = on.load(SeqCst);
        async move { if on { Ok(()) } else { Err("down") } }
    })
}

#[tokio::test(start_paused = true)]
async fn a_process_is_ready_once_it_has_started_until_it_shuts_down() {
    let health = Health::new();
    assert!(!health.is_ready());
    health.mark_started();
    assert!(health.is_ready());
    health.begin_shutdown();
    assert!(!health.is_ready());
    health.mark_started();
    assert!(!health.is_ready(), "there is no way back");
    assert_eq!(health.status(), Status::Healthy, "draining is not being ill");
}

#[tokio::test(start_paused = true)]
async fn a_process_is_not_ready_before_a_required_check_has_run() {
    let health = Health::new();
    health.mark_started();
    health.add("db", Check::new(|| async {})).unwrap();
    assert!(!health.is_ready());
    assert_eq!(seen(&health, "db").reason, Some(FailureReason::Pending));
    settle().await;
    assert!(health.is_ready());
    assert_eq!(health.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn an_optional_check_degrades_and_a_required_one_takes_two_failures() {
    let health = Health::new();
    let never = || async { Err::<(), _>("down") };
    health.add("cache", Check::new(never).optional()).unwrap();
    sleep(20 * SECOND).await;
    assert_eq!(health.status(), Status::Degraded);

    health.add("db", Check::new(never)).unwrap();
    settle().await;
    assert_eq!(seen(&health, "db").status, Status::Degraded, "once may be chance");
    assert_eq!(health.status(), Status::Degraded);
    sleep(6 * SECOND).await;
    assert_eq!(seen(&health, "db").status, Status::Unhealthy);
    assert_eq!(health.status(), Status::Unhealthy);
    assert_eq!(seen(&health, "db").consecutive_failures, 2);
    assert!(health.remove("db"));
    assert_eq!(health.status(), Status::Degraded);
    assert!(!health.remove("db"));
}

#[tokio::test(start_paused = true)]
async fn one_pass_degrades_and_two_heal() {
    let on = Arc::new(AtomicBool::new(false));
    let health = Health::new();
    health.add("db", switched(&on).interval(SECOND)).unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(health.status(), Status::Unhealthy);
    on.store(true, SeqCst);

    let mut changes = health.subscribe();
    let start = Instant::now();
    let mut told = Vec::new();
    while told.len() < 4 {
        let Some(Change::Status { check, from, to }) = changes.next().await else {
            panic!()
        };
        told.push((check.as_deref().map(String::from), from, to));
    }
    let (up, half, down) = (Status::Healthy, Status::Degraded, Status::Unhealthy);
    let db = || Some("db".to_owned());
    assert_eq!(
        told,
        [
            (db(), down, half),
            (None, down, half),
            (db(), half, up),
            (None, half, up)
        ]
    );
    assert!(start.elapsed() < 3 * SECOND);
}

/// Counts the runs that there are.
#[derive(Clone, Default)]
struct Runs {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Runs {
    fn begin(&self) -> Running {
        self.all.fetch_add(1, SeqCst);
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        Running(Arc::clone(&self.now))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_fails_at_its_timeout_and_never_runs_twice_at_a_time() {
    let runs = Runs::default();
    let health = Health::new();
    let begun = runs.clone();
    health
        .add(
            "db",
            Check::new(move || {
                let run = begun.begin();
                async move {
                    sleep(60 * SECOND).await;
                    drop(run);
                }
            }),
        )
        .unwrap();
    settle().await;
    advance(Duration::from_millis(998)).await;
    assert_eq!(
        seen(&health, "db").reason,
        Some(FailureReason::Pending),
        "not before its time"
    );
    sleep(Duration::from_millis(2)).await;
    let db = seen(&health, "db");
    assert_eq!((db.reason, db.took), (Some(FailureReason::Timeout), Some(SECOND)));
    assert_eq!(db.status, Status::Degraded);

    sleep(60 * SECOND).await;
    assert_eq!(health.status(), Status::Unhealthy);
    assert_eq!(runs.most.load(SeqCst), 1);
    assert!(runs.all.load(SeqCst) >= 9, "{:?}", runs.all);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_anywhere_is_a_failure_and_the_others_go_on() {
    struct PanicInDrop;
    impl Drop for PanicInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    let health = Health::new();
    async fn polled() {
        panic!("in a poll, with a secret");
    }
    fn made() -> std::future::Ready<()> {
        panic!("when made");
    }
    health.add("poll", Check::new(polled).interval(SECOND)).unwrap();
    health.add("made", Check::new(made).interval(SECOND)).unwrap();
    async fn payload() {
        std::panic::panic_any(PanicInDrop);
    }
    health
        .add("payload", Check::new(payload).interval(SECOND))
        .unwrap();
    let dropped = || async {
        let _held = PanicInDrop;
        pending::<()>().await;
    };
    health.add("drop", Check::new(dropped).interval(SECOND)).unwrap();
    let runs = Runs::default();
    let begun = runs.clone();
    health
        .add(
            "fine",
            Check::new(move || {
                drop(begun.begin());
                async {}
            })
            .interval(SECOND),
        )
        .unwrap();

    sleep(10 * SECOND).await;
    for name in ["poll", "made", "payload"] {
        let check = seen(&health, name);
        assert_eq!(check.reason, Some(FailureReason::Panic), "{name}");
        assert_eq!(check.output.as_deref(), Some("panicked"), "{name}");
        assert!(check.consecutive_failures >= 8, "{name} goes on");
        assert_eq!(check.status, Status::Unhealthy, "{name}");
    }
    assert_eq!(seen(&health, "drop").reason, Some(FailureReason::Timeout));
    assert!(seen(&health, "drop").consecutive_failures >= 4);
    assert_eq!(seen(&health, "fine").status, Status::Healthy);
    assert!(runs.all.load(SeqCst) >= 9);
}

#[tokio::test(start_paused = true)]
async fn results_that_nobody_renews_are_not_believed() {
    let health = Health::new();
    health.mark_started();
    health.add("db", Check::new(|| async {})).unwrap();
    health.add("cache", Check::new(|| async {}).optional()).unwrap();
    settle().await;
    assert_eq!(health.status(), Status::Healthy);
    assert!(health.shutdown().await, "nothing is left running");

    advance(Duration::from_millis(14_990)).await;
    assert_eq!(health.status(), Status::Healthy);
    advance(Duration::from_millis(10)).await;
    assert_eq!(health.status(), Status::Unhealthy);
    let db = seen(&health, "db");
    assert_eq!(
        (db.reason, db.output.as_deref()),
        (Some(FailureReason::Stale), Some("stale 15s"))
    );
    let cache = seen(&health, "cache");
    assert_eq!(
        (cache.reason, cache.status),
        (Some(FailureReason::Stale), Status::Degraded)
    );
    advance(2 * SECOND).await;
    assert_eq!(seen(&health, "db").output.as_deref(), Some("stale 17s"));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_grows_stale_is_told_to_subscribers_though_nobody_reads() {
    // Eight checks that hold on to their slots for ever; a ninth never runs.
    let health = Health::new();
    let slots: Vec<_> = (0..8).map(|_| Arc::new(tokio::sync::Notify::new())).collect();
    for (at, _) in slots.iter().enumerate() {
        let check = Check::new(pending::<()>)
            .interval(100 * SECOND)
            .timeout(100 * SECOND);
        health.add(format!("hangs-{at}"), check).unwrap();
    }
    settle().await;
    health.add("ninth", Check::new(|| async {})).unwrap();
    let mut changes = health.subscribe();
    let start = Instant::now();
    let change = changes.next().await;
    let (from, to) = (Status::Healthy, Status::Unhealthy);
    assert_eq!(
        change,
        Some(Change::Status {
            check: Some("ninth".into()),
            from,
            to
        })
    );
    let took = start.elapsed();
    assert!(took >= 15 * SECOND && took <= 16 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_checks_run_at_a_time_and_all_get_their_turn() {
    let health = Health::new();
    let runs = Runs::default();
    for at in 0..MAX_CHECKS {
        let runs = runs.clone();
        let check = Check::new(move || {
            let run = runs.begin();
            async move {
                sleep(Duration::from_millis(200)).await;
                drop(run);
            }
        });
        health.add(format!("check-{at}"), check).unwrap();
    }
    assert!(health.add("one-more", Check::new(|| async {})).is_err());
    sleep(2 * SECOND).await;
    assert_eq!(runs.most.load(SeqCst), 8);
    assert_eq!(runs.all.load(SeqCst), MAX_CHECKS);
    assert_eq!(health.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_do_not_check_together() {
    let moments = Arc::new(Mutex::new(HashSet::new()));
    let health = Health::new();
    for at in 0..20 {
        let moments = Arc::clone(&moments);
        let check = Check::new(move || {
            moments.lock().unwrap().insert(Instant::now());
            async {}
        });
        health.add(format!("check-{at}"), check).unwrap();
    }
    sleep(6 * SECOND).await;
    let moments = moments.lock().unwrap().len();
    assert!(moments > 10, "40 runs at {moments} moments");
}

struct Layer(&'static str, Arc<Mutex<Status>>);

impl Source for Layer {
    fn layer(&self) -> &'static str {
        self.0
    }
    fn name(&self) -> &str {
        "orders"
    }
    fn status(&self) -> Status {
        *self.1.lock().unwrap()
    }
    fn read(&self, _: &mut dyn Gather) {}
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_degrades_and_five_required_ones_are_unhealthy() {
    let state = Arc::new(Mutex::new(Status::Degraded));
    let health = Health::new();
    health
        .add("breaker", Check::source(Layer("breaker", Arc::clone(&state))))
        .unwrap();
    sleep(30 * SECOND).await;
    assert_eq!(
        health.status(),
        Status::Degraded,
        "one bad dependency unplugs no replica"
    );

    for at in 0..5 {
        let source = Check::source(Layer("breaker", Arc::clone(&state)));
        health.add(format!("required-{at}"), source.required()).unwrap();
    }
    sleep(3 * SECOND).await;
    assert_eq!(health.status(), Status::Unhealthy);
    *state.lock().unwrap() = Status::Healthy;
    sleep(3 * SECOND).await;
    assert_eq!(health.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn callers_in_line_at_a_pool_count_after_five_seconds() {
    let state = Arc::new(Mutex::new(Status::Degraded));
    let health = Health::new();
    health
        .add("pool", Check::source(Layer("pool", Arc::clone(&state))))
        .unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(
        health.status(),
        Status::Healthy,
        "a moment's line is what a pool is for"
    );
    *state.lock().unwrap() = Status::Healthy;
    sleep(2 * SECOND).await;
    *state.lock().unwrap() = Status::Degraded;
    sleep(4 * SECOND).await;
    assert_eq!(health.status(), Status::Healthy, "it is another line");
    sleep(4 * SECOND).await;
    assert_eq!(health.status(), Status::Degraded);
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_told_how_much_it_has_missed() {
    let health = Health::new();
    let mut changes = health.subscribe();
    let flip = AtomicUsize::new(0);
    let check = Check::new(move || {
        let status = if flip.fetch_add(1, SeqCst) % 4 < 2 {
            Status::Healthy
        } else {
            Status::Degraded
        };
        std::future::ready(status)
    });
    let check = check
        .interval(Duration::from_millis(100))
        .timeout(Duration::from_millis(50));
    health.add("flaps", check).unwrap();
    sleep(300 * SECOND).await;
    let Some(Change::Missed(missed)) = changes.next().await else {
        panic!("nothing was missed")
    };
    assert!(missed > 100);
    assert!(health.shutdown().await);
    let mut left = 0;
    while let Some(change) = changes.next().await {
        assert!(matches!(change, Change::Status { .. }));
        left += 1;
    }
    assert_eq!(left, Changes::CAPACITY);
    assert_eq!(health.subscribe().next().await, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_on_when_the_last_handle_is_gone() {
    let health = Health::new();
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    health
        .add(
            "db",
            Check::new(move || {
                let holds = Arc::clone(&holds);
                async move {
                    pending::<()>().await;
                    drop(holds);
                }
            }),
        )
        .unwrap();
    settle().await;
    let clone = health.clone();
    drop(health);
    sleep(SECOND / 2).await;
    assert_eq!(Arc::strong_count(&held), 3, "a clone is a handle, too");
    drop(clone);
    settle().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn names_and_times_are_validated_and_the_error_says_what_was_expected() {
    let health = Health::new();
    let fine = || Check::new(|| async {});
    let long = "x".repeat(65);
    for name in ["", "a b", "new\nline", "{}", "\u{e4}", long.as_str()] {
        let err = health.add(name, fine()).unwrap_err().to_string();
        assert!(err.contains("expected a name"), "{err}");
        assert!(!err.contains('\n'), "{err}");
    }
    for check in [
        fine().interval(Duration::ZERO),
        fine().interval(Duration::MAX),
        fine().timeout(Duration::ZERO),
        fine().timeout(6 * SECOND),
        fine().timeout(Duration::MAX),
    ] {
        let err = health.add("db", check).unwrap_err().to_string();
        assert!(err.starts_with("check \"db\": expected"), "{err}");
    }
    health.add("db:responseTime", fine()).unwrap();
    assert!(health.add("db:responseTime", fine()).is_err());
    assert!(health.shutdown().await);
    assert!(health.add("late", fine()).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_megabytes_is_cut() {
    let health = Health::new();
    health
        .add(
            "db",
            Check::new(|| async { Verdict::degraded("\u{e4}\n".repeat(1 << 20)) }),
        )
        .unwrap();
    settle().await;
    let output = seen(&health, "db").output.unwrap();
    assert!(output.len() <= 256 && output.len() > 250, "{}", output.len());
    assert!(output.starts_with("\u{e4} \u{e4} "));
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_runtime_without_timers_is_refused_at_once_and_not_in_a_task() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _health = runtime.block_on(async { Health::new() });
}

#[test]
#[should_panic(expected = "no reactor running")]
fn outside_of_a_runtime_there_is_no_engine() {
    let _health = Health::new();
}

/// A balancer may ask `/livez` for as long as the process drains, which is after its checks have ended.
#[tokio::test]
async fn a_process_that_drains_is_alive_after_its_checks_have_ended() {
    let health = Health::new();
    let lag = health.runtime_lag();
    health.add("db", Check::new(|| async {})).unwrap();
    assert!(health.shutdown().await);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1_200) {
        sleep(Duration::from_millis(50)).await;
    }
    // 1.2 s since the checks ended; without a beat it would be 0.95 s and more.
    let late: Duration = (0..5).map(|_| lag.lag()).min().unwrap();
    assert!(late < Duration::from_millis(900), "{late:?}");
    drop(health);
    assert_eq!(lag.lag(), Duration::ZERO, "nobody measures any more");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_removed_while_it_runs_is_dropped_and_its_name_is_free() {
    let health = Health::new();
    let runs = Runs::default();
    let begun = runs.clone();
    let hangs = Check::new(move || {
        let run = begun.begin();
        async move {
            pending::<()>().await;
            drop(run);
        }
    });
    health.add("db", hangs).unwrap();
    settle().await;
    assert_eq!(runs.now.load(SeqCst), 1);
    assert!(health.remove("db") && !health.remove("db"));
    health.add("db", Check::new(|| async {})).unwrap();
    settle().await;
    assert_eq!(runs.now.load(SeqCst), 0, "the run is dropped");
    sleep(20 * SECOND).await;
    let db = seen(&health, "db");
    assert_eq!(
        (db.status, db.reason),
        (Status::Healthy, None),
        "the old run tells nothing"
    );
    assert_eq!(runs.all.load(SeqCst), 1);
}

#[test]
fn a_check_that_blocks_its_thread_grows_stale_and_the_others_go_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    runtime.block_on(async {
        let health = Health::new();
        let quick = |check: Check| check.interval(SECOND / 5).timeout(SECOND / 10);
        let blocks = Check::new(move || {
            let _ = released.lock().unwrap().recv_timeout(60 * SECOND);
            async {}
        });
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let fine = Check::new(move || {
            counted.fetch_add(1, SeqCst);
            async {}
        });
        health.add("blocks", quick(blocks)).unwrap();
        health.add("fine", quick(fine)).unwrap();
        let deadline = Instant::now() + 30 * SECOND;
        let is_stale = || seen(&health, "blocks").reason == Some(FailureReason::Stale);
        while !is_stale() || runs.load(SeqCst) < 5 {
            assert!(Instant::now() < deadline, "{:?}", health.report());
            sleep(SECOND / 20).await;
        }
        assert_eq!(seen(&health, "blocks").status, Status::Unhealthy);
        release.send(()).unwrap();
        drop(release);
        // With its sender gone it returns at once.
        while seen(&health, "blocks").status != Status::Healthy {
            assert!(Instant::now() < deadline, "{:?}", health.report());
            sleep(SECOND / 20).await;
        }
    });
}

/// From many threads at once: no deadlock, and nothing left.
#[test]
fn adding_removing_reading_and_shutting_down_may_race() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for round in 0..20 {
        let held = Arc::new(());
        runtime.block_on(async {
            let health = Health::new();
            let racers: Vec<_> = (0..8)
                .map(|at| {
                    let (health, held) = (health.clone(), Arc::clone(&held));
                    tokio::task::spawn_blocking(move || {
                        for n in 0..20 {
                            let holds = Arc::clone(&held);
                            let check = Check::new(move || {
                                let holds = Arc::clone(&holds);
                                async move { drop(holds) }
                            });
                            let name = format!("check-{}", (at + n) % 5);
                            let _ = health.add(&name, check);
                            health.mark_started();
                            drop((health.report(), health.subscribe(), health.is_ready()));
                            if n % 3 == 0 {
                                health.remove(&name);
                            }
                            if at == 0 && n == 15 {
                                health.begin_shutdown();
                            }
                        }
                    })
                })
                .collect();
            if round % 2 == 0 {
                assert!(health.shutdown().await);
            }
            for racer in racers {
                racer.await.unwrap();
            }
            assert!(health.shutdown().await && !health.is_ready());
            health.mark_started();
            assert!(!health.is_ready());
        });
        let deadline = std::time::Instant::now() + 20 * SECOND;
        while Arc::strong_count(&held) > 1 {
            assert!(std::time::Instant::now() < deadline, "a check is still there");
            std::thread::yield_now();
        }
    }
}
