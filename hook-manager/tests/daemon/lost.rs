//! The daemon is no single point of failure.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    daemon_support::{
        Daemon, client, daemons_of, end_daemons_of, lines, no_process_is_left, wait_for, wait_until,
    },
    support::{BINARY, Project},
};

fn counting(policy: &str) -> Project {
    Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "echo run >> runs; touch started; sleep 60",
            "hookManager": { "name": "slow", "onFailure": policy } }),
    )
}

#[test]
fn killed_in_mid_event_the_client_answers_by_policy_and_runs_nothing_twice() {
    for (policy, code, says) in [("block", 2, "\"deny\""), ("ask", 0, "\"ask\""), ("allow", 1, "")] {
        let project = counting(policy);
        let daemon = Daemon::start(&project, &[]);
        let client = client(&project, "PreToolUse", "{}", &[]);
        wait_for(&project.path().join("started"));
        daemon.signal(Signal::KILL);
        let killed = Instant::now();
        let output = client.wait_with_output().unwrap();
        assert!(killed.elapsed() < Duration::from_secs(10));
        let (told, noted) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert_eq!(output.status.code(), Some(code), "{policy}: {told} {noted}");
        assert!(told.contains(says), "{policy}: {told}");
        assert!(noted.contains("the daemon was lost in mid-event"), "{noted}");
        assert_eq!(lines(&project.path().join("runs")), 1);
        // What the killed daemon had started was nobody's any more, and the client has ended it.
        assert_eq!(project.processes(), [""; 0]);
    }
}

#[test]
fn the_hooks_of_a_killed_daemon_are_ended_by_the_next_one() {
    let project = Project::with_hook(
        "Stop",
        // Deaf, of another session, and a worker's like.
        json!({ "type": "command", "async": true,
            "command": "trap '' TERM; setsid sleep 301 & sleep 302 & touch started; wait; sleep 303" }),
    );
    let daemon = Daemon::start(&project, &[]);
    let asked = project.run("Stop", "{}", &["--daemon", "always"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    wait_for(&project.path().join("started"));
    daemon.signal(Signal::KILL);
    daemon.end();
    assert!(project.processes().len() >= 3, "that is the limit of SIGKILL");
    let other = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    drop(Daemon::start(&other, &[]));
    assert!(project.processes().len() >= 3, "another project's are its own");
    let next = Daemon::start(&project, &[]);
    no_process_is_left(&project);
    next.signal(Signal::TERM);
    let (code, said) = next.end();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("processes of a daemon that was killed are ended"),
        "{said}"
    );
}

#[test]
fn a_daemon_that_has_been_stopped_is_not_waited_for() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "echo run >> runs" }),
    );
    let daemon = Daemon::start(&project, &[]);
    daemon.signal(Signal::STOP);
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(project.run("Stop", "{}", &["--daemon", "auto"]).code, 0);
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(lines(&project.path().join("runs")), 3);
    daemon.signal(Signal::CONT);
    assert_eq!(project.run("Stop", "{}", &["--daemon", "always"]).code, 0);
    assert_eq!(
        lines(&project.path().join("runs")),
        4,
        "what it was asked meanwhile it does not run after the fact"
    );
}

#[test]
fn the_socket_of_a_dead_daemon_is_in_nobodys_way() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "echo run >> runs" }),
    );
    let daemon = Daemon::start(&project, &[]);
    let socket = daemon.socket();
    daemon.signal(Signal::KILL);
    daemon.end();
    assert!(socket.exists());
    assert_eq!(project.run("Stop", "{}", &[]).code, 0);
    let _next = Daemon::start(&project, &[]);
    assert_eq!(project.run("Stop", "{}", &["--daemon", "always"]).code, 0);
    assert_eq!(lines(&project.path().join("runs")), 2);
}

#[test]
fn what_is_no_socket_of_ours_is_left_alone() {
    let project = Project::example();
    let socket = place(&project);
    fs::write(&socket, "precious").unwrap();
    let ran = project.command(&["serve", "--project", project.path().to_str().unwrap()], "");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is left alone"), "{ran:?}");
    assert_eq!(fs::read_to_string(socket).unwrap(), "precious");
}

/// Where a daemon of this project would be.
fn place(project: &Project) -> PathBuf {
    let daemon = Daemon::start(project, &[]);
    let socket = daemon.socket();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
    socket
}

