//! What is moved, to where, and how it is told.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    install_support::{SHARED, files, install, listed, manage, read},
    support::{BINARY, Project, event},
};

/// The host would find no program, and run no hook: no guard either.
#[test]
fn a_command_that_is_not_in_the_path_is_warned_of_and_one_that_is_or_is_named_in_full_is_not() {
    let project = Project::example();
    let at = project.path().to_str().unwrap();
    let folder = Path::new(BINARY).parent().unwrap();
    for (path, args, warned) in [
        (
            Path::new("/nowhere"),
            &["install", "--dry-run", "--project", at][..],
            true,
        ),
        (folder, &["install", "--dry-run", "--project", at], false),
        (
            Path::new("/nowhere"),
            &["install", "--dry-run", "--absolute", "--project", at],
            false,
        ),
        (Path::new("/nowhere"), &["install", "--project", at], true),
    ] {
        let mut command = Command::new(BINARY);
        let ran = project
            .at_home(&mut command)
            .args(args)
            .env("PATH", path)
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success(), "{said}");
        assert_eq!(
            said.contains("`install --absolute`"),
            warned,
            "{path:?} {args:?}: {said}"
        );
    }
}

#[test]
fn one_entry_an_event_is_left_with_the_matcher_and_a_time_that_is_long_enough() {
    let project = Project::example();
    install(&project);
    let left = read(&project, SHARED);
    let hooks = left["hooks"].as_object().unwrap();
    for (event, groups) in hooks.iter().filter(|(event, _)| *event != "Stop") {
        let [group] = groups.as_array().unwrap().as_slice() else {
            panic!("{event}: {groups:#}")
        };
        let command = group["hooks"][0]["command"].as_str().unwrap();
        assert!(
            command.starts_with(&format!("hook-manager run {event}")),
            "{command}"
        );
        assert!(group["hooks"][0]["timeout"].as_u64().unwrap() >= 15, "{groups:#}");
    }
    let group = &hooks["PreToolUse"][0];
    assert_eq!(group["matcher"], "Bash|Read|Write|Edit");
    // A host that cannot start us must not let pass what a guard was to block.
    assert_eq!(group["hooks"][0]["onFailure"], "block");
    assert_eq!(hooks["SessionStart"][0]["matcher"], "startup|resume");
    assert_eq!(hooks["Stop"][0]["hooks"][0]["type"], "prompt");
}

#[test]
fn the_entry_that_is_left_runs_the_moved_hooks_when_a_host_runs_it() {
    let project = Project::example();
    let direct = project.run("PreToolUse", &event("pre_tool_use_bash"), &["--output", "host"]);
    install(&project);
    let line = read(&project, SHARED)["hooks"]["PreToolUse"][0]["hooks"][0]["command"].clone();
    let ours = Path::new(env!("CARGO_BIN_EXE_hook-manager")).parent().unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    let host = |path: &str, input: &str| {
        let file = project.file("event.json", input);
        std::process::Command::new("/bin/sh")
            .args(["-c", line.as_str().unwrap()])
            .env("PATH", path)
            .env("CLAUDE_PROJECT_DIR", project.path())
            .stdin(fs::File::open(file).unwrap())
            .output()
            .unwrap()
    };
    let ran = host(&path, &event("pre_tool_use_bash"));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), direct.stdout, "{ran:?}");
    assert_eq!(ran.status.code(), Some(2));
    let ran = host(&path, &event("pre_tool_use_bash_harmless"));
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    // Not there at all: neither 0 nor 1, so that the host's `onFailure` sees it.
    let ran = host("/nowhere", &event("pre_tool_use_bash"));
    assert_eq!(ran.status.code(), Some(127), "{ran:?}");
}

#[test]
fn a_dry_run_shows_a_diff_and_changes_nothing() {
    let project = Project::example();
    let before = files(&project);
    let dry = manage(&project, "install", &["--dry-run"]);
    assert_eq!((dry.code, files(&project)), (0, before), "{dry:?}");
    for line in [
        "--- a/.claude/settings.json",
        "+++ b/.claude/settings.json",
        "--- /dev/null",
        "+++ b/.claude/hook-manager.json",
    ] {
        assert!(
            dry.stdout.lines().any(|one| one == line),
            "no {line} in {}",
            dry.stdout
        );
    }
    assert!(
        dry.stdout
            .contains("+            \"command\": \"hook-manager run PostToolUse\""),
        "{}",
        dry.stdout
    );
    assert_eq!(install(&project).stdout, dry.stdout);
    let installed = files(&project);
    let dry = manage(&project, "uninstall", &["--dry-run"]);
    assert_eq!((dry.code, files(&project)), (0, installed), "{dry:?}");
    assert!(dry.stdout.contains("+++ /dev/null"), "{dry:?}");
}

