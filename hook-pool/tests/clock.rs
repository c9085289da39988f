//! What time it is for a pool: through back-offs and resets, by a clock other than tokio's, and at the end of all time.
#![cfg(not(loom))]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_pool::GetError;
use support::{Conn, Dialler, How, ms};
use tokio::time::sleep;
#[cfg(feature = "coarse-clock")]
use tokio::time::{Instant, advance};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn a_reset_during_a_back_off_makes_no_new_connection_old() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(2)
        .connect_backoff(secs(60), secs(60))
        .max_lifetime(secs(20));
    let one = pool.get(&()).await.unwrap();
    dialler.push(How::Refuse);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get(&()).await.unwrap() }
    });
    sleep(ms(10)).await;
    pool.handle().reset();
    let two = waiter.await.unwrap();
    assert!(two.age() < ms(10));
    drop(two);
    let stats = pool.handle().stats();
    assert_eq!(
        stats.closed.lifetime, 0,
        "a connection of no age was closed as too old"
    );
    assert_eq!(stats.available, 1);
    drop(one);
}

/// With the defaults of back-off and check.
#[tokio::test(start_paused = true)]
async fn a_reset_during_a_back_off_lets_nothing_go_unchecked() {
    let dialler = Dialler::default();
    let checks = Arc::new(AtomicUsize::new(0));
    let pool = dialler.pool(2).connect_backoff(secs(5), secs(5)).check_with({
        let checks = checks.clone();
        move |_: &mut Conn| {
            checks.fetch_add(1, SeqCst);
            Box::pin(async { true })
        }
    });
    let one = pool.get(&()).await.unwrap();
    dialler.push(How::Refuse);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get(&()).await.unwrap() }
    });
    sleep(ms(10)).await;
    pool.handle().reset();
    drop(waiter.await.unwrap());
    sleep(secs(2)).await;
    let again = pool.get(&()).await.unwrap();
    assert_eq!(
        checks.load(SeqCst),
        1,
        "idle for two seconds and handed out unchecked; idle() says {:?}",
        again.idle()
    );
    drop(one);
}

#[cfg(feature = "coarse-clock")]
#[tokio::test(start_paused = true)]
async fn with_the_coarse_clock_the_timeouts_keep_tokios_timer() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1).coarse_clock().wait_timeout(secs(30));
    let _one = pool.get(&()).await.unwrap();
    advance(secs(3_600)).await;
    let start = Instant::now();
    assert!(pool.get(&()).await.is_err());
    assert!(start.elapsed() >= secs(30), "refused after {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_back_off_as_long_as_can_be_said_does_not_panic() {
    let dialler = Dialler::default().then(How::Refuse);
    let pool = dialler.pool(1).connect_backoff(Duration::MAX, Duration::MAX);
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(_))));
}
