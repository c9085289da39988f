//! Who else can change what runs, and what of the environment runs with it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

mod support;

use support::{BINARY, Project, Ran};

const STRANGER: u32 = 12_345;

/// A project whose guard blocks: where it is asked, the exit status is 2.
fn guarded() -> Project {
    let hook =
        json!({ "type": "command", "command": "./guards/guard.sh", "hookManager": { "name": "guard" } });
    let project = Project::with_hook("PreToolUse", hook);
    let script = project.file("guards/guard.sh", "#!/bin/sh\necho no >&2\nexit 2\n");
    mode(&script, 0o755);
    mode(&project.path().join("guards"), 0o755);
    closed(project)
}

/// Others come as far as that, and no further, whatever the umask is.
fn closed(project: Project) -> Project {
    mode(&project.path().join(".claude/settings.json"), 0o644);
    for folder in ["", ".claude"] {
        mode(&project.path().join(folder), 0o755);
    }
    project
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn run(project: &Project, check: Option<&str>) -> Ran {
    let check = check.map(|check| format!("file_check = \"{check}\"\n"));
    let figures = project.file(".claude/hook-manager.toml", &check.unwrap_or_default());
    mode(&figures, 0o644);
    project.run("PreToolUse", "{}", &["--output", "host"])
}

/// The guard is not run, and the user is asked and told why.
fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("\"ask\"") && ran.stdout.contains(why),
        "no {why:?}: {ran:?}"
    );
}

#[test]
fn what_everybody_can_change_is_not_run_and_its_guard_asks() {
    for (file, mode_, why) in [
        (".claude/settings.json", 0o666, "everybody may change it"),
        ("guards/guard.sh", 0o777, "everybody may change it"),
        ("guards", 0o777, "everybody may put another one into its folder"),
        (".claude", 0o777, "everybody may put another one into its folder"),
    ] {
        let project = guarded();
        let path = project.path().join(file);
        assert_eq!(run(&project, None).code, 2);
        mode(&path, mode_);
        refused(&run(&project, None), why);
        let list = project.command(&["list", "--project", project.path().to_str().unwrap()], "");
        assert_eq!(list.code == 1, file.starts_with(".claude"), "{list:?}");
        if file != ".claude" {
            // Where that folder is open, so are the figures.
            assert_eq!(run(&project, Some("off")).code, 2, "{file}");
        }
    }
}

#[test]
fn the_figures_themselves_cannot_say_that_anybody_may_write_them() {
    let project = guarded();
    run(&project, Some("off"));
    mode(&project.path().join(".claude/hook-manager.toml"), 0o666);
    let at = project.path().to_str().unwrap();
    let ran = project.run("PreToolUse", "{}", &["--output", "host"]);
    refused(&ran, "hook-manager.toml: everybody may change it");
    let mut command = Command::new(BINARY);
    command
        .args(["list", "--project", at])
        .env("HOOK_MANAGER_FILE_CHECK", "off");
    assert!(project.at_home(&mut command).output().unwrap().status.success());
}

#[test]
fn groups_and_every_folder_above_count_where_it_is_strict() {
    let project = guarded();
    assert_eq!(run(&project, Some("strict")).code, 2);
    for (file, mode_, why) in [
        ("guards/guard.sh", 0o775, "its group may change it"),
        ("guards/guard.sh", 0o4755, "it runs under another name"),
        ("guards", 0o775, "its group may put another one into its folder"),
        ("", 0o770, "its group may put another one into its folder"),
    ] {
        let path = project.path().join(file);
        let before = fs::metadata(&path).unwrap().permissions();
        mode(&path, mode_);
        assert_eq!(run(&project, None).code, 2, "{file} {mode_:o}");
        refused(&run(&project, Some("strict")), why);
        fs::set_permissions(&path, before).unwrap();
    }
}

#[test]
fn what_others_cannot_reach_they_cannot_change() {
    let project = guarded();
    for file in ["guards/guard.sh", "guards", ".claude/settings.json", ".claude"] {
        mode(&project.path().join(file), 0o777);
    }
    run(&project, Some("others"));
    refused(&run(&project, None), "everybody may");
    mode(project.path(), 0o700);
    assert_eq!(run(&project, None).code, 2);
    refused(&run(&project, Some("strict")), "everybody may");
}

