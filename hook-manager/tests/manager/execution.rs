//! One event: what it takes, what its results say, and how it is called off.

use std::{io, sync::Arc, time::Duration};

use hook_manager::{
    Anomaly, CacheRule, Decision, Hook, HookError, HookEvent, HookManager, HookOutput, HookRequest,
    OnFailure, OnOpen, layers::State,
};
use serde_json::json;
use tokio::{sync::oneshot, time::sleep};

use crate::support::{EVENT, echo, error, failing, hangs, manager, run, says, takes};

#[tokio::test(start_paused = true)]
async fn an_event_of_this_process_takes_what_the_user_said_a_total_time_and_a_signal() {
    let said = Hook::function("said", EVENT, |req: HookRequest| async move {
        Ok::<_, io::Error>(HookOutput::none().context(req.field("/user_input").unwrap_or("nothing")))
    });
    let manager = manager([said, hangs("hangs")]);
    let report = manager
        .event(EVENT, json!({ "tool_name": "Bash" }))
        .user_input("hello")
        .total_time(Duration::from_secs(2))
        .await
        .unwrap();
    assert_eq!(report.merged.contexts, ["hello"]);
    assert_eq!(report.took, Duration::from_secs(2));
    assert!(manager.event(EVENT, json!([])).await.is_err());
    let none = manager.event(HookEvent::Stop, json!({})).await.unwrap();
    assert!(none.results.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_called_off_keeps_what_was_answered_by_then() {
    let manager = manager([
        takes("quick", EVENT, 10),
        hangs("hangs").on_failure(OnFailure::Block),
    ]);
    let (tell, told) = oneshot::channel::<()>();
    tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        drop(tell);
    });
    let report = manager
        .event(EVENT, json!({ "tool_name": "Bash" }))
        .cancel_when(told)
        .await
        .unwrap();
    assert!(report.results[0].success());
    assert_eq!(error(&report.results[1]), &HookError::Cancelled);
    assert_eq!(
        report.merged.decision,
        Decision::Deny,
        "a guard that was not asked has not said yes"
    );
    assert_eq!(report.took, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_result_says_how_long_it_ran_how_long_it_waited_and_how_its_circuit_is() {
    let manager = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(takes("first", EVENT, 300))
        .hook(takes("second", EVENT, 20))
        .build()
        .unwrap();
    let results = run(&manager).await.results;
    let ms = Duration::from_millis;
    let times: Vec<_> = results
        .iter()
        .map(|result| (result.queued, result.ran, result.took))
        .collect();
    assert_eq!(times, [(ms(0), ms(300), ms(300)), (ms(300), ms(20), ms(320))]);
    assert_eq!(results[0].breaker, Some(State::Closed));
    assert_eq!(results[0].anomaly, None);
}

#[tokio::test(start_paused = true)]
async fn a_cached_answer_took_no_run() {
    let manager = manager([echo(&Arc::default()).cached(CacheRule::default())]);
    assert_eq!(run(&manager).await.results[0].ran, Duration::from_millis(10));
    let hit = &run(&manager).await.results[0];
    assert_eq!((hit.cached, hit.ran), (true, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_run_far_above_the_usual_is_marked() {
    let slow = Hook::function("uneven", EVENT, |req: HookRequest| async move {
        let slow = req.field("/tool_input/command") == Some("slow");
        sleep(Duration::from_millis(if slow { 900 } else { 30 })).await;
        Ok::<_, io::Error>(HookOutput::none())
    });
    let manager = manager([slow]);
    for _ in 0..25 {
        assert_eq!(run(&manager).await.results[0].anomaly, None);
    }
    let report = manager.execute(crate::support::bash("slow")).await;
    let Some(Anomaly::Outlier(outlier)) = report.results[0].anomaly.as_deref() else {
        panic!("thirty times the usual: {report:?}");
    };
    assert_eq!(
        (outlier.usual, outlier.took),
        (Duration::from_millis(30), Duration::from_millis(900))
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_means_what_its_owner_says_and_the_user_is_told_once() {
    for (policy, decision) in [
        (OnOpen::Skip, Decision::None),
        (OnOpen::Ask, Decision::Ask),
        (OnOpen::Block, Decision::Deny),
    ] {
        let manager = manager([failing("bad", &Arc::default()).on_open(policy)]);
        for _ in 0..3 {
            assert_eq!(
                run(&manager).await.merged.decision,
                Decision::None,
                "failures are allowed"
            );
        }
        let first = run(&manager).await.merged;
        assert_eq!(first.decision, decision);
        assert_eq!(first.system_messages.len(), 1, "{first:?}");
        assert!(
            first.system_messages[0].starts_with("hook bad failed again and again and is left alone"),
            "{first:?}"
        );
        let second = run(&manager).await;
        assert!(matches!(error(&second.results[0]), HookError::CircuitOpen(_)));
        assert!(second.results[0].notice.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_asks_for_guards_and_lets_observers_go() {
    for (hook, decision) in [
        (failing("bad", &Arc::default()), Decision::None),
        (failing("bad-guard", &Arc::default()), Decision::Ask),
    ] {
        let manager = manager([hook]);
        manager.force_open("bad");
        manager.force_open("bad-guard");
        assert_eq!(run(&manager).await.merged.decision, decision);
    }
}

#[tokio::test(start_paused = true)]
async fn with_everything_off_a_hook_is_run_each_time_and_nothing_is_in_between() {
    let runs = Arc::default();
    let manager = HookManager::builder()
        .cache(false)
        .breaker(false)
        .retries(0)
        .monitoring(false)
        .hook(failing("bad", &runs).idempotent().cached(CacheRule::default()))
        .hook(says("fine", HookOutput::none()).cached(CacheRule::default()))
        .build()
        .unwrap();
    for _ in 0..10 {
        let report = run(&manager).await;
        assert_eq!(error(&report.results[0]), &HookError::Failed("no luck".into()));
        assert_eq!(
            (report.results[1].cached, report.results[1].breaker),
            (false, None)
        );
    }
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 10);
    assert_eq!(manager.layers().count(), 0);
}
