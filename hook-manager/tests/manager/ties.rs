//! Hooks that wait for each other in ways that nobody would think of.

use std::{fs, future::pending, io, pin::pin, sync::Arc, time::Duration};

use hook_manager::{Hook, HookManager, HookOutput, Part};
use tokio::time::timeout;

use crate::support::{EVENT, bash, error, failing, manager, run, says, takes};

#[tokio::test(start_paused = true)]
async fn a_hook_of_the_program_and_one_of_a_file_are_told_apart_when_their_names_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let settings = r#"{"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "./lint.sh"}]}]}}"#;
    fs::write(dir.path().join(".claude/settings.json"), settings).unwrap();
    let manager = HookManager::builder()
        .project(dir.path())
        .hook(says("lint", HookOutput::none()))
        .build()
        .unwrap();
    let names: Vec<&str> = manager.hooks().map(|spec| &*spec.name).collect();
    assert_eq!(names, ["lint", "lint#2"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_ends_holds_up_its_followers_no_longer_than_the_event_may_take() {
    let manager = manager([
        Hook::function("hangs", EVENT, |_| pending::<io::Result<HookOutput>>())
            .timeout(Duration::from_secs(3_600)),
        failing("after", &Arc::default()).depends_on("hangs"),
        says("last", HookOutput::none()).depends_on("after"),
        takes("beside", EVENT, 5),
    ]);
    let report = timeout(Duration::from_secs(16), run(&manager))
        .await
        .expect("15 s are all it may take");
    assert_eq!(error(&report.results[0]).kind(), "timed_out");
    assert!(report.results[3].success());
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_a_hook_whose_event_was_dropped_is_dropped_too() {
    let manager = manager([
        takes("first", EVENT, 100),
        takes("second", EVENT, 100).depends_on("first"),
    ]);
    let mut event = pin!(run(&manager));
    assert!(timeout(Duration::from_millis(150), &mut event).await.is_err());
    assert_eq!(event.await.results.len(), 2, "polled again, it goes on");
}

#[tokio::test]
async fn a_hook_that_depends_on_a_copy_of_itself_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let handler = |name: &str, on: &[&str]| serde_json::json!({ "type": "command", "command": "true", "hookManager": { "name": name, "dependsOn": on } });
    let other = serde_json::json!({ "type": "command", "command": "true other",
        "hookManager": { "name": "other", "dependsOn": ["lint"] } });
    for (settings, problems) in [
        // The one is for other inputs than the other.
        (
            serde_json::json!([
                { "matcher": "Write", "hooks": [handler("lint", &[])] },
                { "matcher": "Bash", "hooks": [handler("again", &["lint"])] },
            ]),
            0,
        ),
        // Through a third: the copy waits for who waits for what it is a copy of.
        (
            serde_json::json!([
                { "matcher": "Write", "hooks": [handler("lint", &[])] },
                { "matcher": "Bash", "hooks": [other, handler("again", &["other"])] },
            ]),
            2,
        ),
    ] {
        let settings = serde_json::json!({ "hooks": { "PreToolUse": settings } });
        fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
        let manager = HookManager::builder().project(dir.path()).build().unwrap();
        assert_eq!(manager.problems().len(), problems, "{:?}", manager.problems());
        let report = timeout(Duration::from_secs(14), run(&manager)).await;
        let report = report.expect("nobody waits for himself");
        assert!(problems > 0 || report.results[0].success(), "{report:?}");
        manager.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn async_hooks_and_those_they_wait_for_are_in_one_part_of_an_event() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let handler = |name: &str, is_async: bool, on: &[&str]| {
        serde_json::json!({ "type": "command", "command": format!("true {name}"), "async": is_async,
            "hookManager": { "name": name, "dependsOn": on } })
    };
    let handlers = serde_json::json!([
        handler("sync", false, &[]),
        handler("after-sync", true, &["sync"]),
        handler("after-that", true, &["after-sync"]),
        handler("async", true, &[]),
        handler("after-async", true, &["async"]),
        handler("lonely", true, &[]),
    ]);
    let settings = serde_json::json!({ "hooks": { "PreToolUse": [{ "hooks": handlers }] } });
    fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
    let manager = HookManager::builder().project(dir.path()).build().unwrap();
    tokio::time::resume();
    let mut ran = Vec::new();
    for part in [Part::Awaited, Part::Background] {
        let report = manager
            .execute_part(part, Duration::from_secs(10), bash("ls"))
            .await;
        for result in &report.results {
            if result.attempts > 0 {
                assert!(result.success(), "{result:?}");
                ran.push((part, result.hook.to_string()));
            } else {
                let why = result.reason().unwrap_or_default();
                assert!(why.starts_with("it is async"), "{}: {why}", result.hook);
            }
        }
    }
    let expected = [
        (Part::Awaited, "sync"),
        (Part::Awaited, "after-sync"),
        (Part::Awaited, "after-that"),
        (Part::Background, "async"),
        (Part::Background, "after-async"),
        (Part::Background, "lonely"),
    ];
    let ran: Vec<(Part, &str)> = ran.iter().map(|(part, name)| (*part, &**name)).collect();
    assert_eq!(ran, expected);
    manager.shutdown().await;
}

#[test]
fn ten_thousand_hooks_that_wait_for_each_other_in_a_row_are_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let handlers: Vec<_> = (0..10_000)
        .map(|n| {
            let on = [format!("h{}", n + 1)];
            let on: &[String] = if n < 9_999 { &on } else { &[] };
            serde_json::json!({ "type": "command", "command": format!("true {n}"),
                "hookManager": { "name": format!("h{n}"), "dependsOn": on } })
        })
        .collect();
    let settings = serde_json::json!({ "hooks": { "PreToolUse": [{ "hooks": handlers }] } });
    fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
    let began = std::time::Instant::now();
    // On a stack as small as any thread's.
    let build = move || {
        HookManager::builder()
            .project(dir.path())
            .build()
            .unwrap()
            .hooks()
            .count()
    };
    let built = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(build)
        .unwrap();
    assert_eq!(built.join().unwrap(), 10_000);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
