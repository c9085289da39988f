//! What outlives a manager, and what does not stop one.

mod hostile;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_manager::{
    CacheRule, Hook, HookEvent, HookManager, HookManagerBuilder, HookOutput, HookRequest, layers::State,
};
use serde_json::json;

const EVENT: HookEvent = HookEvent::PreToolUse;

fn bash(command: &str) -> HookRequest {
    HookRequest::new(
        EVENT,
        json!({ "tool_name": "Bash", "tool_input": { "command": command } }),
    )
    .unwrap()
}

/// A hook that fails when it is asked to, and counts its runs.
fn hook(runs: &Arc<AtomicUsize>) -> Hook {
    let runs = Arc::clone(runs);
    Hook::function("moody", EVENT, move |req: HookRequest| {
        runs.fetch_add(1, SeqCst);
        async move {
            match req.field("/tool_input/command") {
                Some("fail") => Err(io::Error::other("no luck")),
                said => Ok(HookOutput::ask("sure?").context(said.unwrap_or_default())),
            }
        }
    })
}

fn builder(dir: &Path, runs: &Arc<AtomicUsize>) -> HookManagerBuilder {
    HookManager::builder().state_dir(dir).hook(hook(runs))
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn figures_estimates_and_an_open_circuit_outlive_the_manager() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, runs) = (dir.path().join("deep/er"), Arc::default());
    let first = builder(&dir, &runs).build().unwrap();
    first.execute(bash("ls")).await;
    for _ in 0..4 {
        first.execute(bash("fail")).await;
    }
    assert!(first.shutdown_within(Duration::ZERO).await.saved.is_ok());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("state.json"))), (0o700, 0o600));

    let second = builder(&dir, &runs).build().unwrap();
    assert_eq!(second.breakers()[0].circuit.state, State::Open);
    let report = second.execute(bash("ls")).await;
    assert_eq!(report.results[0].error().unwrap().kind(), "circuit_open");
    assert!(
        report.merged.system_messages.is_empty(),
        "the user was told of this break before"
    );
    let total = second.metrics().total;
    assert_eq!(
        (total.calls, total.runs, total.failures, total.trips),
        (6, 4, 3, 1)
    );
    assert_eq!(runs.load(SeqCst), 4);
    let events = second.metrics().events;
    let [(event, figures)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((event, figures.count, figures.failures), (&EVENT, 6, 5));
}

#[tokio::test(start_paused = true)]
async fn how_long_runs_took_adds_up_over_managers() {
    let dir = tempfile::tempdir().unwrap();
    let build = |ms: u64| {
        let takes = Hook::function("takes", EVENT, move |_| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok::<_, io::Error>(HookOutput::none())
        });
        let builder = HookManager::builder().state_dir(dir.path()).hook(takes);
        builder.build().unwrap()
    };
    // Side by side, and each saves more than once.
    let (one, other) = (build(10), build(1_000));
    for n in 0..60 {
        one.execute(bash("ls")).await;
        if n % 2 == 0 {
            other.execute(bash("ls")).await;
        }
        if n % 20 == 0 {
            one.save().unwrap();
            other.save().unwrap();
        }
    }
    one.save().unwrap();
    other.save().unwrap();
    let third = build(10);
    third.execute(bash("ls")).await;
    let latency = third.metrics().hooks[0].latency.clone().unwrap();
    assert_eq!(latency.count(), 91);
    let near = |q: f64, ms: u64| {
        let seen = latency.quantile(q);
        let meant = Duration::from_millis(ms);
        assert!(meant <= seen && seen <= meant.mul_f64(1.13), "{q}: {seen:?}");
    };
    near(0.6, 10);
    near(0.7, 1_000);
}

#[tokio::test]
async fn another_hook_of_the_same_name_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let with = |line: &str| {
        let hook = Hook::shell("check", EVENT, line);
        HookManager::builder()
            .state_dir(dir.path())
            .hook(hook)
            .build()
            .unwrap()
    };
    let first = with("exit 1");
    for _ in 0..3 {
        first.execute(bash("ls")).await;
    }
    first.shutdown().await;
    assert_eq!(with("exit 1").breakers()[0].circuit.state, State::Open);
    assert_eq!(with("exit 0").breakers()[0].circuit.state, State::Closed);
}

