//! Faults of other pools, each reproduced there, that this one must not have.

mod support;

use std::time::Duration;

use futures::future::join_all;
use hook_monitor::Reason;
use hook_pool::GetError;
use support::{Conn, Dialler, How, Refused, TestPool, ms, reason};
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
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(err)) if *err == Refused));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let stats = pool.handle().stats();
    assert_eq!((stats.connect_errors, stats.timeouts), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn deadpool_the_caller_owns_the_connect() {
    let dialler = Dialler::default();
    (0..20).for_each(|_| dialler.push(How::OpenAfter(ms(150))));
    let pool = dialler.pool(10);
    let mut served = 0;
    for _ in 0..20 {
        served += usize::from(timeout(ms(20), pool.get(&())).await.is_ok());
    }
    // Seven give up before the connect of the first is there; deadpool: 20 connects begun and nobody served.
    assert_eq!((served, dialler.started(), dialler.made()), (13, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn deadpool_and_bb8_a_spike_opens_a_connection_for_everybody() {
    let dialler = Dialler::default();
    let pool = dialler.pool(50);
    pool.warm_up(&(), 5).await.unwrap();
    (0..50).for_each(|_| dialler.push(How::OpenAfter(ms(150))));
    let start = Instant::now();
    join_all((0..50).map(|_| async {
        let _lease = pool.get(&()).await.unwrap();
        tokio::time::sleep(ms(2)).await;
    }))
    .await;
    assert!(start.elapsed() <= ms(35), "{:?}", start.elapsed());
    tokio::time::sleep(ms(500)).await;
    assert_eq!(pool.handle().stats().total, 8);
}

#[tokio::test(start_paused = true)]
async fn deadpool_has_no_lifetime_limit() {
    let pool = Dialler::default()
        .pool(1)
        .no_idle_timeout()
        .max_lifetime(ms(1_000));
    drop(pool.get(&()).await.unwrap());
    tokio::time::advance(ms(1_000)).await;
    assert_eq!(pool.get(&()).await.unwrap().id, 2);
}

#[tokio::test(start_paused = true)]
async fn hyper_util_composable_pools_have_no_limits() {
    let dialler = Dialler::default();
    let pool: TestPool<u8> = TestPool::new(dialler.clone(), 2).max_total(3).wait_timeout(ms(1));
    let held = join_all(
        (0..3)
            .flat_map(|key| [pool.get(&key), pool.get(&key)].map(|_| key))
            .map(|key| {
                let pool = pool.clone();
                async move { pool.get(&key).await }
            }),
    )
    .await;
    assert_eq!(held.iter().filter(|got| got.is_ok()).count(), 3);
    assert_eq!(dialler.open(), 3);
}

#[tokio::test(start_paused = true)]
async fn sqlx_and_pgx_lifetimes_retire_all_connections_in_the_same_second() {
    let dialler = Dialler::default();
    let pool = dialler.pool(100).max_connecting(100).no_idle_timeout();
    let pool = pool.max_lifetime(Duration::from_secs(1_800));
    drop(join_all((0..100).map(|_| pool.get(&()))).await);
    tokio::time::sleep(Duration::from_secs(1_619)).await;
    let (mut before, mut most) = (0, 0);
    for _ in 0..182 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let retired = pool.handle().stats().closed.lifetime;
        most = most.max(retired - before);
        before = retired;
    }
    assert_eq!(before, 100);
    assert!(most <= 6, "{most} in one second");
}

#[tokio::test(start_paused = true)]
async fn bb8_a_half_pinged_connection_goes_back_to_idle() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(1)
        .check_with(|_: &mut Conn| Box::pin(std::future::pending()));
    drop(pool.get(&()).await.unwrap());
    tokio::time::advance(ms(1_000)).await;
    assert!(timeout(ms(10), pool.get(&())).await.is_err());
    assert_eq!((pool.handle().stats().available, dialler.open()), (0, 0));
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
    let pool = dialler.pool(3);
    let (one, two) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    for _ in 0..40 {
        dialler.push(How::Refuse);
    }
    let start = Instant::now();
    let (got, ()) = futures::join!(pool.get(&()), async {
        tokio::time::sleep(ms(800)).await;
        drop(one);
    });
    assert_eq!((got.unwrap().id, start.elapsed()), (1, ms(800)));
    assert!(dialler.started() >= 4, "it was tried meanwhile");
    drop(two);
}
