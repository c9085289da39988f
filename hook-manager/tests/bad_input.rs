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
    assert_eq!(project.run("Stop", "{", &["--output", "host"]).code, 1);
}

#[test]
fn an_error_of_our_own_is_every_hooks_failure_in_the_table_and_in_the_json_too() {
    let project = Project::example();
    let ran = project.run("PreToolUse", "{", &["--output", "table"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.line("guard").contains("not run: standard input, line 1"),
        "{ran:?}"
    );
    let (report, code) = project.json("PreToolUse", "{");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(report["merged"]["decision"], "deny", "{report:#}");
    let (report, code) = project.json("Stop", "{");
    assert_eq!(code, 1, "{report:#}");
    for result in report["results"].as_array().unwrap() {
        assert_eq!(result["error"]["kind"], "not_run", "{report:#}");
    }
}

#[test]
fn a_wrong_command_line_never_ends_with_status_two() {
    for args in [
        &["run"][..],
        &["run", "Stop", "--deadline", "-1"],
        &["run", "Stop", "--output", "xml"],
        &["run", "Stop", "--max-concurrent-hooks", "0"],
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
fn a_wrong_figure_of_a_daemon_is_named_with_what_was_expected() {
    let http = ["serve", "--http", "127.0.0.1:0", "--http-token"];
    for (args, code, expected) in [
        (&["serve", "--idle-exit", "-1"][..], 64, "or `never`"),
        (&["serve", "--drain", "-1"], 64, "expected seconds above 0"),
        (&["trace", "--last", "-1"], 64, "expected a number of events"),
        (&["trace", "--last", "x"], 64, "expected a number of events"),
        (
            &[&http[..], &["/dev/zero"]].concat(),
            1,
            "expected a first line of at least 16",
        ),
        (
            &[&http[..], &["/nowhere"]].concat(),
            1,
            "expected a first line of at least 16",
        ),
    ] {
        let ran = command(args, "");
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{args:?}: {ran:?}");
    }
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
    assert_eq!(ran.code, 1, "no hook was asked: {ran:?}");
}

#[test]
fn a_misspelt_event_does_not_get_past_the_guards_of_the_one_in_the_input() {
    let project = Project::example();
    // The example's guard says `onFailure: block`.
    for (word, input) in [
        ("PreTolUse", event("pre_tool_use_bash")),
        ("BeforeTools", event("pre_tool_use_bash")),
        ("PreTolUse", "{}".into()),
        ("PreTolUse", "{".into()),
    ] {
        let ran = project.run(word, &input, &["--output", "host"]);
        assert_eq!(ran.code, 2, "{word} {input}: {ran:?}");
        assert!(ran.stderr.contains("PreToolUse"), "{word} {input}: {ran:?}");
    }
}

#[test]
fn an_event_of_a_newer_host_is_passed_through_however_it_is_spelt() {
    let project = Project::example();
    let input = json!({ "hook_event_name": "PreToolUses" }).to_string();
    let ran = project.run("PreToolUses", &input, &["--output", "host"]);
    assert!(ran.stderr.contains("and is passed through"), "{ran:?}");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn settings_that_cannot_be_read_ask_because_a_guard_may_have_been_in_them() {
    for text in ["{ \"hooks\": ", "[]", "{ \"hooks\": [] }", "\u{feff}nothing"] {
        let project = Project::empty();
        project.file(".claude/settings.json", text);
        let ran = project.run("PreToolUse", &event("pre_tool_use_bash"), &["--output", "host"]);
        assert_eq!(ran.code, 0, "{text}: {ran:?}");
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(
            answer["hookSpecificOutput"]["permissionDecision"], "ask",
            "{text}: {answer:#}"
        );
        let told = answer["systemMessage"].as_str().unwrap_or_default();
        assert!(
            told.contains("settings.json") && told.contains("the hooks in it cannot be run"),
            "{text}: {answer:#}"
        );
        // Where nobody can be asked, the user is told.
        let ran = project.run("Stop", "{}", &["--output", "host"]);
        assert!(ran.stdout.contains("settings.json"), "{text}: {ran:?}");
    }
    let ran = Project::empty().run(
        "PreToolUse",
        "{}",
        &["--output", "host", "--hooks-dir", "/no/such/hooks"],
    );
    assert!(
        ran.stdout.contains("\"ask\"") && ran.stdout.contains("/no/such/hooks"),
        "{ran:?}"
    );
}

#[test]
fn a_policy_that_cannot_be_read_is_the_strictest_it_may_have_been() {
    for (policy, decision) in [
        (json!("blok"), "deny"),
        (json!("never"), "deny"),
        (json!(true), "deny"),
        (json!("aks"), "ask"),
        (json!("alow"), "ask"),
    ] {
        for ours in [false, true] {
            let hook = match ours {
                false => json!({ "type": "command", "command": "true", "onFailure": policy }),
                true => {
                    json!({ "type": "command", "command": "true", "hookManager": { "onFailure": policy } })
                }
            };
            let project = Project::with_hook("PreToolUse", hook);
            let (report, _) = project.json("PreToolUse", &event("pre_tool_use_bash"));
            assert_eq!(report["merged"]["decision"], decision, "{policy}: {report:#}");
        }
    }
    let hook = json!({ "type": "command", "command": "true", "onFailure": "blok", "hookManager": { "onFailure": "allow" } });
    let (report, _) = Project::with_hook("PreToolUse", hook).json("PreToolUse", &event("pre_tool_use_bash"));
    assert_eq!(report["merged"]["decision"], "deny", "{report:#}");
}

#[test]
fn a_hook_that_cannot_be_used_asks_whatever_its_name_unless_its_owner_lets_it_pass() {
    let broken = |more: serde_json::Value| {
        let mut hook = json!({ "type": "command", "command": "./watch.sh" });
        hook.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let settings = json!({ "hooks": { "PreToolUse": [{ "matcher": "Bash(", "hooks": [hook] }] } });
        let project = Project::with_settings(&settings);
        project.json("PreToolUse", &event("pre_tool_use_bash")).0["merged"]["decision"].clone()
    };
    assert_eq!(broken(json!({})), "ask");
    assert_eq!(broken(json!({ "onFailure": "allow" })), "-");
    assert_eq!(broken(json!({ "async": true })), "-");
    // A newer host's, most likely, and no mistake.
    assert_eq!(broken(json!({ "type": "webassembly" })), "-");
}

#[test]
fn a_project_that_is_not_there_is_told_with_who_named_it_and_asks() {
    let ran = command(
        &["run", "PreToolUse", "--project", "/no/such", "--output", "host"],
        &event("pre_tool_use_bash"),
    );
    let sentence = "--project: expected a project's directory, found /no/such, which does not exist";
    assert!(ran.stderr.contains(sentence), "{ran:?}");
    assert!(ran.stdout.contains("\"ask\""), "{ran:?}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hook-manager"))
        .arg("list")
        .env("CLAUDE_PROJECT_DIR", env!("CARGO_BIN_EXE_hook-manager"))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("CLAUDE_PROJECT_DIR: expected a project's directory"),
        "{told}"
    );
    assert!(told.contains("which is a file"), "{told}");
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
        .env("XDG_STATE_HOME", project.path().join(".state"))
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
