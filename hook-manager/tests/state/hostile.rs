//! Folders and files that are not as they should be, and other processes at the same ones.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use hook_manager::{CacheRule, Hook, HookManager, HookOutput, layers::Status};
use serde_json::{Value, json};

use crate::{EVENT, bash, builder, names};

fn state(dir: &Path) -> Value {
    let text = fs::read(dir.join("state.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn asides(dir: &Path) -> usize {
    let names = names(dir);
    names
        .iter()
        .filter(|name| name.starts_with("state.json.aside-"))
        .count()
}

fn build(dir: &Path) -> HookManager {
    builder(dir, &Arc::default()).build().unwrap()
}

#[tokio::test]
async fn a_file_that_another_version_wrote_meanwhile_is_set_aside_and_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let manager = build(dir.path());
    manager.execute(bash("ls")).await;
    let theirs = json!({ "version": 2, "more": "than we know" }).to_string();
    fs::write(dir.path().join("state.json"), &theirs).unwrap();
    manager.save().unwrap();
    assert_eq!(state(dir.path())["version"], 1);
    let kept: Vec<String> = names(dir.path())
        .iter()
        .filter(|name| name.contains("aside"))
        .map(|name| fs::read_to_string(dir.path().join(name)).unwrap())
        .collect();
    assert_eq!(kept, [theirs]);
}

#[tokio::test]
async fn two_versions_in_turn_do_not_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..20 {
        fs::write(dir.path().join("state.json"), format!("no state {n}")).unwrap();
        build(dir.path());
    }
    assert!((1..=3).contains(&asides(dir.path())), "{:?}", names(dir.path()));
}

#[tokio::test]
async fn processes_that_find_a_damaged_file_together_set_it_aside_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state.json"), "damaged").unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = dir.path().to_owned();
            thread::spawn(move || build(&path).save().unwrap())
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(asides(dir.path()), 1, "{:?}", names(dir.path()));
    assert_eq!(state(dir.path())["version"], 1);
}

#[test]
fn a_state_that_is_a_pipe_a_folder_or_a_link_holds_up_nobody() {
    for what in ["pipe", "folder", "link"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.json");
        match what {
            "pipe" => assert!(Command::new("mkfifo").arg(&file).status().unwrap().success()),
            "folder" => fs::create_dir_all(file.join("deep")).unwrap(),
            _ => symlink("/dev/zero", &file).unwrap(),
        }
        let (done, is_done) = mpsc::channel();
        let path = dir.path().to_owned();
        thread::spawn(move || {
            let manager = build(&path);
            done.send((
                manager.problems().len(),
                manager.save().map_err(|err| err.to_string()),
            ))
            .unwrap();
        });
        let told = is_done.recv_timeout(Duration::from_secs(20)).expect(what);
        assert_eq!(told, (1, Ok(())), "{what}");
        assert_eq!(state(dir.path())["version"], 1, "{what}");
    }
}

#[test]
fn what_is_in_the_way_of_the_state_is_named_and_holds_up_nobody() {
    for (file, is_pipe) in [
        ("state.lock", true),
        ("state.lock", false),
        ("state.json.new", false),
        ("performance.jsonl", true),
        ("performance.jsonl", false),
        ("", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let at = folder.join(file);
        match (file, is_pipe) {
            ("", _) => fs::write(&folder, "no folder").unwrap(),
            (_, false) => fs::create_dir_all(at.join("deep")).unwrap(),
            (_, true) => {
                fs::create_dir(&folder).unwrap();
                assert!(Command::new("mkfifo").arg(&at).status().unwrap().success());
            }
        }
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            let builder = builder(&folder, &Arc::default()).performance_log(true);
            let manager = builder.build().unwrap();
            runtime.block_on(manager.execute(bash("ls")));
            let told = manager.save().unwrap_err().to_string();
            done.send((told, manager.health().to_string())).unwrap();
        });
        let (told, health) = is_done.recv_timeout(Duration::from_secs(20)).expect(file);
        let name = at.display().to_string();
        let name = name.trim_end_matches('/');
        assert!(
            told.contains(name) && health.contains(name),
            "{file}: {told}; {health}"
        );
    }
}

