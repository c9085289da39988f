//! Back again: byte for byte, over crashes, edits and copies that are gone.

use std::fs;

use serde_json::json;

use crate::{
    install_support::{LOCAL, SHARED, both, files, install, listed, manage, read},
    support::{Project, event},
};

#[test]
fn the_example_project_runs_the_same_hooks_with_the_same_answers_and_comes_back_byte_for_byte() {
    let project = Project::example();
    let before = files(&project);
    let hooks = listed(&project);
    let samples = [
        ("PreToolUse", "pre_tool_use_bash"),
        ("PreToolUse", "pre_tool_use_read_env"),
        ("PreToolUse", "pre_tool_use_bash_force_push"),
        ("PreToolUse", "pre_tool_use_bash_harmless"),
        ("SessionStart", "session_start"),
        ("Stop", "stop"),
    ];
    let answers = |project: &Project| {
        samples.map(|(name, sample)| {
            let ran = project.run(name, &event(sample), &["--output", "host"]);
            (ran.stdout, ran.code)
        })
    };
    let said = answers(&project);
    for _ in 0..2 {
        install(&project);
        assert_ne!(files(&project), before);
        assert_eq!(listed(&project), hooks);
        assert_eq!(answers(&project), said);
        let ran = manage(&project, "uninstall", &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(files(&project), before);
    }
}

/// Who runs what: the host each handler that is still in its files, the manager each that `run` runs.
fn runs(project: &Project) -> Vec<String> {
    let mut runs = Vec::new();
    for file in [SHARED, LOCAL] {
        for group in read(project, file)["hooks"]["PreToolUse"]
            .as_array()
            .into_iter()
            .flatten()
        {
            for handler in group["hooks"].as_array().unwrap() {
                let command = handler["command"].as_str().unwrap_or_default();
                if !command.starts_with("hook-manager run ") {
                    runs.push(command.to_owned());
                    continue;
                }
                let (report, _) = project.json("PreToolUse", r#"{"tool_name":"Bash","tool_input":{}}"#);
                let messages = report["merged"]["system_messages"].as_array().unwrap();
                runs.extend(
                    messages
                        .iter()
                        .map(|one| format!("echo '{{\"systemMessage\":{one}}}'")),
                );
            }
        }
    }
    runs.sort();
    runs
}

#[test]
fn a_crash_between_any_two_files_leaves_every_hook_running_and_running_once() {
    let project = both();
    let expected = runs(&project);
    assert_eq!(expected.len(), 2, "{expected:?}");
    let before = files(&project);
    install(&project);
    let after = files(&project);
    assert_eq!(runs(&project), expected);
    let order = |name: &str| match name {
        "settings.local.json" => 3,
        "settings.json" => 2,
        "hook-manager.json" => 1,
        _ => 0,
    };
    let write = |name: &str, bytes: Option<&(Vec<u8>, u32)>| {
        let path = project.path().join(".claude").join(name);
        match bytes {
            Some((bytes, _)) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    };
    // Back one file at a time: the states that an install goes through.
    let mut names: Vec<&String> = after.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(order(name)));
    for name in names {
        write(name, before.get(name));
        assert_eq!(runs(&project), expected, "{name} is as before");
    }
    // And one that was cut short is completed by the next one.
    install(&project);
    write("settings.local.json", before.get("settings.local.json"));
    install(&project);
    assert_eq!(files(&project), after);
}

#[test]
fn a_hook_that_is_added_later_is_run_by_the_host_alone() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "true", "timeout": 3 }),
    );
    install(&project);
    let later =
        json!({ "hooks": { "PreToolUse": [{ "hooks": [{ "type": "command", "command": "./later.sh" }] }] } });
    project.file(LOCAL, &later.to_string());
    let ran = project.run("PreToolUse", r#"{"tool_name":"Bash"}"#, &["--output", "table"]);
    assert!(
        ran.line("later").contains("skipped") && ran.line("later").contains("the host runs it"),
        "{ran:?}"
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_file_that_cannot_be_written_undoes_the_ones_before_it() {
    let project = both();
    let before = files(&project);
    // Where the new file would have to be made, something is in the way.
    fs::create_dir_all(
        project
            .path()
            .join(".claude/.settings.local.json.hook-manager-new/x"),
    )
    .unwrap();
    let ran = manage(&project, "install", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("settings.local.json: ") && ran.stderr.contains("nothing was changed"),
        "{ran:?}"
    );
    assert_eq!(files(&project), before);
}

#[test]
fn edits_since_are_refused_shown_and_never_lost() {
    let edited = || {
        let project = both();
        install(&project);
        let path = project.path().join(SHARED);
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("Bash(ls)", "Bash(cat)");
        fs::write(&path, text).unwrap();
        project
    };
    let project = edited();
    let installed = files(&project);
    let ran = manage(&project, "uninstall", &[]);
    assert_eq!((ran.code, files(&project)), (1, installed.clone()), "{ran:?}");
    assert!(
        ran.stderr
            .contains(".claude/settings.json: it was edited since install"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("-") && ran.stdout.contains("+      \"Bash(cat)\""),
        "{ran:?}"
    );
    // A second install does not take the edited file for the original.
    let ran = manage(&project, "install", &[]);
    assert_eq!((ran.code, files(&project)), (1, installed.clone()), "{ran:?}");

    let ran = manage(&project, "uninstall", &["--merge"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut expected = read(&both(), SHARED);
    expected["permissions"]["allow"][0] = json!("Bash(cat)");
    assert_eq!(read(&project, SHARED), expected);
    assert_eq!(files(&project).len(), 2);

    let project = edited();
    let ran = manage(&project, "uninstall", &["--force"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(read(&project, SHARED), read(&both(), SHARED));
    assert_eq!(
        files(&project)["settings.json.edited"],
        installed["settings.json"]
    );
}

#[test]
fn a_moved_hook_that_was_edited_is_an_edit_too() {
    let project = both();
    install(&project);
    let path = project.path().join(".claude/hook-manager.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"timeout\": 30", "\"timeout\": 31");
    fs::write(&path, text).unwrap();
    let ran = manage(&project, "uninstall", &[]);
    assert!(
        ran.code == 1 && ran.stderr.contains("hook-manager.json: it was edited"),
        "{ran:?}"
    );
    assert_eq!(manage(&project, "uninstall", &["--merge"]).code, 0);
    assert_eq!(
        read(&project, SHARED)["hooks"]["PreToolUse"][0]["hooks"][0]["timeout"],
        31
    );
}

#[test]
fn without_the_copy_the_hooks_are_put_back_by_merging() {
    let project = both();
    let hooks = listed(&project);
    install(&project);
    fs::remove_file(project.path().join(".claude/settings.json.before-hook-manager")).unwrap();
    for args in [&[][..], &["--force"]] {
        let ran = manage(&project, "uninstall", args);
        assert!(
            ran.code == 1 && ran.stderr.contains("before-hook-manager: it is gone"),
            "{ran:?}"
        );
    }
    assert_eq!(manage(&project, "uninstall", &["--merge"]).code, 0);
    assert_eq!(listed(&project), hooks);
    assert_eq!(read(&project, SHARED), read(&both(), SHARED));
}