#[test]
fn a_link_is_as_good_as_where_it_leads() {
    let project = guarded();
    let script = project.path().join("guards/guard.sh");
    let open = project.path().join("open");
    fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    fs::rename(&script, open.join("guard.sh")).unwrap();
    symlink("../open/guard.sh", &script).unwrap();
    refused(
        &run(&project, None),
        "everybody may put another one into its folder",
    );
    // With the sticky bit, nobody takes another's file away.
    mode(&open, 0o1777);
    assert_eq!(run(&project, None).code, 2);
}

#[test]
fn whoever_can_replace_any_of_several_links_leads_elsewhere() {
    let project = guarded();
    let at = |name: &str| project.path().join(name);
    for folder in ["open", "safe"] {
        fs::create_dir(at(folder)).unwrap();
    }
    mode(&at("safe"), 0o755);
    mode(&at("open"), 0o777);
    fs::rename(at("guards/guard.sh"), at("safe/guard.sh")).unwrap();
    symlink("../open/link", at("guards/guard.sh")).unwrap();
    symlink("../safe/guard.sh", at("open/link")).unwrap();
    refused(
        &run(&project, None),
        "everybody may put another one into its folder",
    );
    mode(&at("open"), 0o1777);
    assert_eq!(run(&project, None).code, 2, "nobody takes ours away");
    if lchown(at("open/link"), Some(STRANGER), None).is_ok() {
        // Some systems do not follow such a link at all.
        let why = match fs::metadata(at("open/link")) {
            Ok(_) => "the link to it belongs to user 12345",
            Err(_) => "could not start",
        };
        refused(&run(&project, None), why);
    }
    // A folder's link counts where folders above do.
    fs::remove_file(at("guards/guard.sh")).unwrap();
    fs::remove_file(at("open/link")).unwrap();
    fs::remove_dir(at("guards")).unwrap();
    symlink("open/link", at("guards")).unwrap();
    symlink("../safe", at("open/link")).unwrap();
    assert_eq!(run(&project, Some("strict")).code, 2);
    mode(&at("open"), 0o777);
    refused(
        &run(&project, Some("strict")),
        "everybody may put another one into its folder",
    );
    assert_eq!(run(&project, Some("others")).code, 2);
}

#[test]
fn files_of_strangers_are_not_run_but_those_of_the_projects_owner_are() {
    let project = guarded();
    let give = |file: &str, uid: u32| chown(project.path().join(file), Some(uid), None);
    if give("guards/guard.sh", STRANGER).is_err() {
        // Only root gives files away; the others have no such files.
        return;
    }
    refused(&run(&project, None), "it belongs to user 12345");
    // Somebody has installed it for everybody.
    let installed = tempfile::tempdir().unwrap();
    let program = installed.path().join("guard.sh");
    fs::copy(project.path().join("guards/guard.sh"), &program).unwrap();
    chown(&program, Some(STRANGER), None).unwrap();
    let hook = json!({ "type": "command", "command": program, "hookManager": { "name": "guard" } });
    mode(&program, 0o755);
    mode(installed.path(), 0o755);
    let other = closed(Project::with_hook("PreToolUse", hook));
    assert_eq!(run(&other, None).code, 2);
    refused(&run(&other, Some("strict")), "it belongs to user 12345");
    // The same project by another name.
    let named = tempfile::tempdir().unwrap();
    let link = named.path().join("link");
    symlink(project.path(), &link).unwrap();
    let input = json!({ "cwd": project.path().canonicalize().unwrap() }).to_string();
    let args = [
        "run",
        "PreToolUse",
        "--output",
        "host",
        "--project",
        link.to_str().unwrap(),
    ];
    refused(&project.command(&args, &input), "it belongs to user 12345");
    give("guards", STRANGER).unwrap();
    give("", STRANGER).unwrap();
    assert_eq!(run(&project, None).code, 2, "whoever has checked it out");
    refused(&run(&project, Some("strict")), "belongs to user 12345");
}

