//! What cannot be used, or not be read.

use super::*;

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
