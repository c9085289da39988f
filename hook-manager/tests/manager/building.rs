//! What a manager is made of, and its end.

use std::time::Duration;

use hook_manager::{CacheRule, Hook, HookError, HookManager, HookOutput, Http};

use crate::support::{EVENT, error, hangs, manager, run, says};

#[tokio::test(start_paused = true)]
async fn after_shutdown_hooks_end_as_cancelled() {
    let manager = manager([says("fine", HookOutput::none())]);
    // How many processes are left is of the whole program, other tests included.
    manager.shutdown().await;
    assert_eq!(error(&run(&manager).await.results[0]), &HookError::Cancelled);
}

#[test]
fn figures_that_make_no_sense_are_refused_by_name() {
    let builder = HookManager::builder;
    for (refused, sentence) in [
        (
            builder().max_concurrent_hooks(0),
            "max_concurrent_hooks: expected 1 to 1000, found 0",
        ),
        (
            builder().deadline(Duration::ZERO),
            "deadline: expected 1ms to 24 hours, found 0ns",
        ),
        (
            builder().breaker_threshold(0),
            "breaker_threshold: expected 1 to 1000000, found 0",
        ),
        (
            builder().project("/nowhere"),
            "project: expected a directory, found /nowhere",
        ),
        (builder().hook(hangs("x").matching("(")), "hook x: "),
        (
            builder().hook(hangs("x")).hook(hangs("x")),
            "hook x: another hook of the same event has this name",
        ),
    ] {
        let err = refused.build().unwrap_err().to_string();
        assert!(err.starts_with(sentence), "{err}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_layer_of_every_hook_can_be_read_from_outside() {
    let manager = manager([says("fine", HookOutput::none())
        .idempotent()
        .cached(CacheRule::default())]);
    run(&manager).await;
    let layers: Vec<(&str, &str)> = manager
        .layers()
        .map(|layer| (layer.layer(), layer.name()))
        .collect();
    assert_eq!(
        layers,
        [
            ("monitor", "fine"),
            ("cache", "fine"),
            ("retry", "fine"),
            ("breaker", "fine")
        ]
    );
}

#[tokio::test]
async fn no_hook_has_more_connections_or_processes_than_the_manager_allows() {
    let http = Hook::http("posts", EVENT, Http::new("http://127.0.0.1:9/hooks"));
    let worker = Hook::worker("stays", EVENT, "cat", ["-"]);
    let builder = HookManager::builder().pool_size(3).hook(http).hook(worker);
    let pools = builder.build().unwrap().pool_stats();
    let most: Vec<_> = pools
        .iter()
        .map(|(hook, pool)| (&**hook, pool.max_per_key))
        .collect();
    assert_eq!(most, [("posts", 3), ("stays", 3)]);
}
