use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;

use crate::{
    daemon_support::{Daemon, client, lines},
    support::{BINARY, Project, event},
};

#[test]
fn the_daemon_answers_what_the_command_alone_answers() {
    let project = Project::example();
    let samples = [
        ("PreToolUse", "pre_tool_use_bash_force_push"),
        ("PreToolUse", "pre_tool_use_bash_harmless"),
        ("PreToolUse", "pre_tool_use_read_env"),
        ("UserPromptSubmit", "user_prompt_submit"),
        ("SessionStart", "session_start"),
        ("Stop", "stop"),
    ];
    let alone = samples
        .map(|(name, sample)| project.run(name, &event(sample), &["--daemon", "never", "--output", "host"]));
    let _daemon = Daemon::start(&project, &[]);
    for ((name, sample), alone) in samples.iter().zip(alone) {
        let ran = project.run(name, &event(sample), &["--daemon", "always", "--output", "host"]);
        assert_eq!(
            (ran.code, &ran.stdout, &ran.stderr),
            (alone.code, &alone.stdout, &alone.stderr),
            "{sample}"
        );
    }
}

#[test]
fn hooks_see_the_environment_and_the_directory_of_whoever_asks() {
    let hook = json!({ "type": "command",
        "command": "echo \"$MARK/$ONLY_THE_DAEMON/$CLAUDE_PROJECT_DIR/$PWD/$HOOK_MANAGER_DEPTH\"" });
    let project = Project::with_hook("SessionStart", hook);
    fs::create_dir(project.path().join("sub")).unwrap();
    let mut serve = Command::new("env");
    serve.args(["ONLY_THE_DAEMON=seen"]);
    let daemon = Daemon::start(&project, &[]);
    let input = json!({ "cwd": project.path().join("sub") }).to_string();
    let mut command = Command::new(BINARY);
    command
        .args([
            "run",
            "SessionStart",
            "--daemon",
            "always",
            "--output",
            "host",
            "--project",
        ])
        .arg(project.path())
        .arg("--event")
        .arg(project.file("event.json", &input))
        .env("MARK", "caller\u{e9}");
    let output = project.at_home(&mut command).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let at = project.path().display();
    assert!(
        told.contains(&format!("caller\u{e9}//{at}/{at}/sub/1")),
        "{told} {:?}",
        output.stderr
    );
    drop(daemon);
}

#[test]
fn answers_and_circuits_live_from_one_call_to_the_next() {
    let count = "echo run >> runs; echo '{\"systemMessage\": \"checked\"}'";
    let settings = json!({ "hooks": { "PreToolUse": [{ "hooks": [
        { "type": "command", "command": count, "hookManager": { "name": "cached", "cache": { "ttl": 60 } } },
        { "type": "command", "command": "echo fail >> fails; exit 7", "hookManager": { "name": "fails", "guard": false } },
    ] }] } });
    let project = Project::with_settings(&settings);
    let _daemon = Daemon::start(&project, &[]);
    for _ in 0..6 {
        let ran = project.run("PreToolUse", "{}", &["--daemon", "always", "--output", "host"]);
        assert!(ran.stdout.contains("checked"), "{ran:?}");
    }
    assert_eq!(lines(&project.path().join("runs")), 1);
    assert_eq!(lines(&project.path().join("fails")), 3);
}

#[test]
fn sessions_at_once_each_get_their_own_answer() {
    let hook = json!({ "type": "command", "command": "cat" });
    let project = Project::with_hook("SessionStart", hook);
    let daemon = Daemon::start(&project, &[]);
    let clients: Vec<_> = (0..24)
        .map(|n| {
            let input = json!({ "hookSpecificOutput": { "additionalContext": format!("mark-{n}-") } });
            let file = project.file(&format!("{n}.json"), &input.to_string());
            let mut command = Command::new(BINARY);
            command
                .args([
                    "run",
                    "SessionStart",
                    "--daemon",
                    "always",
                    "--output",
                    "host",
                    "--project",
                ])
                .arg(project.path())
                .arg("--event")
                .arg(file)
                .stdout(std::process::Stdio::piped());
            project.at_home(&mut command).spawn().unwrap()
        })
        .collect();
    for (n, client) in clients.into_iter().enumerate() {
        let output = client.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains(&format!("mark-{n}-")), "{n}: {told}");
    }
    drop(daemon);
}

