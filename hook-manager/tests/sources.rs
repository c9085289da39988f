//! Hooks as they are found in settings files and directories: what becomes of each, and what is said.

use std::{fs, path::Path, time::Duration};

use hook_manager::{
    event::HookEvent,
    hook::{CacheKey, Handler, HookSpec, OnFailure, OriginKind, Shell},
    matcher::Matcher,
    source::{Loaded, Problem, Severity, Sources, load},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Every event's input, with what its matcher is compared with.
#[test]
fn the_matcher_input_of_every_sample_event_is_found() {
    let expected = |event: &HookEvent| match event {
        HookEvent::SessionStart => Some("startup"),
        HookEvent::Setup => Some("init"),
        HookEvent::InstructionsLoaded => Some("session_start"),
        HookEvent::UserPromptExpansion => Some("release"),
        HookEvent::PreToolUse
        | HookEvent::PermissionRequest
        | HookEvent::PermissionDenied
        | HookEvent::PostToolUseFailure => Some("Bash"),
        HookEvent::PostToolUse => Some("Write"),
        HookEvent::Notification => Some("permission_prompt"),
        HookEvent::SubagentStart | HookEvent::SubagentStop => Some("Explore"),
        HookEvent::StopFailure => Some("rate_limit"),
        HookEvent::ConfigChange => Some("project_settings"),
        HookEvent::DirectoryAdded => Some("slash_command"),
        HookEvent::FileChanged => Some(".envrc"),
        HookEvent::PreCompact => Some("manual"),
        HookEvent::PostCompact => Some("auto"),
        HookEvent::Elicitation | HookEvent::ElicitationResult => Some("vault"),
        HookEvent::SessionEnd => Some("prompt_input_exit"),
        _ => None,
    };
    let samples = include_str!("fixtures/events.jsonl");
    let mut seen = Vec::new();
    for line in samples.lines() {
        let input: Value = serde_json::from_str(line).unwrap();
        let event = HookEvent::from(input["hook_event_name"].as_str().unwrap());
        let found = event.spec().find_matcher_input(&input);
        assert_eq!(found, expected(&event), "{event}");
        if let Some(found) = found {
            let exact = Matcher::new(&event, &format!("^{}$", found.replace('.', r"\."))).unwrap();
            assert_eq!(exact.matches(&input), Ok(true), "{event}");
            assert_eq!(
                Matcher::new(&event, "nothing_like_it").unwrap().matches(&input),
                Ok(false),
                "{event}"
            );
        }
        seen.push(event);
    }
    seen.sort();
    assert_eq!(seen, HookEvent::ALL, "a sample of every event");
}

#[test]
fn an_unknown_event_passes_through_under_its_own_name() {
    let event = HookEvent::from("BrandNew");
    assert_eq!(
        (event.as_str(), event.is_known(), event.to_string()),
        ("BrandNew", false, "BrandNew".into())
    );
    assert_eq!("Stop".parse(), Ok(HookEvent::Stop));
    assert_eq!(serde_json::to_value(&event).unwrap(), json!("BrandNew"));
    assert_eq!(
        serde_json::from_value::<HookEvent>(json!("Stop")).unwrap(),
        HookEvent::Stop
    );
    let seven = [
        "SessionStart",
        "SessionEnd",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "SubagentStart",
        "SubagentStop",
    ];
    assert!(HookEvent::ALL.iter().map(HookEvent::as_str).take(7).eq(seven));
}

#[test]
fn documented_timeouts_are_the_defaults() {
    for (event, millis) in [
        (HookEvent::PreToolUse, 600_000),
        (HookEvent::UserPromptSubmit, 30_000),
        (HookEvent::MessageDisplay, 10_000),
        (HookEvent::SessionEnd, 1_500),
        (HookEvent::from("BrandNew"), 600_000),
    ] {
        assert_eq!(
            event.spec().default_timeout,
            Duration::from_millis(millis),
            "{event}"
        );
    }
}

// ===== settings =====

/// The sources of a project with this shared settings file.
struct Project {
    dir: TempDir,
    sources: Sources,
}

fn project(settings: impl ToString) -> Project {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources {
        project: Some(dir.path().into()),
        ..Sources::default()
    };
    let project = Project { dir, sources };
    project.write(".claude/settings.json", settings);
    project
}

impl Project {
    fn write(&self, file: &str, content: impl ToString) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.to_string()).unwrap();
    }

    fn load(&self) -> Loaded {
        load(&self.sources)
    }
}

