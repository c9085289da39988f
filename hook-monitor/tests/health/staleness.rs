//! Results that are too old to be believed.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_monitor::{
    Status,
    health::{Change, Check, FailureReason, Health},
};
use tokio::time::{Instant, advance, sleep};

use crate::support::{SECOND, seen, settle};

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