/// Instead of saying it.
const HANG_UP: &str = "hang up";

/// Somebody else at the daemon's place, who says these things, one after each line he hears.
fn impostor(socket: &PathBuf, says: &'static [&'static str]) -> thread::JoinHandle<String> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut heard = BufReader::new(stream.try_clone().unwrap());
        let mut all = String::new();
        for (at, say) in says.iter().enumerate() {
            if *say == HANG_UP {
                return all;
            }
            if at > 0 && heard.read_line(&mut all).unwrap_or(0) == 0 {
                break;
            }
            if at > 0 && all.contains("\"Run\"") && all.lines().count() == 1 {
                skip_payload(&mut heard, &all);
            }
            let _ = (&stream as &UnixStream).write_all(say.as_bytes());
        }
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = heard.read_line(&mut all);
        all
    })
}

fn skip_payload(heard: &mut impl Read, order: &str) {
    let order: serde_json::Value = serde_json::from_str(order).unwrap();
    let size = |what: &str| order["Run"][what].as_u64().unwrap();
    let mut rest = vec![0; usize::try_from(size("input") + size("environment")).unwrap()];
    heard.read_exact(&mut rest).unwrap();
}

const GREETING: &str = concat!(
    "{\"hook_manager\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"protocol\":1,\"pid\":1}\n"
);

#[test]
fn nonsense_before_the_hooks_have_begun_is_passed_over() {
    for says in [
        &["garbage\n"][..],
        &["\u{0}\u{1}\u{2}"],
        &["{}\n"],
        &[""],
        &[GREETING, "nonsense\n"],
        &[GREETING, "{\"Refused\":\"not today\"}\n"],
    ] {
        let project = Project::with_hook(
            "Stop",
            json!({ "type": "command", "command": "echo run >> runs" }),
        );
        let other = impostor(&place(&project), says);
        assert_eq!(project.run("Stop", "{}", &[]).code, 0, "{says:?}");
        assert_eq!(lines(&project.path().join("runs")), 1, "{says:?}");
        other.join().unwrap();
    }
}

#[test]
fn nonsense_after_they_may_have_begun_is_a_failure_of_each_hook() {
    let project = counting("block");
    let other = impostor(
        &place(&project),
        &[GREETING, "{\"Accepted\":1000}\n", "nonsense\n"],
    );
    let output = client(&project, "PreToolUse", "{}", &[])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(lines(&project.path().join("runs")), 0);
    assert!(other.join().unwrap().contains("go"));
}

#[test]
fn silence_after_they_may_have_begun_ends_with_the_events_time() {
    let project = counting("block");
    let other = impostor(&place(&project), &[GREETING, "{\"Accepted\":100}\n", ""]);
    let began = Instant::now();
    let output = client(&project, "PreToolUse", "{}", &[])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(began.elapsed() < Duration::from_secs(10));
    other.join().unwrap();
}

#[test]
fn a_daemon_of_another_version_is_asked_to_go_and_not_used() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "echo run >> runs" }),
    );
    let greeting = "{\"hook_manager\":\"0.0.1\",\"protocol\":1,\"pid\":1}\n";
    let other = impostor(&place(&project), Box::leak(Box::new([greeting])));
    assert_eq!(project.run("Stop", "{}", &["--daemon", "auto"]).code, 0);
    assert_eq!(lines(&project.path().join("runs")), 1);
    assert_eq!(other.join().unwrap(), "\"Quit\"\n");
}

#[test]
fn who_wants_a_daemon_gets_the_next_one_when_it_comes_at_the_end_of_another() {
    const OTHER: &str = "{\"hook_manager\":\"0.0.1\",\"protocol\":1,\"pid\":1}\n";
    const ENDING: &str = "{\"Refused\":\"the daemon is about to end\"}\n";
    for says in [
        &[HANG_UP][..],
        &[OTHER],
        &[GREETING, ENDING],
        &[GREETING, HANG_UP],
        &[GREETING, "{\"Accepted\":1000}\n", ENDING],
    ] {
        let project = Project::with_hook(
            "Stop",
            json!({ "type": "command", "command": "echo run >> runs" }),
        );
        let other = impostor(&place(&project), says);
        let ran = project.run("Stop", "{}", &["--daemon", "always"]);
        assert_eq!(ran.code, 0, "{says:?}: {ran:?}");
        assert_eq!(lines(&project.path().join("runs")), 1, "{says:?}");
        other.join().unwrap();
        end_daemons_of(&project);
    }
}

