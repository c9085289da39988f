//! `reset` and `close` against what is under way: checks, grants nobody has come for, back-off, connects.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use hook_monitor::Reason;
use support::{Conn, Dialler, How, TestPool, ms, reason};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, task};

/// A pool whose checks take ten milliseconds and succeed, with one connection that has to be checked.
async fn about_to_check(dialler: &Dialler) -> TestPool {
    let pool = dialler.pool(1).check_after(ms(1)).check_with(|_: &mut Conn| {
        Box::pin(async {
            sleep(ms(10)).await;
            true
        })
    });
    drop(pool.get(&()).await.expect("the first one"));
    advance(ms(5)).await;
    pool
}

#[tokio::test(start_paused = true)]
async fn a_reset_during_a_check_lends_a_new_connection() {
    let dialler = Dialler::default();
    let pool = about_to_check(&dialler).await;
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.handle().reset();
    let lease = get.await.expect("a connection");
    assert_eq!(lease.id, 2, "not the one of before the reset");
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.reset, dialler.open()), (1, 1), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn a_close_during_a_check_refuses() {
    let dialler = Dialler::default();
    let pool = about_to_check(&dialler).await;
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.close();
    assert_eq!(reason(get.await), Reason::PoolClosed);
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.shutdown, dialler.open()), (1, 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_and_not_picked_up_is_no_more_after_a_reset() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let lease = pool.get(&()).await.expect("the first one");
    let [mut first, mut second] = [(); 2].map(|()| task::spawn(pool.get(&())));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(lease);
    assert!(first.is_woken());
    pool.handle().reset();
    assert_eq!(dialler.open(), 0, "the old one is closed at once");
    let Poll::Ready(Ok(renewed)) = first.poll() else {
        panic!("a new connection is opened for whoever was first")
    };
    assert_eq!(renewed.id, 2);
    assert_pending!(second.poll());
    drop(renewed);
    assert!(second.is_woken());
    assert!(matches!(second.poll(), Poll::Ready(Ok(lease)) if lease.id == 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_and_not_picked_up_is_closed_with_the_pool() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let lease = pool.get(&()).await.expect("the first one");
    let mut waits = task::spawn(pool.get(&()));
    assert_pending!(waits.poll());
    drop(lease);
    pool.close();
    assert_eq!(dialler.open(), 0);
    assert_eq!(reason(waits.await), Reason::PoolClosed);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_the_back_off() {
    let dialler = Dialler::default().then(How::Refuse);
    let pool = dialler.pool(1).connect_backoff(ms(60_000), ms(60_000));
    pool.get(&()).await.unwrap_err();
    pool.get(&()).await.expect_err("nothing is tried");
    assert_eq!(dialler.started(), 1);
    pool.handle().reset();
    let lease = pool.get(&()).await.expect("the new password is right");
    assert_eq!((dialler.started(), lease.id), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reset_wakes_whoever_waits_to_try_again() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2).connect_backoff(ms(20_000), ms(20_000));
    let _held = pool.get(&()).await.expect("the first one");
    dialler.push(How::Refuse);
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move {
            let began = Instant::now();
            pool.get(&()).await.map(|lease| (lease.id, began.elapsed()))
        }
    });
    // Refused; with one connection out there is hope, so it stays in line and somebody waits to try again.
    sleep(ms(5)).await;
    assert_eq!(dialler.started(), 2);
    pool.handle().reset();
    let (id, waited) = waits.await.unwrap().expect("a connection");
    assert_eq!(id, 2);
    assert!(waited < ms(100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connect_begun_before_a_reset_fails_for_nobody() {
    let dialler = Dialler::default().then(How::RefuseAfter(ms(10)));
    let pool = dialler.pool(1).connect_backoff(ms(60_000), ms(60_000));
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.handle().reset();
    // With the old password it was refused; with the new one it is not.
    let lease = get.await.expect("a connection");
    assert_eq!((lease.id, dialler.started()), (1, 2));
    drop(lease);
    pool.get(&()).await.expect("no back-off either");
}

#[tokio::test(start_paused = true)]
async fn warming_up_to_more_than_there_may_be_in_all_ends_with_as_many_as_there_may_be() {
    let dialler = Dialler::default();
    let pool = dialler.pool(10).max_total(3);
    let began = Instant::now();
    pool.warm_up(&(), 8).await.expect("as warm as it can be");
    assert_eq!((began.elapsed(), dialler.open()), (ms(0), 3));
}

#[tokio::test(start_paused = true)]
async fn a_key_in_back_off_takes_no_connection_from_another() {
    let dialler = Dialler::default();
    let pool: TestPool<&str> = TestPool::new(dialler.clone(), 2)
        .max_total(2)
        .connect_backoff(ms(10_000), ms(10_000));
    let held = pool.get(&"a").await.expect("one for a");
    drop(pool.get(&"b").await.expect("one for b"));
    dialler.push(How::Refuse);
    // For this one b's idle connection goes, and the connect fails; a's other connection is still out, so it waits.
    let first = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get(&"a").await.map(drop) }
    });
    sleep(ms(1)).await;
    assert_eq!(dialler.started(), 3);
    drop(pool.get(&"b").await.expect("there is room again"));
    let opened = dialler.started();
    let second = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get(&"a").await.map(drop) }
    });
    sleep(ms(1)).await;
    drop(pool.get(&"b").await.expect("it is still idle"));
    assert_eq!(dialler.started(), opened, "b's connection is the one it had");
    drop(held);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_line_is_no_longer_for_a_slow_start() {
    let dialler = Dialler::default();
    let pool = dialler.pool(10).max_waiting(0).connect_backoff(ms(1), ms(1));
    dialler.push(How::Refuse);
    pool.get(&()).await.unwrap_err();
    sleep(ms(5)).await;
    // After a failure one connect may be under way at a time, however many there may be.
    dialler.push(How::OpenAfter(ms(50)));
    let refused = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (pool, refused) = (pool.clone(), refused.clone());
            tokio::spawn(async move {
                if pool.get(&()).await.is_err() {
                    refused.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    sleep(ms(10)).await;
    // One has the connect; there is no line for the others to stand in.
    assert_eq!(refused.load(SeqCst), 5, "{:?}", pool.handle().stats());
    for caller in callers {
        caller.await.unwrap();
    }
}
