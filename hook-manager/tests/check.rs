//! `hook-manager check` and `hook-manager completions`, through the built command.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

mod support;

use support::{Project, Ran, command};

fn check(project: &Project, args: &[&str]) -> Ran {
    let path = project.path().to_str().unwrap();
    command(&[&["check", "--project", path], args].concat(), "")
}

fn findings(project: &Project) -> (Vec<Value>, i32) {
    let ran = check(project, &["--output", "json"]);
    let mut found: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|err| panic!("{err}: {ran:?}"));
    (
        std::mem::take(found["findings"].as_array_mut().unwrap()),
        ran.code,
    )
}

fn text<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_default()
}

/// A script that can be run and is its owner's alone.
fn script(project: &Project, name: &str, text: &str) {
    let path = project.file(name, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Settings with one hook.
fn one(event: &str, matcher: Option<&str>, more: Value) -> Value {
    let mut handler = json!({ "type": "command", "command": "true" });
    handler
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let mut group = json!({ "hooks": [handler] });
    if let Some(matcher) = matcher {
        group["matcher"] = json!(matcher);
    }
    json!({ "hooks": { event: [group] } })
}

#[test]
fn the_example_project_has_no_errors_and_no_warnings() {
    let ran = check(&Project::example(), &["--strict"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.ends_with("0 errors, 0 warnings, 1 note\n"), "{ran:?}");
}

#[test]
fn every_mistake_is_found_with_what_was_expected() {
    let none = json!({});
    for (settings, severity, place, what, expected) in [
        (
            one("PreToolUse", Some("bash"), none.clone()),
            "warning",
            "[0].matcher",
            "names `bash`",
            "`Bash`?",
        ),
        (
            one("PreToolUse", Some("Bash|Wriet"), none.clone()),
            "warning",
            "[0].matcher",
            "names `Wriet`",
            "`Write`?",
        ),
        (
            one("PreToolUse", Some("Frobnicate"), none.clone()),
            "warning",
            "[0].matcher",
            "no tool that this version knows",
            "such as Bash",
        ),
        (
            one("PreToolUse", Some("Edit.*"), none.clone()),
            "warning",
            "[0].matcher",
            "also matches MultiEdit",
            "`^(?:Edit.*)`",
        ),
        (
            one("PreToolUse", Some("bash.*"), none.clone()),
            "warning",
            "[0].matcher",
            "matches no tool",
            "case-sensitive",
        ),
        (
            one("PreToolUse", Some("Bash*"), none.clone()),
            "warning",
            "[0].matcher",
            "`h*` means that letter",
            "`Bash.*`?",
        ),
        (
            one("PreToolUse", Some("mcp__memory"), none.clone()),
            "warning",
            "[0].matcher",
            "names a server and no tool of it",
            "`mcp__memory__.*`?",
        ),
        (
            one("PreToolUse", Some("Bash("), none.clone()),
            "error",
            "[0].matcher",
            "cannot be used",
            "a JavaScript pattern",
        ),
        (
            one("SessionStart", Some("start"), none.clone()),
            "warning",
            "[0].matcher",
            "which SessionStart never has",
            "one of startup",
        ),
        (
            one("PreCompact", Some("^Auto"), none.clone()),
            "warning",
            "[0].matcher",
            "matches nothing that PreCompact has",
            "case-sensitive",
        ),
        (
            one("Stop", None, json!({ "if": "Bash(rm *)" })),
            "error",
            "hooks[0].if",
            "from ever running",
            "about a tool",
        ),
        (
            one("Stop", None, json!({ "timeout": 5000 })),
            "warning",
            "hooks[0].timeout",
            "looks like milliseconds",
            "seconds: 5?",
        ),
        (
            one("PreTolUse", None, none.clone()),
            "error",
            "hooks.PreTolUse",
            "is not an event",
            "`PreToolUse`?",
        ),
        (
            one(
                "SessionStart",
                None,
                json!({ "type": "http", "url": "http://127.0.0.1:1/x" }),
            ),
            "error",
            "hooks[0].type",
            "does not run on SessionStart",
            "type command",
        ),
        (
            one("Stop", None, json!({ "command": "no-such-program-anywhere x" })),
            "error",
            "hooks[0].command",
            "runs no-such-program-anywhere, which is not in PATH",
            "its path",
        ),
        (
            one("Stop", None, json!({ "command": "./missing.sh" })),
            "error",
            "hooks[0].command",
            "no such file",
            "a program that is there",
        ),
        (
            one(
                "Stop",
                None,
                json!({ "command": "python3", "args": ["${CLAUDE_PROJECT_DIR}/missing.py"] }),
            ),
            "error",
            "hooks[0].command",
            "missing.py: no such file",
            "a program",
        ),
        (
            one("Stop", None, json!({ "command": "./plain.sh" })),
            "error",
            "hooks[0].command",
            "no execute permission",
            "a program",
        ),
        (
            one("Stop", None, json!({ "command": "./strange.sh" })),
            "error",
            "hooks[0].command",
            "needs /no/such/interpreter",
            "an interpreter",
        ),
        (
            one("Stop", None, json!({ "command": "./env.sh" })),
            "error",
            "hooks[0].command",
            "needs no-such-interpreter",
            "an interpreter",
        ),
        (
            one("Stop", None, json!({ "command": "./crlf.sh" })),
            "error",
            "hooks[0].command",
            "end as on Windows",
            "a line feed",
        ),
        (
            one("Stop", None, json!({ "command": "./open.sh" })),
            "error",
            "hooks[0].command",
            "runs open.sh, which is not used: everybody may change it",
            "chmod go-w",
        ),
        (
            one("Stop", None, json!({ "command": "./shared/x.sh" })),
            "error",
            "hooks[0].command",
            "put another one into its folder",
            "shared`, or `file_check",
        ),
        (
            one(
                "PreToolUse",
                None,
                json!({ "command": "true guard", "onFailure": "allow", "hookManager": { "name": "guard" } }),
            ),
            "warning",
            "hooks[0].onFailure",
            "guard is a guard",
            "\"block\"",
        ),
    ] {
        let project = Project::with_settings(&settings);
        project.file("plain.sh", "#!/bin/sh\n");
        script(&project, "strange.sh", "#!/no/such/interpreter -x\n");
        script(&project, "env.sh", "#!/usr/bin/env no-such-interpreter\n");
        script(&project, "crlf.sh", "#!/bin/sh\r\nexit 0\r\n");
        script(&project, "open.sh", "#!/bin/sh\n");
        script(&project, "shared/x.sh", "#!/bin/sh\n");
        for file in ["", ".claude", ".claude/settings.json"] {
            fs::set_permissions(project.path().join(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in ["open.sh", "shared"] {
            fs::set_permissions(project.path().join(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let (found, code) = findings(&project);
        let loud: Vec<&Value> = found
            .iter()
            .filter(|one| text(one, "severity") != "note")
            .collect();
        let [finding] = loud[..] else {
            panic!("expected one finding, {what}: {found:#?}")
        };
        assert_eq!(text(finding, "severity"), severity, "{finding:#}");
        assert!(text(finding, "place").ends_with(place), "{place}: {finding:#}");
        assert!(text(finding, "what").contains(what), "{what}: {finding:#}");
        assert!(
            text(finding, "expected").contains(expected),
            "{expected}: {finding:#}"
        );
        assert_eq!(code, i32::from(severity == "error"), "{finding:#}");
        assert_eq!(check(&project, &["--strict"]).code, 1, "{finding:#}");
    }
}

#[test]
fn what_is_fine_is_left_in_peace() {
    for (event, matcher) in [
        ("PreToolUse", "Bash"),
        ("PreToolUse", "Edit, Write|mcp__memory__store"),
        ("PreToolUse", "mcp__.*"),
        ("PreToolUse", "^Edit"),
        ("PreToolUse", ".*Edit"),
        ("PreToolUse", "^(?!Bash$)"),
        ("PostToolUse", "Notebook.*"),
        ("SessionStart", "startup|resume"),
        ("FileChanged", ".envrc|a.json"),
        ("UserPromptExpansion", "anything"),
    ] {
        let ran = check(
            &Project::with_settings(&one(event, Some(matcher), json!({}))),
            &["--strict"],
        );
        assert_eq!(ran.stdout, "0 errors, 0 warnings, 0 notes\n", "{event} {matcher}");
        assert_eq!(ran.code, 0);
    }
    for command in [
        "cd x && ./y",
        "a | b",
        "test -f x",
        "X=1 y",
        "echo hi",
        "sh -c 'no such'",
    ] {
        let project = Project::with_settings(&one("Stop", None, json!({ "command": command })));
        let ran = check(&project, &["--strict"]);
        assert_eq!(
            (ran.code, &*ran.stdout),
            (0, "0 errors, 0 warnings, 0 notes\n"),
            "{command}"
        );
    }
}

#[test]
fn a_line_of_the_table_begins_with_file_line_and_column() {
    let project = Project::empty();
    project.file(
        ".claude/settings.json",
        "{\"hooks\": {\n  \"PreToolUse\": [\n    {\"hooks\": [{\"type\": \"command\", \"command\": \"true\"}],\n     \"matcher\": \"Wirte\"}]}}",
    );
    let ran = check(&project, &[]);
    let line = ran.stdout.lines().next().unwrap();
    assert!(
        line.starts_with(".claude/settings.json:4:17: hooks.PreToolUse[0].matcher: warning: names `Wirte`"),
        "{line}"
    );
    assert!(line.ends_with("expected `Write`?"), "{line}");
}

#[test]
fn a_handler_that_is_declared_twice_is_named_with_its_first_place() {
    let project = Project::with_settings(&one("Stop", None, json!({})));
    project.file(
        ".claude/settings.local.json",
        &one("Stop", None, json!({ "timeout": 3 })).to_string(),
    );
    let (found, code) = findings(&project);
    assert_eq!((found.len(), code), (1, 0), "{found:#?}");
    assert!(
        text(&found[0], "what").contains("is declared before, with other settings"),
        "{found:#?}"
    );
    assert!(
        text(&found[0], "what").contains("settings.local.json:1:"),
        "{found:#?}"
    );
}

#[test]
fn an_installed_project_is_checked_too() {
    let project = Project::with_settings(&one(
        "PreToolUse",
        Some("Wirte"),
        json!({ "command": "./missing.sh" }),
    ));
    let path = project.path().to_str().unwrap();
    let ran = command(&["install", "--project", path], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    let (found, code) = findings(&project);
    assert_eq!(code, 1);
    let ours: Vec<&Value> = found
        .iter()
        .filter(|one| text(one, "file").ends_with("hook-manager.json"))
        .collect();
    assert_eq!(ours.len(), 2, "{found:#?}");
}

#[test]
fn a_project_that_is_not_there_is_an_error() {
    let ran = command(&["check", "--project", "/nowhere/at/all"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("which does not exist"), "{ran:?}");
}

#[test]
fn completions_name_every_command_and_a_shell_can_read_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = command(&["completions", shell], "");
        assert_eq!(ran.code, 0, "{shell}");
        for word in [
            "run",
            "list",
            "install",
            "uninstall",
            "check",
            "completions",
            "dry-run",
        ] {
            assert!(ran.stdout.contains(word), "{shell}: no {word}");
        }
    }
    let dir = Project::empty();
    let file = dir.file("completions.bash", &command(&["completions", "bash"], "").stdout);
    let read = std::process::Command::new("bash")
        .arg("-n")
        .arg(file)
        .status()
        .unwrap();
    assert!(read.success());
    assert_eq!(command(&["completions", "tcsh"], "").code, 64);
}

#[test]
fn the_help_of_every_command_has_an_example_of_it() {
    let help = command(&["--help"], "").stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        // The rest of a long line stands further in.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    assert!(commands.len() >= 6, "{help}");
    for word in commands {
        let help = command(&[word, "--help"], "").stdout;
        let examples = help.split("Examples:").nth(1).unwrap_or_default();
        assert!(
            examples.contains(&format!("hook-manager {word}")),
            "{word}: {help}"
        );
    }
}

#[test]
fn what_is_not_used_because_others_may_change_it_is_an_error_unless_nobody_asks() {
    let project = Project::with_settings(&one("Stop", None, json!({ "command": "./open.sh" })));
    script(&project, "open.sh", "#!/bin/sh\n");
    let mode = |file: &str, mode: u32| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(project.path().join(file), permissions).unwrap();
    };
    for folder in ["", ".claude"] {
        mode(folder, 0o755);
    }
    mode(".claude/settings.json", 0o644);
    assert_eq!(check(&project, &["--strict"]).code, 0);
    mode("open.sh", 0o757);
    let (found, code) = findings(&project);
    assert_eq!((found.len(), code), (1, 1), "{found:#?}");
    assert_eq!(text(&found[0], "severity"), "error");
    project.file(".claude/hook-manager.toml", "file_check = \"off\"\n");
    mode(".claude/hook-manager.toml", 0o644);
    let (found, code) = findings(&project);
    assert_eq!((found.len(), code), (1, 0), "{found:#?}");
    assert_eq!(text(&found[0], "severity"), "warning");
    fs::remove_file(project.path().join(".claude/hook-manager.toml")).unwrap();
    mode("open.sh", 0o755);
    mode(".claude/settings.json", 0o606);
    let (found, code) = findings(&project);
    assert_eq!((found.len(), code), (1, 1), "{found:#?}");
    assert!(
        text(&found[0], "what").starts_with("everybody may change it"),
        "{found:#?}"
    );
    assert!(text(&found[0], "file").ends_with("settings.json"), "{found:#?}");
}
