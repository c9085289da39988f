//! How checks are run: in time, apart from each other, and however they end.

use std::{
    collections::HashSet,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_monitor::{
    Status,
    health::{Check, FailureReason, Health, MAX_CHECKS, Verdict},
};
use tokio::time::{Instant, advance, sleep};

use crate::support::{SECOND, seen, settle};

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
