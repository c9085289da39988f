//! What a user has looked at is what runs.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::support::{Project, Ran};

fn guard(command: &str) -> Project {
    Project::with_hook("PreToolUse", json!({ "type": "command", "command": command }))
}

fn trust(project: &Project, args: &[&str]) -> Ran {
    let at = project.path().to_str().unwrap();
    project.command(&[&["trust", "--project", at], args].concat(), "")
}

fn run(project: &Project, input: &Value) -> Ran {
    project.run(
        "PreToolUse",
        &input.to_string(),
        &["--output", "host", "--require-trust"],
    )
}

#[test]
fn a_script_is_looked_at_whatever_runs_it() {
    for line in [
        "node .claude/guard",
        "node --no-warnings -r ./.claude/guard main.js",
        "/usr/bin/env python3 .claude/guard",
        "exec .claude/guard",
        "bash -eo pipefail .claude/guard",
        "uv run .claude/guard",
        "timeout 5 .claude/guard \"$CLAUDE_PROJECT_DIR\"",
        "deno run --allow-all \"$CLAUDE_PROJECT_DIR\"/.claude/guard",
    ] {
        let project = guard(line);
        project.file(".claude/guard", "one\n");
        assert_eq!(trust(&project, &[]).code, 0, "{line}");
        assert_eq!(trust(&project, &["--check"]).code, 0, "{line}");
        project.file(".claude/guard", "two\n");
        assert_eq!(trust(&project, &["--check"]).code, 1, "{line}");
        assert_eq!(run(&project, &json!({})).code, 2, "{line}");
    }
}

#[test]
fn a_relative_name_in_a_session_outside_of_the_project_is_another_file() {
    let (project, elsewhere) = (guard("sh guards/guard.sh"), Project::empty());
    let script = "echo run >> \"$CLAUDE_PROJECT_DIR/runs\"\n";
    project.file("guards/guard.sh", script);
    elsewhere.file("guards/guard.sh", script);
    trust(&project, &[]);
    let ran = run(&project, &json!({ "cwd": elsewhere.path() }));
    assert!(ran.stdout.contains("it is not what was looked at"), "{ran:?}");
    assert!(!project.path().join("runs").exists());
    // What lies outside is not looked at, where it is named as it is.
    let outside = elsewhere.path().join("guards/guard.sh");
    let project = guard(&format!("sh {}", outside.display()));
    trust(&project, &[]);
    assert_eq!(run(&project, &json!({ "cwd": elsewhere.path() })).code, 0);
    assert!(project.path().join("runs").exists());
}

#[test]
fn a_link_out_of_the_project_is_trusted_for_where_it_leads() {
    let (project, elsewhere) = (guard("sh \"$CLAUDE_PROJECT_DIR\"/guard.sh"), Project::empty());
    let link = project.path().join("guard.sh");
    symlink(elsewhere.file("one.sh", "true\n"), &link).unwrap();
    trust(&project, &[]);
    assert_eq!(run(&project, &json!({})).code, 0);
    elsewhere.file("one.sh", "true # of another version\n");
    assert_eq!(run(&project, &json!({})).code, 0, "it is not the project's");
    fs::remove_file(&link).unwrap();
    symlink(elsewhere.file("two.sh", "true\n"), &link).unwrap();
    let ran = run(&project, &json!({}));
    assert!(ran.code == 2 && ran.stdout.contains("have changed"), "{ran:?}");
}