#[test]
fn a_hook_sees_of_the_environment_what_it_is_allowed_and_what_it_needs() {
    let seen = "env > \"$CLAUDE_PROJECT_DIR/seen-$NAME\"";
    let hook = |name: &str, more: Value| {
        let mut ours = json!({ "name": name });
        ours.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "type": "command", "command": seen.replace("$NAME", name), "hookManager": ours })
    };
    let settings = json!({ "hooks": { "Stop": [{ "hooks": [
        hook("all", json!({})),
        hook("inherits", json!({ "env": "inherit" })),
        hook("few", json!({ "env": { "allow": ["SOME_*", "HOME"] } })),
        hook("none", json!({ "env": { "allow": [] } })),
        { "type": "command", "command": format!("{}; while read -r x; do echo '{{}}'; done", seen.replace("$NAME", "stays")),
          "hookManager": { "name": "stays", "worker": true, "env": { "allow": ["SOME_TOKEN"] } } },
    ] }] } });
    let project = Project::with_settings(&settings);
    let at = project.path().to_str().unwrap();
    for way in ["never", "always"] {
        let mut command = Command::new(BINARY);
        let event = project.file("event.json", "{\"session_id\": \"s1\"}");
        command.args([
            "run",
            "Stop",
            "--output",
            "host",
            "--daemon",
            way,
            "--project",
            at,
            "--event",
        ]);
        command.arg(event);
        command.envs([
            ("SOME_TOKEN", "some"),
            ("OTHER_TOKEN", "other"),
            ("HOME", "/home/me"),
        ]);
        let output = project.at_home(&mut command).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let seen = |name: &str| {
            let text = fs::read_to_string(project.path().join(format!("seen-{name}"))).unwrap();
            let vars = [
                "SOME_TOKEN=some",
                "OTHER_TOKEN=other",
                "HOME=/home/me",
                "PATH=",
                "CLAUDE_PROJECT_DIR=",
            ];
            let has = vars.map(|var| text.lines().any(|line| line.starts_with(var)));
            let project = text
                .lines()
                .any(|line| line == format!("CLAUDE_PROJECT_DIR={at}"));
            (has, project)
        };
        assert_eq!(seen("all"), ([true; 5], true), "{way}");
        assert_eq!(seen("inherits"), ([true; 5], true), "{way}");
        assert_eq!(seen("few"), ([true, false, true, true, true], true), "{way}");
        assert_eq!(seen("none"), ([false, false, false, true, true], true), "{way}");
        assert_eq!(seen("stays"), ([true, false, false, true, true], true), "{way}");
        for name in ["all", "few", "none", "stays", "inherits"] {
            fs::remove_file(project.path().join(format!("seen-{name}"))).unwrap();
        }
    }
    end_daemon(&project);
}

/// The one that was started on demand.
fn end_daemon(project: &Project) {
    let at = project.path().to_str().unwrap();
    let ran = project.command(&["stats", "--output", "json", "--project", at], "");
    let seen: Value = serde_json::from_str(&ran.stdout).unwrap();
    let pid = seen["daemon"]["process"].as_u64().expect("one that was started");
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn an_allow_list_that_cannot_be_read_allows_nothing_and_the_hook_is_not_run() {
    for (wrong, expected) in [
        (json!("all"), "expected \"inherit\", or an object with `allow`"),
        (
            json!({ "deny": ["A"] }),
            "expected \"inherit\", or an object with `allow`",
        ),
        (
            json!({ "allow": "HOME" }),
            "expected a list, each of it a variable's name",
        ),
        (
            json!({ "allow": ["A B"] }),
            "expected a variable's name, such as HOME or AWS_*",
        ),
        (
            json!({ "allow": ["*"] }),
            "expected a variable's name, such as HOME or AWS_*",
        ),
    ] {
        let hook = json!({ "type": "command", "command": "touch ran", "hookManager": { "env": wrong } });
        let project = Project::with_hook("Stop", hook);
        let ran = project.run("Stop", "{}", &["--output", "host"]);
        assert!(ran.stderr.contains(expected), "{wrong}: {ran:?}");
        assert!(!project.path().join("ran").exists(), "{wrong}");
    }
}
