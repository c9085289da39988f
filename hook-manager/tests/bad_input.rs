//! Whatever is wrong gets a sentence that names what, where, and what was expected; and nothing that
//! is wrong looks like a hook's decision.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

mod support;

use support::{Project, command, event};

#[test]
fn input_that_is_no_event_is_told_with_line_and_column() {
    let project = Project::example();
    for (input, sentence) in [
        (
            "{\n  \"tool_name\": Bash }",
            "standard input, line 2, column 16: expected value",
        ),
        ("", "standard input, line 1, column 1: it is empty"),
        (
            "[]",
            "standard input, line 1, column 1: it is an array; expected the event as one JSON object",
        ),
    ] {
        let ran = project.run("SessionStart", input, &["--output", "host"]);
        assert!(ran.stderr.contains(sentence), "{ran:?}");
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    }
}

#[test]
fn an_error_of_our_own_blocks_only_where_a_hook_is_declared_to_block() {
    let project = Project::example();
    // The example's guard says `onFailure: block`.
    let ran = project.run("PreToolUse", "{", &["--output", "host"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr
            .contains("hook guard failed and its policy is to block: not run"),
        "{ran:?}"
    );
    assert_eq!(project.run("PreToolUse", "{", &["--output", "table"]).code, 1);
    assert_eq!(project.run("Stop", "{", &["--output", "host"]).code, 1);
}

#[test]
fn a_wrong_command_line_never_ends_with_status_two() {
    for args in [
        &["run"][..],
        &["run", "Stop", "--deadline", "-1"],
        &["run", "Stop", "--output", "xml"],
        &["walk"],
    ] {
        let ran = command(args, "{}");
        assert_eq!(ran.code, 64, "{args:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(command(&["--help"], "").code, 0);
    let ran = command(&["run", "Stop", "--deadline", "-1"], "{}");
    assert!(ran.stderr.contains("--deadline <SECONDS>"), "{ran:?}");
    assert!(
        ran.stderr.contains("expected seconds above 0 and up to 86400"),
        "{ran:?}"
    );
}

#[test]
fn an_event_file_that_is_not_there_is_named() {
    let ran = Project::example().run("Stop", "", &["--event", "/nowhere/event.json"]);
    assert!(
        ran.stderr.contains("/nowhere/event.json: No such file"),
        "{ran:?}"
    );
    assert_eq!(ran.code, 1);
}

#[test]
fn a_misspelt_event_is_asked_about() {
    let ran = Project::empty().run("PreTolUse", "{}", &["--output", "table"]);
    assert!(ran.stderr.contains("did you mean PreToolUse?"), "{ran:?}");
}

#[test]
fn an_unknown_event_passes_through_with_a_note() {
    let project = Project::with_hook(
        "PreLunch",
        json!({ "type": "command", "command": "cat >&2; exit 2" }),
    );
    let ran = project.run("PreLunch", "{\"menu\": 1}", &["--output", "table"]);
    assert!(
        ran.stderr
            .contains("note: PreLunch is not an event this version knows"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("{\"menu\": 1}"),
        "the hook has to see the input: {ran:?}"
    );
    assert_eq!(ran.code, 2);
}

#[test]
fn settings_that_are_broken_are_told_with_file_line_and_column() {
    let project = Project::empty();
    project.file(
        ".claude/settings.json",
        "{\n  \"hooks\": {\n    \"Stop\": [,]\n  }\n}\n",
    );
    let ran = project.run("Stop", "{}", &["--output", "table"]);
    assert!(
        ran.stderr.contains(".claude/settings.json:3:14") || ran.stderr.contains("line 3"),
        "{ran:?}"
    );
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn a_negative_timeout_is_named_with_its_place_and_what_was_expected() {
    let hook = json!({ "type": "command", "command": "true", "timeout": -5 });
    let project = Project::with_hook("Stop", hook);
    let ran = project.run("Stop", "{}", &["--output", "table"]);
    assert!(ran.stderr.contains("hooks.Stop[0].hooks[0].timeout"), "{ran:?}");
    assert!(ran.stderr.contains("-5"), "{ran:?}");
    assert!(ran.stderr.contains("settings.json:"), "{ran:?}");
}

/// Runs one command hook on PreToolUse and gives the result's error kind, message and the exit status.
fn failure(project: &Project) -> (String, String, i32) {
    let (report, status) = project.json("PreToolUse", &event("pre_tool_use_bash"));
    let error = &report["results"][0]["error"];
    let text = |field: &str| {
        error[field]
            .as_str()
            .unwrap_or_else(|| panic!("{report:#}"))
            .to_owned()
    };
    (text("kind"), text("message"), status)
}

#[test]
fn a_missing_script_could_not_start_although_its_interpreter_ends_with_two() {
    for hook in [
        json!({ "type": "command", "command": "python3 missing.py" }),
        json!({ "type": "command", "command": "python3", "args": ["missing.py"] }),
        // Nothing that can be known before a shell has read it.
        json!({ "type": "command", "command": "cd / && python3 missing.py" }),
        json!({ "type": "command", "command": "sh missing.py" }),
        json!({ "type": "command", "command": "./missing.py" }),
        json!({ "type": "command", "command": "true; no-such-program-at-all" }),
        json!({ "type": "command", "command": "if then fi" }),
    ] {
        let (kind, message, status) = failure(&Project::with_hook("PreToolUse", hook.clone()));
        assert_eq!(kind, "could_not_start", "{hook}: {message}");
        assert_eq!(status, 1, "{hook}: {message}");
    }
}

#[test]
fn a_hook_without_execute_permission_is_told_so() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "./watch.sh" }),
    );
    let script = project.file("watch.sh", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    let (kind, message, _) = failure(&project);
    assert_eq!(kind, "could_not_start");
    assert!(
        message.contains("watch.sh: has no execute permission; expected `chmod +x"),
        "{message}"
    );
}

#[test]
fn a_guard_whose_matcher_cannot_be_compiled_fails_loudly_and_asks() {
    let settings = json!({ "hooks": { "PreToolUse": [
        { "matcher": "Bash(", "hooks": [{ "type": "command", "command": "./guard.sh" }] }
    ] } });
    let (report, status) = Project::with_settings(&settings).json("PreToolUse", &event("pre_tool_use_bash"));
    assert_eq!(report["results"][0]["error"]["kind"], "unusable", "{report:#}");
    assert_eq!(report["merged"]["decision"], "ask", "{report:#}");
    assert_eq!(status, 1);
}

#[test]
fn bad_output_names_the_field_and_what_was_expected() {
    let hook =
        r#"printf '{"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "maybe"}}'"#;
    let project = Project::with_hook("PreToolUse", json!({ "type": "command", "command": hook }));
    let (kind, message, _) = failure(&project);
    assert_eq!(kind, "bad_output");
    let expected = "hookSpecificOutput.permissionDecision: expected allow, deny, ask or defer, found the string \"maybe\"";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn hooks_are_found_from_a_subdirectory_of_the_hosts_project() {
    let project = Project::with_hook("PreToolUse", json!({ "type": "command", "command": "exit 2" }));
    fs::create_dir(project.path().join("deep")).unwrap();
    let input = project.file("event.json", "{}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hook-manager"))
        .args(["run", "PreToolUse", "--output", "table", "--event"])
        .arg(input)
        .env("CLAUDE_PROJECT_DIR", project.path())
        .current_dir(project.path().join("deep"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn an_event_that_never_ends_is_given_up_at_the_deadline() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    let pipe = project.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let ran = project.run(
        "Stop",
        "",
        &["--deadline", "0.3", "--event", pipe.to_str().unwrap()],
    );
    assert!(ran.stderr.contains("pipe: still open after 300ms"), "{ran:?}");
    assert_eq!(ran.code, 1);
}
