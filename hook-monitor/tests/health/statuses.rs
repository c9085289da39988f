//! What checks and sources make of the whole, and who is told.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_monitor::{
    Gather, Source, Status,
    health::{Change, Changes, Check, FailureReason, Health},
};
use tokio::time::{Instant, sleep};

use crate::support::{SECOND, seen, settle, switched};

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