#[tokio::test]
async fn figures_that_no_process_can_have_written_are_figures_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let manager = build(dir.path());
    manager.execute(bash("ls")).await;
    manager.save().unwrap();
    let mut state = state(dir.path());
    let most = u64::MAX;
    let hook = &mut state["hooks"]["PreToolUse/moody"];
    hook["saved_at"] = json!(most);
    hook["estimate"] = json!({ "runs": most, "success_millionths": u32::MAX, "recent_micros": vec![most; 1_000],
        "recent_failed": [true] });
    hook["minutes"] = json!({ most.to_string(): u32::MAX, "0": 7 });
    hook["latency"] = json!({ most.to_string(): most, "0": most });
    for field in ["calls", "successes", "failures", "runs", "micros", "trips"] {
        hook["totals"][field] = json!(most);
    }
    state["saved_at"] = json!(most);
    state["sessions"] =
        json!({ "s": { "seen_at": most, "runs": { "PreToolUse/moody": u32::MAX }, "context": most } });
    fs::write(dir.path().join("state.json"), state.to_string()).unwrap();

    for _ in 0..2 {
        let manager = build(dir.path());
        assert!(manager.problems().is_empty(), "{:?}", manager.problems());
        for _ in 0..3 {
            manager.execute(bash("ls")).await;
        }
        assert_eq!(manager.metrics().total.calls, most);
        manager.optimize();
        manager.save().unwrap();
        manager.save().unwrap();
    }
}

#[tokio::test]
async fn far_too_many_of_everything_are_forgotten_at_once() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path()).save().unwrap();
    let mut file = state(dir.path());
    let event = json!({ "count": 1 });
    let session = |at: u64| json!({ "seen_at": at, "runs": {}, "context": 0 });
    file["events"] = (0..30_000)
        .map(|n| (format!("Event{n}"), event.clone()))
        .collect();
    file["sessions"] = (0..30_000)
        .map(|n| (format!("session-{n}"), session(n)))
        .collect();
    fs::write(dir.path().join("state.json"), file.to_string()).unwrap();
    let began = std::time::Instant::now();
    let manager = build(dir.path());
    manager.execute(bash("ls")).await;
    manager.save().unwrap();
    // It was minutes, for which a signal was not heard.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let file = state(dir.path());
    let sessions = file["sessions"].as_object().unwrap();
    assert!(
        sessions.len() <= 64 && sessions.contains_key("session-29999"),
        "{}",
        sessions.len()
    );
    assert!(file["events"].as_object().unwrap().len() <= 256);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_does_not_cost_the_state() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("performance.jsonl")).unwrap();
    let manager = builder(dir.path(), &Arc::default())
        .performance_log(true)
        .build()
        .unwrap();
    manager.execute(bash("ls")).await;
    assert!(manager.save().is_err(), "and it is said");
    assert!(
        manager
            .health()
            .to_string()
            .contains("state: degraded: not saved")
    );
    assert_eq!(
        state(dir.path())["hooks"]["PreToolUse/moody"]["totals"]["calls"],
        1
    );
    fs::remove_dir(dir.path().join("performance.jsonl")).unwrap();
    manager.save().unwrap();
    assert!(manager.health().is_healthy());
    let log = fs::read_to_string(dir.path().join("performance.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 1);
}

#[tokio::test]
async fn an_answer_nested_deeper_than_a_state_can_be_read_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let deep = (0..400).fold(json!(1), |inner, _| json!([inner]));
    let hook = |name: &str, output: HookOutput| {
        Hook::function(name, EVENT, move |_| {
            let output = output.clone();
            async move { Ok::<_, io::Error>(output) }
        })
        .cached(CacheRule::default())
    };
    let build = || {
        let builder = HookManager::builder().state_dir(dir.path()).save_results(true);
        let builder = builder.hook(hook(
            "deep",
            HookOutput::none().updated_input(json!({ "a": deep })),
        ));
        builder
            .hook(hook("flat", HookOutput::deny("no")))
            .build()
            .unwrap()
    };
    let manager = build();
    manager.execute(bash("ls")).await;
    manager.save().unwrap();
    let manager = build();
    assert!(manager.problems().is_empty(), "{:?}", manager.problems());
    let results = manager.execute(bash("ls")).await.results;
    assert_eq!((results[0].cached, results[1].cached), (false, true));
}

