//! The host's rules, event by event and row by row, through the built command: alone, and with a daemon.

use std::fs;

use serde_json::{Value, json};

use crate::{
    daemon_support::Daemon,
    support::{Project, Ran},
};

/// A sample of every event there is.
fn samples() -> Vec<(String, &'static str)> {
    let lines = include_str!("../fixtures/events.jsonl").lines();
    let named = lines.map(|line| {
        let sample: Value = serde_json::from_str(line).unwrap();
        (sample["hook_event_name"].as_str().unwrap().to_owned(), line)
    });
    named.collect()
}

/// With a daemon and without: both must say the same.
fn both_ways(project: &Project, event: &str, input: &str) -> Ran {
    let [alone, served] =
        ["never", "always"].map(|way| project.run(event, input, &["--output", "host", "--daemon", way]));
    assert_eq!(
        (&alone.stdout, &alone.stderr, alone.code),
        (&served.stdout, &served.stderr, served.code),
        "{event}: alone, and with a daemon"
    );
    served
}

/// Events whose action does not go on after exit status 2, or whose model is told why.
const HEARD: [&str; 16] = [
    "ConfigChange",
    "Elicitation",
    "ElicitationResult",
    "PostToolBatch",
    "PostToolUse",
    "PostToolUseFailure",
    "PreCompact",
    "PreModelSwitch",
    "PreToolUse",
    "Stop",
    "SubagentStop",
    "TaskCompleted",
    "TaskCreated",
    "TeammateIdle",
    "UserPromptExpansion",
    "UserPromptSubmit",
];

#[test]
fn every_event_reaches_its_hook_byte_for_byte_and_status_two_means_what_the_event_says() {
    let samples = samples();
    let hooks: serde_json::Map<String, Value> = samples
        .iter()
        .map(|(event, _)| {
            let command =
                format!("cat > \"$CLAUDE_PROJECT_DIR/seen-{event}\"; echo 'not {event}' >&2; exit 2");
            let hook = json!({ "type": "command", "command": command });
            (event.clone(), json!([{ "hooks": [hook] }]))
        })
        .collect();
    assert!(hooks.len() >= 31, "{} events", hooks.len());
    let project = Project::with_settings(&json!({ "hooks": hooks }));
    let _daemon = Daemon::start(&project, &[]);
    for (event, input) in samples {
        let seen = project.path().join(format!("seen-{event}"));
        let ran = both_ways(&project, &event, input);
        assert_eq!(fs::read_to_string(&seen).unwrap(), input, "{event}");
        let is_heard = HEARD.contains(&event.as_str());
        // Creating a worktree fails with any status but 0: there it is a failure, not a decision.
        let code = if is_heard {
            2
        } else if event == "WorktreeCreate" {
            ran.code
        } else {
            0
        };
        assert_eq!(ran.code, code, "{event}: {ran:?}");
        if is_heard {
            assert_eq!(ran.stderr, format!("not {event}\n"), "{event}");
        }
    }
}

/// Standard output, exit status; then what the host is told: exit status, decision.
const ROWS: [(&str, i32, i32, &str); 19] = [
    ("", 0, 0, ""),
    ("all is well", 0, 0, ""),
    ("", 2, 2, "deny"),
    ("all is well", 2, 2, "deny"),
    ("", 1, 1, ""),
    ("all is well", 7, 1, ""),
    ("", 127, 1, ""),
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"allow"}}"#,
        0,
        0,
        "allow",
    ),
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"ask"}}"#,
        0,
        0,
        "ask",
    ),
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"defer"}}"#,
        0,
        0,
        "defer",
    ),
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"deny"}}"#,
        0,
        2,
        "deny",
    ),
    // The old words.
    (r#"{"decision":"approve"}"#, 0, 0, "allow"),
    (r#"{"decision":"block"}"#, 0, 2, "deny"),
    // JSON is read at every status, and status 2 blocks whatever it says.
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"allow"}}"#,
        2,
        2,
        "deny",
    ),
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"deny"}}"#,
        1,
        2,
        "deny",
    ),
    (
        r#"{"hookSpecificOutput":{"permissionDecision":"allow"}}"#,
        1,
        0,
        "allow",
    ),
    // What begins like an object and is none has failed; what does not begin like one is text.
    (r#"{"decision": "block""#, 0, 1, ""),
    (r#"["decision", "block"]"#, 0, 0, ""),
    ("welcome\n{\"decision\":\"block\"}", 0, 0, ""),
];

#[test]
fn status_and_json_decide_by_the_hosts_rules() {
    let hook = json!({ "type": "command", "command": "sh row.sh",
        "hookManager": { "name": "row", "onFailure": "allow" } });
    let project = Project::with_hook("PreToolUse", hook);
    project.file(".claude/hook-manager.toml", "breaker = false\n");
    let _daemon = Daemon::start(&project, &[]);
    let input = r#"{"tool_name":"Bash","tool_input":{"command":"ls"}}"#;
    for (stdout, status, code, decision) in ROWS {
        project.file("answer", stdout);
        project.file("row.sh", &format!("cat answer; exit {status}"));
        let ran = both_ways(&project, "PreToolUse", input);
        assert_eq!(ran.code, code, "{stdout:?}, {status}: {ran:?}");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let said = told.pointer("/hookSpecificOutput/permissionDecision");
        assert_eq!(
            said.and_then(Value::as_str).unwrap_or_default(),
            decision,
            "{stdout:?}, {status}: {ran:?}"
        );
    }
}

#[test]
fn an_event_that_no_version_knows_yet_reaches_its_hooks_all_the_same() {
    let hook = json!({ "type": "command", "command": "cat > seen" });
    let project = Project::with_hook("BrandNewEvent", hook);
    let _daemon = Daemon::start(&project, &[]);
    let input = r#"{"hook_event_name":"BrandNewEvent","odd":1e999,"half":"\ud83d"}"#;
    assert_eq!(both_ways(&project, "BrandNewEvent", input).code, 0);
    assert_eq!(fs::read_to_string(project.path().join("seen")).unwrap(), input);
}