#[test]
fn a_refusal_after_go_is_no_loss_for_nothing_has_begun() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "echo run >> runs" }),
    );
    let says = &[GREETING, "{\"Accepted\":1000}\n", "{\"Refused\":\"not now\"}\n"];
    let other = impostor(&place(&project), says);
    assert_eq!(project.run("Stop", "{}", &[]).code, 0);
    assert_eq!(lines(&project.path().join("runs")), 1);
    other.join().unwrap();
}

#[test]
fn whoever_only_looks_sends_no_daemon_away() {
    let project = Project::example();
    let greeting = "{\"hook_manager\":\"0.0.1\",\"protocol\":1,\"pid\":1}\n";
    let other = impostor(&place(&project), Box::leak(Box::new([greeting])));
    let at = project.path().to_str().unwrap();
    let ran = project.command(&["breakers", "reset", "--project", at], "");
    assert_eq!(
        ran.code, 1,
        "it keeps the circuits, and would write over ours: {ran:?}"
    );
    assert!(ran.stderr.contains("version 0.0.1"), "{ran:?}");
    assert_eq!(other.join().unwrap(), "");
}

#[test]
fn twenty_clients_at_once_start_one_daemon_and_each_runs_its_hook_once() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "echo run >> runs" }),
    );
    thread::scope(|scope| {
        let client = || project.run("Stop", "{}", &["--daemon", "auto"]);
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(client)).collect();
        for client in clients {
            let ran = client.join().unwrap();
            assert_eq!(ran.code, 0, "{ran:?}");
        }
    });
    assert_eq!(lines(&project.path().join("runs")), 20);
    // It comes up, and is told from those that gave way by being the one that serves.
    wait_until("one serves", || {
        let at = project.path().to_str().unwrap();
        let ran = project.command(&["stats", "--output", "json", "--project", at], "");
        ran.stdout.contains("\"process\"")
    });
    let folder = project.path().join(".runtime/hook-manager");
    let sockets = fs::read_dir(folder).unwrap().flatten();
    let sockets = sockets.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "sock"));
    assert_eq!(sockets.count(), 1);
    wait_until("those that gave way are gone", || daemons_of(&project).len() == 1);
    end_daemons_of(&project);
}

#[test]
fn a_daemon_that_is_started_on_demand_holds_nothing_of_the_askers_open() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    let event = project.file("event.json", "{}");
    let held = project.path().join("held");
    let mut shell = std::process::Command::new("sh");
    shell
        .args([
            "-c",
            "exec 7>\"$HELD\"; exec \"$@\"",
            "sh",
            BINARY,
            "run",
            "Stop",
            "--daemon",
            "always",
        ])
        .arg("--project")
        .arg(project.path())
        .arg("--event")
        .arg(event)
        .env("HELD", &held);
    assert_eq!(
        project.at_home(&mut shell).output().unwrap().status.code(),
        Some(0)
    );
    let daemons = daemons_of(&project);
    assert_eq!(daemons.len(), 1);
    let open = fs::read_dir(format!("/proc/{}/fd", daemons[0].as_raw_pid())).unwrap();
    let open: Vec<_> = open
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect();
    assert!(!open.is_empty() && !open.contains(&held), "{open:?}");
    end_daemons_of(&project);
}

#[test]
fn a_daemon_that_hangs_or_never_comes_up_takes_no_longer_than_the_deadline() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    let args = ["--daemon", "always", "--deadline", "0.5"];
    let late = |why: &str| {
        let began = Instant::now();
        let ran = project.run("Stop", "{}", &args);
        assert!(ran.stderr.contains("no daemon answers"), "{ran:?}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{why}: {took:?}");
        ran
    };
    let daemon = Daemon::start(&project, &[]);
    daemon.signal(Signal::STOP);
    late("it was stopped");
    drop(daemon);
    project.file(".claude/hook-manager.toml", "deadline = true\n");
    let ran = late("its figures make no sense");
    let log = ran
        .stderr
        .split("its log is ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let log = fs::read_to_string(log.unwrap_or_else(|| panic!("no log: {ran:?}"))).unwrap();
    assert!(log.contains("deadline"), "{log}");
}
