//! Limits that change, warm starts, resets, and the end.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use hook_monitor::Reason;
use hook_pool::GetError;
use support::{Dialler, How, Lease, TestPool, ms, reason};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

#[tokio::test(start_paused = true)]
async fn deadpool_resize_two_out_of_two_and_then_one() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let (one, two) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    pool.handle().resize(1);
    assert_eq!(pool.handle().stats().total, 2);
    drop(one);
    assert_eq!(pool.handle().stats().total, 1);
    drop(two);
    let stats = pool.handle().stats();
    assert_eq!((stats.total, stats.closed.surplus, stats.max_per_key), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_higher_limit_serves_those_in_line_at_once() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let _held = pool.get(&()).await.unwrap();
    let mut waiters: Vec<_> = (0..2).map(|_| task::spawn(pool.get(&()))).collect();
    waiters
        .iter_mut()
        .for_each(|waiter| assert_pending!(waiter.poll()));
    pool.handle().resize(3);
    let first = assert_ready_ok!(waiters[0].poll());
    let second = assert_ready_ok!(waiters[1].poll());
    assert_eq!((first.id, second.id), (2, 3));
    pool.close();
    pool.handle().resize(9);
    assert_eq!(
        pool.handle().stats().max_per_key,
        3,
        "a closed pool stays as it is"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_closes_what_is_idle_the_oldest_first() {
    let dialler = Dialler::default();
    let pool = dialler.pool(4);
    let leases: Vec<Lease> = join_all((0..4).map(|_| async { pool.get(&()).await.unwrap() })).await;
    drop(leases);
    pool.handle().resize(2);
    assert_eq!((pool.handle().stats().available, dialler.open()), (2, 2));
    assert_eq!(pool.get(&()).await.unwrap().id, 4);
}

#[tokio::test(start_paused = true)]
async fn two_keys_share_the_total_and_each_gets_its_part() {
    let dialler = Dialler::default();
    let pool: TestPool<&str> = TestPool::new(dialler.clone(), 4).max_total(6);
    let a = join_all((0..4).map(|_| pool.get(&"a"))).await;
    let b = join_all((0..2).map(|_| pool.get(&"b"))).await;
    assert!(a.iter().chain(&b).all(Result::is_ok));
    let mut third = task::spawn(pool.get(&"b"));
    assert_pending!(third.poll());
    assert_eq!(dialler.open(), 6);
    // What comes back for one key makes room for the other.
    drop(a);
    assert_ready_ok!(third.poll());
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.evicted, dialler.open()), (1, 6));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_always_busy_starves_no_other() {
    let dialler = Dialler::default();
    let pool: TestPool<&str> = TestPool::new(dialler.clone(), 2).max_total(2);
    let leases = join_all((0..2).map(|_| pool.get(&"a"))).await;
    let mut busy: Vec<_> = (0..2).map(|_| task::spawn(pool.get(&"a"))).collect();
    busy.iter_mut().for_each(|waiter| assert_pending!(waiter.poll()));
    let mut other = task::spawn(pool.get(&"b"));
    assert_pending!(other.poll());
    let mut late = task::spawn(pool.get(&"a"));
    assert_pending!(late.poll());

    // Those of `a` came first, and are served first; then it is the turn of `b`, before the late one.
    drop(leases);
    let mut held: Vec<_> = busy
        .iter_mut()
        .map(|waiter| assert_ready_ok!(waiter.poll()))
        .collect();
    assert!(!other.is_woken());
    held.pop();
    assert_pending!(late.poll());
    assert!(other.is_woken());
    let _other = assert_ready_ok!(other.poll());
    assert_eq!(dialler.open(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_total_takes_the_longest_idle_connection_of_any_other_key() {
    let dialler = Dialler::default();
    let pool: TestPool<u8> = TestPool::new(dialler.clone(), 4).max_total(3);
    for key in [1, 2, 3] {
        drop(pool.get(&key).await.unwrap());
        advance(ms(10)).await;
    }
    assert_eq!(pool.get(&4).await.unwrap().id, 4);
    assert_eq!((pool.get(&2).await.unwrap().id, dialler.open()), (2, 3));
    assert_eq!(pool.handle().stats().closed.evicted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lower_total_closes_what_is_idle_and_then_what_comes_back() {
    let dialler = Dialler::default();
    let pool: TestPool<u8> = TestPool::new(dialler.clone(), 4);
    let held = join_all((0..3).map(|_| pool.get(&1))).await;
    drop(join_all((0..3).map(|_| pool.get(&2))).await);
    pool.handle().resize_total(2);
    assert_eq!(dialler.open(), 3);
    drop(held);
    assert_eq!(dialler.open(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_can_be_awaited_and_keeps_to_the_limits() {
    let dialler = Dialler::default();
    (0..5).for_each(|_| dialler.push(How::OpenAfter(ms(100))));
    let pool = dialler.pool(5);
    let start = Instant::now();
    pool.warm_up(&(), 9).await.unwrap();
    // Three at a time, and never more than five.
    assert_eq!(start.elapsed(), ms(200));
    let stats = pool.handle().stats();
    assert_eq!((stats.available, dialler.started()), (5, 5));
    pool.warm_up(&(), 5).await.unwrap();
    assert_eq!((start.elapsed(), dialler.started()), (ms(200), 5));
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
async fn a_warm_up_says_why_it_failed() {
    let dialler = Dialler::default().then(How::Open).then(How::RefuseAfter(ms(5)));
    let pool = dialler.pool(4).max_connecting(1);
    assert!(matches!(pool.warm_up(&(), 3).await, Err(GetError::Connect(_))));
    assert_eq!(pool.handle().stats().total, 1);
    advance(ms(50)).await;
    pool.warm_up(&(), 3).await.unwrap();
    assert_eq!(pool.handle().stats().total, 3);

    let dialler = Dialler::default().then(How::Hang);
    let pool = dialler.pool(4).wait_timeout(ms(50));
    let waited = ms(50);
    assert_eq!(reason(pool.warm_up(&(), 1).await), Reason::PoolTimeout { waited });
    pool.close();
    assert_eq!(reason(pool.warm_up(&(), 1).await), Reason::PoolClosed);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_that_is_dropped_begins_nothing_more() {
    let dialler = Dialler::default();
    (0..5).for_each(|_| dialler.push(How::OpenAfter(ms(100))));
    let pool = dialler.pool(5);
    assert!(tokio::time::timeout(ms(50), pool.warm_up(&(), 5)).await.is_err());
    sleep(ms(500)).await;
    assert_eq!((pool.handle().stats().available, dialler.started()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn puddle_reset_closes_idle_connections_now_and_used_ones_at_return() {
    let dialler = Dialler::default();
    let pool = dialler.pool(3);
    let (used, idle) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    drop(idle);
    dialler.push(How::OpenAfter(ms(10)));
    pool.handle().reset();
    assert_eq!(dialler.open(), 1);
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    // Begun with the old credentials: nobody waits for it any more.
    pool.handle().reset();
    drop(used);
    assert_eq!(dialler.open(), 0);
    sleep(ms(11)).await;
    let lease = assert_ready_ok!(get.poll());
    assert_eq!((lease.id, pool.handle().stats().closed.reset), (3, 2));
    assert_eq!((dialler.started(), dialler.open()), (4, 1));
    assert!(!pool.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_in_use_and_reports_what_was_left() {
    let dialler = Dialler::default();
    let pool = dialler.pool(4);
    let mut leases = join_all((0..4).map(|_| pool.get(&()))).await;
    let _idle = leases.pop();
    drop(_idle);
    let mut waiter = task::spawn(pool.get(&()));
    let _last = assert_ready_ok!(waiter.poll());
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());

    let drain = pool.drain(ms(100));
    assert_eq!(reason(assert_ready!(waiter.poll())), Reason::PoolClosed);
    let start = Instant::now();
    let (report, ()) = futures::join!(drain, async {
        sleep(ms(10)).await;
        leases.pop();
    });
    assert_eq!((report.drained, report.forced), (1, 3));
    assert_eq!(start.elapsed(), ms(100));
    // Cut off, and closed as they are let go of.
    drop(leases);
    assert_eq!(dialler.open(), 1);

    let pool = Dialler::default().pool(2);
    let lease = pool.get(&()).await.unwrap();
    let drain = pool.handle().drain(Duration::MAX);
    let (report, ()) = futures::join!(drain, async {
        sleep(ms(10)).await;
        drop(lease);
    });
    assert_eq!((report.drained, report.forced), (1, 0));
    assert_eq!(pool.drain(Duration::ZERO).await.drained, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_held_for_too_long_is_told_once_with_the_place_it_was_taken() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let pool = Dialler::default().pool(2).leak_warning(ms(1_000), move |leak| {
        let place = leak.place.expect("by get");
        tell.lock()
            .unwrap()
            .push((place.file(), place.line(), leak.held_for));
    });
    drop(pool.get(&()).await.unwrap());
    let line = line!() + 1;
    let lease = pool.get(&()).await.unwrap();
    sleep(ms(999)).await;
    assert!(told.lock().unwrap().is_empty());
    sleep(ms(3_000)).await;
    let told = told.lock().unwrap();
    let [(file, at, held)] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((file, at), (file!(), line));
    assert!((ms(1_000)..=ms(1_125)).contains(&held), "{held:?}");
    assert_eq!(pool.handle().stats().leaks, 1);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn nobody_in_the_background_keeps_a_pool_alive() {
    let dialler = Dialler::default();
    let connector = Arc::new(());
    let held = connector.clone();
    let dial = dialler.clone();
    let pool = hook_pool::ConnectionPool::new(
        tower::service_fn(move |()| {
            let _held = &held;
            std::future::ready(Ok::<_, std::convert::Infallible>(dial.connection()))
        }),
        2,
    );
    drop(pool.get(&()).await.unwrap());
    tokio::task::yield_now().await;
    drop(pool);
    tokio::task::yield_now().await;
    assert_eq!((dialler.open(), Arc::strong_count(&connector)), (0, 1));
}

#[test]
fn whoever_waits_in_another_runtime_is_served_when_the_one_that_was_connecting_ends() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let dialler = Dialler::default().then(How::Hang);
    let pool = dialler.pool(1);
    let first = runtime();
    first.block_on(async {
        let mut get = task::spawn(pool.get(&()));
        assert_pending!(get.poll());
    });
    assert_eq!(pool.handle().stats().connecting, 1);
    let second = runtime();
    let _entered = second.enter();
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    drop(first);
    assert!(get.is_woken());
    assert_eq!(assert_ready_ok!(get.poll()).id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_call_a_detached_connection_closed() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let one = pool.get(&()).await.unwrap();
    let drain = pool.drain(ms(1_000));
    let _kept = one.detach();
    let report = drain.await;
    assert_eq!(dialler.open(), 1);
    assert_eq!(report.drained, 0, "{report:?}");
}