#[test]
fn nobody_else_can_reach_the_socket() {
    let project = Project::example();
    let daemon = Daemon::start(&project, &[]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = daemon.socket();
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    assert!(socket.as_os_str().len() <= 107);
}

#[test]
fn a_folder_that_others_can_enter_is_not_used() {
    let project = Project::example();
    let folder = project.path().join(".runtime/hook-manager");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let at = project.path().to_str().unwrap();
    let ran = project.command(&["serve", "--project", at], "");
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("its mode is 755; expected a folder"),
        "{ran:?}"
    );
}

#[test]
fn a_second_daemon_says_who_serves_already() {
    let project = Project::example();
    let daemon = Daemon::start(&project, &[]);
    let at = project.path().to_str().unwrap();
    let ran = project.command(&["serve", "--project", at], "");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("serves this project already, on "), "{ran:?}");
    assert!(ran.stderr.contains(daemon.socket().to_str().unwrap()), "{ran:?}");
    // And the first one is none the worse for it.
    let ran = project.run("Stop", &event("stop"), &["--daemon", "always"]);
    assert_ne!(ran.code, 64, "{ran:?}");
}

#[test]
fn figures_that_the_daemon_has_not_are_run_without_it() {
    let hook = json!({ "type": "command", "command": "echo $PPID >> parents" });
    let project = Project::with_hook("Stop", hook);
    let _daemon = Daemon::start(&project, &[]);
    for args in [
        &["--deadline", "60"][..],
        &["--max-concurrent-hooks", "2"],
        &["--deadline", "5"],
        &[],
    ] {
        assert_eq!(project.run("Stop", "{}", args).code, 0);
    }
    let parents = fs::read_to_string(project.path().join("parents")).unwrap();
    let parents: Vec<&str> = parents.lines().collect();
    assert_ne!(parents[0], parents[1]);
    assert_ne!(parents[1], parents[2]);
    assert_eq!(parents[2], parents[3], "the daemon's");
}

#[test]
fn a_daemon_is_started_on_demand_and_answers_the_events_to_come() {
    let hook = json!({ "type": "command", "command": "echo $PPID >> parents" });
    let project = Project::with_hook("Stop", hook);
    let at = project.path().to_str().unwrap();
    assert_eq!(project.run("Stop", "{}", &["--daemon", "always"]).code, 0);
    assert_eq!(project.run("Stop", "{}", &["--daemon", "auto"]).code, 0);
    let parents = fs::read_to_string(project.path().join("parents")).unwrap();
    let parents: Vec<&str> = parents.lines().collect();
    assert_eq!(parents[0], parents[1]);
    let ran = project.command(&["stats", "--project", at, "--output", "json"], "");
    let stats: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let pid = stats["daemon"]["process"].as_u64().unwrap();
    assert_eq!(pid.to_string(), parents[0]);
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let socket = project.path().join(".runtime/hook-manager");
    crate::daemon_support::wait_until("it takes its socket with it", || {
        fs::read_dir(&socket)
            .unwrap()
            .flatten()
            .all(|entry| entry.path().extension().is_none_or(|kind| kind != "sock"))
    });
}

#[test]
fn five_megabytes_go_through_and_come_back() {
    let hook = json!({ "type": "command", "command": "wc -c" });
    let project = Project::with_hook("SessionStart", hook);
    let _daemon = Daemon::start(&project, &[]);
    let input = json!({ "text": "x".repeat(5 << 20) }).to_string();
    let client = client(&project, "SessionStart", &input, &["--daemon", "always"]);
    let output = client.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(&input.len().to_string()), "{told}");
}
