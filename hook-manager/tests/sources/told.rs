//! What is left out, and said.

use super::*;

#[test]
fn what_the_host_would_not_do_is_said_and_nothing_is_dropped_in_silence() {
    use Severity::{Error, Ignored, Warning};
    let handler = |extra: Value| {
        let mut handler = json!({ "type": "command", "command": "x.sh" });
        handler
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        handler
    };
    let group = |event: &str, matcher: &str, handler: Value| json!({ "hooks": { event: [{ "matcher": matcher, "hooks": [handler] }] } });
    let plain = json!({});
    for (settings, severity, what, hooks) in [
        (
            group("Stop", "Bash", handler(plain.clone())),
            Ignored,
            "Stop[0].matcher is not applied: the event has no",
            1,
        ),
        (
            group("PreModelSwitch", "x", handler(plain.clone())),
            Ignored,
            "not documented",
            1,
        ),
        (
            group("BrandNew", "", handler(plain.clone())),
            Ignored,
            "hooks.BrandNew is not an event",
            1,
        ),
        (
            group("PreToolsUse", "", handler(plain.clone())),
            Error,
            "expected `PreToolUse`?",
            1,
        ),
        (
            group("Stop", "", handler(json!({ "if": "Bash(rm *)" }))),
            Ignored,
            "keeps the hook from ever running",
            0,
        ),
        (
            group("PreToolUse", "", handler(json!({ "once": true }))),
            Ignored,
            "once is ignored",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "asyncRewake": true }))),
            Ignored,
            "only the host can wake",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "timeout": 60_000 }))),
            Warning,
            "milliseconds, expected seconds: 60?",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "timeOut": 5 }))),
            Warning,
            ".timeOut is not a field this ver",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "cache": { "ttl": 60 } }))),
            Warning,
            ".cache has no effect here, expected it inside `hookManager`",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "description": 5 }))),
            Ignored,
            ".description is not a field",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "url": "http://x" }))),
            Ignored,
            "no effect in a handler of type command",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "args": [], "shell": "bash" }))),
            Ignored,
            "no shell",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "statusMessage": 5 }))),
            Warning,
            "is 5, expected a text",
            1,
        ),
        (
            group("PreToolUse", "", handler(json!({ "if": "Agent(Explore)" }))),
            Warning,
            "does not understand",
            1,
        ),
        (
            group(
                "PreToolUse",
                "",
                handler(json!({ "onFailure": "block", "hookManager": { "onFailure": "ask" } })),
            ),
            Warning,
            "the latter is used",
            1,
        ),
        (
            group("PreToolUse", "Bash(git *)", handler(plain.clone())),
            Warning,
            "expected `\"if\": \"Bash(git *)\"`",
            1,
        ),
        (
            group("PreToolUse", "Edit|mcp__memory", handler(plain.clone())),
            Warning,
            "expected `mcp__memory__.*`?",
            1,
        ),
        (
            group("PreToolUse", "", json!({ "type": "http", "url": "https://x" })),
            Warning,
            "does not speak https: only the host can run it",
            1,
        ),
        (
            group("PreToolUse", "", json!({ "type": "prompt", "prompt": "?" })),
            Ignored,
            "only the host can run",
            1,
        ),
        (
            group("SessionStart", "", json!({ "type": "agent", "prompt": "?" })),
            Ignored,
            "does not run on SessionStart",
            1,
        ),
        (
            json!({ "hooks": { "Stop": [{ "matchers": "", "hooks": [] }] } }),
            Warning,
            "expected `matcher`?",
            0,
        ),
        (
            json!({ "hooks": { "Stop": [{ "hooks": [] }] } }),
            Ignored,
            "has no handlers",
            0,
        ),
        (
            json!({ "Hooks": { "Stop": [] } }),
            Error,
            "Hooks is not looked into, expected `hooks`?",
            0,
        ),
        (
            json!({ "Stop": [] }),
            Error,
            "Stop is not looked into, expected events inside `hooks`",
            0,
        ),
    ] {
        let loaded = project(&settings).load();
        assert!(loaded.broken.is_empty(), "{settings}: {loaded:?}");
        assert_eq!(loaded.hooks.len(), hooks, "{settings}");
        let found = loaded.problems.iter().find(|one| one.to_string().contains(what));
        let found = found.unwrap_or_else(|| panic!("{settings}: {:?}", messages(&loaded)));
        assert_eq!(found.severity, severity, "{settings}: {found}");
    }
}

#[test]
fn a_key_that_stands_twice_loses_nothing_without_a_word() {
    let text = r#"{"hooks": {
        "Stop": [{"hooks": [{"type": "command", "command": "a.sh"}]}],
        "Stop": [{"hooks": [{"type": "command", "command": "b.sh", "timeout": 1, "timeout": 2}]}]
    }}"#;
    let loaded = project(text).load();
    assert_eq!(names(&loaded), ["a", "b"]);
    assert_eq!(loaded.hooks[1].timeout, Some(Duration::from_secs(2)));
    let twice = messages(&loaded)
        .iter()
        .filter(|one| one.contains("a second time"))
        .count();
    assert_eq!(twice, 2);
}
