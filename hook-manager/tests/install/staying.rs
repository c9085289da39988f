//! What stays as it is, and what cannot be kept.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use serde_json::{Value, json};

use crate::{
    install_support::{LOCAL, SHARED, both, files, install, listed, manage, read},
    support::Project,
};

#[test]
fn shared_hooks_stay_shared_and_personal_ones_personal() {
    let project = both();
    let hooks = listed(&project);
    let before = files(&project);
    let ran = install(&project);
    // In this order, or a crash would leave personal hooks that nobody calls.
    let at = |file: &str| ran.stdout.find(&format!("+++ b/{file}\n")).unwrap();
    assert!(at(".claude/hook-manager.local.json") < at(SHARED) && at(SHARED) < at(LOCAL));
    assert_eq!(listed(&project), hooks);
    let shared = read(&project, SHARED);
    assert_eq!(shared["permissions"]["allow"][0], "Bash(ls)");
    let entry = &shared["hooks"]["PreToolUse"][0];
    assert_eq!(entry["matcher"], "Read|Bash");
    assert_eq!(
        entry["hooks"][0]["command"],
        "hook-manager run PreToolUse --deadline 30"
    );
    assert_eq!(entry["hooks"][0]["timeout"], 35);
    let local = read(&project, LOCAL);
    assert_eq!(local["hooks"]["PreToolUse"], Value::Null, "{local:#}");
    assert_eq!(
        local["hooks"]["PostToolUse"][0]["hooks"][0]["command"],
        "hook-manager run PostToolUse"
    );
    let ours = fs::read_to_string(project.path().join(".claude/hook-manager.json")).unwrap();
    assert!(!ours.contains("personal"), "{ours}");
    assert_eq!(manage(&project, "uninstall", &[]).code, 0);
    assert_eq!(files(&project), before);
}

#[test]
fn whatever_surrounds_the_hooks_is_kept_byte_for_byte() {
    let minified = "{\"b\":1,\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"true\"}]}]},\"a\":1e2}";
    let wide = "{\n\t\"model\":   \"ö\\u00e9\",\n\t\"hooks\": {\"Stop\": [ {\"hooks\": [\n{\"type\": \"command\", \"command\": \"echo 日本\", \"timeout\": 1e1} ]}]} ,\n\n\t\"n\": 0.10\n}\n";
    let crlf = wide.replace('\n', "\r\n");
    let marked = format!("\u{feff}{wide}");
    for (name, text) in [
        ("minified", minified),
        ("wide", wide),
        ("crlf", &crlf),
        ("marked", &marked),
    ] {
        let project = Project::empty();
        let path = project.file(SHARED, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let (before, hooks) = (files(&project), listed(&project));
        for _ in 0..2 {
            install(&project);
            let left = fs::read_to_string(&path).unwrap();
            let at = text
                .find("\"hooks\": {\"Stop\"")
                .or(text.find("\"hooks\":{\"Stop\""))
                .unwrap();
            assert!(left.starts_with(&text[..at]), "{name}: {left}");
            let end = text.rfind("]}]}").unwrap() + 4;
            assert!(left.ends_with(&text[end..]), "{name}: {left}");
            assert_eq!(
                left.replace("\r\n", "").contains('\n'),
                name != "crlf",
                "{name}: {left}"
            );
            assert!(left.contains("hook-manager run Stop"), "{name}: {left}");
            assert_eq!(listed(&project), hooks, "{name}");
            assert!(files(&project).values().all(|(_, mode)| *mode == 0o640), "{name}");
            assert_eq!(manage(&project, "uninstall", &[]).code, 0, "{name}");
            assert_eq!(files(&project), before, "{name}");
        }
    }
}

#[test]
fn what_only_the_host_can_run_stays_and_is_named() {
    let group = json!([
        { "type": "command", "command": "true" },
        { "type": "command", "command": "sleep 1", "async": true },
        { "type": "prompt", "prompt": "?" },
        { "type": "brand_new", "x": 1 },
    ]);
    let project = Project::with_settings(&json!({ "hooks": {
        "PreToolUse": [{ "matcher": "Bash", "hooks": group }],
        "SessionStart": [{ "hooks": [{ "type": "http", "url": "http://127.0.0.1:9/x" }] }],
    }}));
    // A type nobody knows cannot be used, and install says so rather than to guess.
    let ran = manage(&project, "install", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("brand_new") && ran.stderr.contains("mend or remove it first"),
        "{ran:?}"
    );
    let text = fs::read_to_string(project.path().join(SHARED)).unwrap();
    let mut settings: Value = serde_json::from_str(&text).unwrap();
    settings["hooks"]["PreToolUse"][0]["hooks"]
        .as_array_mut()
        .unwrap()
        .pop();
    project.file(SHARED, &format!("{settings:#}"));
    let ran = install(&project);
    for why in [
        "only the host can run it",
        "it runs in the background",
        "runs no hooks of its type there",
    ] {
        assert!(ran.stderr.contains(why), "no {why} in {}", ran.stderr);
    }
    let left = read(&project, SHARED);
    let groups = left["hooks"]["PreToolUse"].as_array().unwrap();
    assert_eq!(groups[1]["matcher"], "Bash");
    assert_eq!(groups[1]["hooks"], json!([group[1], group[2]]));
    assert_eq!(left["hooks"]["SessionStart"], settings["hooks"]["SessionStart"]);
}

#[test]
fn what_cannot_be_kept_is_refused_by_name_and_nothing_is_changed() {
    let hook = r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"true"}]}]}"#;
    for (text, expected) in [
        (
            format!("// mine\n{hook}}}"),
            "settings.json:1:1: it has a comment",
        ),
        (
            format!("{hook},\"hooks\":{{}}}}"),
            "`hooks` stands here a second time",
        ),
        (
            r#"{"hooks":{"Stop":[],"Stop":[]}}"#.into(),
            "`Stop` stands here a second time",
        ),
        (hook.to_owned(), "it ends too early"),
        ("[]".into(), "expected an object"),
        (
            hook.replace("\"true\"", "\"true\",\"timeout\":-1") + "}",
            "timeout is -1",
        ),
    ] {
        let project = Project::empty();
        project.file(SHARED, &text);
        let before = files(&project);
        let ran = manage(&project, "install", &[]);
        assert_eq!(ran.code, 1, "{text}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{text}: {ran:?}");
        assert_eq!(files(&project), before, "{text}");
    }
    let (project, elsewhere) = (Project::empty(), Project::example());
    fs::create_dir(project.path().join(".claude")).unwrap();
    symlink(elsewhere.path().join(SHARED), project.path().join(SHARED)).unwrap();
    let ran = manage(&project, "install", &[]);
    assert!(
        ran.code == 1 && ran.stderr.contains("symbolic link out of the project"),
        "{ran:?}"
    );
}

#[test]
fn a_link_within_the_project_is_written_through() {
    let project = Project::example();
    let real = project.path().join("shared.json");
    fs::rename(project.path().join(SHARED), &real).unwrap();
    symlink("../shared.json", project.path().join(SHARED)).unwrap();
    let before = fs::read(&real).unwrap();
    install(&project);
    assert!(project.path().join(SHARED).is_symlink());
    assert_ne!(fs::read(&real).unwrap(), before);
    let ran = manage(&project, "uninstall", &[]);
    assert!(ran.code == 0 && fs::read(&real).unwrap() == before, "{ran:?}");
    assert!(project.path().join(SHARED).is_symlink());
}
