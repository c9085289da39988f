//! Cached answers and the files they depend on.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use hook_manager::{CacheRule, EventReport, Hook, HookEvent, HookManager, HookOutput, HookRequest};
use serde_json::json;

const EVENT: HookEvent = HookEvent::PreToolUse;

async fn run(manager: &HookManager) -> EventReport {
    manager
        .execute(HookRequest::new(EVENT, json!({ "tool_name": "Bash" })).unwrap())
        .await
}

fn script(path: &Path, says: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("echo '{{\"systemMessage\": \"{says}\"}}'\n")).unwrap();
}

#[tokio::test]
async fn a_hook_that_was_changed_is_asked_again_however_it_is_named() {
    for line in [
        "sh hooks/check.sh --strict",
        "sh \"$CLAUDE_PROJECT_DIR\"/hooks/check.sh",
        "sh '${CLAUDE_PROJECT_DIR}/hooks/check.sh'",
    ] {
        let project = tempfile::tempdir().unwrap();
        let file = project.path().join("hooks/check.sh");
        script(&file, "one");
        // A quoted placeholder is not expanded by a shell.
        let line = line.replace(
            "'${CLAUDE_PROJECT_DIR}",
            &format!("'{}", project.path().display()),
        );
        let hook = Hook::shell("check", EVENT, &line).cached(CacheRule::default());
        let manager = HookManager::builder()
            .project(project.path())
            .hook(hook)
            .build()
            .unwrap();
        for (change, said, cached) in [
            (None, "one", false),
            (None, "one", true),
            (Some("two"), "two", false),
            (None, "two", true),
        ] {
            if let Some(says) = change {
                script(&file, says);
            }
            let report = run(&manager).await;
            assert_eq!(report.merged.system_messages, [said], "{line}");
            assert_eq!(report.results[0].cached, cached, "{line} {said}");
        }
    }
}

#[tokio::test]
async fn a_declared_file_that_changes_appears_or_goes_makes_answers_stale() {
    let project = tempfile::tempdir().unwrap();
    let list = project.path().join("deny.list");
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let hook = Hook::function("reads", EVENT, move |_| {
        count.fetch_add(1, SeqCst);
        async { Ok::<_, std::io::Error>(HookOutput::none()) }
    });
    let rule = CacheRule::default().file("$CLAUDE_PROJECT_DIR/deny.list");
    let manager = HookManager::builder()
        .project(project.path())
        .hook(hook.cached(rule))
        .build()
        .unwrap();
    let mut seen = 0;
    let mut changed = async |expected: bool| {
        run(&manager).await;
        let now = runs.load(SeqCst);
        assert_eq!(now > seen, expected);
        seen = now;
    };
    changed(true).await;
    changed(false).await;
    fs::write(&list, "aa").unwrap();
    changed(true).await;
    // As long as before, and many of them within the same tick of the file system's clock.
    for n in 10..99 {
        fs::write(&list, n.to_string()).unwrap();
        changed(true).await;
    }
    changed(false).await;
    fs::remove_file(&list).unwrap();
    // What was so before is so again.
    changed(false).await;
}

#[tokio::test]
async fn a_script_that_came_after_the_manager_was_built_is_looked_at_like_any_other() {
    for line in [
        "sh check.sh",
        "env sh hooks/check.sh | cat",
        "sh \"$CLAUDE_PROJECT_DIR\"/hooks/check.sh",
        "sh ${CLAUDE_PROJECT_DIR}/hooks/check.sh --strict; true",
    ] {
        let project = tempfile::tempdir().unwrap();
        let hook = Hook::shell("check", EVENT, line).cached(CacheRule::default());
        let manager = HookManager::builder()
            .project(project.path())
            .hook(hook)
            .build()
            .unwrap();
        // As when somebody switches to another branch while a daemon runs.
        for says in ["one", "two", "two"] {
            for at in ["check.sh", "hooks/check.sh"] {
                script(&project.path().join(at), says);
            }
            let report = run(&manager).await;
            assert_eq!(report.merged.system_messages, [says], "{line}");
        }
        assert!(run(&manager).await.results[0].cached, "{line}");
    }
}
