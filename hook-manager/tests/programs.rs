//! The manager with hooks that are programs. Real processes, so real time, with generous bounds.

use std::time::{Duration, Instant};

use hook_manager::{
    CacheKey, CacheRule, Decision, Ended, Hook, HookError, HookEvent, HookManager, HookRequest, HookResult,
};
use serde_json::{Value, json};

mod support;

use support::Project;

const EVENT: HookEvent = HookEvent::PreToolUse;

/// Far above what anything here takes, far below what the hooks would like to take.
const SOON: Duration = Duration::from_secs(10);

fn request(input: Value) -> HookRequest {
    HookRequest::new(EVENT, input).unwrap()
}

async fn run(hook: Hook, input: Value) -> HookResult {
    let manager = HookManager::builder()
        .grace(Duration::from_millis(200))
        .hook(hook)
        .build()
        .unwrap();
    let mut report = manager.execute(request(input)).await;
    assert_eq!(manager.shutdown().await, 0, "something is left of {report:?}");
    report.results.remove(0)
}

async fn shell(command: &str) -> HookResult {
    run(Hook::shell("hook", EVENT, command), json!({})).await
}

#[tokio::test]
async fn the_whole_input_reaches_the_hook_byte_for_byte() {
    let manager = HookManager::builder()
        .hook(Hook::shell("cat", EVENT, "cat"))
        .build()
        .unwrap();
    let input = "{\"z\": 1,  \"a\": \"\u{e9}\", \"unknown\": [null, {\"deep\": true}]}\n";
    let report = manager.execute(HookRequest::parse(EVENT, input).unwrap()).await;
    // It is a JSON object, so it is read as an answer; what nobody knows is passed through.
    let output = report.results[0].output().unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(output.stdout.bytes(), input.as_bytes());
}

#[tokio::test]
async fn a_block_by_exit_status_carries_its_reason_and_is_no_failure() {
    let result = shell("echo 'not today' >&2; exit 2").await;
    assert_eq!(
        (result.decision(), result.reason().as_deref()),
        (Decision::Deny, Some("not today"))
    );
    assert!(result.error().is_none());
}

#[tokio::test]
async fn causes_of_failure_are_told_apart() {
    for (command, kind, message) in [
        ("exit 3", "exit", "exit status 3"),
        (
            "echo first >&2; echo second >&2; exit 1",
            "exit",
            "exit status 1: first",
        ),
        ("kill -SEGV $$", "crashed", "crashed: ended by signal 11"),
        (
            "sh -c 'kill -SEGV $$'; exit $?",
            "crashed",
            "crashed: ended by signal 11",
        ),
        (
            "echo '{\"decision\": 1}'",
            "bad_output",
            "bad output: decision: expected \"block\" or \"approve\", found 1",
        ),
        (
            "no-such-program-at-all",
            "could_not_start",
            "no-such-program-at-all: not found",
        ),
    ] {
        let result = shell(command).await;
        let err = result.error().unwrap_or_else(|| panic!("{command}: {result:?}"));
        assert_eq!(err.kind(), kind, "{command}: {err}");
        assert!(err.to_string().contains(message), "{command}: {err}");
    }
}

