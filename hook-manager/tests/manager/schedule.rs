//! Which hook runs before, after, beside, and not beside which.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use hook_manager::{
    Decision, Ended, Hook, HookError, HookEvent, HookManager, HookManagerBuilder, HookOutput,
    IfDependencyFails, OnFailure, Priority,
};
use tokio::time::sleep;

use crate::support::{EVENT, bash, failing, manager, request, run, says, takes};

type Seen = Arc<Mutex<Vec<String>>>;

/// A hook that says when it begins and ends.
fn noted(name: &'static str, event: HookEvent, seen: &Seen, ms: u64) -> Hook {
    let seen = Arc::clone(seen);
    Hook::function(name, event, move |_| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().unwrap().push(format!("{name} begins"));
            sleep(Duration::from_millis(ms)).await;
            seen.lock().unwrap().push(format!("{name} ends"));
            Ok::<_, io::Error>(HookOutput::none())
        }
    })
}

fn beginnings(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().unwrap();
    let begins = seen.iter().filter_map(|line| line.strip_suffix(" begins"));
    begins.map(str::to_owned).collect()
}

/// Whether two hooks ever ran at the same time.
fn overlap(seen: &Seen) -> bool {
    let mut running = 0;
    seen.lock().unwrap().iter().any(|line| {
        running += if line.ends_with("begins") { 1 } else { -1 };
        running > 1
    })
}

#[tokio::test(start_paused = true)]
async fn places_are_taken_by_priority_and_what_was_said_wins_over_the_name() {
    let seen = Seen::default();
    let hook = |name| noted(name, HookEvent::Stop, &seen, 1);
    let manager = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(hook("usage-stats"))
        .hook(hook("plain"))
        .hook(hook("security-report"))
        .hook(hook("jit"))
        .hook(hook("metrics").priority(Priority::Critical))
        .build()
        .unwrap();
    let stop = hook_manager::HookRequest::new(HookEvent::Stop, serde_json::json!({})).unwrap();
    manager.execute(stop).await;
    assert_eq!(
        beginnings(&seen),
        ["security-report", "metrics", "jit", "plain", "usage-stats"]
    );
}

#[tokio::test(start_paused = true)]
async fn of_one_priority_the_hook_that_turned_out_quick_goes_first() {
    let seen = Seen::default();
    let manager = HookManager::builder()
        .max_concurrent_hooks(1)
        .hook(noted("slow", EVENT, &seen, 400))
        .hook(noted("quick", EVENT, &seen, 5))
        .build()
        .unwrap();
    run(&manager).await;
    run(&manager).await;
    assert_eq!(beginnings(&seen), ["slow", "quick", "quick", "slow"]);
    let slow = &manager.metrics().hooks[0];
    assert_eq!(slow.estimate, Duration::from_millis(400));
    assert!((slow.score - 24.0).abs() < 1e-9, "{}", slow.score);
}

#[tokio::test(start_paused = true)]
async fn a_hook_waits_for_those_it_depends_on_however_long_they_take() {
    let seen = Seen::default();
    let manager = manager([
        noted("third", EVENT, &seen, 1).depends_on("second").guard(),
        noted("second", EVENT, &seen, 1).depends_on("first"),
        noted("first", EVENT, &seen, 500),
    ]);
    run(&manager).await;
    assert_eq!(beginnings(&seen), ["first", "second", "third"]);
    assert!(!overlap(&seen));
}

