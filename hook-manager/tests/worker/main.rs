//! Workers: programs that stay. Each way one can misbehave has a test named after it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use hook_manager::{
    Decision, EventReport, Handler, Hook, HookError, HookEvent, HookManager, HookManagerBuilder, HookRequest,
    Worker,
};
use serde_json::json;

#[path = "../support/mod.rs"]
mod support;

mod hostile;
mod limits;
mod staying;

use support::Project;

/// Answers each event with a message: the process's number, and the event's own `n`.
const HONEST: &str = r#"
import json, os, sys
for line in sys.stdin:
    event = json.loads(line)
    if event.get("n") == "die":
        os._exit(3)
    print(json.dumps({"systemMessage": f"{os.getpid()} {event.get('n')}"}), flush=True)
"#;

/// A project whose workers are told from everybody else's, and a manager of its hooks.
struct Workers {
    project: Project,
    manager: HookManager,
}

impl Workers {
    /// A worker that is a Python script.
    fn python(script: &str) -> Self {
        Self::with(script, |worker| worker, |builder| builder)
    }

    fn with(
        script: &str,
        worker: impl FnOnce(Worker) -> Worker,
        more: impl FnOnce(HookManagerBuilder) -> HookManagerBuilder,
    ) -> Self {
        let project = Project::empty();
        let path = project.file("worker.py", script);
        let run = Handler::exec("python3", ["-u", path.to_str().expect("a plain path")]);
        let hook = Hook::worker_with("w", HookEvent::PreToolUse, worker(Worker::new(run)));
        let builder = HookManager::builder()
            .project(project.path())
            .grace(Duration::from_millis(300))
            .breaker_threshold(1_000_000)
            .hook(hook.timeout(Duration::from_secs(10)));
        let manager = more(builder).build().expect("a manager");
        Self { project, manager }
    }

    /// A worker that has to answer soon.
    fn impatient(script: &str) -> Self {
        Self::with(
            script,
            |worker| worker,
            |builder| builder.deadline(Duration::from_millis(1_500)),
        )
    }

    async fn ask(&self, n: impl Into<serde_json::Value>) -> EventReport {
        let input = json!({ "tool_name": "Bash", "n": n.into() });
        let req = HookRequest::new(HookEvent::PreToolUse, input).expect("an event");
        self.manager.execute(req).await
    }

    /// What the worker said: its own number, and the event's.
    async fn said(&self, n: impl Into<serde_json::Value>) -> (String, String) {
        let report = self.ask(n).await;
        let said = report.merged.system_messages.first().cloned();
        let said = said.unwrap_or_else(|| panic!("{report:#?}"));
        let (pid, n) = said.split_once(' ').expect("two words");
        (pid.to_owned(), n.to_owned())
    }

    async fn fails(&self, n: impl Into<serde_json::Value>) -> HookError {
        let report = self.ask(n).await;
        let err = report.results[0].error().cloned();
        err.unwrap_or_else(|| panic!("{report:#?}"))
    }

    /// Shuts down, after which nobody of the project is left.
    async fn end(self) {
        assert_eq!(self.manager.shutdown().await, 0);
        assert_eq!(self.project.processes(), Vec::<String>::new());
        assert_eq!(zombies(), Vec::<String>::new());
    }
}

/// Our children that nobody has reaped, after a moment: other tests' may be on their way.
fn zombies() -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let left = dead_children();
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        std::thread::yield_now();
    }
}

fn dead_children() -> Vec<String> {
    let us = std::process::id().to_string();
    let all = fs::read_dir("/proc").expect("a Linux machine").flatten();
    all.filter(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&us)
    })
    .map(|entry| entry.file_name().to_string_lossy().into_owned())
    .collect()
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Waits for a condition, with a generous bound.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
