//! The command is told to end while its hooks run, or nobody takes what it prints, or what it reads never ends.

use std::{
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::{fs::symlink, net::UnixStream},
    },
    process::Stdio,
    time::Duration,
};

use serde_json::json;
use tokio::{process::Command, time};

mod support;

use support::Project;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_signal_ends_the_command_and_every_process_of_its_hooks() {
    for (signal, status) in [("TERM", 143), ("INT", 130), ("HUP", 129), ("QUIT", 131)] {
        let hook =
            json!({ "type": "command", "command": "trap '' TERM; echo > started; sleep 300 & sleep 300" });
        let project = Project::with_hook("Stop", hook);
        let mut child = Command::new(env!("CARGO_BIN_EXE_hook-manager"))
            .args(["run", "Stop", "--output", "host", "--project"])
            .arg(project.path())
            .env("XDG_STATE_HOME", project.path().join(".state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the built command");
        tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().expect("a pipe"), b"{}")
            .await
            .expect("it reads");
        let started = async {
            while !project.path().join("started").exists() {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        time::timeout(SOON, started).await.expect("the hook starts");

        let pid = child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .await
                .expect("kill")
                .success()
        );
        let ended = time::timeout(SOON, child.wait())
            .await
            .expect("it ends")
            .expect("its status");
        assert_eq!(ended.code(), Some(status), "{signal}");
        assert_eq!(project.processes(), Vec::<String>::new(), "{signal}");
    }
}

#[tokio::test]
async fn the_ends_of_hooks_are_seen_although_our_parent_had_them_ignored() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "echo no >&2; exit 2" }),
    );
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' CHLD; exec \"$0\" run PreToolUse --output table --project \"$1\" --event \"$2\"",
        ])
        .arg(env!("CARGO_BIN_EXE_hook-manager"))
        .arg(project.path())
        .arg(project.file("event.json", "{}"))
        .env("XDG_STATE_HOME", project.path().join(".state"))
        .output()
        .await
        .expect("a shell");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// `hook-manager ARGS` with its standard output there.
async fn printed_to(project: &Project, args: &str, stdout: OwnedFd) -> (i32, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hook-manager"));
    command.args(args.split(' ')).current_dir(project.path());
    let input = project.file("event.json", "{}");
    project
        .at_home(&mut command)
        .stdin(File::open(input).expect("an event"))
        .stdout(stdout)
        .stderr(Stdio::piped());
    let child = Command::from(command).kill_on_drop(true).spawn();
    let ended = time::timeout(SOON, child.expect("the built command").wait_with_output()).await;
    let ended = ended.expect("it ends").expect("its end");
    (
        ended.status.code().expect("an exit status"),
        String::from_utf8(ended.stderr).expect("text"),
    )
}

#[tokio::test]
async fn who_reads_no_further_has_what_he_wanted() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    for args in [
        "completions bash",
        "list",
        "stats",
        "check",
        "trace --help",
        "breakers",
    ] {
        let (_, nobody) = UnixStream::pair().expect("two ends");
        let (code, said) = printed_to(&project, args, nobody.into()).await;
        assert_eq!((code, said.as_str()), (0, ""), "{args}");
    }
    // A host that does not read the answer has none.
    let (_, nobody) = UnixStream::pair().expect("two ends");
    let (code, said) = printed_to(&project, "run Stop --output json", nobody.into()).await;
    assert!(code == 1 && said.contains("standard output"), "{code}: {said}");
}

#[tokio::test]
async fn what_has_no_room_to_be_printed_is_an_error() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    for args in [
        "completions bash",
        "list",
        "stats",
        "check",
        "breakers",
        "run Stop --output json",
    ] {
        let full = File::create("/dev/full").expect("a Linux machine");
        let (code, said) = printed_to(&project, args, full.into()).await;
        assert!(
            code == 1 && said.contains("standard output: No space left on device"),
            "{args}: {code}: {said}"
        );
    }
}

#[tokio::test]
async fn figures_that_are_no_file_are_told_by_every_command_and_not_waited_for() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    let figures = project.path().join(".claude/hook-manager.toml");
    let told = async |what: &str| {
        for args in ["list", "check", "stats", "trust", "run Stop --output json"] {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hook-manager"));
            command.args(args.split(' ')).current_dir(project.path());
            project.at_home(&mut command).stdin(Stdio::null());
            let ended = time::timeout(SOON, Command::from(command).kill_on_drop(true).output()).await;
            let ended = ended.unwrap_or_else(|_| panic!("{what}: {args} does not end"));
            let ended = ended.expect("the built command");
            let said = String::from_utf8(ended.stderr).expect("text");
            assert_eq!(ended.status.code(), Some(1), "{what}: {args}: {said}");
            assert!(
                said.contains("hook-manager.toml: ") && said.contains("expected a TOML file"),
                "{what}: {args}: {said}"
            );
        }
    };
    symlink("nowhere", &figures).expect("a link");
    told("a link that leads nowhere").await;
    fs::remove_file(&figures).expect("it was there");
    let made = std::process::Command::new("mkfifo").arg(&figures).status();
    assert!(made.expect("mkfifo").success());
    told("a pipe").await;
}