#[tokio::test(start_paused = true)]
async fn a_failed_dependency_skips_an_observer_and_fails_a_guard_unless_told_otherwise() {
    let bad = || failing("bad", &Arc::default());
    let after = || says("after", HookOutput::allow("ran")).depends_on("bad");
    for (hook, kind, decision) in [
        (after(), "skipped", Decision::None),
        (after().guard(), "not_run", Decision::Ask),
        (after().on_failure(OnFailure::Block), "not_run", Decision::Deny),
        (
            after().if_dependency_fails(IfDependencyFails::Run),
            "answered",
            Decision::Allow,
        ),
        (
            after().guard().if_dependency_fails(IfDependencyFails::Skip),
            "skipped",
            Decision::None,
        ),
    ] {
        let report = run(&manager([bad(), hook])).await;
        let (found, why) = match &report.results[1].ended {
            Ended::Answered(_) => ("answered", String::new()),
            Ended::Failed(err) => (err.kind(), err.to_string()),
            Ended::Skipped(why) => ("skipped", why.to_string()),
        };
        assert_eq!((found, report.merged.decision), (kind, decision));
        assert!(
            kind == "answered" || why.contains("dependency failed: bad"),
            "{why}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_is_not_for_this_input_is_none() {
    let manager = manager([
        says("reads", HookOutput::none()).matching("Read"),
        says("after", HookOutput::allow("ran")).depends_on("reads"),
    ]);
    assert_eq!(run(&manager).await.merged.decision, Decision::Allow);
}

#[test]
fn circles_and_misspelt_dependencies_are_refused_by_name() {
    let circle = [
        says("a", HookOutput::none()).depends_on("b"),
        says("b", HookOutput::none()).depends_on("c"),
        says("c", HookOutput::none()).depends_on("a"),
    ];
    let build = |hooks: Vec<Hook>| {
        let builder = hooks
            .into_iter()
            .fold(HookManager::builder(), HookManagerBuilder::hook);
        builder.build().unwrap_err().to_string()
    };
    assert_eq!(
        build(circle.into()),
        "hooks wait for each other in a circle: a -> b -> c -> a; expected one of them to go first"
    );
    let misspelt = vec![
        says("format", HookOutput::none()),
        says("lint", HookOutput::none()).depends_on("fromat"),
    ];
    assert_eq!(
        build(misspelt),
        "hook lint: depends on `fromat`, which there is not, expected `format`?"
    );
}

#[tokio::test(start_paused = true)]
async fn a_writer_runs_beside_neither_readers_nor_writers_not_even_in_another_session() {
    for hooks in [
        |seen: &Seen| {
            [
                noted("a", EVENT, seen, 9).writes("index"),
                noted("b", EVENT, seen, 9).writes("index"),
            ]
        },
        |seen: &Seen| {
            [
                noted("a", EVENT, seen, 9).writes("index"),
                noted("b", EVENT, seen, 9).reads("index"),
            ]
        },
        |seen: &Seen| {
            [
                noted("a", EVENT, seen, 9).parallel(false),
                noted("b", EVENT, seen, 9),
            ]
        },
    ] {
        let seen = Seen::default();
        let manager = manager(hooks(&seen));
        join_all((0..3).map(|n| manager.execute(bash(&n.to_string())))).await;
        assert_eq!(seen.lock().unwrap().len(), 12);
        // Two readers may meet; a writer meets nobody.
        let seen = seen.lock().unwrap();
        let mut running: Vec<&str> = Vec::new();
        for line in seen.iter() {
            match line.split_once(' ').unwrap() {
                (name, "begins") => running.push(name),
                (name, _) => running.retain(|one| *one != name),
            }
            assert!(running.len() < 2 || !running.contains(&"a"), "{seen:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_thing_run_side_by_side() {
    let seen = Seen::default();
    let manager = manager([
        noted("a", EVENT, &seen, 9).reads("index"),
        noted("b", EVENT, &seen, 9).reads("index"),
        noted("c", EVENT, &seen, 9).writes("other"),
    ]);
    run(&manager).await;
    assert!(overlap(&seen));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_what_another_writes_is_told_so_at_the_deadline() {
    let manager = HookManager::builder()
        .deadline(Duration::from_secs(1))
        .hook(takes("writer", EVENT, 60_000).writes("index").matching("Bash"))
        .hook(takes("reader", EVENT, 1).reads("index").matching("Read"))
        .build()
        .unwrap();
    let read = manager.execute(request(serde_json::json!({ "tool_name": "Read" })));
    let (_, report) = tokio::join!(manager.execute(bash("ls")), read);
    assert!(
        matches!(report.results[0].error(), Some(HookError::OutOfBudget { .. })),
        "{report:?}"
    );
}
