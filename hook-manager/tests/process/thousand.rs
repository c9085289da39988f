//! A thousand hooks out of time, through the manager.

use std::{collections::HashMap, ffi::OsString};

use hook_manager::{Ended, Hook, HookError, HookEvent, HookManager, HookRequest};
use tokio::sync::Semaphore;

use super::*;

const HOOKS: usize = 1_000;
/// What is in the environment of everybody that a hook has started, with the hook's number.
const MARK: &str = "HOOK_MANAGER_TEST_HOOK";
const TIMEOUT: Duration = Duration::from_millis(250);
const GRACE: Duration = Duration::from_millis(100);
/// What a machine with other work may take besides. Whatever is not ended stays for a minute.
const SLACK: Duration = Duration::from_secs(10);

/// The hooks of which somebody lives, and how many. A zombie has no environment.
fn living() -> HashMap<usize, usize> {
    let mark = format!("{MARK}=");
    let mut living = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environ
            .split(|byte| *byte == 0)
            .find_map(|var| var.strip_prefix(mark.as_bytes()));
        let number = marked.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        if let Some(number) = number {
            *living.entry(number).or_default() += 1;
        }
    }
    living
}

#[test]
fn a_thousand_timed_out_hooks_with_grandchildren_leave_no_process_and_no_zombie() {
    alone(
        "thousand::a_thousand_timed_out_hooks_with_grandchildren_leave_no_process_and_no_zombie",
        thousand(),
    );
}

async fn thousand() {
    // As the command and the daemon do: whose parent has died is ours, and so is its zombie.
    process::adopt_orphans().unwrap();
    // Every second one is deaf to SIGTERM, with all its children; and has a child that holds no pipe.
    let script = format!(
        "[ $(({MARK} % 2)) = 0 ] && trap '' TERM\n\
         sleep 60 & sleep 61 >/dev/null 2>&1 </dev/null & : > up-${MARK}; wait; sleep 62"
    );
    let dir = TempDir::new().unwrap();
    let hook = Hook::shell("slow", HookEvent::Stop, script).timeout(TIMEOUT);
    let manager = HookManager::builder()
        .project(dir.path())
        .hook(hook)
        .grace(GRACE)
        .breaker(false)
        .max_concurrent_hooks(32)
        .build()
        .unwrap();
    // So that none waits for its turn, and its time is its own.
    let turns = Arc::new(Semaphore::new(32));
    let runs: Vec<_> = (0..HOOKS)
        .map(|number| {
            let (manager, turns) = (manager.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let vars = env::vars_os().chain([(MARK.into(), OsString::from(number.to_string()))]);
                let req = HookRequest::parse(HookEvent::Stop, "{}").unwrap();
                let req = req.with_environment(vars);
                let _turn = turns.acquire_owned().await.unwrap();
                let started = Instant::now();
                let report = manager.execute(req).await;
                (started, started.elapsed(), report)
            })
        })
        .collect();

    // When somebody of each hook was last seen alive.
    let mut last_seen = HashMap::new();
    let mut most = 0;
    let began = Instant::now();
    while !runs.iter().all(tokio::task::JoinHandle::is_finished) {
        let (now, living) = (Instant::now(), living());
        last_seen.extend(living.keys().map(|hook| (*hook, now)));
        most = most.max(living.values().sum());
        // Ten times what it takes.
        assert!(
            began.elapsed() < PATIENCE * 4,
            "{} hooks live, and hold the places of others",
            living.len()
        );
        sleep(Duration::from_millis(10)).await;
    }
    let mut started_at = Vec::new();
    for run in runs {
        let (started, took, report) = run.await.unwrap();
        let result = &report.results[0];
        assert!(
            matches!(&result.ended, Ended::Failed(HookError::TimedOut { .. })),
            "{result:?}"
        );
        // A place is free when its last process is gone, so that the queue has at most one grace in it.
        let late = took.saturating_sub(TIMEOUT + GRACE);
        assert!(late < SLACK, "answered {late:?} after timeout and grace");
        started_at.push(started);
    }
    until("nobody lives", || {
        let (now, living) = (Instant::now(), living());
        last_seen.extend(living.keys().map(|hook| (*hook, now)));
        living.is_empty()
    })
    .await;
    for (hook, seen) in last_seen {
        let late = seen.saturating_duration_since(started_at[hook] + TIMEOUT + GRACE);
        assert!(late < SLACK, "hook {hook} lived {late:?} after timeout and grace");
    }

    assert_eq!(process::quiesce(PATIENCE).await, 0);
    assert_eq!(children(), [] as [i32; 0], "neither children nor zombies");
    let up = fs::read_dir(dir.path()).unwrap().count();
    assert!(
        up > HOOKS / 2,
        "only {up} of {HOOKS} got as far as to have children"
    );
    assert!(
        most > 32,
        "at most {most} processes at once: were there children?"
    );
}
