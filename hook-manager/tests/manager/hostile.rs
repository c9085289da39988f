//! Hooks and callers that do not play by the rules: nothing of theirs is anybody else's trouble.

use std::{
    convert::Infallible,
    fs,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::noop_waker;
use hook_manager::{
    CacheRule, Hook, HookError, HookManager, HookManagerBuilder, HookOutput, HookRequest, layers::State,
};
use tokio::time::{advance, sleep, timeout};
use tower::Service;

use crate::support::{EVENT, bash, error, manager, run, says, takes};

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
