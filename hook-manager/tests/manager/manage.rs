//! What a manager can be asked, and told to do.

use std::{sync::Arc, time::Duration};

use hook_manager::{
    Advice, CacheRule, Hook, HookEvent, HookManager, HookOutput, Invalidate, OnFailure,
    layers::{State, Status},
};

use crate::support::{EVENT, bash, echo, failing, manager, run, says, takes};

fn cached(name: &str, rule: CacheRule) -> Hook {
    says(name, HookOutput::none()).cached(rule)
}

#[tokio::test(start_paused = true)]
async fn cached_answers_go_by_hook_pattern_tag_and_all_together() {
    let hooks = || {
        [
            cached("git-status", CacheRule::default().tag("repo")),
            cached("lint", CacheRule::default()),
        ]
    };
    for (what, gone) in [
        (Invalidate::All, 4),
        (Invalidate::Hook("lint"), 2),
        (Invalidate::Hook("lin"), 0),
        (Invalidate::Tag("repo"), 2),
        (Invalidate::Tag("rep"), 0),
        (Invalidate::Matching("git"), 2),
        (Invalidate::Matching("\"ls\""), 2),
        (Invalidate::Matching("nothing"), 0),
    ] {
        let manager = manager(hooks());
        for command in ["ls", "pwd", "ls", "pwd"] {
            manager.execute(bash(command)).await;
        }
        assert_eq!(
            manager
                .cache_stats()
                .iter()
                .map(|(_, stats)| stats.hits)
                .sum::<u64>(),
            4
        );
        assert_eq!(manager.invalidate(what), gone, "{what:?}");
        let left: usize = manager.cache_stats().iter().map(|(_, stats)| stats.entries).sum();
        assert_eq!(left, 4 - gone);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_for_as_long_as_the_hooks_name_says_unless_its_owner_does() {
    for (hook, seconds) in [
        (cached("git-status", CacheRule::default()), 60),
        (cached("parse_config", CacheRule::default()), 1_800),
        (cached("update-index", CacheRule::default()), 30),
        (cached("lint", CacheRule::default()), 300),
        (
            cached("git-log", CacheRule::default().ttl(Duration::from_secs(7))),
            7,
        ),
    ] {
        let manager = manager([hook]);
        run(&manager).await;
        tokio::time::advance(Duration::from_millis(seconds * 1_000 - 1)).await;
        assert!(run(&manager).await.results[0].cached, "{seconds}");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!run(&manager).await.results[0].cached, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn circuits_are_listed_reset_and_forced_by_name() {
    let manager = manager([failing("bad", &Arc::default()), says("fine", HookOutput::none())]);
    let states = || -> Vec<State> { manager.breakers().iter().map(|one| one.circuit.state).collect() };
    for _ in 0..4 {
        run(&manager).await;
    }
    assert_eq!(states(), [State::Open, State::Closed]);
    assert_eq!(
        (manager.reset_breaker("bad"), manager.reset_breaker("nobody")),
        (1, 0)
    );
    assert_eq!(states(), [State::Closed, State::Closed]);

    assert_eq!(manager.force_open("fine"), 1);
    assert_eq!(
        run(&manager).await.results[1].error().unwrap().kind(),
        "circuit_open"
    );
    assert_eq!(manager.force_close("bad"), 1);
    for _ in 0..10 {
        assert_eq!(run(&manager).await.results[0].error().unwrap().kind(), "failed");
    }
    assert_eq!(manager.reset_breakers(), 2);
    assert!(run(&manager).await.results[1].success());
}

#[tokio::test(start_paused = true)]
async fn metrics_add_up_over_hooks_and_by_event() {
    let manager = HookManager::builder()
        .hook(echo(&Arc::default()).cached(CacheRule::default()))
        .hook(
            failing("bad", &Arc::default())
                .idempotent()
                .on_failure(OnFailure::Block),
        )
        .retries(1)
        .breaker_threshold(1_000)
        .hook(takes("later", HookEvent::Stop, 5))
        .build()
        .unwrap();
    for _ in 0..5 {
        run(&manager).await;
    }
    let metrics = manager.metrics();
    let total = metrics.total;
    assert_eq!((total.calls, total.successes, total.failures), (10, 5, 5));
    assert_eq!((total.cache_hits, total.cache_misses), (4, 1));
    assert_eq!((total.retries, total.runs), (5, 11));
    assert_eq!(total.success_rate(), Some(0.5));
    assert_eq!(metrics.events.len(), 1, "nothing happened at Stop");
    let (event, figures) = &metrics.events[0];
    assert_eq!((event, figures.count, figures.results), (&EVENT, 5, 10));
    assert_eq!((figures.failures, figures.blocked), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn health_says_what_is_wrong_and_is_well_again() {
    let manager = manager([failing("bad", &Arc::default()), says("fine", HookOutput::none())]);
    assert!(manager.health().is_healthy());
    for _ in 0..3 {
        run(&manager).await;
    }
    let health = manager.health();
    assert_eq!(health.status, Status::Degraded);
    assert_eq!(
        health.to_string(),
        "degraded\nbreakers: degraded: left alone: bad"
    );
    manager.reset_breakers();
    assert!(manager.health().is_healthy());
    for _ in 0..3 {
        run(&manager).await;
        manager.reset_breakers();
    }
    assert_eq!(
        manager.health().to_string(),
        "unhealthy\nsuccess_rate: unhealthy: 50 % of calls are answered, expected 90 %"
    );
}

#[tokio::test(start_paused = true)]
async fn advice_names_the_slow_the_unreliable_and_the_cache_of_little_use() {
    let manager = HookManager::builder()
        .breaker_threshold(1_000)
        .hook(takes("slow", EVENT, 800))
        .hook(failing("bad", &Arc::default()))
        .hook(echo(&Arc::default()).cached(CacheRule::default()))
        .hook(takes("quick", HookEvent::Stop, 1))
        .build()
        .unwrap();
    assert_eq!(
        manager.recommendations(None),
        [],
        "of hooks that never ran there is nothing to say"
    );
    for n in 0..25 {
        manager.execute(bash(&n.to_string())).await;
    }
    let said: Vec<String> = manager
        .recommendations(None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "slow (PreToolUse) takes 800 ms on average: make it faster, or declare it cacheable if it only reads",
            "bad (PreToolUse) succeeds 0 % of the time: mend it, or declare it idempotent so that it is tried again",
            "echo (PreToolUse) is answered from the cache 0 % of the time: name the fields it depends on, or raise its TTL",
        ]
    );
    assert_eq!(manager.recommendations(Some(&HookEvent::Stop)), []);

    let optimized = manager.optimize();
    assert_eq!(optimized.health.status, Status::Unhealthy);
    let unwell =
        |advice: &Advice| matches!(advice, Advice::Unwell { what } if what.starts_with("success_rate"));
    assert!(optimized.recommendations.iter().any(unwell), "{optimized:?}");
    tokio::time::advance(Duration::from_secs(300)).await;
    // A sweep has a few milliseconds, which a busy machine may take for something else.
    let mut swept = 0;
    while swept < 25 {
        let optimized = manager.optimize();
        assert!(optimized.swept > 0, "after {swept}");
        swept += optimized.swept;
    }
    let optimized = manager.optimize();
    assert_eq!((swept, optimized.swept), (25, 0));
    assert!(!cfg!(target_os = "linux") || optimized.memory.is_some_and(|bytes| bytes > 100_000));
}

#[tokio::test(start_paused = true)]
async fn all_layers_are_in_one_registry_under_names_of_their_own() {
    let twice = |event| takes("twin", event, 1).idempotent();
    let manager = manager([twice(EVENT), twice(HookEvent::Stop)]);
    run(&manager).await;
    let seen = manager.monitor().snapshot();
    for (name, calls) in [("PreToolUse/twin", 1), ("Stop/twin", 0)] {
        for layer in ["monitor", "retry", "breaker"] {
            assert!(seen.source(layer, name).is_some(), "{layer} {name}");
        }
        let breaker = seen.source("breaker", name).unwrap();
        let successes = breaker.counter("hook_breaker_calls_total", &[("kind", "success")]);
        assert_eq!(successes, Some(calls));
    }
}
