//! The example project, copied, and the built command run in it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A project in a folder of its own, so that its processes can be told from everybody else's.
pub(crate) struct Project {
    dir: TempDir,
}

impl Project {
    /// A copy of the example project.
    pub(crate) fn example() -> Self {
        let project = Self::empty();
        copy(&examples().join("project"), project.path());
        project
    }

    pub(crate) fn empty() -> Self {
        Self {
            dir: tempfile::Builder::new()
                .prefix("hook-project-")
                // Nobody else's, whatever the umask is.
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir()
                .expect("a folder"),
        }
    }

    /// A project whose settings are these.
    pub(crate) fn with_settings(settings: &Value) -> Self {
        let project = Self::empty();
        project.file(".claude/settings.json", &format!("{settings:#}"));
        project
    }

    /// A project with one command for one event.
    pub(crate) fn with_hook(event: &str, hook: Value) -> Self {
        Self::with_settings(&serde_json::json!({ "hooks": { event: [{ "hooks": [hook] }] } }))
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the project")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    /// `hook-manager run EVENT --project . ARGS`, with `input` on standard input.
    pub(crate) fn run(&self, event: &str, input: &str, args: &[&str]) -> Ran {
        let project = self.path().to_str().expect("a plain path");
        let args: Vec<&str> = ["run", event, "--project", project]
            .iter()
            .chain(args)
            .copied()
            .collect();
        self.command(&args, input)
    }

    /// `hook-manager ARGS`, with the state and the daemon's place inside the project.
    pub(crate) fn command(&self, args: &[&str], input: &str) -> Ran {
        talk(self.at_home(Command::new(BINARY).args(args)), input)
    }

    /// A command whose state and whose daemon are this project's own.
    pub(crate) fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let (state, runtime) = (self.path().join(".state"), self.path().join(".runtime"));
        fs::create_dir_all(&runtime).expect("a folder");
        command
            .env("XDG_STATE_HOME", state)
            .env("XDG_RUNTIME_DIR", runtime)
            .env_remove("CLAUDE_PROJECT_DIR")
    }

    /// The same with `--output json`, parsed.
    pub(crate) fn json(&self, event: &str, input: &str) -> (Value, i32) {
        let ran = self.run(event, input, &["--output", "json"]);
        let value = serde_json::from_str(&ran.stdout).unwrap_or_else(|err| panic!("{err}: {ran:?}"));
        (value, ran.code)
    }

    /// The processes that were started for this project and still live: they have it in their environment.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = format!("CLAUDE_PROJECT_DIR={}", self.path().display());
        let all = fs::read_dir("/proc").expect("a Linux machine").flatten();
        let ours = all.filter(|entry| {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            environ
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
        });
        ours.map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// What the command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Ran {
    /// The line of the table about a hook.
    pub(crate) fn line(&self, hook: &str) -> &str {
        let found = self
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{hook} ")));
        found.unwrap_or_else(|| panic!("no line about {hook} in {self:?}"))
    }
}

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_hook-manager");

pub(crate) fn command(args: &[&str], input: &str) -> Ran {
    Project::empty().command(args, input)
}

fn talk(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built command");
    // It may end without having read all of it.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its end");
    Ran {
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
        code: output.status.code().expect("an exit status"),
    }
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// A sample event of the example project.
pub(crate) fn event(name: &str) -> String {
    fs::read_to_string(examples().join(format!("events/{name}.json"))).expect("a sample event")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}
