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

/// A project whose settings are these handlers before a tool.
fn project(handlers: serde_json::Value) -> (tempfile::TempDir, HookManager) {
    let dir = tempfile::tempdir().unwrap();
    let settings = serde_json::json!({ "hooks": { "PreToolUse": [{ "hooks": handlers }] } });
    std::fs::create_dir(dir.path().join(".claude")).unwrap();
    std::fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
    let manager = HookManager::builder().project(dir.path()).build().unwrap();
    (dir, manager)
}

#[tokio::test]
async fn hooks_of_a_file_that_wait_in_a_circle_fail_and_take_no_others_with_them() {
    let (_dir, manager) = project(serde_json::json!([
        { "type": "command", "command": "true a", "hookManager": { "name": "a", "dependsOn": ["b"] } },
        { "type": "command", "command": "true b", "hookManager": { "name": "b", "dependsOn": ["a"], "guard": true } },
        { "type": "command", "command": "true c", "hookManager": { "name": "c", "dependsOn": ["nobody"] } },
        { "type": "command", "command": "true d", "hookManager": { "name": "d" } },
    ]));
    let problems: Vec<String> = manager.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems[0]
            .contains("depends on `nobody`, which there is not, expected the name of a hook of PreToolUse")
            || problems[2].contains("depends on `nobody`"),
        "{problems:?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("waits for itself in a circle: a -> b -> a"))
    );
    let report = run(&manager).await;
    let kind = |result: &hook_manager::HookResult| result.error().map_or("answered", HookError::kind);
    let kinds: Vec<_> = report
        .results
        .iter()
        .map(|result| (&*result.hook, kind(result)))
        .collect();
    assert!(kinds.contains(&("d", "answered")), "{kinds:?}");
    assert_eq!(
        kinds.iter().filter(|(_, kind)| *kind == "unusable").count(),
        3,
        "{kinds:?}"
    );
    assert_eq!(report.merged.decision, Decision::Ask, "b is a guard");
    manager.shutdown().await;
}

#[test]
fn a_settings_file_says_all_that_code_can_say() {
    let (_dir, manager) = project(serde_json::json!([
        { "type": "command", "command": "true", "hookManager": { "name": "first" } },
        { "type": "command", "command": "echo", "hookManager": {
            "name": "second", "onOpen": "block", "priority": "low", "dependsOn": ["first"],
            "ifDependencyFails": "run", "reads": ["index"], "writes": ["cache"], "parallel": false,
            "maxConcurrent": 2, "maxRunsPerMinute": 30, "maxRunsPerSession": 500,
            "cache": { "ttl": 5, "files": ["deny.list"], "tags": ["policy"], "staleIfError": 60 } } },
    ]));
    assert_eq!(manager.problems(), []);
    let spec = manager.hooks().nth(1).unwrap();
    let schedule = &spec.schedule;
    assert_eq!(spec.on_open, Some(hook_manager::OnOpen::Block));
    assert_eq!(
        (schedule.priority, schedule.exclusive),
        (Some(Priority::Low), true)
    );
    assert_eq!(schedule.depends_on, ["first".into()]);
    assert_eq!(schedule.if_dependency_fails, Some(IfDependencyFails::Run));
    assert_eq!(
        (&schedule.reads[..], &schedule.writes[..]),
        (&["index".into()][..], &["cache".into()][..])
    );
    assert_eq!(
        (
            schedule.max_concurrent,
            schedule.max_runs_per_minute,
            schedule.max_runs_per_session
        ),
        (Some(2), Some(30), Some(500))
    );
    let rule = spec.cache.as_ref().unwrap();
    assert_eq!((&rule.tags[..], rule.files.len()), (&["policy".into()][..], 1));
    assert_eq!(rule.stale_if_error, Some(Duration::from_secs(60)));
}

#[test]
fn what_a_settings_file_says_wrongly_is_told_with_what_was_expected() {
    for (field, value, expected) in [
        (
            "priority",
            serde_json::json!("urgent"),
            "\"critical\", \"high\", \"normal\" or \"low\"",
        ),
        (
            "onOpen",
            serde_json::json!("allow"),
            "\"skip\", \"ask\" or \"block\"",
        ),
        (
            "ifDependencyFails",
            serde_json::json!(1),
            "\"skip\", \"run\" or \"fail\"",
        ),
        (
            "dependsOn",
            serde_json::json!("first"),
            "a list, each of it the name of a hook",
        ),
        ("writes", serde_json::json!([""]), "a name"),
        ("parallel", serde_json::json!("no"), "true or false"),
        ("maxConcurrent", serde_json::json!(0), "a whole number from 1"),
        ("priorty", serde_json::json!("low"), "`priority`? Known are "),
    ] {
        let ours = serde_json::json!({ field: value });
        let (_dir, manager) = project(serde_json::json!([
            { "type": "command", "command": "true", "hookManager": ours }
        ]));
        let problem = manager.problems()[0].to_string();
        assert!(problem.contains(&format!("hookManager.{field}")), "{problem}");
        assert!(problem.contains(&format!("expected {expected}")), "{problem}");
        assert_eq!(
            manager.hooks().count(),
            0,
            "a hook that was declared wrongly is not run: {field}"
        );
    }
}
