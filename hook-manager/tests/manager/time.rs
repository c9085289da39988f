//! Deadlines, places and the order in which they are taken.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::join_all;
use hook_manager::{Decision, Ended, Hook, HookError, HookManager, HookOutput, HookRequest};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{EVENT, error, hangs, manager, request, run, says};

#[tokio::test(start_paused = true)]
async fn one_deadline_holds_for_the_event_and_every_hook_yields_a_result() {
    let start = Instant::now();
    let report = run(&manager([
        hangs("hangs"),
        says("fine", HookOutput::none().context("here")),
    ]))
    .await;
    assert_eq!(start.elapsed(), Duration::from_secs(15));
    assert_eq!(
        error(&report.results[0]),
        &HookError::TimedOut {
            after: Duration::from_secs(15),
            by_deadline: true,
            waited: Duration::ZERO
        }
    );
    assert_eq!(report.merged.contexts, ["here"]);
}

#[tokio::test(start_paused = true)]
async fn a_hooks_own_timeout_comes_before_the_events_deadline() {
    let report = run(&manager([hangs("hangs").timeout(Duration::from_secs(2))])).await;
    assert_eq!(
        error(&report.results[0]),
        &HookError::TimedOut {
            after: Duration::from_secs(2),
            by_deadline: false,
            waited: Duration::ZERO
        }
    );
    assert_eq!(report.took, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_event_and_not_after_it() {
    let builder = HookManager::builder()
        .hook(hangs("hangs").timeout(Duration::from_secs(4)).idempotent())
        .breaker_threshold(100);
    let report = run(&builder.build().unwrap()).await;
    assert!(report.took <= Duration::from_millis(15_050), "{report:?}");
    assert!(
        matches!(error(&report.results[0]), HookError::TimedOut { .. }),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_limit_on_hooks_holds_over_all_events_and_the_last_in_line_is_told_why() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let hook = |name: &str| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        Hook::function(name, EVENT, move |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                sleep(Duration::from_secs(4)).await;
                running.fetch_sub(1, SeqCst);
                Ok::<_, io::Error>(HookOutput::none())
            }
        })
    };
    let builder = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(hook("a"))
        .hook(hook("b"));
    let manager = builder.build().unwrap();
    let reports = join_all((0..3).map(|_| run(&manager))).await;
    assert_eq!(most.load(SeqCst), 1);
    // Six hooks of four seconds, one at a time, in fifteen seconds: three end, one is cut off.
    let kinds: Vec<&str> = reports
        .iter()
        .flat_map(|report| &report.results)
        .map(|result| match &result.ended {
            Ended::Answered(_) => "answered",
            Ended::Failed(err) => err.kind(),
            Ended::Skipped(_) => "skipped",
        })
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "answered").count(),
        3,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "timed_out").count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "out_of_budget").count(),
        2,
        "{kinds:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn guards_run_first_whatever_their_name() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let hook = |name: &'static str| {
        let order = Arc::clone(&order);
        Hook::function(name, EVENT, move |_| {
            order.lock().unwrap().push(name);
            async { Ok::<_, io::Error>(HookOutput::none()) }
        })
    };
    let builder = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(hook("a-logger"))
        .hook(hook("update-checker").guard())
        .hook(hook("security-update"));
    let report = run(&builder.build().unwrap()).await;
    assert_eq!(
        *order.lock().unwrap(),
        ["update-checker", "security-update", "a-logger"]
    );
    let names: Vec<&str> = report.results.iter().map(|result| &*result.hook).collect();
    assert_eq!(
        names,
        ["a-logger", "update-checker", "security-update"],
        "results keep the declared order"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_event_gives_its_slots_back() {
    let manager = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(hangs("hangs").matching("Bash"));
    let manager = manager
        .hook(says("fine", HookOutput::none()).matching("Read"))
        .build()
        .unwrap();
    let event = tokio::time::timeout(Duration::from_secs(1), run(&manager)).await;
    assert!(event.is_err(), "the hook hangs");
    let report = manager.execute(request(json!({ "tool_name": "Read" }))).await;
    assert!(
        matches!(report.results[0].ended, Ended::Answered(_)),
        "{report:?}"
    );
    assert_eq!(report.took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_others_left_no_time_is_not_blamed_for_it() {
    let slow = |name: &str, ms: u64| {
        Hook::function(name, EVENT, move |req: HookRequest| async move {
            // On another tool nobody stands in its way, and it is quick.
            let ms = if req.field("/tool_name") == Some("Bash") {
                ms
            } else {
                1
            };
            sleep(Duration::from_millis(ms)).await;
            Ok::<_, io::Error>(HookOutput::deny("no"))
        })
    };
    let builder = HookManager::builder()
        .max_concurrent_hooks(1)
        .deadline(Duration::from_millis(450));
    let manager = builder
        .hook(slow("guard", 350).matching("Bash"))
        .hook(slow("second", 200))
        .build()
        .unwrap();
    for _ in 0..5 {
        let report = run(&manager).await;
        assert_eq!(error(&report.results[1]).kind(), "timed_out");
    }
    let report = manager.execute(request(json!({ "tool_name": "Read" }))).await;
    assert_eq!(report.merged.decision, Decision::Deny, "{report:?}");
}
