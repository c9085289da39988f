//! The command is told to end while its hooks run.

use std::{process::Stdio, time::Duration};

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
