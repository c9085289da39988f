//! Those in line are told or served as soon as that can be.
#![cfg(not(loom))]
mod support;

use std::time::Duration;

use hook_pool::ConnectionPool;
use support::{Conn, Dialler, How, Refused, ms};
use tokio::time::{Instant, sleep, timeout};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn when_the_last_used_connection_breaks_in_a_back_off_without_a_prober_all_are_told_at_once() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2).connect_backoff(secs(4), secs(4));
    let mut one = pool.get(&()).await.unwrap();
    dialler.push(How::Refuse);
    // Refused; goes away, so that nobody is in line and the prober finds nothing.
    assert!(timeout(ms(1), pool.get(&())).await.is_err());
    pool.handle().resize(1);
    // The prober of the one who went is still there; wait it out, and fail again without anybody in line.
    sleep(secs(5)).await;
    pool.handle().resize(2);
    dialler.push(How::RefuseAfter(ms(10)));
    assert!(timeout(ms(5), pool.get(&())).await.is_err());
    sleep(ms(10)).await;
    assert_eq!(pool.handle().stats().connect_errors, 2);
    pool.handle().resize(1);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move {
            let start = Instant::now();
            let result = pool.get(&()).await;
            (start.elapsed(), result.map(|c| c.id))
        }
    });
    sleep(ms(10)).await;
    one.mark_broken();
    drop(one);
    let (took, result) = waiter.await.unwrap();
    assert!(took < ms(100), "told (or served) only after {took:?}: {result:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_timeout_covers_the_checks_too() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(10)
        .wait_timeout(ms(500))
        .check_with(|_: &mut Conn| Box::pin(std::future::pending()));
    pool.warm_up(&(), 10).await.unwrap();
    sleep(secs(2)).await;
    for _ in 0..10 {
        dialler.push(How::Hang);
    }
    let start = Instant::now();
    let result = pool.get(&()).await;
    assert!(
        start.elapsed() <= ms(1_500),
        "waited {:?}: {result:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_nobody_waits_for_a_connect_that_is_of_no_use() {
    let dialler = Dialler::default().then(How::Hang);
    let pool = dialler.pool(10);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move {
            let start = Instant::now();
            let result = pool.get(&()).await;
            (start.elapsed(), result.map(|c| c.id))
        }
    });
    sleep(ms(10)).await;
    pool.handle().reset();
    let first = waiter.await.unwrap();
    assert!(first.0 < secs(1), "{first:?}, connects: {}", dialler.started());
}

#[test]
fn one_who_asks_outside_a_runtime_does_not_fail_those_inside() {
    use futures::FutureExt;
    let dialler = Dialler::default();
    let connector = tower::service_fn({
        let dialler = dialler.clone();
        move |(): ()| {
            let conn = dialler.connection();
            async move {
                // Pending once, and needs nothing of tokio.
                futures::pending!();
                Ok::<_, Refused>(conn)
            }
        }
    });
    let pool = ConnectionPool::new(tower::util::BoxCloneSyncService::new(connector), 1);
    let outside = pool.clone();
    let panicked = std::thread::spawn(move || drop(outside.get(&()).now_or_never())).join();
    assert!(panicked.is_err(), "as documented");
    assert_eq!(
        pool.handle().stats().connect_errors,
        0,
        "the connector has neither failed nor panicked"
    );
}

#[tokio::test(start_paused = true)]
async fn deadpool_resize_after_close_does_nothing() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let one = pool.get(&()).await.unwrap();
    pool.close();
    pool.handle().resize(5);
    assert_eq!(pool.handle().stats().max_per_key, 2);
    drop(one);
    assert_eq!(dialler.open(), 0);
}
