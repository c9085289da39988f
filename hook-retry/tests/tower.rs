//! The policy behind tower's own layer.

mod common;

use std::time::Duration;

use hook_retry::{Attempt, Budget, RetryPolicy, Verdict};
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt, retry::RetryLayer};

use common::{Calls, MS, failing, plain};

#[tokio::test(start_paused = true)]
async fn tower_retries_as_the_policy_says_and_each_call_starts_anew() {
    let calls = Calls::new();
    let mut service = RetryLayer::new(plain(3).for_tower()).layer(failing(6, &calls));
    assert_eq!(
        service.ready().await.unwrap().call("x").await,
        Err("failure 4".to_owned())
    );
    assert_eq!(calls.at(), [0, 100, 300, 700]);
    assert_eq!(service.ready().await.unwrap().call("x").await, Ok(7));
    assert_eq!(calls.at()[4..], [700, 800, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn tower_keeps_to_the_total_time_and_the_budget() {
    let calls = Calls::new();
    let policy = plain(9).max_elapsed(1_000 * MS);
    let _ = RetryLayer::new(policy.for_tower())
        .layer(failing(99, &calls))
        .oneshot("x")
        .await;
    assert_eq!(calls.at(), [0, 100, 300, 700]);

    let calls = Calls::new();
    let policy = plain(9).budget(Budget::new().ratio(0.0).floor(1));
    let _ = RetryLayer::new(policy.for_tower())
        .layer(failing(99, &calls))
        .oneshot("x")
        .await;
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_costs_nothing() {
    let budget = Budget::new().ratio(0.0).floor(1);
    let layer = RetryLayer::new(plain(1).budget(budget.clone()).for_tower());
    let mut call = task::spawn(layer.layer(failing(9, &Calls::new())).oneshot("x"));
    assert_pending!(call.poll());
    assert_eq!(budget.left(), 0);
    drop(call);
    assert_eq!(budget.left(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn tower_stops_where_the_policy_stops_and_without_retries_nothing_is_cloned() {
    let calls = Calls::new();
    let policy = RetryPolicy::new().classify_with(|_: Result<&usize, &String>, _: &Attempt| Verdict::Stop);
    let _ = RetryLayer::new(policy.for_tower())
        .layer(failing(9, &calls))
        .oneshot("x")
        .await;
    let _ = RetryLayer::new(plain(0).for_tower())
        .layer(failing(9, &calls))
        .oneshot("x")
        .await;
    assert_eq!(calls.count(), 2);
}
