//! A hook that could not start is told from one that decided, and no text can make one look like the other.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use hook_manager::{Decision, Hook, HookError, HookEvent, HookManager, HookRequest, HookResult};
use serde_json::json;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn run(project: &Path, hook: Hook, input: serde_json::Value) -> HookResult {
    let manager = HookManager::builder()
        .project(project)
        .hook(hook)
        .build()
        .expect("a manager");
    let req = HookRequest::new(HookEvent::PreToolUse, input).expect("an event");
    let report = manager.execute(req).await;
    manager.shutdown().await;
    report.results.into_iter().next().expect("one result")
}

fn shell(command: &str) -> Hook {
    Hook::shell("probe", HookEvent::PreToolUse, command).timeout(Duration::from_secs(20))
}

async fn line(project: &Path, command: &str) -> HookResult {
    run(project, shell(command), json!({ "session_id": "s" })).await
}

fn text(result: &HookResult) -> String {
    let output = result.output().unwrap_or_else(|| panic!("{result:?}"));
    output.stdout.text().into_owned()
}

#[tokio::test]
async fn what_a_guard_writes_cannot_turn_its_block_into_a_failure_to_start() {
    let project = folder();
    let file = |name: &str, text: &str| fs::write(project.path().join(name), text).expect("a file");
    file("guard.sh", "cat \"$CLAUDE_PROJECT_DIR\"/said >&2; exit 2\n");
    file(
        "guard.py",
        "import sys; sys.stderr.write(open('said').read()); sys.exit(2)\n",
    );
    for command in [
        "cat said >&2; exit 2",
        "cd . && sh guard.sh",
        "sh guard.sh --strict absent.py",
        "cd / && python3 absent.py || { cat \"$CLAUDE_PROJECT_DIR\"/said >&2; exit 2; }",
        "sh guard.sh || exit 2; perl absent.pl",
        "python3 -X utf8 guard.py absent.py",
    ] {
        for said in [
            "rm -rf / # cannot open: no such file",
            "x # syntax error in sh: ",
            "/bin/sh: 1: Syntax error: \"then\" unexpected",
            "bash: -c: line 1: syntax error near unexpected token `then'",
            "sh: 0: cannot open guard.sh: No such file",
            "sh: 0: cannot open absent.py: No such file",
            "python3: can't open file 'guard.py': [Errno 2] No such file or directory",
            "python3: can't open file 'utf8': [Errno 2] No such file or directory",
            "Can't open perl script \"absent.pl\": No such file or directory",
        ] {
            // A guard that repeats the command gives whole lines of standard error to its author.
            file("said", &format!("{said}\n"));
            let result = line(project.path(), command).await;
            assert_eq!(
                result.decision(),
                Decision::Deny,
                "{command} / {said}: {result:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_script_that_is_missing_is_no_block_wherever_it_stands_in_the_line() {
    let project = folder();
    fs::create_dir(project.path().join("sub")).expect("a folder");
    for command in [
        "cd . && perl missing.pl",
        "cd sub && exec python3 ./missing.py",
        "echo warn >&2; python3 missing.py",
        "set -e; cd sub; sh missing.sh",
        "python3 -X utf8 missing.py",
        "cd / && sh missing.py",
        "sh missing.py",
        "if then fi",
        "echo 'x",
    ] {
        let result = line(project.path(), command).await;
        assert!(
            matches!(result.error(), Some(HookError::CouldNotStart(_))),
            "{command}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_script_the_interpreter_finds_by_its_own_rules_is_run() {
    let project = folder();
    let file = |name: &str, text: &str| fs::write(project.path().join(name), text).expect("a file");
    file("plus.sh", "echo ran\n");
    file("+e", "echo ran\n");
    fs::create_dir(project.path().join("app")).expect("a folder");
    file("app/__main__.py", "print('ran')\n");
    for command in ["bash +e plus.sh", "python3 app", "sh -e plus.sh"] {
        let result = line(project.path(), command).await;
        assert_eq!(text(&result).trim(), "ran", "{command}");
    }
    // Looked up in PATH: what it says about itself does not matter, only that it was started.
    let result = line(project.path(), "bash ldd").await;
    assert!(
        !matches!(result.error(), Some(HookError::CouldNotStart(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_pipe_for_a_script_does_not_hang_the_manager() {
    let project = folder();
    let made = std::process::Command::new("mkfifo")
        .arg(project.path().join("pipe"))
        .status();
    assert!(made.expect("mkfifo").success());
    let hook = shell("sh pipe").timeout(Duration::from_millis(200));
    let result = run(project.path(), hook, json!({})).await;
    assert!(
        matches!(result.error(), Some(HookError::TimedOut { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn an_absurd_session_or_directory_does_not_stop_a_hook() {
    let project = folder();
    for input in [
        json!({ "session_id": "a\0b" }),
        json!({ "session_id": "x".repeat(200_000) }),
        json!({ "cwd": "/tmp\0/x" }),
        json!({ "cwd": format!("/{}", "x".repeat(200_000)) }),
    ] {
        let result = run(
            project.path(),
            shell("echo \"<${CLAUDE_CODE_SESSION_ID-none}>\""),
            input,
        )
        .await;
        assert_eq!(text(&result).trim(), "<none>");
    }
    let result = line(project.path(), "echo \"$CLAUDE_CODE_SESSION_ID\"").await;
    assert_eq!(text(&result).trim(), "s");
}

#[tokio::test]
async fn a_project_whose_path_is_no_text_is_passed_on_byte_by_byte() {
    let parent = folder();
    let project = parent.path().join(OsStr::from_bytes(b"U\xff"));
    fs::create_dir(&project).expect("a folder");
    fs::write(project.join("g.sh"), "echo ran\n").expect("a file");
    let hook = Hook::program(
        "probe",
        HookEvent::PreToolUse,
        "sh",
        ["${CLAUDE_PROJECT_DIR}/g.sh"],
    );
    let result = run(&project, hook, json!({})).await;
    assert_eq!(text(&result).trim(), "ran");
}

#[tokio::test]
async fn a_longer_name_is_not_the_project_placeholder() {
    let project = folder();
    let args = ["$CLAUDE_PROJECT_DIRS", "$CLAUDE_PROJECT_DIR/x"];
    let hook = Hook::program("probe", HookEvent::PreToolUse, "echo", args);
    let result = run(project.path(), hook, json!({})).await;
    let expected = format!("$CLAUDE_PROJECT_DIRS {}/x", project.path().display());
    assert_eq!(text(&result).trim(), expected);
}
