//! What becomes of a handler.

use super::*;

#[test]
fn a_handler_becomes_a_hook_with_all_that_was_said_about_it() {
    let loaded = project(
        r#"{"hooks": {"PreToolUse": [{
            "matcher": "Bash|Edit",
            "hooks": [{
                "type": "command", "command": "${CLAUDE_PROJECT_DIR}/hooks/x.sh", "args": ["--a", "b c"],
                "if": "Bash(rm *)", "timeout": 2.5, "statusMessage": "looking", "onFailure": "block",
                "hookManager": {
                    "name": "no-rm", "guard": false, "idempotent": true,
                    "cache": {"ttl": 60, "fields": ["/tool_input/command"]}
                }
            }]
        }]}}"#,
    )
    .load();
    assert_eq!(messages(&loaded), [""; 0]);
    let [hook] = &loaded.hooks[..] else {
        panic!("{loaded:?}")
    };
    assert_eq!(
        (&*hook.name, &hook.event, hook.matcher.text()),
        ("no-rm", &HookEvent::PreToolUse, "Bash|Edit")
    );
    assert_eq!(
        hook.condition.as_ref().map(ToString::to_string).as_deref(),
        Some("Bash(rm *)")
    );
    assert_eq!(
        hook.handler,
        Handler::exec("${CLAUDE_PROJECT_DIR}/hooks/x.sh", ["--a", "b c"])
    );
    assert_eq!(hook.timeout, Some(Duration::from_millis(2500)));
    assert_eq!(hook.on_failure, Some(OnFailure::Block));
    assert_eq!(
        (hook.guard, hook.is_guard(), hook.idempotent, hook.background),
        (Some(false), false, true, false)
    );
    let cache = hook.cache.as_ref().unwrap();
    assert_eq!(cache.ttl, Some(Duration::from_secs(60)));
    assert_eq!(cache.key, CacheKey::Fields(vec!["/tool_input/command".into()]));
    assert_eq!(hook.status_message.as_deref(), Some("looking"));
    assert_eq!(
        (hook.origin.kind, &hook.origin.place[..]),
        (OriginKind::Settings, "hooks.PreToolUse[0].hooks[0]")
    );
    assert_eq!((hook.origin.line, hook.origin.column), (Some(3), Some(23)));
}

#[test]
fn little_has_to_be_said_about_a_hook() {
    let loaded =
        one(json!({ "type": "command", "command": "python3 hooks/push_guard.py | cat", "async": true }));
    let [hook] = &loaded.hooks[..] else {
        panic!("{loaded:?}")
    };
    assert_eq!(&*hook.name, "push_guard");
    let command = "python3 hooks/push_guard.py | cat".to_owned();
    assert_eq!(
        hook.handler,
        Handler::Shell {
            command,
            shell: Shell::Sh
        }
    );
    assert_eq!(
        (hook.timeout, hook.on_failure, hook.guard, &hook.cache),
        (None, None, None, &None)
    );
    assert!(hook.matcher.is_all() && hook.background && hook.is_guard() && !hook.idempotent);
}