#[tokio::test]
async fn cached_answers_are_saved_only_when_that_was_asked_for() {
    for (asked, hits) in [(false, 0), (true, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let runs = Arc::default();
        for _ in 0..2 {
            let rule = CacheRule::default();
            let fields = Hook::function("fields", EVENT, |_| async {
                Ok::<_, io::Error>(HookOutput::deny("no"))
            })
            .cached(rule.clone().field("/tool_name"));
            let manager = HookManager::builder()
                .state_dir(dir.path())
                .save_results(asked)
                .hook(hook(&runs).cached(rule))
                .hook(fields)
                .build()
                .unwrap();
            let report = manager.execute(bash("ls")).await;
            assert_eq!(report.merged.contexts, ["ls"]);
            assert_eq!(report.merged.reason.as_deref(), Some("no"));
            manager.shutdown().await;
            let cached = report.results.iter().filter(|result| result.cached).count();
            assert!(cached == 0 || cached == hits, "{report:?}");
        }
        assert_eq!(runs.load(SeqCst), if asked { 1 } else { 2 });
        let saved = fs::read_to_string(dir.path().join("state.json")).unwrap();
        assert_eq!(saved.contains("sure?"), asked);
    }
}

#[tokio::test]
async fn a_damaged_or_foreign_state_is_set_aside_with_a_warning_and_never_fatal() {
    for text in [
        "",
        "{",
        "{\"version\": 7}",
        "{\"version\": 1, \"hooks\": 5}",
        "[1]",
        "\u{0}\u{1}",
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(dir.path().join("state.json"), text).unwrap();
        let manager = builder(dir.path(), &Arc::default()).build().unwrap();
        let warning = manager.problems()[0].to_string();
        assert!(
            warning.contains("is no state of ours") && warning.contains("is set aside as"),
            "{warning}"
        );
        assert!(manager.execute(bash("ls")).await.results[0].success());
        manager.shutdown().await;
        let names = names(dir.path());
        assert!(names.iter().any(|name| name == "state.json"), "{names:?}");
        let aside = names
            .iter()
            .find(|name| name.starts_with("state.json.aside-"))
            .unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join(aside)).unwrap(),
            text,
            "kept for whoever wants to look"
        );
    }
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_not_used_and_health_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let manager = builder(dir.path(), &Arc::default()).build().unwrap();
    let warning = manager.problems()[0].to_string();
    assert!(
        warning.contains("others may write to it (mode 777), expected 700"),
        "{warning}"
    );
    assert!(manager.execute(bash("ls")).await.results[0].success());
    assert!(manager.shutdown_within(Duration::ZERO).await.saved.is_err());
    assert!(
        manager
            .health()
            .to_string()
            .contains("state: degraded: not saved: "),
        "{}",
        manager.health()
    );
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn two_managers_of_one_project_add_their_figures_up() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Arc::default();
    let (one, other) = (
        builder(dir.path(), &runs).build().unwrap(),
        builder(dir.path(), &runs).build().unwrap(),
    );
    for round in 0..5 {
        for manager in [&one, &other] {
            for _ in 0..=round {
                manager.execute(bash("ls")).await;
            }
            manager.save().unwrap();
        }
    }
    // A save with nothing new adds nothing.
    one.save().unwrap();
    let later = builder(dir.path(), &runs).build().unwrap();
    assert_eq!((later.metrics().total.calls, runs.load(SeqCst)), (30, 30));
}

#[tokio::test]
async fn many_that_save_at_once_lose_nothing_and_leave_a_state_that_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Arc::default();
    let managers: Vec<_> = (0..8)
        .map(|_| builder(dir.path(), &runs).build().unwrap())
        .collect();
    for manager in &managers {
        manager.execute(bash("ls")).await;
    }
    let saves: Vec<_> = managers
        .iter()
        .cloned()
        .map(|manager| tokio::task::spawn_blocking(move || manager.save()))
        .collect();
    for save in saves {
        save.await.unwrap().unwrap();
    }
    let later = builder(dir.path(), &runs).build().unwrap();
    assert_eq!(later.problems(), []);
    assert_eq!(later.metrics().total.calls, 8);
    assert_eq!(
        names(dir.path()),
        ["state.json", "state.lock"],
        "nothing half-written is left behind"
    );
}

#[tokio::test]
async fn each_event_is_a_line_of_the_log_and_a_long_log_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let manager = builder(dir.path(), &Arc::default())
        .performance_log(true)
        .build()
        .unwrap();
    for command in ["ls", "fail"] {
        manager.execute(bash(command)).await;
    }
    manager.save().unwrap();
    let log = dir.path().join("performance.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["results"][0]["outcome"], "failed");
    assert!(
        !text.contains("no luck") && !text.contains("sure?"),
        "what hooks say is nobody's business"
    );

    for round in 0..5 {
        fs::write(&log, "x".repeat(5 * 1024 * 1024)).unwrap();
        manager.execute(bash(&round.to_string())).await;
        manager.save().unwrap();
    }
    let logs: Vec<String> = names(dir.path())
        .into_iter()
        .filter(|name| name.starts_with("perf"))
        .collect();
    assert_eq!(
        logs,
        [
            "performance.jsonl",
            "performance.jsonl.1",
            "performance.jsonl.2",
            "performance.jsonl.3"
        ]
    );
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn of_an_open_circuit_the_user_is_told_once_whichever_process_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Arc::default();
    let mut told = 0;
    for process in 0..4 {
        let manager = builder(dir.path(), &runs).build().unwrap();
        // The first one opens it, and ends before anybody meets it open.
        for _ in 0..if process == 0 { 3 } else { 1 } {
            told += manager.execute(bash("fail")).await.merged.system_messages.len();
        }
        manager.shutdown().await;
    }
    assert_eq!((told, runs.load(SeqCst)), (1, 3));
}

#[tokio::test]
async fn a_hook_that_runs_wild_over_many_processes_is_stopped_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Arc::default();
    let in_session = |name: &str| {
        HookRequest::new(
            EVENT,
            json!({ "session_id": name, "tool_input": { "command": "x".repeat(40) } }),
        )
        .unwrap()
    };
    let mut context = 0;
    for _ in 0..5 {
        let manager = builder(dir.path(), &runs)
            .max_context_per_session(100)
            .max_runs_per_minute(1_000)
            .max_runs_per_session(3)
            .build()
            .unwrap();
        context += manager.execute(in_session("one")).await.merged.contexts.len();
        manager.shutdown().await;
    }
    assert_eq!(
        (runs.load(SeqCst), context),
        (3, 2),
        "three runs, and context for two of them"
    );
    let manager = builder(dir.path(), &runs).max_runs_per_minute(2).build().unwrap();
    let report = manager.execute(in_session("another")).await;
    // Two and not three, for the minute may turn meanwhile, and begins to let go of what was before.
    assert_eq!(
        report.results[0].error().map(hook_manager::HookError::kind),
        Some("runaway")
    );
}
