//! A first try that is good allocates nothing, nor does a retry.

use std::future::ready;

use allocation_counter::measure;
use hook_retry::{Attempt, Budget, Fixed, NoWait, RetryLayer, RetryPolicy, Verdict};
use tower::{Layer, Service, service_fn};

/// Allocations of `n` calls, once warm.
fn allocations<S>(mut service: S, n: u32) -> u64
where
    S: Service<u32>,
    S::Response: PartialEq<u32> + std::fmt::Debug,
    S::Error: std::fmt::Debug,
{
    let mut call = |req| {
        let answer = futures::executor::block_on(async {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(req).await
        });
        assert_eq!(answer.expect("it answers"), req);
    };
    call(0);
    measure(|| (0..n).for_each(&mut call)).count_total
}

#[test]
fn a_first_try_that_is_good_allocates_nothing() {
    let layer = RetryLayer::default();
    let service = layer.layer(service_fn(|n: u32| ready(Ok::<_, ()>(n))));
    assert_eq!(allocations(service, 1_000), 0);
    assert_eq!(layer.handle().snapshot().successful_without_retry, 1_001);
}

#[test]
fn a_first_try_under_every_rule_allocates_nothing() {
    let policy = RetryPolicy::new()
        .max_elapsed(std::time::Duration::from_secs(1))
        .classify_with(|result: Result<&u32, &()>, _: &Attempt| match result {
            Ok(_) => Verdict::Stop,
            Err(()) => Verdict::Retry,
        })
        .clone_with(|req: &u32| Some(*req))
        .deadline_by(|_: &u32| Some(std::time::Instant::now()))
        .before_retry(|_: &mut u32, _| {});
    let service = RetryLayer::new(policy).layer(service_fn(|n: u32| ready(Ok::<_, ()>(n))));
    assert_eq!(allocations(service, 1_000), 0);
}

#[test]
fn a_retry_at_once_allocates_nothing() {
    let tries = std::cell::Cell::new(0u32);
    let service = service_fn(|n: u32| {
        tries.set(tries.get() + 1);
        ready(if tries.get() % 2 == 0 { Ok(n) } else { Err(()) })
    });
    let budget = Budget::new().ratio(1.0);
    let layer = RetryLayer::new(RetryPolicy::new().backoff(NoWait).budget(budget));
    assert_eq!(allocations(layer.layer(service), 1_000), 0);
    assert_eq!(layer.handle().snapshot().retries, 1_001);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_a_wait_allocates_nothing() {
    let tries = std::cell::Cell::new(0u32);
    let mut service =
        RetryLayer::new(RetryPolicy::new().backoff(Fixed::from_millis(5))).layer(service_fn(|()| {
            tries.set(tries.get() + 1);
            ready(if tries.get() % 2 == 0 { Ok(()) } else { Err(()) })
        }));
    for is_warm in [false, true] {
        let mut call = tokio_test::task::spawn(service.call(()));
        // Measured poll by poll, for what the runtime does in between is its own.
        let waiting = measure(|| assert!(call.poll().is_pending()));
        tokio::time::advance(std::time::Duration::from_millis(6)).await;
        let ended = measure(|| assert!(call.poll().is_ready()));
        if is_warm {
            assert_eq!((waiting.count_total, ended.count_total), (0, 0));
        }
    }
}