#[tokio::test]
async fn a_timeout_is_true_although_a_grandchild_holds_the_pipes() {
    let start = Instant::now();
    let hook = Hook::shell("slow", EVENT, "sleep 300 & sleep 300").timeout(Duration::from_millis(300));
    let result = run(hook, json!({})).await;
    assert!(
        matches!(
            result.error(),
            Some(HookError::TimedOut {
                by_deadline: false,
                ..
            })
        ),
        "{result:?}"
    );
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_hook_that_leaves_a_child_behind_is_done_when_it_says_so() {
    let start = Instant::now();
    let result = shell("sleep 300 & echo '{\"systemMessage\": \"done\"}'").await;
    assert_eq!(
        result
            .output()
            .and_then(|output| output.system_message.as_deref()),
        Some("done"),
        "{result:?}"
    );
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test]
async fn output_over_the_limit_is_counted_and_not_kept() {
    let builder = HookManager::builder().output_limit(4096);
    let hook = Hook::shell("loud", EVENT, "head -c 3000000 /dev/zero | tr '\\0' x; exit 0");
    let report = builder
        .hook(hook)
        .build()
        .unwrap()
        .execute(request(json!({})))
        .await;
    let output = report.results[0].output().unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(
        (output.stdout.bytes().len(), output.stdout.excess()),
        (4096, 3_000_000 - 4096)
    );
}

#[tokio::test]
async fn input_that_is_never_read_and_output_that_is_no_text_do_no_harm() {
    let result = run(
        Hook::shell("deaf", EVENT, "printf '\\377\\376'; exit 0"),
        json!({ "text": "x".repeat(5_000_000) }),
    )
    .await;
    assert_eq!(
        result.output().map(|output| output.stdout.text().into_owned()),
        Some("\u{fffd}\u{fffd}".into())
    );
}

#[tokio::test]
async fn arguments_reach_a_program_word_for_word() {
    let project = Project::empty();
    let words = ["two words", "$HOME", "${CLAUDE_PROJECT_DIR}/x", "; exit 9"];
    let args = [
        "-c",
        "import json, sys; print(json.dumps({'systemMessage': '|'.join(sys.argv[1:])}))",
    ];
    let hook = Hook::program("words", EVENT, "python3", args.into_iter().chain(words));
    let manager = HookManager::builder()
        .project(project.path())
        .hook(hook)
        .build()
        .unwrap();
    let report = manager.execute(request(json!({}))).await;
    let expected = format!("two words|$HOME|{}/x|; exit 9", project.path().display());
    assert_eq!(report.merged.system_messages, [expected], "{report:?}");
}

#[tokio::test]
async fn a_hook_runs_where_the_session_is_and_in_the_project_if_that_is_gone() {
    let (project, session) = (Project::empty(), Project::empty());
    let hook = || {
        Hook::shell(
            "pwd",
            EVENT,
            "printf '{\"systemMessage\": \"%s %s\"}' \"$(pwd -P)\" \"$CLAUDE_PROJECT_DIR\"",
        )
    };
    let manager = HookManager::builder()
        .project(project.path())
        .hook(hook())
        .build()
        .unwrap();
    for (cwd, expected) in [
        (session.path().to_str().unwrap(), session.path()),
        ("/no/such/place", project.path()),
    ] {
        let report = manager.execute(request(json!({ "cwd": cwd }))).await;
        let expected = format!(
            "{} {}",
            expected.canonicalize().unwrap().display(),
            project.path().display()
        );
        assert_eq!(report.merged.system_messages, [expected]);
    }
}

#[tokio::test]
async fn declared_fields_are_the_key_where_the_owner_says_so() {
    let project = Project::empty();
    let count = "echo run >> runs; cat";
    let key = CacheKey::Fields(vec!["/tool_input/command".into()]);
    let hook = Hook::shell("count", EVENT, count).cached(CacheRule {
        key,
        ..CacheRule::default()
    });
    let manager = HookManager::builder()
        .project(project.path())
        .hook(hook)
        .build()
        .unwrap();
    for (id, command, cached) in [(1, "ls", false), (2, "ls", true), (3, "pwd", false)] {
        let input = json!({ "tool_use_id": id, "tool_input": { "command": command } });
        let report = manager.execute(request(input)).await;
        assert_eq!(report.results[0].cached, cached, "{id}");
    }
    assert_eq!(
        std::fs::read_to_string(project.path().join("runs")).unwrap(),
        "run\nrun\n"
    );
}

#[tokio::test]
async fn a_dropped_event_ends_its_processes() {
    let project = Project::empty();
    let hook = Hook::shell("slow", EVENT, "echo $$ > started; sleep 300 & sleep 300");
    let builder = HookManager::builder()
        .grace(Duration::from_millis(200))
        .project(project.path());
    let manager = builder.hook(hook).build().unwrap();

    let started = async {
        while !project.path().join("started").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        report = manager.execute(request(json!({}))) => panic!("it sleeps for five minutes: {report:?}"),
        started = tokio::time::timeout(SOON, started) => started.expect("the hook starts"),
    }
    assert_eq!(manager.shutdown().await, 0);
    assert_eq!(project.processes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_same_handler_in_two_settings_files_runs_once() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "echo run >> runs" }),
    );
    let same = std::fs::read_to_string(project.path().join(".claude/settings.json")).unwrap();
    project.file(".claude/settings.local.json", &same);
    let manager = HookManager::builder().project(project.path()).build().unwrap();
    let report = manager.execute(request(json!({ "tool_name": "Bash" }))).await;
    assert_eq!(report.results.len(), 1, "{report:?}");
    assert!(matches!(report.results[0].ended, Ended::Answered(_)));
    assert_eq!(
        std::fs::read_to_string(project.path().join("runs")).unwrap(),
        "run\n"
    );
}
