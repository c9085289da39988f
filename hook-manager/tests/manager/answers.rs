//! Which hooks answer, and when they are not asked again.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use futures::future::join_all;
use hook_manager::{CacheRule, Decision, HookOutput, HookRequest};

use crate::support::{EVENT, bash, echo, manager, run, says};

#[tokio::test(start_paused = true)]
async fn no_hooks_make_an_empty_report_and_no_error() {
    let report = run(&manager([])).await;
    assert!(report.results.is_empty());
    assert_eq!(report.merged.decision, Decision::None);
}

#[tokio::test(start_paused = true)]
async fn the_cache_answers_for_the_whole_input_and_for_no_other() {
    let runs = Arc::default();
    let manager = manager([echo(&runs).cached(CacheRule::default())]);
    for (command, context, cached) in [("ls", "ls", false), ("pwd", "pwd", false), ("ls", "ls", true)] {
        let report = manager.execute(bash(command)).await;
        assert_eq!(report.merged.contexts, [context]);
        assert_eq!(
            (report.results[0].cached, report.results[0].attempts),
            (cached, u32::from(!cached))
        );
    }
    assert_eq!(runs.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_cached_that_nobody_declared_cacheable() {
    let runs = Arc::default();
    let manager = manager([echo(&runs)]);
    for _ in 0..3 {
        assert!(!run(&manager).await.results[0].cached);
    }
    assert_eq!(runs.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn six_equal_events_at_once_run_a_cacheable_hook_once() {
    let runs = Arc::default();
    let manager = manager([echo(&runs).cached(CacheRule::default())]);
    let reports = join_all((0..6).map(|_| run(&manager))).await;
    assert!(reports.iter().all(|report| report.merged.contexts == ["ls"]));
    assert_eq!(runs.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_matcher_and_a_rule_choose_the_calls_a_hook_sees() {
    let hooks = || {
        [
            says("bash", HookOutput::none()).matching("Bash|PowerShell"),
            says("edits", HookOutput::none()).matching("Edit|Write"),
            says("git", HookOutput::none()).only_if("Bash(git *)"),
        ]
    };
    for (command, expected) in [("ls", &["bash"][..]), ("git push", &["bash", "git"])] {
        let report = manager(hooks()).execute(bash(command)).await;
        let names: Vec<&str> = report.results.iter().map(|result| &*result.hook).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn inputs_that_differ_in_a_digit_or_in_a_repeated_field_are_different_keys() {
    let runs = Arc::default();
    let manager = manager([echo(&runs).cached(CacheRule::default())]);
    for input in [
        r#"{"id": 100000000000000000000001}"#,
        r#"{"id": 100000000000000000000002}"#,
        r#"{"a": 1, "a": 2}"#,
        r#"{"a": 2}"#,
    ] {
        let report = manager.execute(HookRequest::parse(EVENT, input).unwrap()).await;
        assert!(!report.results[0].cached, "{input}");
    }
    assert_eq!(runs.load(SeqCst), 4);
}
