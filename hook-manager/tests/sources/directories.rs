//! Directories of scripts.

use super::*;

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