fn handlers(event: &str, handlers: Value) -> Value {
    json!({ "hooks": { event: [{ "hooks": handlers }] } })
}

fn one(handler: Value) -> Loaded {
    project(handlers("PreToolUse", json!([handler]))).load()
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.hooks.iter().map(|hook| &*hook.name).collect()
}

/// The messages, without the temporary directory in front.
fn messages(loaded: &Loaded) -> Vec<String> {
    let text = |problem: &Problem| {
        let text = problem.to_string();
        let text = text
            .split_once("/.claude/")
            .map_or(&text[..], |(_, rest)| rest)
            .to_owned();
        format!("{}: {text}", problem.severity)
    };
    loaded.problems.iter().map(text).collect()
}

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
            "is not known, expected `guard`? Known are name, guard, idempotent, cache, onFailure".into(),
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
fn a_matcher_that_cannot_be_compiled_breaks_its_hooks_loudly_instead_of_hiding_them() {
    let loaded = project(json!({ "hooks": { "PreToolUse": [
        { "matcher": "Bash(", "hooks": [
            { "type": "command", "command": "guard.sh" },
            { "type": "command", "command": "log.sh", "onFailure": "block", "hookManager": { "guard": true } },
        ] },
        { "matcher": 7, "hooks": [{ "type": "command", "command": "seven.sh" }] },
        { "matcher": "Bash", "hooks": [{ "type": "command", "command": "fine.sh" }] },
    ] } }))
    .load();
    assert_eq!(names(&loaded), ["fine"]);
    let broken: Vec<_> = loaded
        .broken
        .iter()
        .map(|one| (&*one.name, one.guard, one.on_failure))
        .collect();
    assert_eq!(
        broken,
        [
            ("guard", true, Some(OnFailure::Ask)),
            ("log", true, Some(OnFailure::Block)),
            ("seven", false, Some(OnFailure::Ask))
        ]
    );
    assert!(loaded.broken.iter().all(|one| one.matcher.is_none()));
    assert_eq!(
        loaded.broken[0].reason,
        "the matcher `Bash(` cannot be used: it has a `(` without its `)`"
    );
    assert_eq!(
        loaded
            .problems
            .iter()
            .filter(|problem| problem.is_error())
            .count(),
        2
    );
}

#[test]
fn a_rule_that_cannot_be_read_breaks_its_hook_where_its_matcher_matches() {
    let loaded = project(json!({ "hooks": { "PreToolUse": [{ "matcher": "Bash", "hooks": [
        { "type": "command", "command": "guard.sh", "if": "Bash(rm *" },
    ] }] } }))
    .load();
    let [broken] = &loaded.broken[..] else {
        panic!("{loaded:?}")
    };
    assert_eq!((&*broken.name, broken.guard), ("guard", true));
    assert_eq!(broken.matcher.as_ref().map(Matcher::text), Some("Bash"));
}

#[test]
fn what_should_have_held_hooks_and_does_not_is_not_lost() {
    for (hooks, place, hint) in [
        (
            json!({ "Stop": { "hooks": [] } }),
            "hooks.Stop",
            "expected a list of objects",
        ),
        (
            json!({ "Stop": ["x.sh"] }),
            "hooks.Stop[0]",
            "expected an object with `matcher` and `hooks`",
        ),
        (
            json!({ "Stop": [{ "type": "command", "command": "x.sh" }] }),
            "hooks.Stop[0]",
            "inside `\"hooks\": [..]`",
        ),
        (
            json!({ "Stop": [{ "matcher": "" }] }),
            "hooks.Stop[0]",
            "expected `\"hooks\": [..]` in it",
        ),
        (
            json!({ "Stop": [{ "hooks": { "type": "command" } }] }),
            "hooks.Stop[0].hooks",
            "expected a list of handlers",
        ),
    ] {
        let loaded = project(json!({ "hooks": hooks })).load();
        let [broken] = &loaded.broken[..] else {
            panic!("{loaded:?}")
        };
        assert_eq!(broken.event, HookEvent::Stop);
        let problem = loaded.problems.iter().find(|problem| problem.is_error()).unwrap();
        assert_eq!(problem.origin.place, place);
        assert!(problem.to_string().contains(hint), "{problem}");
    }
    for settings in ["[]", "7", r#"{"hooks": []}"#, r#"{"disableAllHooks": "yes"}"#] {
        let loaded = project(settings).load();
        assert!(loaded.problems.iter().any(Problem::is_error), "{settings}");
    }
}

