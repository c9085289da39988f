//! Retries over something that refuses: a breaker, a pool.

use std::{cell::Cell, time::Duration};

use hook_retry::{BoxError, Reason, Rejected, RetryLayer, RetryPolicy};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

/// Calls something that refuses with `rejected`, and says how often and for how long.
async fn refused_by(rejected: Rejected, layer: RetryLayer) -> (u32, Duration) {
    let (start, calls) = (Instant::now(), Cell::new(0));
    let service = service_fn(|()| {
        calls.set(calls.get() + 1);
        let err: BoxError = rejected.clone().into();
        async { Err::<(), _>(err) }
    });
    let answer = layer.layer(service).oneshot(()).await;
    assert_eq!(
        answer.err().and_then(|err| Rejected::find(&*err).cloned()),
        Some(rejected.clone())
    );
    (calls.get(), start.elapsed())
}

const OPEN: Rejected = Rejected::new(Reason::CircuitOpen);

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_retried_before_its_retry_after() {
    let policy = RetryPolicy::new().retries(1);
    let open = OPEN.after(Duration::from_secs(2));
    let (calls, took) = refused_by(open, RetryLayer::new(policy)).await;
    assert_eq!((calls, took), (2, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_that_stays_open_too_long_is_the_answer_at_once() {
    let layer = RetryLayer::default();
    let minute = OPEN.after(Duration::from_secs(60));
    assert_eq!(refused_by(minute, layer.clone()).await, (1, Duration::ZERO));

    let policy = RetryPolicy::new().max_elapsed(Duration::from_secs(2));
    let in_two = OPEN.after(Duration::from_secs(2));
    assert_eq!(
        refused_by(in_two.clone(), RetryLayer::new(policy)).await,
        (1, Duration::ZERO)
    );

    let patient = RetryPolicy::new()
        .retries(1)
        .max_retry_after(Duration::from_secs(60));
    let (calls, took) = refused_by(OPEN.after(Duration::from_secs(60)), RetryLayer::new(patient)).await;
    assert_eq!((calls, took), (2, Duration::from_secs(60)));
    assert_eq!(layer.handle().snapshot().too_late, 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_back_is_not_asked_again() {
    let layer = RetryLayer::default();
    for rejected in [OPEN, Rejected::new(Reason::PoolClosed)] {
        assert_eq!(refused_by(rejected, layer.clone()).await, (1, Duration::ZERO));
    }
    assert_eq!(layer.handle().snapshot().stopped, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_is_asked_again_after_the_backoff() {
    let full = Rejected::new(Reason::PoolQueueFull { waiting: 9 });
    let (calls, took) = refused_by(full, RetryLayer::default()).await;
    assert_eq!(calls, 4);
    assert!(
        took > Duration::ZERO && took <= Duration::from_millis(703),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_break_that_ends_in_time_is_waited_for_and_the_call_succeeds() {
    let start = Instant::now();
    let breaker = service_fn(|()| async move {
        let rest = Duration::from_millis(800).saturating_sub(start.elapsed());
        if rest.is_zero() {
            return Ok("well again");
        }
        Err::<_, BoxError>(OPEN.after(rest).into())
    });
    let layer = RetryLayer::default();
    assert_eq!(layer.layer(breaker).oneshot(()).await.ok(), Some("well again"));
    assert_eq!(start.elapsed(), Duration::from_millis(800));
    let seen = layer.handle().snapshot();
    assert_eq!((seen.retries, seen.backoff), (1, Duration::from_millis(800)));
}
