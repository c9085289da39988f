//! Real programs: what they get, what comes back, and that nothing of them stays. Linux only: it is looked up in `/proc`.

#![cfg(target_os = "linux")]

use std::{
    env, fs,
    future::Future,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hook_manager::process::{self, Captured, Command, Ended, Finished, Limits, RunError};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

mod caller;
mod deadline;
mod ending;
mod exchange;
mod grandchildren;
mod starting;
mod thousand;

/// Far more than anything here takes, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);

fn sh(script: impl Into<String>) -> Command {
    Command::new("/bin/sh").args(["-c".to_owned(), script.into()])
}

fn python(script: &str) -> Command {
    Command::new("python3").args(["-c", script])
}

fn limits() -> Limits {
    Limits {
        timeout: PATIENCE,
        ..Limits::default()
    }
}

fn timeout(millis: u64) -> Limits {
    Limits {
        timeout: Duration::from_millis(millis),
        ..Limits::default()
    }
}

async fn run(command: &Command) -> Finished {
    process::run(command, b"", &limits(), ()).await.unwrap()
}

/// Says when it is dropped.
struct Keep(Arc<AtomicBool>);

impl Keep {
    fn new() -> (Self, Arc<AtomicBool>) {
        let dropped = Arc::new(AtomicBool::new(false));
        (Self(Arc::clone(&dropped)), dropped)
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls; real processes know no virtual time.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Not even a zombie is left. (An orphan's zombie is pid 1's to take, which may take it a moment.)
fn is_gone(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_err()
        || state(pid).is_none_or(|state| state == 'Z' && parent(pid) != Some(std::process::id()))
}

fn stat(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.trim().to_owned())
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.chars().next()
}

fn parent(pid: i32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// A directory in which programs leave their numbers: `echo $$ > NAME.pid`.
struct Pids(TempDir);

impl Pids {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn all(&self) -> Vec<i32> {
        let files = fs::read_dir(self.path()).unwrap().flatten();
        let pids = files.filter(|file| file.path().extension().is_some_and(|ext| ext == "pid"));
        pids.filter_map(|file| fs::read_to_string(file.path()).ok()?.trim().parse().ok())
            .collect()
    }

    async fn written(&self, count: usize) -> Vec<i32> {
        until("the programs are up", || self.all().len() == count).await;
        self.all()
    }

    async fn all_gone(&self, count: usize) {
        for pid in self.written(count).await {
            until(&format!("{pid} is gone ({:?})", stat(pid)), || is_gone(pid)).await;
        }
    }
}

/// Runs until so many numbers are written, and is dropped then.
async fn dropped_when_up(
    command: &Command,
    limits: &Limits,
    keep: impl Send + 'static,
    pids: &Pids,
    count: usize,
) {
    tokio::select! {
        result = process::run(command, b"", limits, keep) => panic!("{result:?}"),
        _ = pids.written(count) => {}
    }
}

/// Runs the body of a test in a process of its own: for what concerns a whole process.
fn alone(name: &str, body: impl Future<Output = ()>) {
    const INNER: &str = "HOOK_MANAGER_TEST_ALONE";
    if env::var_os(INNER).is_some_and(|inner| inner == name) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(body);
        return;
    }
    let mut test = std::process::Command::new(env::current_exe().unwrap());
    let output = test
        .args(["--exact", name, "--nocapture"])
        .env(INNER, name)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "no test is called {name}"
    );
}

/// Two processes that do not go by themselves, nor at a SIGTERM.
const STUBBORN: &str = "trap '' TERM; echo $$ > leader.pid; (echo > up; sleep 60; sleep 60) & echo $! > child.pid; wait; sleep 60";

/// The children of this process, zombies included.
fn children() -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(std::process::id()))
        .collect()
}
