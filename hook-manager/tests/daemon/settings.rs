use serde_json::{Value, json};

use crate::{
    daemon_support::{Daemon, lines},
    support::Project,
};

fn says(text: &str) -> String {
    let hook = json!({ "type": "command", "command": format!("echo '{{\"systemMessage\": \"{text}\"}}'") });
    json!({ "hooks": { "Stop": [{ "hooks": [hook] }] } }).to_string()
}

#[test]
fn settings_that_change_are_read_again() {
    let project = Project::empty();
    let _daemon = Daemon::start(&project, &[]);
    let run = || project.run("Stop", "{}", &["--daemon", "always", "--output", "host"]);
    assert_eq!((run().code, run().stdout), (0, String::new()));
    project.file(".claude/settings.json", &says("one"));
    assert!(run().stdout.contains("one"));
    project.file(".claude/settings.local.json", &says("two"));
    let told = run().stdout;
    assert!(told.contains("one") && told.contains("two"), "{told}");
    std::fs::remove_file(project.path().join(".claude/settings.json")).unwrap();
    let told = run().stdout;
    assert!(!told.contains("one") && told.contains("two"), "{told}");
}

#[test]
fn broken_settings_leave_the_hooks_of_before_and_are_told_loudly() {
    let project = Project::empty();
    project.file(".claude/settings.json", &says("guarded"));
    let _daemon = Daemon::start(&project, &[]);
    let run = || project.run("Stop", "{}", &["--daemon", "always", "--output", "host"]);
    project.file(".claude/settings.json", "{ \"hooks\": { \"Stop\": [");
    let first = run();
    assert!(first.stdout.contains("guarded"), "{first:?}");
    assert!(
        first.stdout.contains("the hooks of before stay"),
        "the user is told: {first:?}"
    );
    assert!(first.stderr.contains("settings.json:1:"), "{first:?}");
    let second = run();
    assert!(second.stdout.contains("guarded"), "{second:?}");
    assert!(
        !second.stdout.contains("the hooks of before stay"),
        "once: {second:?}"
    );
    assert!(second.stderr.contains("the hooks of before stay"), "{second:?}");
    project.file(".claude/settings.json", &says("mended"));
    let third = run();
    assert!(
        third.stdout.contains("mended") && third.stderr.is_empty(),
        "{third:?}"
    );
}

#[test]
fn figures_that_make_no_sense_leave_the_ones_of_before() {
    let project = Project::empty();
    project.file(".claude/settings.json", &says("guarded"));
    project.file(".claude/hook-manager.toml", "deadline = 5\n");
    let _daemon = Daemon::start(&project, &[]);
    let run = || project.run("Stop", "{}", &["--daemon", "always", "--output", "host"]);
    assert!(run().stdout.contains("guarded"));
    project.file(".claude/hook-manager.toml", "dedline = 5\n");
    let told = run();
    assert!(told.stdout.contains("guarded"), "{told:?}");
    assert!(told.stderr.contains("`deadline`?"), "{told:?}");
}

#[test]
fn hooks_that_have_not_changed_keep_their_cached_answers_when_others_have() {
    let counts = |name: &str, says: &str| {
        // What it writes must not stand in its line, for a file that does is a part of the hook.
        let command = format!("sh count.sh {name} {says}");
        json!({ "type": "command", "command": command, "hookManager": { "name": name, "cache": { "ttl": 600 } } })
    };
    let settings = |hooks: &[Value]| json!({ "hooks": { "Stop": [{ "hooks": hooks }] } }).to_string();
    let project = Project::empty();
    project.file(
        "count.sh",
        "echo run >> $1.runs; echo \"{\\\"systemMessage\\\": \\\"$2\\\"}\"",
    );
    let file = |hooks: &[Value]| project.file(".claude/settings.json", &settings(hooks));
    file(&[counts("stays", "one"), counts("changes", "two")]);
    let _daemon = Daemon::start(&project, &[]);
    let run = || {
        project
            .run("Stop", "{}", &["--daemon", "always", "--output", "host"])
            .stdout
    };
    let runs = |name: &str| lines(&project.path().join(format!("{name}.runs")));
    run();
    assert_eq!((runs("stays"), runs("changes")), (1, 1));
    file(&[
        counts("changes", "three"),
        counts("stays", "one"),
        counts("new", "four"),
    ]);
    let told = run();
    assert!(
        told.contains("one") && told.contains("three") && told.contains("four"),
        "{told}"
    );
    assert_eq!((runs("stays"), runs("changes"), runs("new")), (1, 2, 1));
    // Over a file that cannot be read, too.
    project.file(".claude/settings.json", "{ \"hooks\": [");
    run();
    file(&[counts("stays", "one")]);
    run();
    assert_eq!((runs("stays"), runs("changes"), runs("new")), (1, 2, 1));
}

#[test]
fn a_circuit_stays_open_over_new_settings_although_no_state_can_be_kept() {
    for can_be_kept in [true, false] {
        let settings = |timeout: u32| {
            let fails = json!({ "type": "command", "command": "echo run >> runs; exit 1" });
            let other = json!({ "type": "command", "command": "true", "timeout": timeout });
            json!({ "hooks": { "Stop": [{ "hooks": [fails, other] }] } }).to_string()
        };
        let project = Project::empty();
        if !can_be_kept {
            project.file(".state", "no folder\n");
        }
        project.file(".claude/settings.json", &settings(5));
        let _daemon = Daemon::start(&project, &[]);
        let run = || project.run("Stop", "{}", &["--daemon", "always", "--output", "host"]);
        let runs = || lines(&project.path().join("runs"));
        for _ in 0..3 {
            run();
        }
        let told = run();
        assert!(
            runs() == 3 && told.stdout.contains("systemMessage"),
            "it is left alone: {told:?}"
        );
        for timeout in [6, 7] {
            project.file(".claude/settings.json", &settings(timeout));
            let told = run();
            assert!(!told.stdout.contains("systemMessage"), "once is enough: {told:?}");
            assert_eq!(runs(), 3, "{can_be_kept}");
        }
    }
}

#[test]
fn settings_that_everybody_may_change_leave_the_hooks_of_before() {
    use std::os::unix::fs::PermissionsExt;

    let project = Project::empty();
    let path = project.file(".claude/settings.json", &says("guarded"));
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let mode = |mode| set(&path, mode);
    set(project.path(), 0o755);
    set(&project.path().join(".claude"), 0o755);
    mode(0o644);
    let _daemon = Daemon::start(&project, &[]);
    let run = || project.run("Stop", "{}", &["--daemon", "always", "--output", "host"]);
    assert!(run().stdout.contains("guarded"));
    std::fs::write(&path, says("foreign")).unwrap();
    mode(0o666);
    let told = run();
    assert!(
        told.stdout.contains("guarded") && !told.stdout.contains("\"foreign"),
        "{told:?}"
    );
    assert!(told.stdout.contains("everybody may change it"), "{told:?}");
    mode(0o644);
    assert!(run().stdout.contains("foreign"));
}
