//! The daemon: what it takes of memory while it waits.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use benches::{
    Mode,
    claims::{Suite, target_directory},
};

/// A project with four hooks whose answers are kept.
struct Project(PathBuf);

impl Project {
    fn new() -> Self {
        let dir = env::temp_dir().join(format!("hook-daemon-bench-{}", std::process::id()));
        for folder in [".claude", "run", "state"] {
            fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        let hooks: Vec<_> = (0..4)
            .map(|n| {
                serde_json::json!({
                    "type": "command",
                    "command": format!("cat >/dev/null; echo '{{\"systemMessage\":\"{n}\"}}'"),
                    "hookManager": { "name": format!("hook-{n}"), "cache": { "ttl": 3600 } },
                })
            })
            .collect();
        let settings = serde_json::json!({ "hooks": { "PreToolUse": [{ "hooks": hooks }] } });
        fs::write(dir.join(".claude/settings.json"), settings.to_string()).expect("a file");
        fs::write(dir.join("event.json"), r#"{"tool_name":"Bash"}"#).expect("a file");
        Self(dir)
    }

    fn command(&self, binary: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .args(args)
            .arg("--project")
            .arg(&self.0)
            .env("XDG_RUNTIME_DIR", self.0.join("run"))
            .env("XDG_STATE_HOME", self.0.join("state"))
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon that serves.
struct Daemon(Child);

impl Daemon {
    fn start(project: &Project, binary: &Path) -> Self {
        let mut command = project.command(binary, &["serve"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the daemon");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        assert!(said.starts_with("serving "), "{said}");
        Self(child)
    }

    /// What is resident, in MiB.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kibibytes.expect("a number") / 1024.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command, built like the suites are.
fn binary() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "hook-manager",
            "--bin",
            "hook-manager",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_TARGET_DIR", target_directory())
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the command is built");
    target_directory().join("release/hook-manager")
}

fn main() {
    let mut suite = Suite::named("daemon");
    if suite.wants("manager.idle") && suite.mode() != Mode::Smoke {
        let (binary, project) = (binary(), Project::new());
        let daemon = Daemon::start(&project, &binary);
        let event = project.0.join("event.json");
        let event = event.to_str().expect("a plain path");
        for _ in 0..100 {
            let mut client = project.command(
                &binary,
                &[
                    "run",
                    "PreToolUse",
                    "--event",
                    event,
                    "--daemon",
                    "always",
                    "--output",
                    "host",
                ],
            );
            let answered = client.stdout(Stdio::null()).status().expect("the command");
            assert!(answered.success(), "{answered}");
        }
        // An idle daemon is one that has been let alone: what the last event has left is given back meanwhile.
        #[expect(
            clippy::disallowed_methods,
            reason = "a bench of another process, in real time"
        )]
        thread::sleep(Duration::from_secs(1));
        suite.value(
            "manager.idle",
            daemon.memory(),
            "resident, after 100 events with four cached hooks",
        );
    }
    suite.finish();
}
