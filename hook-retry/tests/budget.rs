//! The budget in a stack: who shares it, what costs, what is given back.
//!
//! A budget of failsafe-go's kind ("rate .5, floor 1, 2 running + 1 retry: one permit, then refused") limits how many of
//! the calls under way may be retries. Ours limits how many retries there are for the calls of a while, which also
//! holds where calls are short; its own numbers are tested beside it.

mod common;

use std::{cell::Cell, time::Duration};

use hook_retry::{BoxError, Budget, Failure, NoWait, Reason, Rejected, RetryLayer, RetryPolicy, Verdict};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};

use common::{Calls, MS, failing, plain};

fn few(retries: u32) -> Budget {
    Budget::new().ratio(0.0).floor(retries)
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_ends_calls_at_once_with_the_error_they_have() {
    let calls = Calls::new();
    let layer = RetryLayer::new(plain(3).budget(few(1)));
    let answer = layer.layer(failing(9, &calls)).oneshot("x").await;
    assert_eq!((answer, calls.at()), (Err("failure 2".to_owned()), vec![0, 100]));
    let seen = layer.handle().snapshot();
    assert_eq!(
        (seen.over_budget, seen.retries, seen.failed_with_retry),
        (1, 1, 1)
    );
    assert_eq!(layer.handle().budget().map(Budget::left), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_shared_by_clones_layers_and_runs() {
    let budget = Budget::new().ratio(0.5).floor(0);
    let one = RetryLayer::new(plain(1).budget(budget.clone()));
    let two = RetryLayer::new(RetryPolicy::new().backoff(NoWait).budget(budget.clone())).name("two");
    for _ in 0..4 {
        let _ = one.clone().layer(failing(0, &Calls::new())).oneshot("x").await;
        let _ = two.layer(failing(0, &Calls::new())).oneshot("x").await;
    }
    // What a layer counted stays when it goes, also if nobody had looked before.
    drop((one, two));
    assert_eq!(budget.left(), 4);
    let policy = plain(1).budget(budget.clone());
    assert_eq!(policy.clone().run(async |_| Err::<(), _>(())).await, Err(()));
    assert_eq!(policy.run(async |_| Ok::<_, ()>(())).await, Ok(()));
    // Ten calls and a retry.
    assert_eq!(budget.left(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_costs_nothing_and_an_error_does() {
    for (rejected, left) in [
        (Some(Rejected::new(Reason::CircuitOpen).after(MS)), 5),
        (Some(Rejected::new(Reason::PoolTimeout { waited: MS })), 5),
        (Some(Rejected::new(Reason::ConnectTimeout { after: MS })), 2),
        (None, 2),
    ] {
        let (budget, calls) = (few(5), Cell::new(0));
        let service = service_fn(|()| {
            calls.set(calls.get() + 1);
            let err: BoxError = rejected.clone().map_or_else(|| "reset".into(), Into::into);
            async { Err::<(), _>(err) }
        });
        let _ = RetryLayer::new(RetryPolicy::new().budget(budget.clone()))
            .layer(service)
            .oneshot(())
            .await;
        assert_eq!((calls.get(), budget.left()), (4, left), "{rejected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_not_made_after_all_is_given_back() {
    let layer = RetryLayer::new(plain(3).budget(few(1)));
    let mut call = task::spawn(layer.layer(failing(9, &Calls::new())).oneshot("x"));
    assert_pending!(call.poll());
    let left = || layer.handle().budget().map(Budget::left);
    assert_eq!(left(), Some(0));
    drop(call);
    assert_eq!(left(), Some(1));
    assert_eq!(layer.handle().snapshot().dropped, 1);

    let policy = plain(3).budget(few(1));
    let mut run = task::spawn(policy.run(async |_| Err::<(), _>(())));
    assert_pending!(run.poll());
    drop(run);
    assert_eq!(
        policy.run(async |attempt| Err::<(), _>(attempt.number)).await,
        Err(2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_layer_and_service_keeps_its_policy() {
    let calls = Calls::new();
    let call = RetryLayer::new(plain(3).budget(few(2)))
        .layer(failing(9, &calls))
        .oneshot("x");
    let mut call = task::spawn(call);
    assert_pending!(call.poll());
    // Others take whatever cells are free.
    let others: Vec<_> = (0..20).map(|_| RetryLayer::default()).collect();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_pending!(call.poll());
    drop(others);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(call.await, Err("failure 3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_new_layer_counts_from_zero_whoever_counted_there_before() {
    for _ in 0..50 {
        let layer = RetryLayer::new(plain(1));
        let _ = layer.layer(failing(9, &Calls::new())).oneshot("x").await;
        let seen = layer.handle().snapshot();
        assert_eq!(
            (seen.calls(), seen.retries, layer.handle().last_failures().len()),
            (1, 1, 2)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_latest_failures_are_told_the_last_one_first() {
    let layer = RetryLayer::new(RetryPolicy::new().retries(0));
    let kinds = [
        std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
        Rejected::new(Reason::CircuitIsolated).into(),
        BoxError::from("other"),
    ];
    for err in kinds {
        let err = Cell::new(Some(err));
        let service = service_fn(|()| {
            let err: BoxError = err.take().expect("called once");
            async { Err::<(), _>(err) }
        });
        assert!(layer.layer(service).oneshot(()).await.is_err());
    }
    let reset = Failure::Io(std::io::ErrorKind::ConnectionReset);
    let expected = [Failure::Error, Failure::Refused(Reason::CircuitIsolated), reset];
    assert_eq!(layer.handle().last_failures(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_long_word_from_the_server_can_be_cut_and_a_refusal_cannot() {
    for (verdict, at) in [
        (Verdict::RetryAfter(60_000 * MS), vec![0, 5_000]),
        (Verdict::Refused(Some(60_000 * MS)), vec![0]),
    ] {
        let calls = Calls::new();
        let policy = plain(1)
            .cut_retry_after()
            .classify_with(move |_: Result<&usize, &String>, _: &hook_retry::Attempt| verdict);
        let _ = RetryLayer::new(policy)
            .layer(failing(9, &calls))
            .oneshot("x")
            .await;
        assert_eq!(calls.at(), at);
    }
}
