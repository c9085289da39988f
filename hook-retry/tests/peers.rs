//! A test for each fault that was found in another retry, named after it.

mod common;

use std::{
    cell::Cell,
    sync::{Arc, Weak},
    time::Duration,
};

use hook_retry::{Backoff, Budget, Exponential, NoWait, RetryLayer, RetryPolicy, budget::Withdrawal};
use tokio::time::Instant;
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};

use common::{Calls, MS, failing};

/// Attempts for each call, over 10,000 calls of which every second attempt fails.
async fn amplification(budget: Budget) -> f64 {
    const CALLS: u32 = 10_000;
    let attempts = Cell::new(0u32);
    let flaky = service_fn(|()| {
        attempts.set(attempts.get() + 1);
        let result = if attempts.get() % 2 == 0 { Err(()) } else { Ok(()) };
        async move { result }
    });
    let service = RetryLayer::new(RetryPolicy::new().backoff(NoWait).budget(budget)).layer(flaky);
    for _ in 0..CALLS {
        let _ = service.clone().oneshot(()).await;
    }
    f64::from(attempts.get()) / f64::from(CALLS)
}

#[tokio::test(start_paused = true)]
async fn tower_resilience_budget_allows_100_percent_amplification() {
    assert!(amplification(Budget::new()).await <= 1.2);
    assert!(
        amplification(Budget::new()).await > 1.199,
        "what the budget allows is used"
    );
}

#[tokio::test(start_paused = true)]
async fn tower_budget_ratio_of_0_6_lets_10_of_10_retry() {
    let budget = Budget::new().ratio(0.6).floor(0);
    (0..10).for_each(|_| budget.deposit());
    let allowed = std::iter::from_fn(|| budget.withdraw())
        .map(Withdrawal::spend)
        .count();
    assert_eq!(allowed, 6);
    let ratio = amplification(Budget::new().ratio(0.6).floor(0)).await;
    assert!((1.599..=1.6).contains(&ratio), "{ratio}");
}

#[tokio::test(start_paused = true)]
async fn tower_budget_expiry_loops_once_per_idle_slot_under_its_lock() {
    let budget = Budget::new().window(MS);
    budget.deposit();
    assert_eq!(budget.left(), 10);
    // A century is 3 * 10^16 slots of a tenth of a millisecond: gone through one by one, this would not end.
    tokio::time::advance(Duration::from_secs(100 * 365 * 24 * 60 * 60)).await;
    let began = std::time::Instant::now();
    assert_eq!(budget.left(), 10);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn tower_every_request_gets_the_same_jitter_sequence() {
    let layer = RetryLayer::new(RetryPolicy::new().no_budget());
    let mut waits = vec![];
    for _ in 0..20 {
        let calls = Calls::new();
        let _ = layer.clone().layer(failing(9, &calls)).oneshot("x").await;
        waits.push(calls.at());
    }
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits.len(), 20);
}

#[test]
fn tower_sub_second_jitter_is_truncated_for_whole_second_delays() {
    let backoff = Exponential::new(Duration::from_secs(2)).cap(Duration::from_secs(2));
    let waits: Vec<_> = (0..100).filter_map(|seed| backoff.delays(seed).next()).collect();
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(2)));
    assert!(
        waits.iter().filter(|wait| wait.subsec_nanos() != 0).count() > 95,
        "{waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn tower_resilience_has_no_jitter_by_default() {
    let start = Instant::now();
    let calls = Calls::new();
    let _ = RetryLayer::default().layer(failing(9, &calls)).oneshot("x").await;
    let other = Calls::new();
    let _ = RetryLayer::default().layer(failing(9, &other)).oneshot("x").await;
    assert_ne!(calls.at(), other.at());
    assert!(start.elapsed() <= 2 * 703 * MS);
}

#[tokio::test(start_paused = true)]
async fn tower_resilience_retry_holds_the_failed_response_during_back_off() {
    let token = Arc::new(());
    let watch: Weak<()> = Arc::downgrade(&token);
    let service = service_fn(move |_: ()| {
        let response = Arc::clone(&token);
        async move { Ok::<_, ()>(response) }
    });
    let policy = RetryPolicy::new()
        .backoff(Exponential::from_millis(100).no_jitter())
        .retry_if(|result: Result<&Arc<()>, &()>| result.is_ok());
    let mut call = task::spawn(RetryLayer::new(policy).layer(service).oneshot(()));
    assert_pending!(call.poll());
    // The service's own; the response is gone.
    assert_eq!(watch.strong_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn tower_resilience_has_fresh_state_per_layer_call() {
    let layer = RetryLayer::new(
        RetryPolicy::new()
            .backoff(NoWait)
            .budget(Budget::new().ratio(0.0).floor(2)),
    );
    for _ in 0..5 {
        let _ = layer.layer(failing(1, &Calls::new())).oneshot("x").await;
    }
    let seen = layer.handle().snapshot();
    assert_eq!((seen.calls(), seen.retries, seen.over_budget), (5, 2, 3));
}

#[tokio::test(start_paused = true)]
async fn the_python_original_retries_never_see_a_failure() {
    let calls = Calls::new();
    let answer = RetryLayer::default().layer(failing(1, &calls)).oneshot("x").await;
    assert_eq!((answer, calls.count()), (Ok(2), 2));
}