#[test]
fn installing_twice_is_said_and_does_nothing_and_so_is_uninstalling_what_is_not_installed() {
    let project = Project::example();
    let ran = manage(&project, "uninstall", &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.contains("not installed"), "{ran:?}");
    install(&project);
    let installed = files(&project);
    let ran = install(&project);
    assert!(
        ran.stderr.contains("already installed") && ran.stdout.is_empty(),
        "{ran:?}"
    );
    assert_eq!(files(&project), installed);
}

#[test]
fn only_the_events_that_were_asked_for_are_moved() {
    let project = Project::example();
    let hooks = listed(&project);
    let ran = manage(
        &project,
        "install",
        &["--events", "PreToolUse,SessionStart", "--absolute"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let moved = read(&project, ".claude/hook-manager.json");
    let events: Vec<&String> = moved["hooks"].as_object().unwrap().keys().collect();
    assert_eq!(events, ["PreToolUse", "SessionStart"]);
    let left = read(&project, SHARED);
    let command = left["hooks"]["SessionStart"][0]["hooks"][0]["command"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        command,
        format!("{} run SessionStart", env!("CARGO_BIN_EXE_hook-manager"))
    );
    // The others are the host's: shown, not run a second time.
    let now = listed(&project);
    let names = |hooks: &[Value]| hooks.iter().map(|hook| hook["hook"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&now), names(&hooks));
    let ran = project.run(
        "UserPromptSubmit",
        &event("user_prompt_submit"),
        &["--output", "table"],
    );
    assert!(ran.line("ticket").contains("the host runs it"), "{ran:?}");
    let ran = manage(&project, "install", &["--events", "PreToolUs"]);
    assert_eq!(ran.code, 64);
    assert!(ran.stderr.contains("did you mean PreToolUse?"), "{ran:?}");
}

#[test]
fn matchers_are_joined_as_far_as_they_can_be() {
    for (event, matchers, expected) in [
        (
            "PreToolUse",
            vec!["Bash", "Edit, Write", "Bash"],
            json!("Bash|Edit|Write"),
        ),
        (
            "PreToolUse",
            vec!["Bash", "mcp__.*"],
            json!("^(?:Bash)$|(?:mcp__.*)"),
        ),
        ("PreToolUse", vec!["Bash", "*"], Value::Null),
        ("PreToolUse", vec!["mcp__(a)\\1", "Bash"], Value::Null),
        ("PreToolUse", vec!["mcp__(a)\\1"], json!("mcp__(a)\\1")),
        (
            "FileChanged",
            vec!["a.json", ".envrc|b"],
            json!("a.json|.envrc|b"),
        ),
        ("Stop", vec!["Bash"], Value::Null),
    ] {
        let groups: Vec<Value> = matchers.iter().enumerate().map(|(at, matcher)| {
            json!({ "matcher": matcher, "hooks": [{ "type": "command", "command": format!("true {at}") }] })
        }).collect();
        let project = Project::with_settings(&json!({ "hooks": { event: groups } }));
        let hooks = listed(&project);
        install(&project);
        assert_eq!(
            read(&project, SHARED)["hooks"][event][0]["matcher"],
            expected,
            "{matchers:?}"
        );
        assert_eq!(listed(&project), hooks, "{matchers:?}");
    }
}

#[test]
fn many_hooks_and_long_ones_get_the_places_and_the_time_they_had() {
    let hooks: Vec<Value> = (0..7)
        .map(|n| json!({ "type": "command", "command": format!("true {n}") }))
        .collect();
    let project = Project::with_settings(&json!({ "hooks": { "PostToolUse": [{ "hooks": hooks }] } }));
    install(&project);
    let entry = read(&project, SHARED)["hooks"]["PostToolUse"][0]["hooks"][0].clone();
    assert_eq!(
        entry["command"],
        "hook-manager run PostToolUse --deadline 600 --max-concurrent-hooks 7"
    );
    assert_eq!(entry["timeout"], 605);
    let (report, code) = project.json("PostToolUse", r#"{"tool_name":"Bash"}"#);
    assert_eq!(
        (report["results"].as_array().unwrap().len(), code),
        (7, 0),
        "{report:#}"
    );
}

#[test]
fn the_figures_of_the_project_count_and_a_second_install_follows_them() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "true", "timeout": 30 }),
    );
    let before = files(&project);
    let entry = || {
        install(&project);
        let entry = read(&project, SHARED)["hooks"]["Stop"][0]["hooks"][0].clone();
        (entry["command"].clone(), entry["timeout"].clone())
    };
    assert_eq!(entry(), (json!("hook-manager run Stop --deadline 30"), json!(35)));
    let figures = project.file(".claude/hook-manager.toml", "deadline = 60\n");
    // The host must not end it before it ends itself.
    assert_eq!(entry(), (json!("hook-manager run Stop"), json!(65)));
    fs::write(&figures, "deadlin = 60\n").unwrap();
    let ran = manage(&project, "install", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("`deadline`?"), "{ran:?}");
    fs::remove_file(figures).unwrap();
    assert_eq!(manage(&project, "uninstall", &[]).code, 0);
    assert_eq!(files(&project), before);
}