#[test]
fn a_file_that_is_no_json_says_where_and_what_was_expected() {
    for (text, expected) in [
        ("", ":1:1: not JSON: it is empty, expected an object"),
        (
            "{\n  \"hooks\": {},\n}",
            ":3:1: not JSON: it has a comma with nothing behind it, expected another entry, or no comma",
        ),
        (
            "{\n  // hooks\n}",
            ":2:3: not JSON: it has a comment, which JSON does not know, expected a value",
        ),
        ("{\"hooks\": tru}", "it has `}`, expected ident"),
        (
            "{'hooks': 1}",
            ":1:2: not JSON: it has `'`, expected a key in double quotes",
        ),
        (
            "{\"é\": 1 \"b\": 2}",
            ":1:9: not JSON: it has `\"`, expected `,` or `}`",
        ),
        (
            "{\"a\": {}",
            "it ends too early (EOF while parsing an object), expected the rest of it",
        ),
        (
            "{} x",
            ":1:4: not JSON: it has `x` behind its end, expected nothing more",
        ),
        (&"[".repeat(1_000), "it is nested too deeply"),
    ] {
        let loaded = project(text).load();
        let [message] = &messages(&loaded)[..] else {
            panic!("{loaded:?}")
        };
        assert!(message.starts_with("error: settings.json:"), "{message}");
        assert!(message.contains(expected), "{text:.20}: {message}");
    }
}

#[test]
fn files_that_cannot_be_read_as_text_are_refused_and_a_byte_order_mark_is_not() {
    let project = project("{}");
    let file = project.dir.path().join(".claude/settings.json");
    let load = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        messages(&project.load()).concat()
    };
    assert_eq!(load(b"\xef\xbb\xbf{\"hooks\": {}}"), "");
    assert!(load(b"\xff\xfe{\0}\0").contains("UTF-16, expected UTF-8"));
    assert!(load(b"{\n\"\xff\": 1}").contains("no text, in line 2, expected UTF-8"));
    let large = vec![b' '; (8 << 20) + 1];
    assert!(load(&large).contains("larger than 8 MiB"));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(
        messages(&project.load())
            .concat()
            .contains("not an ordinary file")
    );
}

#[test]
fn a_missing_file_is_an_error_only_where_it_was_asked_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Sources {
        project: Some(dir.path().into()),
        ..Sources::default()
    };
    assert!(load(&sources).problems.is_empty());
    sources.settings.push(dir.path().join("other.json"));
    sources.hooks_dir = Some(dir.path().join("hooks"));
    let loaded = load(&sources);
    assert_eq!(loaded.problems.len(), 2);
    assert!(loaded.problems.iter().all(Problem::is_error), "{loaded:?}");
}

