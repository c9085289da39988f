use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    daemon_support::{Daemon, client, no_process_is_left, wait_for, wait_until},
    support::Project,
};

#[test]
fn told_to_end_it_lets_events_under_way_end_and_their_clients_are_answered() {
    let hook = json!({ "type": "command",
        "command": "touch started; while [ ! -e go ]; do sleep 0.02; done; echo '{\"systemMessage\": \"made it\"}'" });
    let project = Project::with_hook("Stop", hook);
    let daemon = Daemon::start(&project, &["--drain", "30"]);
    let socket = daemon.socket();
    let client = client(&project, "Stop", "{}", &[]);
    wait_for(&project.path().join("started"));
    daemon.signal(Signal::TERM);
    wait_until("nothing more is taken in", || !socket.exists());
    project.file("go", "");
    let told = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.contains("made it"), "{told}");
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("1 events ended by themselves, 0 were called off"),
        "{said}"
    );
}

#[test]
fn what_does_not_end_in_time_is_called_off_with_all_its_processes() {
    let hook = json!({ "type": "command", "command": "trap '' TERM; touch started; sleep 300 & sleep 300",
        "hookManager": { "name": "deaf", "onFailure": "block" } });
    let project = Project::with_hook("PreToolUse", hook);
    let daemon = Daemon::start(&project, &["--drain", "0.1"]);
    let client = client(&project, "PreToolUse", "{}", &[]);
    wait_for(&project.path().join("started"));
    daemon.signal(Signal::TERM);
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "it was not allowed: {output:?}");
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("1 were called off, 0 process groups are left"),
        "{said}"
    );
    no_process_is_left(&project);
}

#[test]
fn told_twice_it_waits_no_longer() {
    let hook = json!({ "type": "command", "command": "trap '' TERM; touch started; sleep 300 & sleep 300" });
    let project = Project::with_hook("Stop", hook);
    let daemon = Daemon::start(&project, &["--drain", "300"]);
    let socket = daemon.socket();
    let client = client(&project, "Stop", "{}", &["--deadline", "300"]);
    wait_for(&project.path().join("started"));
    daemon.signal(Signal::TERM);
    wait_until("nothing more is taken in", || !socket.exists());
    daemon.signal(Signal::TERM);
    assert_eq!(client.wait_with_output().unwrap().status.code(), Some(1));
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("again: events under way are called off"), "{said}");
    assert!(said.contains("0 process groups are left"), "{said}");
    no_process_is_left(&project);
}

#[test]
fn a_client_that_goes_away_takes_its_hooks_with_it() {
    let hook = json!({ "type": "command", "command": "touch started; sleep 300 & sleep 300" });
    let project = Project::with_hook("Stop", hook);
    let _daemon = Daemon::start(&project, &[]);
    // Time for the event is not what ends them.
    let mut client = client(&project, "Stop", "{}", &["--deadline", "300"]);
    wait_for(&project.path().join("started"));
    assert!(!project.processes().is_empty());
    client.kill().unwrap();
    client.wait().unwrap();
    no_process_is_left(&project);
}

#[test]
fn nobody_comes_for_long_enough_and_it_ends() {
    let project = Project::example();
    let daemon = Daemon::start(&project, &["--idle-exit", "0.2"]);
    let socket = daemon.socket();
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("nobody has come"), "{said}");
    assert!(!socket.exists());
}

#[test]
fn an_event_under_way_is_not_idleness() {
    let hook = json!({ "type": "command", "command": "sleep 1; echo done > done" });
    let project = Project::with_hook("Stop", hook);
    let daemon = Daemon::start(&project, &["--idle-exit", "0.2"]);
    let output = client(&project, "Stop", "{}", &["--daemon", "always"])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::exists(project.path().join("done")).unwrap());
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn hostile_hooks_are_out_of_the_way_in_time() {
    let hooks = [
        ("deaf", "trap '' TERM; sleep 300"),
        ("grandchild", "sleep 300 & exit 0"),
        ("never_reads", "sleep 300 < /dev/null"),
        ("closes", "exec <&-; echo fine"),
        ("writes", "head -c 50000000 /dev/zero"),
        ("banner", "echo welcome; echo '{\"decision\":\"block\"}'"),
        ("bytes", "printf '\\377\\376'"),
        ("leaves", "setsid sleep 300 & exit 0"),
    ];
    for (name, command) in hooks {
        let hook =
            json!({ "type": "command", "command": command, "timeout": 1, "hookManager": { "name": name } });
        let project = Project::with_hook("PostToolUse", hook);
        let daemon = Daemon::start(&project, &[]);
        let input = json!({ "tool_name": "Write", "tool_response": "x".repeat(5 << 20) }).to_string();
        let began = std::time::Instant::now();
        let output = client(&project, "PostToolUse", &input, &["--daemon", "always"])
            .wait_with_output()
            .unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(12),
            "{name}: {:?}",
            began.elapsed()
        );
        assert!(
            output.status.code().is_some_and(|code| code <= 1),
            "{name}: {output:?}"
        );
        no_process_is_left(&project);
        drop(daemon);
    }
}
