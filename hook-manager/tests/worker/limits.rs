//! How many processes there are, how old they get, and what is left of them.

use super::*;

/// Says on its own account when a second one of its kind lives.
const ALONE: &str = r#"
import fcntl, json, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open("lock", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open("two", "w").close()
for line in sys.stdin:
    event = json.loads(line)
    if event.get("n") == "slow":
        time.sleep(600)
    print(json.dumps({"systemMessage": f"{os.getpid()} {event.get('n')}"}), flush=True)
"#;

fn only_one(mut worker: Worker) -> Worker {
    worker.processes = 1;
    worker
}

#[tokio::test]
async fn one_that_is_being_killed_counts_until_it_is_gone() {
    let workers = Workers::with(ALONE, only_one, |builder| {
        builder.deadline(Duration::from_millis(1_500))
    });
    for round in 0..2 {
        let err = workers.fails("slow").await;
        assert!(matches!(err, HookError::TimedOut { .. }), "{err:?}");
        assert_eq!(workers.said(round).await.1, round.to_string());
    }
    assert!(
        !workers.project.path().join("two").exists(),
        "there may be one only"
    );
    workers.end().await;
}

#[tokio::test]
async fn a_storm_of_events_starts_no_more_than_there_may_be() {
    let workers = Workers::with(
        &format!("import os\nopen(f'started-{{os.getpid()}}', 'w').close()\n{HONEST}"),
        |mut worker| {
            worker.processes = 3;
            worker
        },
        |builder| builder.max_concurrent_hooks(64),
    );
    let asked = (0..60).map(|n| workers.said(n));
    for (at, (_, n)) in futures::future::join_all(asked).await.into_iter().enumerate() {
        assert_eq!(n, at.to_string());
    }
    let all = fs::read_dir(workers.project.path()).unwrap().flatten();
    let started = all
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("started-"))
        .count();
    assert!((1..=3).contains(&started), "{started}");
    workers.end().await;
}

#[tokio::test]
async fn one_that_nobody_asks_is_ended_after_its_idle_time() {
    let workers = Workers::with(
        HONEST,
        |mut worker| {
            worker.idle = Duration::from_millis(50);
            worker
        },
        |builder| builder,
    );
    let (pid, _) = workers.said(0).await;
    eventually("it is ended", || !is_alive(&pid)).await;
    workers.said(1).await;
    workers.end().await;
}

#[tokio::test]
async fn one_that_is_old_is_replaced() {
    let workers = Workers::with(
        HONEST,
        |mut worker| {
            worker.age = Duration::from_millis(300);
            only_one(worker)
        },
        |builder| builder,
    );
    let (first, _) = workers.said(0).await;
    let until = Instant::now() + Duration::from_secs(20);
    let mut n = 0;
    while workers.said(n).await.0 == first {
        assert!(Instant::now() < until, "it grew old");
        n += 1;
    }
    eventually("it is ended", || !is_alive(&first)).await;
    workers.end().await;
}

#[tokio::test]
async fn one_that_dies_at_every_start_is_told_at_once_and_asked_again_once_it_is_mended() {
    let workers = Workers::python("import sys\nsys.exit('no model')");
    for n in 0..8 {
        let began = Instant::now();
        let err = workers.fails(n).await;
        assert_eq!(err.to_string(), "exit status 1: no model");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    workers.project.file("worker.py", HONEST);
    assert_eq!(workers.said(9).await.1, "9");
    workers.end().await;
}

#[tokio::test]
async fn a_program_that_was_missing_is_found_by_the_next_event() {
    let workers = Workers::python(HONEST);
    let script = workers.project.path().join("worker.py");
    fs::remove_file(&script).unwrap();
    for n in 0..8 {
        let err = workers.fails(n).await;
        assert!(matches!(err, HookError::CouldNotStart(_)), "{err:?}");
    }
    workers.project.file("worker.py", HONEST);
    // Nothing is started for a moment after a start that failed.
    let until = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let report = workers.ask(9).await;
        match report.results[0].error() {
            Some(HookError::CouldNotStart(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            _ => break report,
        }
    };
    let said = &report.merged.system_messages;
    assert!(said.len() == 1 && said[0].ends_with(" 9"), "{report:#?}");
    workers.end().await;
}

#[tokio::test]
async fn a_shutdown_among_starts_leaves_nobody() {
    for turns in 0..4 {
        let workers = Workers::with(HONEST, |worker| worker, |builder| builder.max_concurrent_hooks(8));
        let asked = futures::future::join_all((0..6).map(|n| workers.ask(n)));
        let ended = async {
            for _ in 0..turns * 8 {
                tokio::task::yield_now().await;
            }
            workers.manager.shutdown().await
        };
        let (_, left) = futures::future::join(asked, ended).await;
        assert_eq!(left, 0);
        workers.end().await;
    }
}

#[tokio::test]
async fn an_event_with_a_number_of_its_own_is_not_taken_for_another() {
    let workers = Workers::python(
        r#"
import json, sys
for line in sys.stdin:
    event = json.loads(line)
    print(json.dumps({"hookRequestId": event["hookRequestId"], "systemMessage": "1 fine"}), flush=True)
"#,
    );
    for given in [json!(99), json!("x"), json!(null)] {
        let input = json!({ "tool_name": "Bash", "hookRequestId": given });
        let report = workers
            .manager
            .execute(HookRequest::new(HookEvent::PreToolUse, input).unwrap())
            .await;
        assert_eq!(report.merged.system_messages, ["1 fine"], "{report:#?}");
    }
    workers.end().await;
}

/// Descriptors and children are the process's, so this runs in one of its own.
#[test]
fn a_thousand_events_leave_no_descriptor_and_no_child() {
    if std::env::var_os("HOOK_TEST_ALONE").is_none() {
        let name = "limits::a_thousand_events_leave_no_descriptor_and_no_child";
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("HOOK_TEST_ALONE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(
            run.status.success() && String::from_utf8_lossy(&run.stdout).contains("1 passed"),
            "{said}"
        );
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        let workers = Workers::with(
            HONEST,
            |mut worker| {
                worker.uses = 40;
                worker
            },
            |builder| builder,
        );
        workers.said("warm").await;
        let before = open();
        for n in 0..1_000 {
            match n % 50 {
                7 => drop(workers.fails("die").await),
                _ => drop(workers.said(n).await),
            }
        }
        eventually("those who retired are gone", || {
            workers.project.processes().len() <= 1
        })
        .await;
        eventually("nothing is left open", || open() <= before).await;
        workers.end().await;
    });
}