#[test]
fn what_the_host_would_not_do_is_said_and_nothing_is_dropped_in_silence() {
    use Severity::{Ignored, Warning};
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
            Warning,
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
            group("PreToolUse", "", json!({ "type": "http", "url": "http://x" })),
            Ignored,
            "leaves to the host",
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
            Warning,
            "Hooks is not looked into, expected `hooks`?",
            0,
        ),
        (
            json!({ "Stop": [] }),
            Warning,
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
fn handlers_only_the_host_can_run_are_kept_to_be_reported() {
    for kind in ["http", "mcp_tool", "prompt", "agent"] {
        let loaded = one(json!({ "type": kind }));
        assert_eq!(loaded.hooks[0].handler, Handler::HostOnly { kind: kind.into() });
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

#[test]
fn files_are_read_in_the_order_of_their_precedence_and_their_hooks_add_up() {
    let command = |name: &str| handlers("Stop", json!([{ "type": "command", "command": name }]));
    let mut project = project(command("shared.sh"));
    project.write(".claude/settings.local.json", command("local.sh"));
    project.write("one.json", command("one.sh"));
    project.write("plugin/hooks.json", {
        let mut plugin = command("two.sh");
        plugin["description"] = json!("a plugin");
        plugin
    });
    project.write("hooks/stop__last.sh", "#!/bin/sh\n");
    project.sources.settings = vec![
        project.dir.path().join("one.json"),
        project.dir.path().join("plugin/hooks.json"),
    ];
    project.sources.hooks_dir = Some(project.dir.path().join("hooks"));
    let loaded = project.load();
    assert_eq!(names(&loaded), ["one", "two", "local", "shared", "last"]);
    assert_eq!(messages(&loaded), [""; 0]);
}

#[test]
fn disable_all_hooks_goes_by_precedence() {
    let with = |disable: Value| {
        let mut settings = handlers("Stop", json!([{ "type": "command", "command": "x.sh" }]));
        if !disable.is_null() {
            settings["disableAllHooks"] = disable;
        }
        settings
    };
    for (named, local, shared, runs) in [
        (json!(null), json!(null), json!(null), true),
        (json!(null), json!(null), json!(true), false),
        (json!(null), json!(false), json!(true), true),
        (json!(null), json!(true), json!(false), false),
        (json!(false), json!(true), json!(true), true),
        (json!(true), json!(false), json!(false), false),
    ] {
        let mut project = project(with(shared.clone()));
        project.write(".claude/settings.local.json", with(local.clone()));
        project.write("named.json", with(named.clone()));
        project
            .sources
            .settings
            .push(project.dir.path().join("named.json"));
        let loaded = project.load();
        assert_eq!(!loaded.hooks.is_empty(), runs, "{named} {local} {shared}");
        assert_eq!(loaded.disabled_by.is_none(), runs);
        assert_eq!(
            messages(&loaded)
                .concat()
                .contains("`disableAllHooks` is true: 3 hooks do not run"),
            !runs
        );
    }
}

#[test]
fn a_copy_in_another_file_runs_once_and_the_first_declared_wins() {
    let copy = |timeout: u64| {
        json!({ "hooks": { "PreToolUse": [{ "matcher": "Bash", "hooks": [
            { "type": "command", "command": "guard.sh", "timeout": timeout },
        ] }] } })
    };
    let project = project(copy(5));
    project.write(".claude/settings.local.json", copy(5));
    let loaded = project.load();
    assert_eq!(
        (names(&loaded), loaded.problems[0].severity),
        (vec!["guard"], Severity::Ignored)
    );
    assert!(
        loaded.hooks[0]
            .origin
            .file
            .as_ref()
            .unwrap()
            .ends_with("settings.local.json")
    );

    project.write(".claude/settings.local.json", copy(9));
    let loaded = project.load();
    assert_eq!(loaded.hooks[0].timeout, Some(Duration::from_secs(9)));
    assert_eq!(loaded.problems[0].severity, Severity::Warning);
    assert!(
        loaded.problems[0]
            .to_string()
            .contains("declared before, with other settings, as guard")
    );
}

#[test]
fn the_same_handler_behind_another_matcher_or_with_other_arguments_is_no_copy() {
    let loaded = project(json!({ "hooks": { "PreToolUse": [
        { "matcher": "Bash", "hooks": [{ "type": "command", "command": "guard.sh" }] },
        { "matcher": "Edit", "hooks": [
            { "type": "command", "command": "guard.sh" },
            { "type": "command", "command": "guard.sh", "args": [] },
            { "type": "command", "command": "guard.sh", "args": ["x"] },
            { "type": "command", "command": "guard.sh", "if": "Edit(*.ts)" },
        ] },
    ] } }))
    .load();
    assert_eq!(
        names(&loaded),
        ["guard", "guard#2", "guard#3", "guard#4", "guard#5"]
    );
    let same = |a: usize, b: usize| loaded.hooks[a].identity() == loaded.hooks[b].identity();
    // Equal where both match, which only who has the input can say.
    assert!(same(0, 1));
    assert!(!same(1, 2) && !same(2, 3) && !same(1, 4));
}

#[test]
fn names_are_unique_within_an_event_and_free_across_events() {
    let loaded = project(json!({ "hooks": {
        "Stop": [{ "hooks": [
            { "type": "command", "command": "a/x.sh" },
            { "type": "command", "command": "b/x.sh" },
            { "type": "command", "command": "c/x.sh", "timeout": -1 },
        ] }],
        "SessionEnd": [{ "hooks": [{ "type": "command", "command": "a/x.sh" }] }],
    } }))
    .load();
    assert_eq!(names(&loaded).len(), 3);
    assert!(names(&loaded).contains(&"x#2"));
    assert_eq!(&*loaded.broken[0].name, "x#3");
}

#[test]
fn a_guard_is_known_by_a_whole_word_of_its_name_unless_something_else_was_said() {
    let handler = || Handler::shell("x");
    for (event, name, guard, on_failure, expected) in [
        (HookEvent::PreToolUse, "push-guard", None, None, true),
        (HookEvent::PreToolUse, "security_update", None, None, true),
        (HookEvent::PreToolUse, "secretScan", None, None, true),
        (HookEvent::PreToolUse, "blocklist-update", None, None, false),
        (HookEvent::PreToolUse, "guardian", None, None, false),
        (HookEvent::PermissionRequest, "policy", None, None, true),
        (HookEvent::UserPromptSubmit, "validate", None, None, true),
        (HookEvent::PostToolUse, "guard", None, None, false),
        (HookEvent::PostToolUse, "log", None, Some(OnFailure::Block), true),
        (HookEvent::PreToolUse, "log", None, Some(OnFailure::Ask), false),
        (
            HookEvent::PreToolUse,
            "guard",
            Some(false),
            Some(OnFailure::Block),
            false,
        ),
        (HookEvent::Stop, "log", Some(true), None, true),
    ] {
        let hook = HookSpec {
            name: name.into(),
            guard,
            on_failure,
            ..HookSpec::new(event, handler())
        };
        assert_eq!(hook.is_guard(), expected, "{} {name}", hook.event);
    }
}

// ===== directories =====

fn directory(files: &[(&str, u32, &str)]) -> (TempDir, Loaded) {
    let dir = tempfile::tempdir().unwrap();
    for (name, mode, content) in files {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        chmod(&path, *mode);
    }
    let loaded = load(&Sources {
        hooks_dir: Some(dir.path().into()),
        ..Sources::default()
    });
    (dir, loaded)
}

fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_name_says_event_and_name_on_whole_words() {
    for (file, event, name) in [
        ("pre_tool__guard.py", HookEvent::PreToolUse, "guard"),
        ("pre_tool_use__guard.py", HookEvent::PreToolUse, "guard"),
        ("PreToolUse__guard.py", HookEvent::PreToolUse, "guard"),
        ("pre-tool-use__guard.py", HookEvent::PreToolUse, "guard"),
        ("post_tool__fmt.py", HookEvent::PostToolUse, "fmt"),
        ("post_tool_use__fmt.py", HookEvent::PostToolUse, "fmt"),
        ("post_tool_use_failure__x.py", HookEvent::PostToolUseFailure, "x"),
        ("session_start__a.py", HookEvent::SessionStart, "a"),
        ("session_end__a.py", HookEvent::SessionEnd, "a"),
        ("user_prompt__a.py", HookEvent::UserPromptSubmit, "a"),
        ("user_prompt_submit__a.py", HookEvent::UserPromptSubmit, "a"),
        ("subagent_start__a.py", HookEvent::SubagentStart, "a"),
        ("subagent_stop__a.py", HookEvent::SubagentStop, "a"),
        ("stop__a__b.v2.py", HookEvent::Stop, "a__b.v2"),
        ("notification__a.py", HookEvent::Notification, "a"),
        ("pre_compact__a.py", HookEvent::PreCompact, "a"),
        ("worktree_create__a.py", HookEvent::WorktreeCreate, "a"),
    ] {
        let (_dir, loaded) = directory(&[(file, 0o644, "")]);
        let [hook] = &loaded.hooks[..] else {
            panic!("{file}: {loaded:?}")
        };
        assert_eq!((&hook.event, &*hook.name), (&event, name), "{file}");
        assert_eq!(hook.origin.kind, OriginKind::Directory);
        assert!(loaded.problems.is_empty());
    }
}

#[test]
fn files_run_by_their_execute_permission_or_by_their_ending() {
    let (dir, loaded) = directory(&[
        ("stop__a.py", 0o644, "print()"),
        ("stop__b.py", 0o755, "#!/usr/bin/env python3\n"),
        ("stop__c.py", 0o755, "print()"),
        ("stop__d.sh", 0o644, "#!/bin/sh\n"),
        ("stop__e.sh", 0o755, "#!/bin/sh\n"),
        ("stop__f", 0o755, "\u{7f}ELF"),
    ]);
    let path = |file: &str| dir.path().join(file).to_str().unwrap().to_owned();
    let none: [&str; 0] = [];
    let found: Vec<_> = loaded.hooks.iter().map(|hook| hook.handler.clone()).collect();
    assert_eq!(
        found,
        [
            Handler::exec("python3", [path("stop__a.py")]),
            Handler::exec(path("stop__b.py"), none),
            Handler::exec("python3", [path("stop__c.py")]),
            Handler::exec("sh", [path("stop__d.sh")]),
            Handler::exec(path("stop__e.sh"), none),
            Handler::exec(path("stop__f"), none),
        ]
    );
}

#[test]
fn a_directory_is_made_absolute_because_hooks_run_elsewhere() {
    let dir = tempfile::tempdir_in(".").unwrap();
    fs::write(dir.path().join("stop__a.py"), "").unwrap();
    let relative = Path::new(dir.path().file_name().unwrap());
    let loaded = load(&Sources {
        hooks_dir: Some(relative.into()),
        ..Sources::default()
    });
    let Handler::Exec { args, .. } = &loaded.hooks[0].handler else {
        panic!("{loaded:?}")
    };
    assert!(Path::new(&args[0]).is_absolute(), "{args:?}");
}

#[test]
fn what_lies_beside_hooks_is_listed_with_the_reason() {
    let (dir, loaded) = directory(&[
        (".hidden__x.py", 0o644, ""),
        ("#stop__x.py#", 0o644, ""),
        ("README", 0o644, ""),
        ("README__x.py", 0o644, ""),
        ("helpers.py", 0o644, ""),
        ("notes.md", 0o644, ""),
        ("pre_tooling__x.py", 0o644, ""),
        ("settings.json", 0o644, ""),
        ("stop__x.py.bak", 0o644, ""),
        ("stop__x.py~", 0o644, ""),
        ("stop__x.swp", 0o644, ""),
    ]);
    assert!(loaded.hooks.is_empty() && loaded.broken.is_empty());
    assert_eq!(loaded.problems.len(), 11);
    let said = |file: &str| {
        let problem = loaded
            .problems
            .iter()
            .find(|one| one.origin.file == Some(dir.path().join(file)))
            .unwrap();
        (problem.severity, problem.what.clone())
    };
    let ignored = |what: &str| (Severity::Ignored, what.to_owned());
    assert_eq!(said(".hidden__x.py"), ignored("it is hidden"));
    assert_eq!(said("stop__x.py~"), ignored("it is a backup"));
    assert_eq!(said("#stop__x.py#"), ignored("it is a backup"));
    assert_eq!(said("README__x.py"), ignored("it is no script"));
    assert_eq!(said("settings.json"), ignored("it is no script"));
    assert_eq!(
        said("helpers.py"),
        ignored("its name says no event: it has no `__`")
    );
    assert_eq!(
        said("pre_tooling__x.py"),
        (Severity::Warning, "`pre_tooling` is not an event".into())
    );
}

#[test]
fn a_file_that_was_meant_as_a_hook_and_cannot_run_is_broken_and_not_ignored() {
    let (dir, loaded) = directory(&[("pre_tool__guard.rb", 0o644, ""), ("pre_tool__.py", 0o644, "")]);
    let broken: Vec<_> = loaded.broken.iter().map(|one| (&*one.name, one.guard)).collect();
    assert_eq!(broken, [("pre_tool__.py", false), ("guard", true)]);
    assert!(
        loaded.broken[1].reason.contains("no execute permission"),
        "{}",
        loaded.broken[1].reason
    );
    assert!(loaded.broken[1].reason.contains("chmod +x"));
    assert!(loaded.problems.iter().all(Problem::is_error));

    std::os::unix::fs::symlink("nowhere", dir.path().join("stop__gone.py")).unwrap();
    fs::create_dir(dir.path().join("stop__dir.py")).unwrap();
    let loaded = load(&Sources {
        hooks_dir: Some(dir.path().into()),
        ..Sources::default()
    });
    assert!(loaded.broken.iter().any(|one| &*one.name == "gone"));
    assert!(loaded.problems.iter().any(|one| one.what == "it is a directory"));
}
