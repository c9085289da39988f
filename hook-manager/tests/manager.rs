//! The manager with in-process hooks, in virtual time.

use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::join_all;
use hook_manager::{
    CacheRule, Decision, Ended, EventReport, Hook, HookError, HookEvent, HookManager, HookManagerBuilder,
    HookOutput, HookRequest, HookResult, OnFailure,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const EVENT: HookEvent = HookEvent::PreToolUse;

fn request(input: Value) -> HookRequest {
    HookRequest::new(EVENT, input).unwrap()
}

fn bash(command: &str) -> HookRequest {
    request(json!({ "tool_name": "Bash", "tool_input": { "command": command, "timeout": 5 } }))
}

/// A hook that counts its runs and answers with the command it was asked about.
fn echo(runs: &Arc<AtomicUsize>) -> Hook {
    let runs = Arc::clone(runs);
    Hook::function("echo", EVENT, move |req: HookRequest| {
        runs.fetch_add(1, SeqCst);
        async move {
            sleep(Duration::from_millis(10)).await;
            Ok::<_, io::Error>(HookOutput::none().context(req.field("/tool_input/command").unwrap_or("-")))
        }
    })
}

fn says(name: &str, output: HookOutput) -> Hook {
    Hook::function(name, EVENT, move |_| {
        let output = output.clone();
        async move { Ok::<_, io::Error>(output) }
    })
}

fn failing(name: &str, runs: &Arc<AtomicUsize>) -> Hook {
    let runs = Arc::clone(runs);
    Hook::function(name, EVENT, move |_| {
        runs.fetch_add(1, SeqCst);
        async { Err::<HookOutput, _>(io::Error::other("no luck")) }
    })
}

fn hangs(name: &str) -> Hook {
    Hook::function(name, EVENT, |_| pending::<io::Result<HookOutput>>())
}

fn manager(hooks: impl IntoIterator<Item = Hook>) -> HookManager {
    hooks
        .into_iter()
        .fold(HookManager::builder(), HookManagerBuilder::hook)
        .build()
        .unwrap()
}

async fn run(manager: &HookManager) -> EventReport {
    manager.execute(bash("ls")).await
}

fn error(result: &HookResult) -> &HookError {
    result
        .error()
        .unwrap_or_else(|| panic!("it should have failed: {result:?}"))
}

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
async fn the_most_restrictive_decision_stands_and_says_who_made_it() {
    let manager = manager([
        says("a", HookOutput::allow("fine")),
        says("b", HookOutput::ask("sure?")),
        says("c", HookOutput::deny("first no").context("one")),
        says("d", HookOutput::deny("second no").context("two")),
    ]);
    let merged = run(&manager).await.merged;
    assert_eq!(merged.decision, Decision::Deny);
    assert_eq!(
        merged.decided_by.iter().map(|by| &**by).collect::<Vec<_>>(),
        ["c", "d"]
    );
    assert_eq!(merged.reason.as_deref(), Some("first no\nsecond no"));
    assert_eq!(merged.contexts, ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn rewrites_apply_in_declared_order_whoever_is_faster_and_none_undoes_another() {
    let rewrite = |name: &str, input: Value, ms: u64| {
        Hook::function(name, EVENT, move |_| {
            let input = input.clone();
            async move {
                sleep(Duration::from_millis(ms)).await;
                Ok::<_, io::Error>(HookOutput::none().updated_input(input))
            }
        })
    };
    for (slow, fast) in [(30, 1), (1, 30)] {
        let manager = manager([
            rewrite("safer", json!({ "command": "ls -l", "timeout": 5 }), slow),
            rewrite(
                "patient",
                json!({ "command": "ls", "timeout": 60, "note": "x" }),
                fast,
            ),
        ]);
        let merged = run(&manager).await.merged;
        assert_eq!(
            merged.updated_input,
            Some(json!({ "command": "ls -l", "timeout": 60, "note": "x" }))
        );
    }
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
async fn after_shutdown_hooks_end_as_cancelled() {
    let manager = manager([says("fine", HookOutput::none())]);
    assert_eq!(manager.shutdown().await, 0);
    assert_eq!(error(&run(&manager).await.results[0]), &HookError::Cancelled);
}

#[test]
fn figures_that_make_no_sense_are_refused_by_name() {
    let builder = HookManager::builder;
    for (refused, sentence) in [
        (
            builder().max_concurrent_hooks(0),
            "max_concurrent_hooks: expected 1 to 1000, found 0",
        ),
        (
            builder().deadline(Duration::ZERO),
            "deadline: expected 1ms to 24 hours, found 0ns",
        ),
        (
            builder().breaker_threshold(0),
            "breaker_threshold: expected 1 to 1000000, found 0",
        ),
        (
            builder().project("/nowhere"),
            "project: expected a directory, found /nowhere",
        ),
        (builder().hook(hangs("x").matching("(")), "hook x: "),
        (
            builder().hook(hangs("x")).hook(hangs("x")),
            "hook x: another hook of the same event has this name",
        ),
    ] {
        let err = refused.build().unwrap_err().to_string();
        assert!(err.starts_with(sentence), "{err}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_layer_of_every_hook_can_be_read_from_outside() {
    let manager = manager([says("fine", HookOutput::none())
        .idempotent()
        .cached(CacheRule::default())]);
    run(&manager).await;
    let layers: Vec<(&str, &str)> = manager
        .layers()
        .map(|layer| (layer.layer(), layer.name()))
        .collect();
    assert_eq!(
        layers,
        [
            ("monitor", "fine"),
            ("cache", "fine"),
            ("retry", "fine"),
            ("breaker", "fine")
        ]
    );
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

#[tokio::test(start_paused = true)]
async fn rewrites_of_parts_of_one_field_apply_both() {
    let rewrite = |name: &str, input: Value| says(name, HookOutput::none().updated_input(input));
    let manager = manager([
        rewrite("a", json!({ "o": { "a": 9, "b": 1 } })),
        rewrite("b", json!({ "o": { "a": 1, "b": 9, "c": 3 } })),
    ]);
    let input = json!({ "tool_name": "X", "tool_input": { "o": { "a": 1, "b": 1 } } });
    let merged = manager.execute(request(input)).await.merged;
    assert_eq!(
        merged.updated_input,
        Some(json!({ "o": { "a": 9, "b": 9, "c": 3 } }))
    );
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