#[test]
fn what_is_wrong_in_a_handler_is_named_with_its_place_its_value_and_what_was_expected() {
    let command = |field: &str, value: Value| {
        let mut handler = json!({ "type": "command", "command": "x.sh" });
        handler[field] = value;
        handler
    };
    let seconds = "expected a positive number of seconds";
    for (handler, place, what) in [
        (
            command("timeout", json!(-1)),
            ".timeout",
            format!("is -1, {seconds}"),
        ),
        (
            command("timeout", json!(0)),
            ".timeout",
            format!("is 0, {seconds}"),
        ),
        (
            command("timeout", json!(1e-12)),
            ".timeout",
            format!("is 1e-12, {seconds}"),
        ),
        (
            command("timeout", json!("10")),
            ".timeout",
            format!("is the text \"10\", {seconds}"),
        ),
        (
            command("timeout", json!(null)),
            ".timeout",
            format!("is null, {seconds}"),
        ),
        (
            command("timeout", json!(1e300)),
            ".timeout",
            format!("is 1e+300, {seconds}, at most those of a year"),
        ),
        (
            command("command", json!(" ")),
            ".command",
            "is the text \" \", expected a command line, or".into(),
        ),
        (
            command("command", json!(["x"])),
            ".command",
            "is a list, expected a command line, or".into(),
        ),
        (
            command("args", json!("x")),
            ".args",
            "is the text \"x\", expected a list of texts".into(),
        ),
        (
            command("args", json!(["x", 1])),
            ".args[1]",
            "is 1, expected a text".into(),
        ),
        (
            command("shell", json!("fish")),
            ".shell",
            "is the text \"fish\", expected \"bash\" or \"powershell\"".into(),
        ),
        (
            command("async", json!("yes")),
            ".async",
            "is the text \"yes\", expected true or false".into(),
        ),
        (
            command("if", json!(1)),
            ".if",
            "is 1, expected a permission rule".into(),
        ),
        (
            command("if", json!("Bash(x")),
            ".if",
            "which cannot be used: expected `)` at its end".into(),
        ),
        (
            command("onFailure", json!("Block")),
            ".onFailure",
            "is the text \"Block\", expected \"allow\", ".into(),
        ),
        (
            command("type", json!("comand")),
            ".type",
            "is the text \"comand\", expected \"command\"?".into(),
        ),
        (
            command("type", json!("carrier")),
            ".type",
            "expected one of command, http, mcp_tool, prompt, ag".into(),
        ),
        (
            json!({ "command": "x.sh" }),
            ".type",
            "is missing, expected `\"type\": \"command\"`".into(),
        ),
        (
            json!({ "type": "command" }),
            ".command",
            "is missing, expected a command line".into(),
        ),
        (
            json!("x.sh"),
            "",
            "is the text \"x.sh\", expected an object".into(),
        ),
        (
            command("hookManager", json!(true)),
            ".hookManager",
            "is true, expected an object".into(),
        ),
        (
            command("hookManager", json!({ "gaurd": true })),
            ".hookManager.gaurd",
            "is not known, expected `guard`? Known are name, guard, idempotent, cache, onFailure, ".into(),
        ),
        (
            command("hookManager", json!({ "name": "a b" })),
            ".hookManager.name",
            "expected 1 to 64 letters".into(),
        ),
        (
            command("hookManager", json!({ "guard": 1 })),
            ".hookManager.guard",
            "is 1, expected true or f".into(),
        ),
        (
            command("hookManager", json!({ "cache": 60 })),
            ".hookManager.cache",
            "is 60, expected true, fa".into(),
        ),
        (
            command("hookManager", json!({ "cache": { "ttl": 0 } })),
            ".hookManager.cache.ttl",
            format!("is 0, {seconds}"),
        ),
        (
            command("hookManager", json!({ "cache": { "fields": ["tool_name"] } })),
            ".hookManager.cache.fields[0]",
            "is the text \"tool_name\", expected a JSON pointer".into(),
        ),
        (
            command("hookManager", json!({ "cache": { "key": 1 } })),
            ".hookManager.cache.key",
            "is not known".into(),
        ),
        (
            command("hookManager", json!({ "onFailure": "no" })),
            ".hookManager.onFailure",
            "is the text \"no\"".into(),
        ),
    ] {
        // A sound neighbour, on a line of its own.
        let text = format!(
            "{{\"hooks\": {{\"PreToolUse\": [{{\"hooks\": [\n{handler},\n{{\"type\": \"command\", \"command\": \"y.sh\"}}\n]}}]}}}}"
        );
        let loaded = project(text).load();
        assert_eq!(names(&loaded), ["y"], "{handler}: the neighbour is not touched");
        let [broken] = &loaded.broken[..] else {
            panic!("{handler}: {loaded:?}")
        };
        assert_eq!(broken.event, HookEvent::PreToolUse);
        let problem = loaded.problems.iter().find(|problem| problem.is_error()).unwrap();
        assert_eq!(
            problem.origin.place,
            format!("hooks.PreToolUse[0].hooks[0]{place}"),
            "{handler}"
        );
        assert_eq!(problem.origin.line, Some(2), "{handler}");
        assert!(problem.to_string().contains(&what), "{handler}: {problem}");
    }
}

#[test]
fn a_problem_is_one_line_with_file_line_and_column() {
    let loaded = project("{\n  \"hooks\": {\n    \"Stop\": [{\"hooks\": [\n      {\"type\": \"command\", \"command\": \"é\", \"timeout\": \"10\"}\n    ]}]\n  }\n}").load();
    assert_eq!(
        messages(&loaded),
        [
            "error: settings.json:4:54: hooks.Stop[0].hooks[0].timeout is the text \"10\", expected a positive number of seconds"
        ]
    );
    assert_eq!(
        loaded.broken[0].reason,
        "`timeout` is the text \"10\", expected a positive number of seconds"
    );
}

#[test]
fn handlers_only_the_host_can_run_are_kept_to_be_reported() {
    for kind in ["mcp_tool", "prompt", "agent"] {
        let loaded = one(json!({ "type": kind }));
        assert_eq!(loaded.hooks[0].handler, Handler::HostOnly { kind: kind.into() });
    }
}
