//! What a reset, a close or a failure finds under way.

mod support;

use std::time::Duration;

use hook_monitor::Reason;
use support::{Dialler, How, TestPool, ms, reason};
use tokio::{
    task::yield_now,
    time::{Instant, advance, sleep},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

/// A check of each connection that takes 50 ms, and is passed.
fn checked(dialler: &Dialler) -> TestPool {
    dialler
        .pool(1)
        .check_with(|_| {
            Box::pin(async {
                sleep(ms(50)).await;
                true
            })
        })
        .check_after(Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_in_its_check_at_a_reset_is_not_lent() {
    let dialler = Dialler::default();
    let pool = checked(&dialler);
    drop(pool.get(&()).await.unwrap());
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.handle().reset();
    advance(ms(50)).await;
    assert_eq!(assert_ready_ok!(get.poll()).id, 2);
    assert_eq!((pool.handle().stats().closed.reset, dialler.open()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_in_its_check_at_the_close_is_not_lent() {
    let dialler = Dialler::default();
    let pool = checked(&dialler);
    drop(pool.get(&()).await.unwrap());
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.close();
    advance(ms(50)).await;
    assert_eq!(reason(assert_ready!(get.poll())), Reason::PoolClosed);
    assert_eq!((pool.handle().stats().closed.shutdown, dialler.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_nobody_has_come_for_yet_does_not_outlive_a_reset() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let held = [pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap()];
    let mut gets: Vec<_> = (0..3).map(|_| task::spawn(pool.get(&()))).collect();
    gets.iter_mut().for_each(|get| assert_pending!(get.poll()));
    drop(held);
    pool.handle().reset();
    assert_eq!((pool.handle().stats().closed.reset, dialler.open()), (2, 0));
    // They keep their turns.
    let first = assert_ready_ok!(gets[0].poll());
    let second = assert_ready_ok!(gets[1].poll());
    assert_eq!((first.id, second.id), (3, 4));
    assert_pending!(gets[2].poll());
    drop(first);
    assert_eq!(assert_ready_ok!(gets[2].poll()).id, 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_nobody_has_come_for_yet_does_not_outlive_the_close() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let held = pool.get(&()).await.unwrap();
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    drop(held);
    pool.close();
    assert_eq!(dialler.open(), 0);
    assert_eq!(reason(assert_ready!(get.poll())), Reason::PoolClosed);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_the_back_off() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2).connect_backoff(ms(10_000), ms(10_000));
    let _held = pool.get(&()).await.unwrap();
    dialler.push(How::Refuse);
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    assert_eq!(dialler.started(), 2);
    let begun = Instant::now();
    pool.handle().reset();
    yield_now().await;
    assert!(get.is_woken(), "whoever waits to try again is woken, and tries");
    assert_eq!(assert_ready_ok!(get.poll()).id, 2);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_nobody_is_told_what_went_wrong_before() {
    let dialler = Dialler::default().then(How::Refuse);
    let pool = dialler.pool(1);
    pool.get(&()).await.unwrap_err();
    pool.get(&()).await.unwrap_err();
    assert_eq!(dialler.started(), 1);
    pool.handle().reset();
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_begun_before_a_reset_fails_for_nobody_after_it() {
    let dialler = Dialler::default().then(How::RefuseAfter(ms(50)));
    let pool = dialler.pool(1);
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.handle().reset();
    let mut later = task::spawn(pool.get(&()));
    assert_pending!(later.poll());
    sleep(ms(51)).await;
    let first = assert_ready_ok!(get.poll());
    drop(first);
    assert_eq!(assert_ready_ok!(later.poll()).id, 1);
    assert_eq!((dialler.started(), pool.handle().stats().connect_errors), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_asks_for_no_more_than_there_may_be_over_all_keys() {
    let dialler = Dialler::default();
    let pool: TestPool<&str> = TestPool::new(dialler.clone(), 5).max_total(3);
    let begun = Instant::now();
    let _other = pool.get(&"b").await.unwrap();
    pool.warm_up(&"a", 5).await.unwrap();
    assert_eq!((begun.elapsed(), dialler.open()), (Duration::ZERO, 3));
    pool.warm_up(&"c", 1).await.unwrap();
    assert_eq!((begun.elapsed(), dialler.open()), (Duration::ZERO, 3));
}

#[tokio::test(start_paused = true)]
async fn nobody_gives_way_for_a_key_in_its_back_off() {
    let dialler = Dialler::default();
    let pool: TestPool<&str> = TestPool::new(dialler.clone(), 2)
        .max_total(3)
        .connect_backoff(ms(10_000), ms(10_000));
    let held = pool.get(&"b").await.unwrap();
    dialler.push(How::Refuse);
    let mut get = task::spawn(pool.get(&"b"));
    assert_pending!(get.poll());
    let others = [pool.get(&"a").await.unwrap(), pool.get(&"a").await.unwrap()];
    drop(others);
    // Nothing is tried for either of them before long.
    let mut next = task::spawn(pool.get(&"b"));
    assert_pending!(next.poll());
    drop(next);
    drop(get);
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.evicted, stats.available), (0, 2));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_no_more_may_wait_than_before_it() {
    let dialler = Dialler::default();
    let pool = dialler.pool(3).max_waiting(0);
    let _held = pool.get(&()).await.unwrap();
    dialler.push(How::Refuse);
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    drop(get);
    sleep(ms(10_000)).await;
    // One connect at a time is all there is now.
    dialler.push(How::OpenAfter(ms(50)));
    let mut first = task::spawn(pool.get(&()));
    assert_pending!(first.poll());
    let mut second = task::spawn(pool.get(&()));
    assert_eq!(
        reason(assert_ready!(second.poll())),
        Reason::PoolQueueFull { waiting: 0 }
    );
    sleep(ms(51)).await;
    assert_ready_ok!(first.poll());
}
