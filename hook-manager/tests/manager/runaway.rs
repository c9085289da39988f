//! Hooks that never stop are stopped.

use std::{sync::Arc, time::Duration};

use hook_manager::{CacheRule, Decision, HookManager, HookOutput, OnFailure};

use crate::support::{bash, echo, error, of_session, run, says};

#[tokio::test(start_paused = true)]
async fn a_hook_that_runs_too_often_in_a_minute_is_stopped_and_its_policy_says_what_that_means() {
    let manager = HookManager::builder()
        .max_runs_per_minute(5)
        .hook(says("loops", HookOutput::none()).on_failure(OnFailure::Ask))
        .build()
        .unwrap();
    for _ in 0..5 {
        assert_eq!(run(&manager).await.merged.decision, Decision::None);
    }
    let report = run(&manager).await;
    assert_eq!(
        error(&report.results[0]).to_string(),
        "runaway: 5 runs in the last minute; expected at most 5 (max_runs_per_minute)"
    );
    assert_eq!(report.merged.decision, Decision::Ask);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(run(&manager).await.results[0].success(), "it is no breaker");
}

#[tokio::test(start_paused = true)]
async fn sessions_are_counted_apart_and_a_hooks_own_limit_wins() {
    let manager = HookManager::builder()
        .hook(says("a", HookOutput::none()).max_runs_per_session(2))
        .hook(says("b", HookOutput::none()))
        .build()
        .unwrap();
    for (session, fine) in [("one", true), ("one", true), ("one", false), ("two", true)] {
        let results = manager.execute(of_session(session)).await.results;
        assert_eq!((results[0].success(), results[1].success()), (fine, true));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_answers_is_no_run() {
    let manager = HookManager::builder()
        .max_runs_per_minute(1)
        .hook(echo(&Arc::default()).cached(CacheRule::default()))
        .build()
        .unwrap();
    for _ in 0..10 {
        assert!(run(&manager).await.results[0].success());
    }
    assert!(!manager.execute(bash("other")).await.results[0].success());
}

#[tokio::test(start_paused = true)]
async fn context_over_the_sessions_limit_is_left_out_and_the_user_is_told() {
    let manager = HookManager::builder()
        .max_context_per_session(100)
        .hook(says("talks", HookOutput::allow("fine").context("x".repeat(60))))
        .build()
        .unwrap();
    let first = manager.execute(of_session("one")).await.merged;
    assert_eq!((first.contexts.len(), first.system_messages.len()), (1, 0));
    let second = manager.execute(of_session("one")).await.merged;
    assert_eq!((second.contexts.len(), second.decision), (0, Decision::Allow));
    assert_eq!(
        second.system_messages,
        [
            "hook talks: 60 bytes of context are left out: with them this session would have more than 100 \
          (max_context_per_session)"
        ]
    );
    assert_eq!(manager.execute(of_session("two")).await.merged.contexts.len(), 1);
}
