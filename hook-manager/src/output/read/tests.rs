use serde_json::json;

use super::*;

fn read_as(event: &str, code: i32, stdout: &str, stderr: &str) -> Result<HookOutput, HookError> {
    let captured = |text: &str| Captured::from(text.as_bytes().to_vec());
    read(
        &HookEvent::from(event),
        Ran {
            code,
            stdout: captured(stdout),
            stderr: captured(stderr),
        },
    )
}

fn specific(event: &str, fields: &str) -> String {
    format!(r#" {{"hookSpecificOutput": {{"hookEventName": "{event}", {fields}}}}}"#)
}

#[test]
fn the_hosts_rules_for_exit_status_and_json() {
    use Decision::{Allow, Ask, Defer, Deny, None as Nothing};
    let deny = specific(
        "PreToolUse",
        r#""permissionDecision": "deny", "permissionDecisionReason": "json says no""#,
    );
    let allow = specific("PreToolUse", r#""permissionDecision": "allow""#);
    let ask = specific("PreToolUse", r#""permissionDecision": "ask""#);
    let defer = specific("PreToolUse", r#""permissionDecision": "defer""#);
    let broken = specific("PreToolUse", r#""permissionDecision": "maybe""#);
    for (code, stdout, stderr, decision, reason) in [
        (0, "", "", Nothing, None),
        (0, "all fine", "chatter", Nothing, None),
        (0, "[1, 2]", "", Nothing, None),
        (0, &*deny, "", Deny, Some("json says no")),
        (0, &*allow, "", Allow, None),
        (0, &*ask, "", Ask, None),
        (0, &*defer, "", Defer, None),
        (
            0,
            r#"{"decision": "block", "reason": "old way"}"#,
            "",
            Deny,
            Some("old way"),
        ),
        (0, r#"{"decision": "approve"}"#, "", Allow, None),
        // The JSON is read on every status, and then the status says nothing.
        (1, &*deny, "noise", Deny, Some("json says no")),
        (7, "{}", "noise", Nothing, None),
        // Status 2 blocks, whatever the JSON says, even JSON that cannot be read.
        (2, "", " stderr says no\n", Deny, Some("stderr says no")),
        (2, &*deny, "stderr", Deny, Some("json says no")),
        (2, &*allow, "stderr says no", Deny, Some("stderr says no")),
        (2, &*broken, "stderr says no", Deny, Some("stderr says no")),
        (2, "{\"cut", "stderr says no", Deny, Some("stderr says no")),
        (
            2,
            "",
            "",
            Deny,
            Some("exit status 2, and nothing on standard error"),
        ),
    ] {
        let case = format!("{code} {stdout:?} {stderr:?}");
        let output =
            read_as("PreToolUse", code, stdout, stderr).unwrap_or_else(|err| panic!("{case}: {err}"));
        assert_eq!(
            (output.decision, output.reason.as_deref()),
            (decision, reason),
            "{case}"
        );
        assert_eq!(output.exit_code, Some(code));
    }
}

#[test]
fn failures_are_told_apart_from_decisions_and_from_each_other() {
    for (code, stdout, stderr, error) in [
        (
            1,
            "",
            "\n  Traceback: oops\nmore\n",
            "exit status 1: Traceback: oops",
        ),
        (3, "plain text", "", "exit status 3"),
        (
            0,
            "{",
            "",
            "bad output: standard output, line 1, column 1: EOF while parsing an object, expected one JSON object",
        ),
        (
            1,
            r#"{"continue": "no"}"#,
            "",
            "bad output: continue: expected a boolean, found the string \"no\"",
        ),
        (
            0,
            r#"{"decision": "perhaps"}"#,
            "",
            "bad output: decision: expected \"block\" or \"approve\", found the string \"perhaps\"",
        ),
        (
            0,
            r#"{"systemMessage": 7}"#,
            "",
            "bad output: systemMessage: expected a string, found 7",
        ),
        (
            0,
            r#"{"hookSpecificOutput": []}"#,
            "",
            "bad output: hookSpecificOutput: expected an object, found an array",
        ),
        (
            0,
            r#"{"hookSpecificOutput": {"hookEventName": "Stop"}}"#,
            "",
            "bad output: hookSpecificOutput.hookEventName: expected \"PreToolUse\", found \"Stop\"",
        ),
        (
            0,
            r#"{"hookSpecificOutput": {"updatedInput": "ls"}}"#,
            "",
            "bad output: hookSpecificOutput.updatedInput: expected an object, found the string \"ls\"",
        ),
    ] {
        assert_eq!(
            read_as("PreToolUse", code, stdout, stderr)
                .unwrap_err()
                .to_string(),
            error
        );
    }
}

#[test]
fn plain_text_is_context_only_where_the_event_says_so() {
    for (event, context) in [
        ("SessionStart", Some("hi")),
        ("UserPromptSubmit", Some("hi")),
        ("PreToolUse", None),
        ("Stop", None),
    ] {
        assert_eq!(
            read_as(event, 0, " hi\n", "").unwrap().context.as_deref(),
            context,
            "{event}"
        );
    }
}

#[test]
fn status_two_on_an_event_that_cannot_be_blocked_tells_the_user_or_nobody() {
    let told = read_as("SessionStart", 2, "", "disk is full").unwrap();
    assert_eq!(
        (told.decision, told.system_message.as_deref()),
        (Decision::None, Some("disk is full"))
    );
    let ignored = read_as("Notification", 2, "", "disk is full").unwrap();
    assert_eq!((ignored.decision, ignored.system_message), (Decision::None, None));
    assert!(
        read_as("WorktreeCreate", 2, "", "no").is_err(),
        "every status but 0 fails the creation"
    );
}

#[test]
fn what_this_version_does_not_know_is_passed_through() {
    let stdout = r#"{"newField": 1, "hookSpecificOutput": {"watchPaths": ["a"], "additionalContext": "c"}}"#;
    let output = read_as("SessionStart", 0, stdout, "").unwrap();
    assert_eq!(json!(output.other), json!({ "newField": 1 }));
    assert_eq!(json!(output.specific), json!({ "watchPaths": ["a"] }));
    assert_eq!(output.context.as_deref(), Some("c"));
}

#[test]
fn stopping_altogether_keeps_its_reason_and_going_on_needs_none() {
    let stop = |text: &str| read_as("PostToolUse", 0, text, "").unwrap().stop;
    assert_eq!(
        stop(r#"{"continue": false, "stopReason": "enough"}"#).as_deref(),
        Some("enough")
    );
    assert_eq!(stop(r#"{"continue": false}"#).as_deref(), Some(""));
    assert_eq!(stop(r#"{"continue": true, "stopReason": "enough"}"#), None);
}

#[test]
fn a_permission_request_is_decided_by_its_behavior_and_passed_on_whole() {
    let answer = specific(
        "PermissionRequest",
        r#""decision": {"behavior": "deny", "message": "no", "interrupt": true}"#,
    );
    let output = read_as("PermissionRequest", 0, &answer, "").unwrap();
    assert_eq!(
        (output.decision, output.reason.as_deref()),
        (Decision::Deny, Some("no"))
    );
    assert!(output.interrupt && output.specific.is_empty());
    let wrong = specific("PermissionRequest", r#""decision": {"behavior": "ask"}"#);
    assert!(read_as("PermissionRequest", 0, &wrong, "").is_err());
}

#[test]
fn output_that_was_cut_is_blamed_for_json_that_does_not_parse() {
    // As a hook would leave it that writes more than is kept.
    let object = object(&HookEvent::PreToolUse, b"{\"reason\": \"aaa", 10);
    assert_eq!(
        object.unwrap_err(),
        "standard output is over its limit, 10 bytes were cut off its JSON"
    );
}

#[test]
fn a_denial_is_heard_with_half_an_emoji_in_its_reason_or_a_mark_before_it() {
    let deny = specific(
        "PreToolUse",
        r#""permissionDecision": "deny", "permissionDecisionReason": "no \ud83d""#,
    );
    for stdout in [deny.clone(), format!("\u{feff}{}", deny.trim())] {
        let output = read_as("PreToolUse", 0, &stdout, "").unwrap();
        assert_eq!(output.decision, Decision::Deny);
        assert_eq!(output.reason.as_deref(), Some("no \u{fffd}"));
    }
}

#[test]
fn a_worktree_is_not_made_by_a_hook_that_failed_whatever_it_says() {
    let failed = read_as("WorktreeCreate", 3, "{}", "disk full").unwrap_err();
    assert_eq!(failed.to_string(), "exit status 3: disk full");
}

#[test]
fn a_deny_is_a_deny_whatever_javascript_writes_beside_it() {
    let deny = |reason: &str| {
        let reason = format!(r#""permissionDecision": "deny", "permissionDecisionReason": {reason}"#);
        specific("PreToolUse", &reason)
    };
    let half = deny(r#""no: \ud83d""#);
    let (open, close) = ("[".repeat(200), "]".repeat(200));
    let deep = deny(&format!(r#""no", "echo": {open}{close}"#));
    let large = deny(r#""no", "echo": 1e999"#);
    let marked = format!("\u{feff}{}", deny(r#""no""#));
    for (code, stdout, reason) in [
        (0, &half, "no: \u{fffd}"),
        (1, &half, "no: \u{fffd}"),
        (2, &half, "no: \u{fffd}"),
        (0, &deep, "no"),
        (0, &large, "no"),
        (0, &marked, "no"),
        (0, &format!("\r\n {marked}\n\u{feff}"), "no"),
    ] {
        let output = read_as("PreToolUse", code, stdout, "stderr")
            .unwrap_or_else(|err| panic!("{code} {stdout:?}: {err}"));
        assert_eq!(
            (output.decision, output.reason.as_deref()),
            (Decision::Deny, Some(reason)),
            "{code} {stdout:?}"
        );
    }
}

#[test]
fn the_place_of_bad_output_is_that_in_all_of_standard_output() {
    let err = read_as("PreToolUse", 0, "\n\n  {\"a\": x}\n", "").unwrap_err();
    assert_eq!(
        err.to_string(),
        "bad output: standard output, line 3, column 9: expected value, expected one JSON object"
    );
}

#[test]
fn a_byte_order_mark_is_no_context() {
    let output = read_as("SessionStart", 0, "\u{feff}hi\n", "").unwrap();
    assert_eq!(output.context.as_deref(), Some("hi"));
    let nothing = read_as("SessionStart", 0, "\u{feff}\n", "").unwrap();
    assert_eq!(nothing.context, None);
}

#[test]
fn where_every_status_but_zero_fails_no_json_mends_it() {
    for code in [1, 2, 3] {
        let failed = read_as(
            "WorktreeCreate",
            code,
            r#"{"systemMessage": "made"}"#,
            "disk is full",
        );
        assert_eq!(
            failed.unwrap_err().to_string(),
            format!("exit status {code}: disk is full")
        );
    }
    assert!(read_as("WorktreeCreate", 0, "{}", "").is_ok());
}
