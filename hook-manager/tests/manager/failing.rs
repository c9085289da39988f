//! Failures: told apart, counted, tried again, and what they mean.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_manager::{
    CacheRule, Decision, Ended, Hook, HookError, HookEvent, HookManager, HookOutput, HookRequest, OnFailure,
};
use tokio::time::sleep;

use crate::support::{EVENT, error, failing, manager, run, says};

#[tokio::test(start_paused = true)]
async fn a_circuit_opens_after_three_failures_and_lets_the_hook_recover() {
    let runs = Arc::default();
    let manager = manager([failing("bad", &runs)]);
    for _ in 0..3 {
        assert_eq!(
            error(&run(&manager).await.results[0]),
            &HookError::Failed("no luck".into())
        );
    }
    let report = run(&manager).await;
    assert!(
        matches!(error(&report.results[0]), HookError::CircuitOpen(_)),
        "{report:?}"
    );
    assert_eq!((report.results[0].attempts, runs.load(SeqCst)), (0, 3));

    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        error(&run(&manager).await.results[0]).kind(),
        "failed",
        "the probe has to reach the hook"
    );
}

#[tokio::test(start_paused = true)]
async fn decisions_are_no_failures_however_many_there_are() {
    let manager = manager([says("strict", HookOutput::deny("no")).idempotent()]);
    for _ in 0..20 {
        let report = run(&manager).await;
        assert_eq!(
            (report.merged.decision, report.results[0].attempts),
            (Decision::Deny, 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_idempotent_hook_is_tried_again() {
    for (idempotent, attempts) in [(false, 1), (true, 4)] {
        let runs = Arc::default();
        let hook = failing("bad", &runs);
        let hook = if idempotent { hook.idempotent() } else { hook };
        let builder = HookManager::builder().hook(hook).breaker_threshold(100);
        let report = run(&builder.build().unwrap()).await;
        assert_eq!(
            (report.results[0].attempts, runs.load(SeqCst)),
            (attempts, attempts as usize)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_hooks_failure_and_leaves_the_others_alone() {
    let panics = Hook::function("panics", EVENT, |req: HookRequest| async move {
        match req.field("/tool_name") {
            Some(_) => panic!("unexpected tool"),
            None => Ok::<_, io::Error>(HookOutput::none()),
        }
    });
    let report = run(&manager([panics, says("fine", HookOutput::allow("yes"))])).await;
    assert_eq!(
        error(&report.results[0]),
        &HookError::Panicked("unexpected tool".into())
    );
    assert_eq!(report.merged.decision, Decision::Allow);
}

#[tokio::test(start_paused = true)]
async fn what_a_failure_means_is_its_owners_choice() {
    for (policy, decision, messages) in [
        (OnFailure::Allow, Decision::None, 0),
        (OnFailure::Ask, Decision::Ask, 1),
        (OnFailure::Block, Decision::Deny, 1),
    ] {
        let report = run(&manager([failing("bad", &Arc::default()).on_failure(policy)])).await;
        assert_eq!(report.merged.decision, decision);
        assert_eq!(report.merged.system_messages.len(), messages, "{report:?}");
        assert!(
            matches!(report.results[0].ended, Ended::Failed(_)),
            "a policy does not hide the failure"
        );
    }
    // Nobody said anything: a guard that could not look has the user look.
    let report = run(&manager([failing("bad", &Arc::default()).guard()])).await;
    assert_eq!(report.merged.decision, Decision::Ask);
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_a_failure_is_told_although_the_circuit_opened_on_the_way() {
    // As many retries as failures in a row open the circuit: the last attempt is refused.
    let report = run(&manager([failing("bad", &Arc::default()).idempotent()])).await;
    assert_eq!(error(&report.results[0]), &HookError::Failed("no luck".into()));
    assert_eq!(report.results[0].attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_idempotent_hook_is_tried_again_like_any_failure() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let panics_once = Hook::function("panics", EVENT, move |_| {
        let run = count.fetch_add(1, SeqCst);
        async move {
            assert!(run > 0, "the first time goes wrong");
            Ok::<_, io::Error>(HookOutput::allow("the second does not"))
        }
    });
    let report = run(&manager([panics_once.idempotent()])).await;
    assert_eq!(
        (report.merged.decision, report.results[0].attempts),
        (Decision::Allow, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_a_failure_of_each_of_its_hooks() {
    let manager = manager([
        says("a", HookOutput::none()),
        says("b", HookOutput::none()).guard(),
    ]);
    let report = manager.not_run(&EVENT, "no JSON");
    assert!(
        report
            .failures()
            .all(|(_, err)| *err == HookError::NotRun("no JSON".into()))
    );
    assert_eq!((report.results.len(), report.merged.decision), (2, Decision::Ask));
    assert!(manager.not_run(&HookEvent::Stop, "no JSON").results.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_stands_in_for_a_failure_and_for_an_open_circuit_where_that_was_asked_for() {
    for (window, expected) in [
        (None, Decision::None),
        (Some(Duration::from_secs(3_600)), Decision::Allow),
    ] {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let once = Hook::function("once", EVENT, move |_| {
            let run = count.fetch_add(1, SeqCst);
            async move {
                match run {
                    0 => Ok(HookOutput::allow("fine")),
                    _ => Err(io::Error::other("no luck")),
                }
            }
        });
        let rule = CacheRule {
            ttl: Some(Duration::from_secs(10)),
            stale_if_error: window,
            ..CacheRule::default()
        };
        let manager = manager([once.cached(rule)]);
        run(&manager).await;
        for _ in 0..10 {
            sleep(Duration::from_secs(11)).await;
            let report = run(&manager).await;
            assert_eq!(
                (report.merged.decision, report.results[0].cached),
                (expected, window.is_some())
            );
        }
        assert!(runs.load(SeqCst) >= 4, "it is asked again and again: {runs:?}");
    }
}
