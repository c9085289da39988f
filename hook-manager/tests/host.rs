//! What the host is told, through the built command, where hooks disagree or are treated in different ways.

use serde_json::{Value, json};

mod support;

use support::{Project, event};

/// A handler that prints this answer.
fn answers(answer: &Value) -> Value {
    let command = format!("cat >/dev/null; printf '%s' '{answer}'");
    json!({ "type": "command", "command": command })
}

fn with(base: Value, more: Value) -> Value {
    let mut base = base;
    base.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    base
}

/// Runs handlers for an event and gives what the host reads, with the exit status.
fn told(name: &str, input: &str, handlers: &[Value]) -> (Value, i32) {
    let project = Project::with_settings(&json!({ "hooks": { name: [{ "hooks": handlers }] } }));
    let ran = project.run(name, input, &["--output", "host"]);
    let told = match ran.stdout.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&ran.stdout).unwrap_or_else(|err| panic!("{err}: {ran:?}")),
    };
    (told, ran.code)
}

fn permission(decision: Value) -> Value {
    json!({ "hookSpecificOutput": { "hookEventName": "PermissionRequest", "decision": decision } })
}

const BASH: &str = r#"{"tool_name": "Bash", "tool_input": {"command": "make", "timeout": 5}}"#;

#[test]
fn a_permission_is_not_given_while_another_hook_wants_the_user_asked() {
    let fails = json!({ "type": "command", "command": "exit 1", "hookManager": { "onFailure": "ask" } });
    let allows = answers(&permission(json!({ "behavior": "allow" })));
    let (told, code) = told("PermissionRequest", BASH, &[fails, allows]);
    assert_eq!(told.pointer("/hookSpecificOutput/decision"), None, "{told}");
    assert_eq!(code, 0);
}

#[test]
fn a_permission_keeps_the_rewrite_of_one_hook_and_the_rules_of_all() {
    let safe = json!({ "behavior": "allow", "updatedInput": { "command": "make -n", "timeout": 5 }, "updatedPermissions": [1] });
    let plain = json!({ "behavior": "allow", "updatedPermissions": [2] });
    let (told, _) = told(
        "PermissionRequest",
        BASH,
        &[answers(&permission(safe)), answers(&permission(plain))],
    );
    let expected = json!({ "behavior": "allow", "updatedInput": { "command": "make -n", "timeout": 5 }, "updatedPermissions": [1, 2] });
    assert_eq!(told["hookSpecificOutput"]["decision"], expected);
}

#[test]
fn a_denied_permission_interrupts_if_one_who_denies_it_says_so() {
    let denies = json!({ "behavior": "deny", "message": "no", "interrupt": true });
    let allows = json!({ "behavior": "allow" });
    let (told, _) = told(
        "PermissionRequest",
        BASH,
        &[answers(&permission(denies.clone())), answers(&permission(allows))],
    );
    assert_eq!(told["hookSpecificOutput"]["decision"], denies);
}

#[test]
fn the_stricter_action_stands_whoever_comes_later() {
    let action = |action: &str| {
        let specific =
            json!({ "hookEventName": "Elicitation", "action": action, "content": { "token": action } });
        answers(&json!({ "hookSpecificOutput": specific }))
    };
    for order in [["decline", "accept"], ["accept", "decline"]] {
        let (told, _) = told("Elicitation", "{}", &order.map(action));
        assert_eq!(told["hookSpecificOutput"]["action"], "decline", "{told}");
        assert_eq!(
            told["hookSpecificOutput"]["content"]["token"], "decline",
            "{told}"
        );
    }
}

#[test]
fn an_async_hook_says_things_and_decides_none() {
    let allows = with(
        answers(&permission(json!({ "behavior": "allow" }))),
        json!({ "async": true }),
    );
    assert_eq!(told("PermissionRequest", BASH, &[allows]), (Value::Null, 0));
    let forged = json!({ "hookSpecificOutput": { "hookEventName": "PostToolUse", "updatedToolOutput": "forged", "additionalContext": "seen" } });
    let (told, _) = told(
        "PostToolUse",
        BASH,
        &[with(answers(&forged), json!({ "async": true }))],
    );
    assert_eq!(
        told,
        json!({ "hookSpecificOutput": { "hookEventName": "PostToolUse", "additionalContext": "seen" } })
    );
}

