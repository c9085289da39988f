use hook_manager::layers::Source;

use super::*;

#[tokio::test]
async fn a_worker_is_started_once_and_answers_one_event_after_the_other() {
    let workers = Workers::python(HONEST);
    let (pid, n) = workers.said(0).await;
    assert_eq!(n, "0");
    for round in 1..50 {
        assert_eq!(workers.said(round).await, (pid.clone(), round.to_string()));
    }
    assert_eq!(workers.project.processes(), [pid]);
    workers.end().await;
}

#[tokio::test]
async fn the_pool_is_among_the_layers() {
    let workers = Workers::python(HONEST);
    workers.said(0).await;
    let layers: Vec<_> = workers.manager.layers().map(Source::layer).collect();
    assert_eq!(layers.last(), Some(&"pool"), "{layers:?}");
    workers.end().await;
}

#[tokio::test]
async fn events_at_once_have_a_process_each_as_far_as_there_may_be() {
    let script = HONEST.replace("print(", "import time; time.sleep(0.2); print(");
    let workers = Workers::with(
        &script,
        |mut worker| {
            worker.processes = 2;
            worker
        },
        |builder| builder,
    );
    let said = futures::future::join_all(
        (0..6)
            .map(|n| async move { n })
            .map(|n| async { workers.said(n.await).await }),
    )
    .await;
    let mut pids: Vec<_> = said.iter().map(|(pid, _)| pid).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 2, "{said:?}");
    for (at, (_, n)) in said.iter().enumerate() {
        assert_eq!(*n, at.to_string(), "each has its own answer");
    }
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_has_died_idle_is_replaced_and_nobody_notices() {
    let workers = Workers::python(HONEST);
    let (pid, _) = workers.said(0).await;
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status();
    assert!(killed.expect("kill").success());
    eventually("it dies", || !is_alive(&pid)).await;
    let (other, n) = workers.said(1).await;
    assert_ne!(other, pid);
    assert_eq!(n, "1");
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_dies_over_an_event_fails_it_and_is_replaced() {
    let workers = Workers::python(HONEST);
    let (pid, _) = workers.said(0).await;
    let err = workers.fails("die").await;
    assert!(matches!(err, HookError::Exit { code: 3, .. }), "{err:?}");
    assert_ne!(workers.said(1).await.0, pid);
    workers.end().await;
}

#[tokio::test]
async fn a_worker_is_retired_after_its_uses() {
    let workers = Workers::with(
        HONEST,
        |mut worker| {
            worker.uses = 2;
            worker
        },
        |builder| builder,
    );
    let mut pids = Vec::new();
    for n in 0..6 {
        pids.push(workers.said(n).await.0);
    }
    assert_eq!(pids[0], pids[1]);
    assert_eq!(pids[2], pids[3]);
    assert_ne!(pids[1], pids[2]);
    assert_ne!(pids[3], pids[4]);
    workers.end().await;
}

#[tokio::test]
async fn a_manager_that_is_dropped_ends_its_workers_too() {
    let workers = Workers::python(HONEST);
    let (pid, _) = workers.said(0).await;
    let Workers { project, manager } = workers;
    drop(manager);
    eventually("it is ended", || !is_alive(&pid)).await;
    assert_eq!(hook_manager::process::quiesce(Duration::from_secs(5)).await, 0);
    assert_eq!(project.processes(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_decides_by_the_hosts_rules() {
    let workers = Workers::python(
        r#"
import json, sys
for line in sys.stdin:
    print(json.dumps({"hookSpecificOutput": {"hookEventName": "PreToolUse",
        "permissionDecision": json.loads(line)["n"], "permissionDecisionReason": "so"}}), flush=True)
"#,
    );
    for (word, decision) in [
        ("deny", Decision::Deny),
        ("ask", Decision::Ask),
        ("allow", Decision::Allow),
    ] {
        let report = workers.ask(word).await;
        assert_eq!(report.merged.decision, decision, "{report:#?}");
    }
    let err = workers.fails("perhaps").await;
    assert!(matches!(err, HookError::BadOutput(_)), "{err:?}");
    workers.end().await;
}

#[tokio::test]
async fn a_worker_of_the_settings_is_a_plain_command_to_the_host() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "python3 worker.py",
                "hookManager": { "worker": { "processes": 1, "uses": 100, "age": 60, "idle": 30 } } }),
    );
    project.file("worker.py", HONEST);
    let manager = HookManager::builder().project(project.path()).build().unwrap();
    assert!(manager.problems().is_empty(), "{:?}", manager.problems());
    let workers = Workers { project, manager };
    let (pid, _) = workers.said(0).await;
    assert_eq!(workers.said(1).await.0, pid);
    workers.end().await;
}

#[test]
fn figures_that_make_no_sense_are_refused_by_name() {
    for (more, expected) in [
        (
            json!({ "processes": 0 }),
            "worker.processes is 0, expected a whole number from 1 to 64",
        ),
        (
            json!({ "uses": -1 }),
            "worker.uses is -1, expected a whole number from 1",
        ),
        (json!({ "idle": "x" }), "worker.idle is the text"),
        (json!({ "age": 0 }), "worker.age is 0, expected a positive number"),
        (
            json!({ "warm": true }),
            "worker.warm is not known, expected one of processes, uses, age, idle",
        ),
        (
            json!("yes"),
            "worker is the text \"yes\", expected true, false, or an object",
        ),
    ] {
        let project = Project::with_hook(
            "Stop",
            json!({ "type": "command", "command": "true", "hookManager": { "worker": more } }),
        );
        let manager = HookManager::builder().project(project.path()).build().unwrap();
        let told: Vec<_> = manager.problems().iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|one| one.contains(expected)), "{more}: {told:?}");
    }
    let mut worker = Worker::new(Handler::exec("true", [""; 0]));
    worker.processes = 0;
    let hook = Hook::worker_with("w", HookEvent::Stop, worker);
    let err = HookManager::builder().hook(hook).build().unwrap_err().to_string();
    assert_eq!(err, "hook w: worker.processes: expected 1 to 64, found 0");
}
