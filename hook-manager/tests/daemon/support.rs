//! A daemon for a project, that does not outlive its test.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{BINARY, Project};

/// Generous, for the machine may be busy: nothing here takes a hundredth of it.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    child: Child,
    /// Its first line.
    pub(crate) said: String,
}

impl Daemon {
    pub(crate) fn start(project: &Project, args: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--project"])
            .arg(project.path())
            .args(args)
            .env("ONLY_THE_DAEMON", "seen")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = project.at_home(&mut command).spawn().expect("the built command");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut said)
            .expect("a line");
        assert!(said.starts_with("serving "), "{said:?}: {}", rest(&mut child));
        Self { child, said }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        let at = self.said.split(" on ").nth(1).expect("where it is");
        at.split(" and ").next().expect("its socket").trim().into()
    }

    /// `127.0.0.1:PORT`, if it serves HTTP.
    pub(crate) fn address(&self) -> &str {
        self.said.split("http://").nth(1).expect("an address").trim()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    /// Its exit status, and what it said on standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + SOON;
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None => assert!(Instant::now() < until, "it does not end"),
            }
            pause();
        };
        (status.code(), rest(&mut self.child))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rest(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut text).expect("text");
    }
    text
}

/// A client under way.
pub(crate) fn client(project: &Project, event: &str, input: &str, args: &[&str]) -> Child {
    let file = project.file(&format!("input-{event}.json"), input);
    let mut command = Command::new(BINARY);
    command
        .args(["run", event, "--output", "host", "--project"])
        .arg(project.path())
        .arg("--event")
        .arg(file)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    project.at_home(&mut command).spawn().expect("the built command")
}

/// Between two looks at something that happens by itself.
#[expect(clippy::disallowed_methods, reason = "other processes know no virtual time")]
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(5));
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        pause();
    }
}

pub(crate) fn wait_for(file: &Path) {
    wait_until(&format!("{} is there", file.display()), || file.exists());
}

/// How many lines a file has; none where it is missing.
pub(crate) fn lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

pub(crate) fn no_process_is_left(project: &Project) {
    wait_until("every process of its hooks is gone", || {
        project.processes().is_empty()
    });
}

/// The processes that serve a project.
pub(crate) fn daemons_of(project: &Project) -> Vec<Pid> {
    let project = project.path().as_os_str().as_encoded_bytes();
    let all = fs::read_dir("/proc").expect("a Linux machine").flatten();
    let serves = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == b"serve") && words.any(|word| word == project)
    };
    let pids = all
        .filter(serves)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).collect()
}

/// Ends those that were started on demand.
pub(crate) fn end_daemons_of(project: &Project) {
    wait_until("nobody serves", || {
        let daemons = daemons_of(project);
        for daemon in &daemons {
            let _ = kill_process(*daemon, Signal::TERM);
        }
        daemons.is_empty()
    });
}
