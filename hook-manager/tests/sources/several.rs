//! Several hooks, in one file and in several.

use super::*;

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
