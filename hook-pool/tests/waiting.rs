//! Who waits, for what, how long, and who is next.

mod support;

use std::time::Duration;

use futures::future::join_all;
use hook_monitor::{Reason, Rejected};
use hook_pool::GetError;
use support::{Dialler, How, Refused, ms, reason};
use tokio::time::{Instant, advance, timeout};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

#[tokio::test(start_paused = true)]
async fn three_parked_waiters_share_one_connection_going_round_in_their_order() {
    let pool = Dialler::default().pool(1);
    let first = pool.get(&()).await.unwrap();
    let mut waiters: Vec<_> = (0..3).map(|_| task::spawn(pool.get(&()))).collect();
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    assert_eq!(pool.handle().stats().waiting, 3);

    let mut lease = first;
    for next in 0..3 {
        drop(lease);
        // Only the first in line is woken, and only it gets anything.
        let woken: Vec<_> = waiters.iter().map(task::Spawn::is_woken).collect();
        assert_eq!(woken.iter().filter(|woken| **woken).count(), 1, "{woken:?}");
        for later in waiters.iter_mut().skip(1) {
            assert_pending!(later.poll());
        }
        lease = assert_ready_ok!(waiters[0].poll());
        assert_eq!(lease.uses(), next + 2);
        drop(waiters.remove(0));
    }
    assert_eq!(pool.handle().stats().created, 1);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_overtakes_nobody_who_was_given_a_connection_and_has_not_come_for_it() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());
    drop(lease);
    assert!(waiter.is_woken());

    let mut newcomer = task::spawn(pool.get(&()));
    assert_pending!(newcomer.poll());
    let lease = assert_ready_ok!(waiter.poll());
    drop(lease);
    assert_ready_ok!(newcomer.poll());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_overtakes_nobody_who_was_given_the_slot_of_a_broken_connection() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let mut lease = pool.get(&()).await.unwrap();
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());
    lease.mark_broken();
    drop(lease);

    let mut newcomer = task::spawn(pool.get(&()));
    assert_pending!(newcomer.poll());
    assert_eq!(assert_ready_ok!(waiter.poll()).id, 2);
    assert_eq!(assert_ready_ok!(newcomer.poll()).id, 2);
    assert_eq!(dialler.started(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_it_was_given_a_connection_passes_it_on() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    let mut first = task::spawn(pool.get(&()));
    let mut second = task::spawn(pool.get(&()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(lease);
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert_eq!(assert_ready_ok!(second.poll()).id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_it_was_given_a_slot_passes_it_on() {
    let pool = Dialler::default().pool(1);
    let mut lease = pool.get(&()).await.unwrap();
    lease.mark_broken();
    let mut first = task::spawn(pool.get(&()));
    let mut second = task::spawn(pool.get(&()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(lease);
    drop(first);
    assert!(second.is_woken());
    assert_eq!(assert_ready_ok!(second.poll()).id, 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_the_middle_of_the_line_is_skipped() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    let mut waiters: Vec<_> = (0..3).map(|_| task::spawn(pool.get(&()))).collect();
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    drop(waiters.remove(1));
    assert_eq!(pool.handle().stats().waiting, 2);
    drop(lease);
    drop(assert_ready_ok!(waiters[0].poll()));
    assert_ready_ok!(waiters[1].poll());
}

#[tokio::test(start_paused = true)]
async fn the_waker_of_the_last_poll_is_the_one_that_is_called() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    let mut get = Box::pin(pool.get(&()));
    let mut before = task::spawn(());
    let mut after = task::spawn(());
    assert_pending!(before.enter(|cx, _| get.as_mut().poll(cx)));
    assert_pending!(after.enter(|cx, _| get.as_mut().poll(cx)));
    drop(lease);
    assert!(after.is_woken() && !before.is_woken());
}

#[tokio::test(start_paused = true)]
async fn max_one_and_one_out_the_second_is_refused_after_exactly_its_timeout() {
    let pool = Dialler::default().pool(1).wait_timeout(ms(100));
    let lease = pool.get(&()).await.unwrap();
    let start = Instant::now();
    let refusal = reason(pool.get(&()).await);
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(refusal, Reason::PoolTimeout { waited: ms(100) });

    let stats = pool.handle().stats();
    assert_eq!((stats.timeouts, stats.waiting), (1, 0));
    assert_eq!((stats.wait.count(), stats.wait.max()), (1, ms(100)));
    drop(lease);
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_back_a_millisecond_before_the_timeout_is_in_time() {
    let pool = Dialler::default().pool(1).wait_timeout(ms(100));
    let lease = pool.get(&()).await.unwrap();
    let give_back = async {
        tokio::time::advance(ms(99)).await;
        drop(lease);
    };
    let (got, ()) = futures::join!(pool.get(&()), give_back);
    assert_eq!(got.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn by_default_nobody_waits_for_more_than_thirty_seconds() {
    let pool = Dialler::default().pool(1);
    let _lease = pool.get(&()).await.unwrap();
    let waited = Duration::from_secs(30);
    assert_eq!(reason(pool.get(&()).await), Reason::PoolTimeout { waited });
}

#[tokio::test(start_paused = true)]
async fn with_a_timeout_of_zero_nobody_waits_and_with_the_longest_nobody_is_refused() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    let start = Instant::now();
    let hasty = pool.clone().wait_timeout(Duration::ZERO);
    let waited = Duration::ZERO;
    assert_eq!(reason(hasty.get(&()).await), Reason::PoolTimeout { waited });
    assert_eq!(start.elapsed(), Duration::ZERO);

    let patient = pool.wait_timeout(Duration::MAX);
    let mut get = task::spawn(patient.get(&()));
    assert_pending!(get.poll());
    tokio::time::advance(Duration::from_secs(100 * 365 * 86_400)).await;
    assert_pending!(get.poll());
    drop(lease);
    assert_ready_ok!(get.poll());
}

#[tokio::test(start_paused = true)]
async fn a_full_line_refuses_at_once_and_says_how_many_are_waiting() {
    let pool = Dialler::default().pool(1).max_waiting(2);
    let lease = pool.get(&()).await.unwrap();
    let mut one = task::spawn(pool.get(&()));
    let mut two = task::spawn(pool.get(&()));
    assert_pending!(one.poll());
    assert_pending!(two.poll());
    assert_eq!(reason(pool.get(&()).await), Reason::PoolQueueFull { waiting: 2 });
    assert_eq!(pool.handle().stats().queue_full, 1);

    drop(two);
    let mut three = task::spawn(pool.get(&()));
    assert_pending!(three.poll());
    drop(lease);
    drop(assert_ready_ok!(one.poll()));
    assert_ready_ok!(three.poll());
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_timeout_loses_no_slot() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    assert!(timeout(ms(100), pool.get(&())).await.is_err());
    drop(lease);
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn five_of_the_first_come_back_broken_and_all_ten_tasks_finish() {
    let dialler = Dialler::default();
    let pool = dialler.pool(5).max_connecting(5);
    let start = Instant::now();
    join_all((0..10).map(|_| async {
        let mut lease = pool.get(&()).await.unwrap();
        tokio::time::sleep(ms(10)).await;
        if lease.id <= 5 {
            lease.mark_broken();
        }
    }))
    .await;
    assert_eq!(start.elapsed(), ms(20));
    let stats = pool.handle().stats();
    assert_eq!((stats.created, stats.closed.broken, stats.total), (10, 5, 5));
    assert_eq!(dialler.open(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_connect_outlives_its_caller_and_serves_whoever_is_next() {
    let dialler = Dialler::default().then(How::OpenAfter(ms(50)));
    let pool = dialler.pool(1);
    let mut first = task::spawn(pool.get(&()));
    assert_pending!(first.poll());
    assert_eq!(pool.handle().stats().connecting, 1);
    drop(first);
    assert_eq!(pool.handle().stats().connecting, 1);
    let start = Instant::now();
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
    assert_eq!((start.elapsed(), dialler.started()), (ms(50), 1));
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_nobody_waits_for_any_more_ends_idle() {
    let dialler = Dialler::default().then(How::OpenAfter(ms(50)));
    let pool = dialler.pool(1);
    assert!(timeout(ms(10), pool.get(&())).await.is_err());
    tokio::time::sleep(ms(41)).await;
    assert_eq!(pool.handle().stats().available, 1);
}

#[tokio::test(start_paused = true)]
async fn connects_that_nobody_waits_for_any_more_are_not_begun() {
    let dialler = Dialler::default();
    for _ in 0..4 {
        dialler.push(How::OpenAfter(ms(50)));
    }
    let pool = dialler.pool(10).max_connecting(2);
    let waiters: Vec<_> = (0..10).map(|_| timeout(ms(10), pool.get(&()))).collect();
    assert!(join_all(waiters).await.iter().all(Result::is_err));
    tokio::time::sleep(ms(200)).await;
    let stats = pool.handle().stats();
    assert_eq!((dialler.started(), stats.available, stats.connecting), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_connects_are_under_way_than_there_may_be() {
    let dialler = Dialler::default();
    (0..10).for_each(|_| dialler.push(How::OpenAfter(ms(50))));
    let pool = dialler.pool(10);
    let start = Instant::now();
    let leases = join_all((0..10).map(|_| async {
        let lease = pool.get(&()).await.unwrap();
        (start.elapsed().as_millis(), lease)
    }))
    .await;
    let at: Vec<_> = leases.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [50, 50, 50, 100, 100, 100, 150, 150, 150, 200]);
}

#[tokio::test(start_paused = true)]
async fn when_nothing_can_serve_those_in_line_all_are_told_why_at_once() {
    let dialler = Dialler::default().then(How::RefuseAfter(ms(20)));
    let pool = dialler.pool(1);
    let start = Instant::now();
    let told = join_all((0..5).map(|_| pool.get(&()))).await;
    assert_eq!((start.elapsed(), dialler.started()), (ms(20), 1));
    for told in told {
        assert!(matches!(told, Err(GetError::Connect(err)) if *err == Refused));
    }
    let stats = pool.handle().stats();
    assert_eq!((stats.failed, stats.connect_errors, stats.timeouts), (5, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_before_it_is_tried_again_is_told_at_once_and_later_it_is_tried() {
    let dialler = Dialler::default().then(How::Refuse).then(How::Open);
    let pool = dialler.pool(1).connect_backoff(ms(1_000), ms(1_000));
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(_))));
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(_))));
    // Chance takes up to half off.
    advance(ms(499)).await;
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(_))));
    assert_eq!(dialler.started(), 1);
    advance(ms(501)).await;
    assert!(pool.get(&()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_one_prober_tries_again_for_all_while_something_in_use_may_come_back() {
    let dialler = Dialler::default();
    let pool = dialler.pool(8).connect_backoff(ms(100), ms(100));
    let held = pool.get(&()).await.unwrap();
    (0..3).for_each(|_| dialler.push(How::RefuseAfter(ms(1))));
    let start = Instant::now();
    // Three connects fail together, then one alone succeeds.
    let leases = join_all((0..4).map(|_| pool.get(&()))).await;
    assert!(leases.iter().all(Result::is_ok));
    assert!(
        (ms(51)..=ms(101)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(dialler.started(), 1 + 3 + 4);
    assert_eq!(pool.handle().stats().connect_errors, 3);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn the_wait_and_the_connect_have_a_time_each() {
    let dialler = Dialler::default().then(How::OpenAfter(ms(80)));
    let pool = dialler.pool(1).wait_timeout(ms(50)).connect_timeout(ms(100));
    let start = Instant::now();
    let waited = ms(50);
    // The caller's time is over, the connect's is not.
    assert_eq!(reason(pool.get(&()).await), Reason::PoolTimeout { waited });
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
    assert_eq!(start.elapsed(), ms(80));
    let stats = pool.handle().stats();
    assert_eq!((stats.wait.max(), stats.connect.max()), (ms(50), ms(80)));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_says_what_there_was_and_what_went_wrong_last() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(3)
        .wait_timeout(ms(100))
        .connect_backoff(ms(60), ms(60));
    let (_one, _two) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    dialler.push(How::Refuse);
    dialler.push(How::Hang);
    let (one, other) = futures::join!(pool.get(&()), pool.get(&()));
    let Err(GetError::Timeout(exhausted)) = one else {
        panic!("nothing came back")
    };
    let there_was = (
        exhausted.waited,
        exhausted.used,
        exhausted.idle,
        exhausted.connecting,
    );
    assert_eq!(there_was, (ms(100), 2, 0, 1));
    assert_eq!(exhausted.waiting, 1);
    assert_eq!(*exhausted.last_error.as_deref().unwrap(), Refused);
    assert_eq!(
        exhausted.to_string(),
        "no connection came free within 100ms: 2 in use, 0 idle, 1 being opened, 1 more waiting; the last connect failed: connection refused"
    );
    let err = other.unwrap_err();
    let waited = ms(100);
    assert_eq!(
        Rejected::find(&err).unwrap().reason(),
        Reason::PoolTimeout { waited }
    );
}

#[tokio::test(start_paused = true)]
async fn close_turns_waiters_and_later_callers_away_at_once() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let (used, idle) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    drop(idle);
    let _second = pool.get(&()).await.unwrap();
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());

    pool.close();
    assert!(waiter.is_woken());
    assert_eq!(reason(assert_ready!(waiter.poll())), Reason::PoolClosed);
    assert_eq!(reason(pool.get(&()).await), Reason::PoolClosed);
    let hasty = pool.clone().wait_timeout(Duration::ZERO);
    assert_eq!(reason(hasty.get(&()).await), Reason::PoolClosed);

    assert_eq!(dialler.open(), 2);
    drop(used);
    assert_eq!(dialler.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_was_given_a_slot_does_not_dial_in_a_closed_pool() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let mut lease = pool.get(&()).await.unwrap();
    lease.mark_broken();
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());
    drop(lease);
    pool.close();
    assert_eq!(reason(assert_ready!(waiter.poll())), Reason::PoolClosed);
    assert_eq!(dialler.started(), 1);
    assert_eq!(pool.handle().stats().keys, 0);
}
