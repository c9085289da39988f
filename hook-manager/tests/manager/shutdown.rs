//! The end: no more is taken in, what runs is given time, and then stopped.

use std::time::Duration;

use hook_manager::{Hook, HookError};
use tokio::time::{Instant, sleep};

use crate::support::{EVENT, error, hangs, manager, run, takes};

#[tokio::test(start_paused = true)]
async fn events_under_way_are_given_until_the_deadline() {
    let manager = manager([takes("slow", EVENT, 2_000)]);
    let event = {
        let manager = manager.clone();
        tokio::spawn(async move { (run(&manager).await, Instant::now()) })
    };
    sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let report = manager.shutdown_within(Duration::from_secs(10)).await;
    // What is left, and how long that takes, is of the whole program: the processes of other tests.
    assert_eq!((report.drained, report.called_off), (1, 0));
    let (event, ended) = event.await.unwrap();
    assert!(event.results[0].success());
    assert_eq!(ended - began, Duration::from_millis(1_900));
}

#[tokio::test(start_paused = true)]
async fn those_that_do_not_end_are_called_off_and_later_ones_are_not_taken_in() {
    let manager = manager([hangs("hangs"), takes("quick", EVENT, 10)]);
    let event = {
        let manager = manager.clone();
        tokio::spawn(async move { run(&manager).await })
    };
    sleep(Duration::from_millis(100)).await;
    let report = manager.shutdown_within(Duration::from_secs(3)).await;
    assert_eq!((report.drained, report.called_off), (0, 1));
    assert!(report.saved.is_ok());
    let results = event.await.unwrap().results;
    assert_eq!(error(&results[0]), &HookError::Cancelled);
    assert!(results[1].success(), "what was answered stays answered");
    assert_eq!(error(&run(&manager).await.results[1]), &HookError::Cancelled);
}

/// In real time: it is about processes.
#[tokio::test]
async fn a_process_under_way_is_gone_with_its_children_when_shutdown_returns() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("child");
    let line = format!(
        "sleep 61 & echo $! > {0}.new && mv {0}.new {0}; wait",
        file.display()
    );
    let manager = manager([Hook::shell("sleeps", EVENT, line)]);
    let event = {
        let manager = manager.clone();
        tokio::spawn(async move { run(&manager).await })
    };
    let started = Instant::now();
    while !file.exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never starts");
        tokio::task::yield_now().await;
    }
    let child = std::fs::read_to_string(&file).unwrap();
    // A zombie that the system's first process has not fetched yet has no command line any more.
    let lives =
        || std::fs::read(format!("/proc/{}/cmdline", child.trim())).is_ok_and(|line| !line.is_empty());
    assert!(lives());
    let report = manager.shutdown_within(Duration::ZERO).await;
    assert_eq!(report.called_off, 1);
    assert!(!lives());
    assert_eq!(error(&event.await.unwrap().results[0]), &HookError::Cancelled);
}
