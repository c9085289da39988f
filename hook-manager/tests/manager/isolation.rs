//! Neither another event's hooks nor slow observers hold up a guard.

use std::time::Duration;

use futures::future::join_all;
use hook_manager::{Ended, Hook, HookEvent, HookManager, HookRequest};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{EVENT, bash, says, takes};

fn post(n: usize) -> HookRequest {
    HookRequest::new(HookEvent::PostToolUse, json!({ "tool_name": "Bash", "n": n })).unwrap()
}

#[tokio::test(start_paused = true)]
async fn slow_hooks_after_a_tool_do_not_hold_up_the_guard_before_the_next() {
    let manager = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(takes("slow-log", HookEvent::PostToolUse, 10_000))
        .hook(says("guard", hook_manager::HookOutput::deny("no")))
        .build()
        .unwrap();
    let background = {
        let manager = manager.clone();
        tokio::spawn(async move { join_all((0..20).map(|n| manager.execute(post(n)))).await.len() })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    let asked = Instant::now();
    let report = manager.execute(bash("ls")).await;
    assert_eq!(
        asked.elapsed(),
        Duration::ZERO,
        "twenty slow hooks wait for one place"
    );
    assert!(report.is_blocked());
    background.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn slow_observers_of_many_sessions_leave_a_place_for_the_guard_of_the_same_event() {
    let builder = HookManager::builder()
        .max_concurrent_hooks(3)
        .hook(takes("observer", EVENT, 5_000).matching("Bash"))
        .hook(takes("guard", EVENT, 10));
    let manager = builder.build().unwrap();
    let busy = {
        let manager = manager.clone();
        tokio::spawn(async move { join_all((0..6).map(|_| manager.execute(bash("ls")))).await })
    };
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let asked = Instant::now();
    let read = HookRequest::new(EVENT, json!({ "tool_name": "Read" })).unwrap();
    let report = manager.execute(read).await;
    assert!(matches!(report.results[0].ended, Ended::Answered(_)));
    assert_eq!(asked.elapsed(), Duration::from_millis(10));
    busy.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hook_with_a_limit_of_its_own_leaves_the_other_places_to_others() {
    let slow: Hook = takes("slow", EVENT, 1_000).max_concurrent(1).matching("Bash");
    let manager = HookManager::builder()
        .hook(slow)
        .hook(takes("quick", EVENT, 1).matching("Read"))
        .build()
        .unwrap();
    let started = Instant::now();
    let all = join_all((0..3).map(|_| manager.execute(bash("ls"))));
    let read = HookRequest::new(EVENT, json!({ "tool_name": "Read" })).unwrap();
    let (_, quick) = tokio::join!(all, manager.execute(read));
    assert_eq!(quick.took, Duration::from_millis(1));
    assert_eq!(started.elapsed(), Duration::from_secs(3), "one at a time");
}