#[test]
fn an_async_copy_of_a_guard_does_not_stand_in_for_it() {
    let guard = |more: Value| {
        with(
            json!({ "type": "command", "command": "echo no >&2; exit 2" }),
            more,
        )
    };
    let settings = json!({ "hooks": { "PreToolUse": [
        { "matcher": "Bash", "hooks": [guard(json!({ "async": true }))] },
        { "matcher": "*", "hooks": [guard(json!({ "onFailure": "block" }))] },
    ] } });
    let ran = Project::with_settings(&settings).run("PreToolUse", BASH, &["--output", "host"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn of_two_copies_of_a_hook_the_stricter_policy_holds() {
    let fails = |more: Value| with(json!({ "type": "command", "command": "exit 1" }), more);
    for matchers in [["*", "*"], ["Bash", "Bash|Read"]] {
        let project = Project::empty();
        let group = |matcher: &str, hook: Value| {
            json!({ "hooks": { "PreToolUse": [{ "matcher": matcher, "hooks": [hook] }] } }).to_string()
        };
        project.file(
            ".claude/settings.local.json",
            &group(matchers[0], fails(json!({}))),
        );
        project.file(
            ".claude/settings.json",
            &group(matchers[1], fails(json!({ "onFailure": "block" }))),
        );
        let ran = project.run("PreToolUse", BASH, &["--output", "host"]);
        assert_eq!(ran.code, 2, "{matchers:?}: {ran:?}");
    }
}

#[test]
fn the_same_handler_under_two_matchers_runs_once() {
    let count = json!({ "type": "command", "command": "echo run >> runs" });
    let settings = json!({ "hooks": { "PreToolUse": [
        { "matcher": "Bash", "hooks": [count.clone()] },
        { "matcher": "Bash|Read", "hooks": [count] },
    ] } });
    let project = Project::with_settings(&settings);
    assert_eq!(project.run("PreToolUse", BASH, &["--output", "table"]).code, 0);
    assert_eq!(
        std::fs::read_to_string(project.path().join("runs")).unwrap(),
        "run\n"
    );
}

#[test]
fn a_matcher_that_has_nothing_to_look_at_fails_its_hook_and_does_not_skip_it() {
    let settings = json!({ "hooks": { "PreToolUse": [
        { "matcher": "Bash", "hooks": [{ "type": "command", "command": "exit 0", "onFailure": "block" }] },
    ] } });
    let ran = Project::with_settings(&settings).run("PreToolUse", "{}", &["--output", "host"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("unusable"), "{ran:?}");
}

#[test]
fn a_guard_that_was_not_run_has_the_user_asked() {
    let guard = json!({ "type": "command", "command": "exit 0", "hookManager": { "guard": true } });
    let (told, code) = told("PreToolUse", "{ no JSON", &[guard]);
    assert_eq!(told["hookSpecificOutput"]["permissionDecision"], "ask", "{told}");
    assert_eq!(
        code, 0,
        "the JSON says it, and some hosts read that on status 0 only"
    );
}

#[test]
fn an_event_that_cannot_be_blocked_never_looks_blocked() {
    let hook = json!({ "type": "command", "command": "exit 1", "onFailure": "block" });
    let project = Project::with_hook("SessionStart", hook);
    for output in ["host", "table", "json"] {
        let ran = project.run("SessionStart", &event("session_start"), &["--output", output]);
        assert_ne!(ran.code, 2, "{output}: {ran:?}");
    }
}

#[test]
fn an_unknown_event_is_answered_in_both_forms() {
    let answer = json!({ "hookSpecificOutput": { "permissionDecision": "ask", "updatedInput": { "a": 1 } } });
    let (told, _) = told("PreLunch", "{}", &[answers(&answer)]);
    assert_eq!(told["hookSpecificOutput"]["permissionDecision"], "ask");
    assert_eq!(told["hookSpecificOutput"]["updatedInput"], json!({ "a": 1 }));
}

#[test]
fn the_command_as_the_one_hook_of_an_event_does_not_run_itself() {
    let us = format!("{} run PreToolUse", env!("CARGO_BIN_EXE_hook-manager"));
    let handlers = [
        json!({ "type": "command", "command": us }),
        json!({ "type": "command", "command": "exit 2" }),
    ];
    let project = Project::with_settings(&json!({ "hooks": { "PreToolUse": [{ "hooks": handlers }] } }));
    let ran = project.run("PreToolUse", BASH, &["--output", "table"]);
    assert!(ran.line("hook-manager").contains("skipped"), "{ran:?}");
    assert_eq!(ran.code, 2, "the others run: {ran:?}");
}

#[test]
fn a_script_that_runs_the_hooks_of_its_own_event_comes_to_an_end() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "./again.sh" }),
    );
    let us = env!("CARGO_BIN_EXE_hook-manager");
    let again = format!("#!/bin/sh\necho level >> levels\nexec '{us}' run PreToolUse\n");
    let script = project.file("again.sh", &again);
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ran = project.run("PreToolUse", BASH, &["--output", "table"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let levels = std::fs::read_to_string(project.path().join("levels")).unwrap();
    assert_eq!(levels.lines().count(), 8);
}

#[test]
fn settings_that_cannot_be_read_are_no_silence() {
    let project = Project::empty();
    project.file(".claude/settings.json", "{ \"hooks\": {}, }");
    let ran = project.run("PreToolUse", BASH, &["--output", "host"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains(r#""permissionDecision":"ask""#), "{ran:?}");
    assert!(ran.stderr.contains("settings.json:1:"), "{ran:?}");
}

#[test]
fn a_block_is_said_although_standard_error_cannot_be_written() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "echo no >&2; exit 2" }),
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hook-manager"))
        .args(["run", "PreToolUse", "--output", "host", "--project"])
        .arg(project.path())
        .env("XDG_STATE_HOME", project.path().join(".state"))
        .arg("--event")
        .arg(project.file("event.json", BASH))
        .stderr(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("a Linux machine"),
        )
        .output()
        .expect("the built command");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"deny\""));
}

#[test]
fn a_guard_is_asked_about_input_that_only_javascript_would_write() {
    let guard = json!({ "type": "command", "command": "grep -q 'rm -rf' && exit 2; exit 0" });
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for more in [r#""\ud83d""#, &deep, "1e999"] {
        let input = format!(r#"{{"tool_input": {{"command": "rm -rf /"}}, "more": {more}}}"#);
        assert_eq!(
            told("PreToolUse", &input, std::slice::from_ref(&guard)).1,
            2,
            "{more}"
        );
    }
}
