use serde_json::json;

use crate::{daemon_support::Daemon, support::Project};

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
