//! When retries happen, in virtual time: limits, waits and jitter.

mod common;

use std::{
    cell::Cell,
    sync::{Arc, Weak},
    time::Duration,
};

use hook_retry::{Attempt, Fixed, Linear, NoWait, RetryLayer, RetryPolicy, Verdict};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};

use common::{Calls, MS, failing, plain};

#[tokio::test(start_paused = true)]
async fn a_total_time_is_never_slept_past() {
    let calls = Calls::new();
    let layer = RetryLayer::new(plain(9).max_elapsed(Duration::from_secs(1)));
    let answer = layer.layer(failing(9, &calls)).oneshot("x").await;
    // The next would begin at 1,500 ms: the call fails at 700, with the error it has.
    assert_eq!(answer, Err("failure 4".to_owned()));
    assert_eq!(calls.start.elapsed(), 700 * MS);
    assert_eq!(layer.handle().snapshot().too_late, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_outlasts_the_total_time_is_the_last() {
    let calls = Calls::new();
    let policy = RetryPolicy::new().backoff(NoWait).max_elapsed(100 * MS);
    let counted = calls.clone();
    let slow_second = service_fn(move |()| {
        let n = counted.note();
        async move {
            if n == 2 {
                sleep(120 * MS).await;
            }
            Err::<(), _>(n)
        }
    });
    assert_eq!(
        RetryLayer::new(policy).layer(slow_second).oneshot(()).await,
        Err(2)
    );
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_the_request_is_never_slept_past() {
    let start = Instant::now();
    for (deadline, calls) in [
        (None, 4),
        (Some(301), 3),
        (Some(300), 2),
        (Some(50), 1),
        (Some(0), 1),
    ] {
        let policy = plain(3).deadline_by(|deadline: &Option<Instant>| deadline.map(Instant::into_std));
        let count = Cell::new(0);
        let service = service_fn(|_| {
            count.set(count.get() + 1);
            async { Err::<(), _>("no") }
        });
        let deadline = deadline.map(|ms| Instant::now() + ms * MS);
        assert!(
            RetryLayer::new(policy)
                .layer(service)
                .oneshot(deadline)
                .await
                .is_err()
        );
        assert_eq!(count.get(), calls, "{:?}", deadline.map(|at| at - start));
        assert!(deadline.is_none_or(|at| Instant::now() <= at));
    }
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_deadline_and_total_time_counts() {
    for (total, deadline) in [(150, 900), (900, 150)] {
        let start = Instant::now();
        let at = (start + deadline * MS).into_std();
        let calls = Calls::new();
        let policy = plain(9)
            .max_elapsed(total * MS)
            .deadline_by(move |_: &&str| Some(at));
        let _ = RetryLayer::new(policy)
            .layer(failing(9, &calls))
            .oneshot("x")
            .await;
        assert_eq!((calls.at(), start.elapsed()), (vec![0, 100], 100 * MS));
    }
}

#[tokio::test(start_paused = true)]
async fn a_total_time_that_no_clock_can_show_is_no_limit() {
    let calls = Calls::new();
    let policy = plain(2).max_elapsed(Duration::MAX);
    let answer = RetryLayer::new(policy)
        .layer(failing(2, &calls))
        .oneshot("x")
        .await;
    assert_eq!(answer, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_word_from_the_server_is_obeyed_to_the_millisecond_and_backoff_restarts_at_its_first_wait() {
    let calls = Calls::new();
    let policy = plain(9).classify_with(|result: Result<&usize, &String>, attempt: &Attempt| {
        match (result, attempt.number) {
            (Ok(_), _) => Verdict::Stop,
            (Err(_), 3) => Verdict::RetryAfter(1_000 * MS),
            (Err(_), _) => Verdict::Retry,
        }
    });
    let _ = RetryLayer::new(policy)
        .layer(failing(5, &calls))
        .oneshot("x")
        .await;
    assert_eq!(calls.at(), [0, 100, 300, 1_300, 1_400, 1_600]);
}

#[tokio::test(start_paused = true)]
async fn a_longer_wait_than_the_policy_has_patience_for_fails_now() {
    for (asked, calls_expected) in [(5_000, 2), (5_001, 1)] {
        let calls = Calls::new();
        let layer = RetryLayer::new(
            plain(1).classify_with(move |_: Result<&usize, &String>, _: &Attempt| {
                Verdict::RetryAfter(asked * MS)
            }),
        );
        let _ = layer.layer(failing(9, &calls)).oneshot("x").await;
        assert_eq!(calls.count(), calls_expected);
        assert_eq!(layer.handle().snapshot().too_late, u64::from(asked > 5_000));
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_waits_end_the_retries_end() {
    let calls = Calls::new();
    let layer = RetryLayer::new(RetryPolicy::new().retries(9).backoff(|| [10 * MS]));
    let _ = layer.layer(failing(9, &calls)).oneshot("x").await;
    assert_eq!(calls.at(), [0, 10]);
    assert_eq!(layer.handle().snapshot().exhausted, 1);
}

#[tokio::test(start_paused = true)]
async fn endless_retries_without_a_wait_let_others_run() {
    let policy = RetryPolicy::new().no_budget().retries(u32::MAX).backoff(NoWait);
    let endless = RetryLayer::new(policy.clone()).layer(service_fn(|()| async { Err::<(), _>(()) }));
    tokio::select! {
        biased;
        _ = endless.oneshot(()) => unreachable!("it never ends"),
        _ = policy.run(|_| async { Err::<(), _>(()) }) => unreachable!("it never ends"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test(start_paused = true)]
async fn retries_without_a_wait_wake_themselves_after_letting_others_run() {
    let policy = RetryPolicy::new().no_budget().retries(100).backoff(NoWait);
    let calls = Calls::new();
    let call = RetryLayer::new(policy.clone())
        .layer(failing(100, &calls))
        .oneshot("x");
    assert_eq!(tokio::time::timeout(MS, call).await, Ok(Ok(101)));

    let run = policy.run(|attempt| async move { Err::<(), _>(attempt.number) });
    assert_eq!(tokio::time::timeout(MS, run).await, Ok(Err(101)));
}

#[cfg(feature = "coarse-clock")]
#[tokio::test]
async fn a_coarse_clock_keeps_the_total_time() {
    for (limit, attempts) in [(Duration::ZERO, 1), (Duration::from_secs(3_600), 4)] {
        let policy = RetryPolicy::new()
            .backoff(NoWait)
            .max_elapsed(limit)
            .coarse_clock();
        let calls = Calls::new();
        let _ = RetryLayer::new(policy)
            .layer(failing(9, &calls))
            .oneshot("x")
            .await;
        assert_eq!(calls.count(), attempts);
    }
}

// ===== peers' faults =====

#[tokio::test(start_paused = true)]
async fn each_request_has_its_own_jitter_also_under_a_seed() {
    async fn waits(seed: u64) -> Vec<Vec<u128>> {
        let layer = RetryLayer::new(RetryPolicy::new().no_budget().seed(seed));
        let mut all = vec![];
        for _ in 0..20 {
            let calls = Calls::new();
            // Through services and clones of their own: nothing of the sequence is in them.
            let _ = layer.clone().layer(failing(9, &calls)).oneshot("x").await;
            all.push(calls.at());
        }
        all
    }
    let (mut one, same) = (waits(7).await, waits(7).await);
    assert_eq!(one, same);
    assert_ne!(one, waits(8).await);
    one.sort_unstable();
    one.dedup();
    assert_eq!(one.len(), 20, "two requests waited alike: {one:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_repeated_takes_no_sequence_of_a_seed() {
    async fn wait(unrepeatable_before: usize) -> Duration {
        let policy = RetryPolicy::new().seed(7).retries(1);
        let layer = RetryLayer::new(policy.clone_with(|req: &bool| req.then_some(true)));
        let service = layer.layer(service_fn(|_: bool| async { Err::<(), _>("no") }));
        for _ in 0..unrepeatable_before {
            let _ = service.clone().oneshot(false).await;
        }
        let _ = service.oneshot(true).await;
        layer.handle().snapshot().backoff
    }
    assert_eq!(wait(0).await, wait(1).await);
    assert_eq!(wait(0).await, wait(5).await);
}

#[tokio::test(start_paused = true)]
async fn callers_that_fail_together_do_not_come_back_together() {
    let layer = RetryLayer::new(RetryPolicy::new().no_budget());
    let start = Instant::now();
    let mut came_back: Vec<_> = futures::future::join_all((0..50).map(|_| {
        let second = Cell::new(false);
        let layer = layer.clone();
        async move {
            let service = service_fn(|()| {
                let result = if second.replace(true) {
                    Ok(start.elapsed().as_millis())
                } else {
                    Err(())
                };
                async move { result }
            });
            layer
                .layer(service)
                .oneshot(())
                .await
                .expect("the second try is good")
        }
    }))
    .await;
    came_back.sort_unstable();
    came_back.dedup();
    assert!(came_back.len() > 25, "{came_back:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_and_its_future_are_gone_before_the_wait() {
    let token = Arc::new(());
    let watch: Weak<()> = Arc::downgrade(&token);
    let service = service_fn(move |_: ()| {
        let (in_response, in_future) = (Arc::clone(&token), Arc::clone(&token));
        async move {
            sleep(MS).await;
            let _ = &in_future;
            Ok::<_, ()>(in_response)
        }
    });
    let policy = plain(2).retry_if(|result: Result<&Arc<()>, &()>| result.is_ok());
    let mut call = task::spawn(RetryLayer::new(policy).layer(service).oneshot(()));
    assert_pending!(call.poll());
    // The service clone kept for a retry holds one, the attempt two.
    assert_eq!(watch.strong_count(), 3);
    tokio::time::advance(2 * MS).await;
    assert_pending!(call.poll());
    assert_eq!(watch.strong_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_backoff_goes_into_a_policy() {
    async fn at<B: hook_retry::Backoff + Clone>(backoff: B) -> Vec<u128> {
        let calls = Calls::new();
        let layer = RetryLayer::new(RetryPolicy::new().backoff(backoff));
        let _ = layer.layer(failing(9, &calls)).oneshot("x").await;
        calls.at()
    }
    assert_eq!(at(Fixed::from_millis(50)).await, [0, 50, 100, 150]);
    assert_eq!(at(Linear::from_millis(50).no_jitter()).await, [0, 50, 150, 300]);
    assert_eq!(at(NoWait).await, [0; 4]);
    assert_eq!(at(|| std::iter::repeat(MS)).await, [0, 1, 2, 3]);
    assert_eq!(at([10 * MS, 20 * MS]).await, [0, 10, 30]);
}