#[tokio::test]
async fn answers_that_are_too_much_for_a_state_do_not_cost_it() {
    let dir = tempfile::tempdir().unwrap();
    let big = "x".repeat(1024 * 1024);
    let build = || {
        (0..8)
            .fold(
                HookManager::builder().state_dir(dir.path()).save_results(true),
                |builder, n| {
                    let big = big.clone();
                    let hook = Hook::function(format!("hook-{n}"), EVENT, move |_| {
                        let reason = big.clone();
                        async move { Ok::<_, io::Error>(HookOutput::deny(reason)) }
                    });
                    builder.hook(hook.cached(CacheRule::default()))
                },
            )
            .build()
            .unwrap()
    };
    let manager = build();
    for n in 0..12 {
        manager.execute(bash(&n.to_string())).await;
    }
    manager.save().unwrap();
    assert!(fs::metadata(dir.path().join("state.json")).unwrap().len() < 64 * 1024 * 1024);
    let next = build();
    assert!(next.problems().is_empty(), "{:?}", next.problems());
    assert_eq!(next.metrics().total.calls, 8 * 12);
}

#[tokio::test]
async fn runs_that_could_not_be_saved_are_saved_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let manager = build(dir.path());
    let input = json!({ "session_id": "s", "tool_name": "Bash" });
    let req = hook_manager::HookRequest::new(EVENT, input).unwrap();
    for _ in 0..3 {
        manager.execute(req.clone()).await;
    }
    // Not by the folder's mode: tests may run as root.
    let new = dir.path().join("state.json.new");
    fs::create_dir_all(new.join("in the way")).unwrap();
    assert!(manager.save().is_err());
    assert_eq!(manager.health().status, Status::Degraded);
    fs::remove_dir_all(new).unwrap();
    manager.save().unwrap();
    let state = state(dir.path());
    assert_eq!(state["sessions"]["s"]["runs"]["PreToolUse/moody"], 3);
    let minutes = state["hooks"]["PreToolUse/moody"]["minutes"].as_object().unwrap();
    assert_eq!(minutes.values().filter_map(Value::as_u64).sum::<u64>(), 3);
    assert_eq!(state["hooks"]["PreToolUse/moody"]["totals"]["calls"], 3);
}

#[tokio::test]
async fn managers_that_save_at_the_same_time_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let managers: Vec<HookManager> = (0..4).map(|_| build(dir.path())).collect();
    for round in 0..5 {
        for manager in &managers {
            manager.execute(bash(&round.to_string())).await;
        }
        let savers = managers
            .iter()
            .cloned()
            .map(|manager| thread::spawn(move || manager.save()));
        let savers: Vec<_> = savers.collect();
        savers
            .into_iter()
            .for_each(|saver| saver.join().unwrap().unwrap());
    }
    assert_eq!(
        state(dir.path())["hooks"]["PreToolUse/moody"]["totals"]["calls"],
        20
    );
    assert_eq!(
        build(dir.path()).metrics().hooks[0]
            .latency
            .as_ref()
            .unwrap()
            .count(),
        20
    );
    let mode = fs::metadata(dir.path().join("state.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_clock_that_was_set_back_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let manager = builder(dir.path(), &Arc::default())
        .save_results(true)
        .build()
        .unwrap();
    manager.execute(bash("ls")).await;
    manager.save().unwrap();
    // Saved ten years from now.
    let later = 10 * 365 * 24 * 60 * 60 * 1_000;
    let mut state = state(dir.path());
    state["saved_at"] = json!(state["saved_at"].as_u64().unwrap() + later);
    let hook = &mut state["hooks"]["PreToolUse/moody"];
    hook["saved_at"] = json!(hook["saved_at"].as_u64().unwrap() + later);
    let minute = hook["saved_at"].as_u64().unwrap() / 60_000;
    hook["minutes"] = json!({ minute.to_string(): 5_999 });
    fs::write(dir.path().join("state.json"), state.to_string()).unwrap();
    let manager = build(dir.path());
    for _ in 0..10 {
        assert!(
            manager.execute(bash("ls")).await.results[0].success(),
            "those runs are not of this minute"
        );
    }
    manager.save().unwrap();
    assert_eq!(build(dir.path()).metrics().total.calls, 11);
}
