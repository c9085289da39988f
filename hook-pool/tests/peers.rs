//! Faults of other pools, each reproduced there, that this one must not have.

mod support;

use std::time::Duration;

use hook_monitor::Reason;
use hook_pool::GetError;
use support::{Dialler, How, Refused, ms, reason};
use tokio::time::{Instant, timeout};
use tokio_test::{assert_pending, assert_ready_ok, task};

#[tokio::test(start_paused = true)]
async fn deadpool_waits_for_ever_by_default() {
    let pool = Dialler::default().pool(1);
    let _held = pool.get(&()).await.unwrap();
    let patience = timeout(Duration::from_secs(31), pool.get(&())).await;
    let refusal = reason(patience.expect("nobody waits for ever"));
    assert!(matches!(refusal, Reason::PoolTimeout { .. }));
}

#[tokio::test(start_paused = true)]
async fn bb8_connect_errors_surface_only_as_a_timeout() {
    let pool = Dialler::default()
        .then(How::Refuse)
        .pool(1)
        .wait_timeout(Duration::from_secs(1));
    let start = Instant::now();
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(Refused))));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let stats = pool.handle().stats();
    assert_eq!((stats.connect_errors, stats.timeouts), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn bb8_newcomers_overtake_waiters() {
    let pool = Dialler::default().pool(1);
    let mut lease = pool.get(&()).await.unwrap();
    // A thousand newcomers, each of which asks in the moment when the connection has just come back.
    for _ in 0..1_000 {
        let mut waiter = task::spawn(pool.get(&()));
        assert_pending!(waiter.poll());
        drop(lease);
        let mut newcomer = task::spawn(pool.get(&()));
        assert_pending!(newcomer.poll());
        lease = assert_ready_ok!(waiter.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn the_python_original_raises_at_once_when_the_pool_is_full() {
    let pool = Dialler::default().pool(1);
    let held = pool.get(&()).await.unwrap();
    let (got, ()) = futures::join!(pool.get(&()), async {
        tokio::time::sleep(Duration::from_secs(29)).await;
        drop(held);
    });
    assert_eq!(got.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn deadpool_has_no_idle_limit() {
    let pool = Dialler::default().pool(1);
    drop(pool.get(&()).await.unwrap());
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(pool.get(&()).await.unwrap().id, 2);
}

#[tokio::test(start_paused = true)]
async fn hikari_a_waiter_is_served_by_a_return_while_connects_are_refused() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let (one, two) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    for _ in 0..8 {
        dialler.push(How::Refuse);
    }
    let start = Instant::now();
    let (got, ()) = futures::join!(pool.get(&()), async {
        tokio::time::sleep(ms(800)).await;
        drop(one);
    });
    assert_eq!((got.unwrap().id, start.elapsed()), (1, ms(800)));
    drop(two);
}
