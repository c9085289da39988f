use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::{
    daemon_support::{Daemon, client, wait_for, wait_until},
    support::Project,
};

fn project() -> Project {
    Project::with_settings(&json!({ "hooks": { "Stop": [{ "hooks": [
        { "type": "command", "async": true, "hookManager": { "name": "later" },
          "command": "touch started; while [ ! -e go ]; do sleep 0.02; done; echo \"$MARK\" > done" },
        { "type": "command", "command": "echo '{\"systemMessage\": \"now\"}'", "hookManager": { "name": "at_once" } },
    ] }] } }))
}

#[test]
fn async_hooks_are_not_waited_for_and_end_after_the_session() {
    let project = project();
    let _daemon = Daemon::start(&project, &[]);
    let output = client(&project, "Stop", "{}", &["--daemon", "always"])
        .wait_with_output()
        .unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("now"));
    assert_eq!(output.status.code(), Some(0));
    wait_for(&project.path().join("started"));
    assert!(!project.path().join("done").exists());
    project.file("go", "");
    wait_for(&project.path().join("done"));
    let at = project.path().to_str().unwrap();
    wait_until("it is in the trace", || {
        let ran = project.command(&["trace", "--project", at, "--output", "json"], "");
        ran.stdout.contains("\"part\": \"async\"")
    });
}

#[test]
fn ended_with_the_daemon_they_have_until_its_drain_is_over() {
    let project = project();
    let daemon = Daemon::start(&project, &["--drain", "30"]);
    let socket = daemon.socket();
    client(&project, "Stop", "{}", &["--daemon", "always"])
        .wait_with_output()
        .unwrap();
    wait_for(&project.path().join("started"));
    daemon.signal(Signal::TERM);
    wait_until("nothing more is taken in", || !socket.exists());
    project.file("go", "");
    assert_eq!(daemon.end().0, Some(0));
    assert!(fs::exists(project.path().join("done")).unwrap());
}
