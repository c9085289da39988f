//! The README's main command, on the example project, through the built binary.

use serde_json::{Value, json};

mod support;

use support::{Project, event};

#[test]
fn rm_rf_is_blocked_and_the_table_says_by_whom_and_why() {
    let ran = Project::example().run("PreToolUse", &event("pre_tool_use_bash"), &["--output", "table"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let line = ran.line("guard");
    assert!(
        line.contains(" ok ") && line.contains(" deny ") && line.contains("rm -rf is not allowed here"),
        "{line}"
    );
    assert!(ran.line("secret_guard").contains(" ok  "), "{ran:?}");
    assert!(ran.stdout.contains("PreToolUse: blocked in "), "{ran:?}");
    assert!(ran.stdout.contains("decided by guard"), "{ran:?}");
}

#[test]
fn the_host_is_told_of_a_block_as_json_and_as_exit_status_with_the_reason() {
    let ran = Project::example().run("PreToolUse", &event("pre_tool_use_bash"), &["--output", "host"]);
    let told: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    let reason = "rm -rf is not allowed here: name the files, or move them to ./trash";
    let expected = json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": reason,
    }});
    assert_eq!((told, ran.stderr.trim(), ran.code), (expected, reason, 2));
}

#[test]
fn host_output_is_what_a_pipe_gets_unless_something_else_is_asked_for() {
    let project = Project::example();
    let input = event("pre_tool_use_bash");
    let asked = project.run("PreToolUse", &input, &["--output", "host"]);
    let default = project.run("PreToolUse", &input, &[]);
    assert_eq!((asked.stdout, asked.code), (default.stdout, default.code));
}

#[test]
fn a_harmless_call_is_left_to_the_host() {
    let ran = Project::example().run(
        "PreToolUse",
        &event("pre_tool_use_bash_harmless"),
        &["--output", "host"],
    );
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str(), ran.code), ("", "", 0));
}

#[test]
fn reading_env_and_writing_a_secret_are_denied_and_a_force_push_is_asked_about() {
    for (sample, decision, by, code) in [
        ("pre_tool_use_read_env", "deny", "guard", 2),
        ("pre_tool_use_write_secret", "deny", "secret_guard", 2),
        ("pre_tool_use_bash_force_push", "ask", "secret_guard", 0),
    ] {
        let (report, status) = Project::example().json("PreToolUse", &event(sample));
        assert_eq!(report["merged"]["decision"], decision, "{sample}: {report:#}");
        assert_eq!(report["merged"]["decided_by"], json!([by]), "{sample}");
        assert_eq!(status, code, "{sample}");
    }
}

#[test]
fn guards_run_first_and_results_stand_in_declared_order() {
    let (report, _) = Project::example().json("PreToolUse", &event("pre_tool_use_bash"));
    let hooks: Vec<&str> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["hook"].as_str().unwrap())
        .collect();
    assert_eq!(hooks, ["guard", "secret_guard"]);
    assert!(
        report["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["guard"] == true)
    );
}

#[test]
fn session_start_gives_the_host_the_conventions_as_context() {
    let ran = Project::example().run("SessionStart", &event("session_start"), &["--output", "host"]);
    let told: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(told["hookSpecificOutput"]["hookEventName"], "SessionStart");
    let context = told["hookSpecificOutput"]["additionalContext"].as_str().unwrap();
    assert!(context.contains("python3 -m unittest"), "{context}");
    assert_eq!(ran.code, 0);
}

#[test]
fn the_flaky_hook_is_tried_again_because_it_is_declared_idempotent() {
    let (report, status) = Project::example().json("UserPromptSubmit", &event("user_prompt_submit"));
    let ticket = &report["results"][0];
    assert_eq!(
        (&ticket["hook"], &ticket["outcome"], &ticket["attempts"]),
        (&json!("ticket"), &json!("ok"), &json!(2))
    );
    assert!(
        report["merged"]["contexts"][0]
            .as_str()
            .unwrap()
            .starts_with("UP-7: Uploads")
    );
    assert_eq!(status, 0);
}

#[test]
fn the_slow_hook_is_ended_after_its_second_with_the_grandchild_that_holds_its_output() {
    let project = Project::example();
    let (report, status) = project.json("PostToolUse", &event("post_tool_use_write"));
    let [lint, index] = report["results"].as_array().unwrap().as_slice() else {
        panic!("{report:#}")
    };
    assert!(
        lint["output"]["context"]
            .as_str()
            .unwrap()
            .contains("part has no docstring"),
        "{lint:#}"
    );
    assert_eq!(index["error"]["kind"], "timed_out", "{index:#}");
    // The grandchild sleeps for five minutes; anything near its second is well before that.
    assert!(index["took_ms"].as_f64().unwrap() < 10_000.0, "{index:#}");
    assert_eq!(status, 1);
    assert_eq!(project.processes(), Vec::<String>::new());
}

#[test]
fn what_only_the_host_can_run_is_reported_and_not_dropped() {
    let ran = Project::example().run("Stop", &event("stop"), &["--output", "table"]);
    assert!(
        ran.line("prompt").contains("skipped") && ran.line("prompt").contains("only the host"),
        "{ran:?}"
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn list_shows_every_hook_with_its_source() {
    let project = Project::example();
    let ran = support::command(&["list", "--project", project.path().to_str().unwrap()], "");
    for hook in [
        "conventions",
        "ticket",
        "guard",
        "secret_guard",
        "lint",
        "index",
        "prompt",
    ] {
        let line = ran
            .stdout
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(hook));
        let line = line.unwrap_or_else(|| panic!("no {hook} in {}", ran.stdout));
        assert!(line.contains(".claude/settings.json:"), "{line}");
    }
    assert_eq!(ran.code, 0, "{ran:?}");
}
