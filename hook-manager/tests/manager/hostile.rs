//! Hooks and callers that do not play by the rules: nothing of theirs is anybody else's trouble.

use std::{
    convert::Infallible,
    fs,
    future::{Future, pending},
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::noop_waker;
use hook_manager::{
    CacheRule, Hook, HookError, HookEvent, HookManager, HookManagerBuilder, HookOutput, HookRequest, Part,
    layers::State,
};
use tokio::time::{advance, sleep, timeout};
use tower::Service;

use crate::support::{EVENT, bash, error, failing, manager, run, says, takes};

#[tokio::test(start_paused = true)]
async fn events_that_are_given_up_open_no_circuit() {
    let manager = manager([takes("guard", EVENT, 5_000)]);
    for _ in 0..10 {
        let given_up = timeout(Duration::from_secs(2), run(&manager)).await;
        assert!(given_up.is_err());
    }
    assert_eq!(
        manager.breakers()[0].circuit.state,
        State::Closed,
        "an impatient caller says nothing about the hook"
    );
    assert!(run(&manager).await.results[0].success());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_does_not_keep_the_circuit_open() {
    let hook = Hook::function("slow", EVENT, |req: HookRequest| async move {
        sleep(Duration::from_millis(500)).await;
        match req.field("/tool_input/command") {
            Some("fail") => Err(io::Error::other("no luck")),
            _ => Ok(HookOutput::none()),
        }
    });
    let manager = manager([hook]);
    let state = || manager.breakers()[0].circuit.state;
    for _ in 0..3 {
        manager.execute(bash("fail")).await;
    }
    assert_eq!(state(), State::Open);
    sleep(Duration::from_secs(60)).await;
    for _ in 0..3 {
        let given_up = timeout(Duration::from_millis(200), run(&manager)).await;
        assert!(given_up.is_err());
        assert_eq!(state(), State::HalfOpen, "and the next one may try");
    }
    for _ in 0..5 {
        assert!(run(&manager).await.results[0].success());
    }
    assert_eq!(state(), State::Closed);
}

/// Drops an event after each of its polls in turn, and looks whether everything that it held came back.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_dropped_at_any_of_its_polls_leaves_nothing_behind() {
    let worker = |name: &str| {
        Hook::function(name, EVENT, |req: HookRequest| async move {
            for _ in 0..3 {
                sleep(Duration::from_millis(7)).await;
                tokio::task::yield_now().await;
            }
            match req.field("/tool_input/command") {
                Some("fail") => Err(io::Error::other("no luck")),
                _ => Ok(HookOutput::none()),
            }
        })
    };
    let build = || {
        [
            worker("guard").guard(),
            worker("cached").cached(CacheRule::default()),
            worker("again").idempotent().max_concurrent(1),
            worker("alone").parallel(false),
            worker("writes").writes("index"),
            worker("reads").reads("index"),
            worker("after").depends_on("writes"),
        ]
        .into_iter()
        .fold(
            HookManager::builder()
                .max_concurrent_hooks(2)
                .breaker_threshold(10_000),
            HookManagerBuilder::hook,
        )
        .build()
        .unwrap()
    };
    let waker = noop_waker();
    for command in ["ls", "fail"] {
        let manager = build();
        for polls in 1..120 {
            let mut event = Box::pin(manager.execute(bash(command)));
            let mut is_done = false;
            for _ in 0..polls {
                let polled = event.as_mut().poll(&mut Context::from_waker(&waker));
                is_done = polled.is_ready();
                if is_done {
                    break;
                }
                advance(Duration::from_millis(1)).await;
            }
            drop(event);
            for figures in manager.metrics().hooks {
                let calls = figures.calls.unwrap();
                assert_eq!(calls.in_flight, 0, "{command} {polls}: {}", figures.hook);
            }
            if is_done {
                break;
            }
            let states: Vec<State> = manager.breakers().iter().map(|one| one.circuit.state).collect();
            assert_eq!(states, [State::Closed; 7], "{command} {polls}");
        }
        manager.reset_breakers();
        manager.invalidate(hook_manager::Invalidate::All);
        let report = timeout(Duration::from_secs(10), manager.execute(bash("ls")))
            .await
            .unwrap();
        for result in &report.results {
            assert!(result.success(), "{command}: {result:?}");
        }
        let report = manager.shutdown_within(Duration::ZERO).await;
        assert_eq!(
            (report.drained, report.called_off),
            (0, 0),
            "no event is under way"
        );
    }
}

/// A service that panics wherever it is asked to.
#[derive(Debug)]
struct Panics(&'static str, Arc<AtomicBool>);

impl Clone for Panics {
    fn clone(&self) -> Self {
        assert!(self.0 != "clone" || !self.1.load(SeqCst), "in clone");
        Self(self.0, Arc::clone(&self.1))
    }
}

impl Service<HookRequest> for Panics {
    type Response = HookOutput;
    type Error = Infallible;
    type Future = PanicsLater;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        assert_ne!(self.0, "poll_ready", "in poll_ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: HookRequest) -> PanicsLater {
        assert_ne!(self.0, "call", "in call");
        PanicsLater(self.0)
    }
}

struct PanicsLater(&'static str);

impl Future for PanicsLater {
    type Output = Result<HookOutput, Infallible>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert_ne!(self.0, "poll", "in poll");
        match self.0 {
            "drop while pending" => Poll::Pending,
            _ => Poll::Ready(Ok(HookOutput::none())),
        }
    }
}

impl Drop for PanicsLater {
    fn drop(&mut self) {
        assert!(!self.0.starts_with("drop"), "in drop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_anywhere_fails_alone() {
    for place in [
        "call",
        "poll_ready",
        "poll",
        "clone",
        "drop",
        "drop while pending",
    ] {
        let is_built = Arc::default();
        let hook = Hook::service("panics", EVENT, Panics(place, Arc::clone(&is_built)))
            .timeout(Duration::from_secs(1));
        let manager = manager([hook, takes("fine", EVENT, 10)]);
        is_built.store(true, SeqCst);
        for _ in 0..3 {
            let results = run(&manager).await.results;
            assert!(results[1].success(), "{place}");
            assert!(
                !results[0].success() || place == "drop",
                "{place}: {:?}",
                results[0]
            );
        }
        assert!(
            manager
                .metrics()
                .hooks
                .iter()
                .all(|hook| hook.calls.as_ref().unwrap().in_flight == 0),
            "{place}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_is_called_off_is_nobodys_trouble() {
    let hooks = || {
        [
            Hook::service("panics", EVENT, Panics("drop while pending", Arc::default())),
            takes("fine", EVENT, 10),
        ]
    };
    let manager = manager(hooks());
    let report = manager
        .event(EVENT, serde_json::json!({}))
        .cancel_when(sleep(Duration::from_secs(1)))
        .await
        .unwrap();
    assert_eq!(error(&report.results[0]), &HookError::Cancelled);
    assert!(report.results[1].success());
}

#[tokio::test]
async fn an_answer_from_a_file_that_changed_under_the_hook_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deny.list");
    fs::write(&file, "first").unwrap();
    let changes = Arc::new(AtomicUsize::new(1));
    let hook = {
        let (file, changes) = (file.clone(), Arc::clone(&changes));
        Hook::function("reads", EVENT, move |_| {
            let (file, changes) = (file.clone(), Arc::clone(&changes));
            async move {
                if changes.swap(0, SeqCst) == 1 {
                    fs::write(&file, "second")?;
                }
                Ok::<_, io::Error>(HookOutput::none().context(fs::read_to_string(&file)?))
            }
        })
    };
    let manager = manager([hook.cached(CacheRule::default().file(&file).field("/tool_name"))]);
    assert_eq!(run(&manager).await.merged.contexts, ["second"]);
    fs::write(&file, "first").unwrap();
    assert_eq!(
        run(&manager).await.merged.contexts,
        ["first"],
        "what was read from the second is no answer for the first"
    );
    assert!(run(&manager).await.results[0].cached);
}

#[test]
fn a_declared_file_that_is_a_pipe_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let manager =
                manager([says("reads", HookOutput::none()).cached(CacheRule::default().file(&pipe))]);
            done.send(run(&manager).await.results[0].success()).unwrap();
        });
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_times_like_others() {
    for rule in [
        CacheRule::default().ttl(Duration::MAX),
        CacheRule::default().stale_if_error(Duration::MAX),
        CacheRule::default()
            .ttl(Duration::MAX)
            .stale_if_error(Duration::MAX),
        CacheRule::default().ttl(Duration::ZERO),
    ] {
        let manager = manager([takes("slow", EVENT, 10)
            .timeout(Duration::MAX)
            .cached(rule.clone())]);
        for _ in 0..3 {
            assert!(run(&manager).await.results[0].success(), "{rule:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_of_the_program_and_one_of_a_file_are_told_apart_when_their_names_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let settings = r#"{"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "./lint.sh"}]}]}}"#;
    fs::write(dir.path().join(".claude/settings.json"), settings).unwrap();
    let manager = HookManager::builder()
        .project(dir.path())
        .hook(says("lint", HookOutput::none()))
        .build()
        .unwrap();
    let names: Vec<&str> = manager.hooks().map(|spec| &*spec.name).collect();
    assert_eq!(names, ["lint", "lint#2"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_ends_holds_up_its_followers_no_longer_than_the_event_may_take() {
    let manager = manager([
        Hook::function("hangs", EVENT, |_| pending::<io::Result<HookOutput>>())
            .timeout(Duration::from_secs(3_600)),
        failing("after", &Arc::default()).depends_on("hangs"),
        says("last", HookOutput::none()).depends_on("after"),
        takes("beside", EVENT, 5),
    ]);
    let report = timeout(Duration::from_secs(16), run(&manager))
        .await
        .expect("15 s are all it may take");
    assert_eq!(error(&report.results[0]).kind(), "timed_out");
    assert!(report.results[3].success());
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_a_hook_whose_event_was_dropped_is_dropped_too() {
    let manager = manager([
        takes("first", EVENT, 100),
        takes("second", EVENT, 100).depends_on("first"),
    ]);
    let mut event = pin!(run(&manager));
    assert!(timeout(Duration::from_millis(150), &mut event).await.is_err());
    assert_eq!(event.await.results.len(), 2, "polled again, it goes on");
    assert_eq!(
        manager
            .hooks()
            .next()
            .map(|spec| spec.event == HookEvent::PreToolUse),
        Some(true)
    );
}

#[tokio::test]
async fn a_hook_that_depends_on_a_copy_of_itself_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let handler = |name: &str, on: &[&str]| serde_json::json!({ "type": "command", "command": "true", "hookManager": { "name": name, "dependsOn": on } });
    let other = serde_json::json!({ "type": "command", "command": "true other",
        "hookManager": { "name": "other", "dependsOn": ["lint"] } });
    for (settings, problems) in [
        // The one is for other inputs than the other.
        (
            serde_json::json!([
                { "matcher": "Write", "hooks": [handler("lint", &[])] },
                { "matcher": "Bash", "hooks": [handler("again", &["lint"])] },
            ]),
            0,
        ),
        // Through a third: the copy waits for who waits for what it is a copy of.
        (
            serde_json::json!([
                { "matcher": "Write", "hooks": [handler("lint", &[])] },
                { "matcher": "Bash", "hooks": [other, handler("again", &["other"])] },
            ]),
            2,
        ),
    ] {
        let settings = serde_json::json!({ "hooks": { "PreToolUse": settings } });
        fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
        let manager = HookManager::builder().project(dir.path()).build().unwrap();
        assert_eq!(manager.problems().len(), problems, "{:?}", manager.problems());
        let report = timeout(Duration::from_secs(14), run(&manager)).await;
        let report = report.expect("nobody waits for himself");
        assert!(problems > 0 || report.results[0].success(), "{report:?}");
        manager.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn async_hooks_and_those_they_wait_for_are_in_one_part_of_an_event() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let handler = |name: &str, is_async: bool, on: &[&str]| {
        serde_json::json!({ "type": "command", "command": format!("true {name}"), "async": is_async,
            "hookManager": { "name": name, "dependsOn": on } })
    };
    let handlers = serde_json::json!([
        handler("sync", false, &[]),
        handler("after-sync", true, &["sync"]),
        handler("after-that", true, &["after-sync"]),
        handler("async", true, &[]),
        handler("after-async", true, &["async"]),
        handler("lonely", true, &[]),
    ]);
    let settings = serde_json::json!({ "hooks": { "PreToolUse": [{ "hooks": handlers }] } });
    fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
    let manager = HookManager::builder().project(dir.path()).build().unwrap();
    tokio::time::resume();
    let mut ran = Vec::new();
    for part in [Part::Awaited, Part::Background] {
        let report = manager
            .execute_part(part, Duration::from_secs(10), bash("ls"))
            .await;
        for result in &report.results {
            if result.attempts > 0 {
                assert!(result.success(), "{result:?}");
                ran.push((part, result.hook.to_string()));
            } else {
                let why = result.reason().unwrap_or_default();
                assert!(why.starts_with("it is async"), "{}: {why}", result.hook);
            }
        }
    }
    let expected = [
        (Part::Awaited, "sync"),
        (Part::Awaited, "after-sync"),
        (Part::Awaited, "after-that"),
        (Part::Background, "async"),
        (Part::Background, "after-async"),
        (Part::Background, "lonely"),
    ];
    let ran: Vec<(Part, &str)> = ran.iter().map(|(part, name)| (*part, &**name)).collect();
    assert_eq!(ran, expected);
    manager.shutdown().await;
}

#[test]
fn a_field_of_the_key_that_is_no_pointer_is_refused_for_it_would_be_the_same_for_all_inputs() {
    for (field, is_fine) in [
        ("tool_name", false),
        ("", false),
        ("tool_input.command", false),
        ("/tool_input/command", true),
    ] {
        let hook = says("reads", HookOutput::none()).cached(CacheRule::default().field(field));
        match HookManager::builder().hook(hook).build() {
            Ok(_) => assert!(is_fine, "{field}"),
            Err(err) => {
                let told = err.to_string();
                assert!(
                    !is_fine && told.contains("cache: fields: expected a JSON pointer"),
                    "{told}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_only_look_alike_once_they_are_read_are_different_keys() {
    for pair in [
        [r#""cut \ud83d""#, r#""cut \ud83e""#],
        ["123456789012345678901234567890", "123456789012345678901234567891"],
        ["0.1000000000000000055", "0.1"],
        ["null", ""],
    ] {
        let runs = Arc::new(AtomicUsize::new(0));
        let manager =
            manager([crate::support::echo(&runs).cached(CacheRule::default().field("/tool_input"))]);
        for value in pair {
            let text = match value {
                "" => r#"{"tool_name": "Bash"}"#.to_owned(),
                value => format!(r#"{{"tool_name": "Bash", "tool_input": {value}}}"#),
            };
            for _ in 0..2 {
                manager.execute(HookRequest::parse(EVENT, &text).unwrap()).await;
            }
        }
        assert_eq!(runs.load(SeqCst), 2, "{pair:?}");
    }
    let runs = Arc::new(AtomicUsize::new(0));
    let manager = manager([crate::support::echo(&runs).cached(CacheRule::default().field("/tool_input"))]);
    for byte in [0xfe, 0xff, 0xfe] {
        let mut text = br#"{"tool_input": "_"}"#.to_vec();
        text[16] = byte;
        manager.execute(HookRequest::parse(EVENT, &text).unwrap()).await;
    }
    assert_eq!(runs.load(SeqCst), 2, "bytes that are no text");
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_and_one_that_is_dropped_half_way_do_no_harm() {
    let manager = manager([takes("slow", EVENT, 60_000).timeout(Duration::from_secs(600))]);
    let events: Vec<_> = (0..3)
        .map(|_| {
            let manager = manager.clone();
            tokio::spawn(async move { run(&manager).await })
        })
        .collect();
    sleep(Duration::from_millis(100)).await;
    for _ in 0..2 {
        let dropped = timeout(
            Duration::from_secs(1),
            manager.shutdown_within(Duration::from_secs(5)),
        )
        .await;
        assert!(dropped.is_err(), "it waits for them");
    }
    let (one, other) = tokio::join!(
        manager.shutdown_within(Duration::from_secs(2)),
        manager.shutdown_within(Duration::from_secs(3)),
    );
    assert_eq!((one.drained, one.called_off), (0, 3));
    assert!(one.saved.is_ok() && other.saved.is_ok());
    assert_eq!(other.called_off, 0, "the first has called them off");
    for event in events {
        assert_eq!(error(&event.await.unwrap().results[0]), &HookError::Cancelled);
    }
    let again = manager.shutdown_within(Duration::ZERO).await;
    assert_eq!((again.drained, again.called_off), (0, 0));
    assert_eq!(error(&run(&manager).await.results[0]), &HookError::Cancelled);
}

#[test]
fn a_manager_outlives_a_runtime_with_what_works_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let manager = HookManager::builder()
        .state_dir(dir.path())
        .save_every(Duration::from_secs(1))
        .hook(says("says", HookOutput::none()))
        .build()
        .unwrap();
    for round in 1..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            run(&manager).await;
            let saved = || {
                let text = fs::read_to_string(dir.path().join("state.json")).ok()?;
                let state: serde_json::Value = serde_json::from_str(&text).ok()?;
                state["hooks"]["PreToolUse/says"]["totals"]["calls"].as_u64()
            };
            let until = std::time::Instant::now() + Duration::from_secs(20);
            while saved() != Some(round) {
                assert!(std::time::Instant::now() < until, "round {round}: {:?}", saved());
                sleep(Duration::from_millis(100)).await;
                std::thread::yield_now();
            }
        });
    }
}

#[test]
fn ten_thousand_hooks_that_wait_for_each_other_in_a_row_are_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".claude")).unwrap();
    let handlers: Vec<_> = (0..10_000)
        .map(|n| {
            let on = [format!("h{}", n + 1)];
            let on: &[String] = if n < 9_999 { &on } else { &[] };
            serde_json::json!({ "type": "command", "command": format!("true {n}"),
                "hookManager": { "name": format!("h{n}"), "dependsOn": on } })
        })
        .collect();
    let settings = serde_json::json!({ "hooks": { "PreToolUse": [{ "hooks": handlers }] } });
    fs::write(dir.path().join(".claude/settings.json"), settings.to_string()).unwrap();
    let began = std::time::Instant::now();
    // On a stack as small as any thread's.
    let build = move || {
        HookManager::builder()
            .project(dir.path())
            .build()
            .unwrap()
            .hooks()
            .count()
    };
    let built = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(build)
        .unwrap();
    assert_eq!(built.join().unwrap(), 10_000);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn answers_to_huge_inputs_are_not_kept_and_so_fill_no_memory() {
    let runs = Arc::new(AtomicUsize::new(0));
    let manager = manager([crate::support::echo(&runs).cached(CacheRule::default())]);
    for (size, expected) in [(100_000, 1), (200_000, 3)] {
        // The answer says the command again.
        for _ in 0..2 {
            let report = manager.execute(bash(&"x".repeat(size))).await;
            assert!(report.results[0].success());
        }
        assert_eq!(runs.load(SeqCst), expected, "{size}");
    }
}

/// With real threads and real programs, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_events_half_of_which_are_given_up_leaves_everything_as_it_was() {
    let quick = |name: &str| {
        Hook::function(name, EVENT, |_| async {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            Ok::<_, io::Error>(HookOutput::none())
        })
    };
    let manager = [
        quick("guard").guard(),
        quick("cached").cached(CacheRule::default().ttl(Duration::from_millis(1))),
        quick("alone").parallel(false),
        quick("writes").writes("index").max_concurrent(1),
        quick("reads").reads("index").depends_on("guard"),
        Hook::shell("program", EVENT, "true").idempotent(),
    ]
    .into_iter()
    .fold(HookManager::builder(), HookManagerBuilder::hook)
    .build()
    .unwrap();
    let events: Vec<_> = (0..200u64)
        .map(|n| {
            let manager = manager.clone();
            tokio::spawn(async move {
                let event = manager.execute(bash(&(n % 7).to_string()));
                let patience = if n % 2 == 0 { 60_000 } else { n * 37 % 400 };
                timeout(Duration::from_millis(patience), event).await.is_ok()
            })
        })
        .collect();
    for (n, event) in events.into_iter().enumerate() {
        assert!(event.await.unwrap() || n % 2 == 1);
    }
    let report = timeout(Duration::from_secs(30), run(&manager))
        .await
        .expect("all places are free");
    assert!(
        report.results.iter().all(hook_manager::HookResult::success),
        "{report:?}"
    );
    let metrics = manager.metrics();
    for hook in &metrics.hooks {
        let calls = hook.calls.as_ref().unwrap();
        assert_eq!(calls.in_flight, 0, "{}", hook.hook);
        let latency = hook.latency.as_ref().unwrap();
        assert!(latency.count() <= hook.total.runs, "{}: {latency:?}", hook.hook);
    }
    assert!(
        manager
            .breakers()
            .iter()
            .all(|one| one.circuit.state == State::Closed)
    );
    let report = manager.shutdown_within(Duration::ZERO).await;
    assert_eq!((report.drained, report.called_off), (0, 0));
}
