//! How connections grow old, are looked after, and are replaced.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::join_all;
use hook_pool::GetError;
use support::{Conn, Dialler, How, TestPool, ms};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};

/// A pool whose checks do as `verdict` says, by the number of the connection and that of the check.
fn checked<F>(dialler: &Dialler, max: usize, verdict: F) -> (TestPool, Arc<AtomicUsize>)
where
    F: Fn(usize, usize) -> Option<bool> + Send + Sync + 'static,
{
    let checks = Arc::new(AtomicUsize::new(0));
    let counted = checks.clone();
    let pool = dialler.pool(max).check_with(move |conn: &mut Conn| {
        let verdict = verdict(conn.id, counted.fetch_add(1, SeqCst) + 1);
        Box::pin(async move {
            match verdict {
                Some(verdict) => verdict,
                None => std::future::pending().await,
            }
        })
    });
    (pool, checks)
}

#[tokio::test(start_paused = true)]
async fn idle_connections_close_in_the_background_but_for_the_minimum() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(60)
        .min_idle(5)
        .max_connecting(60)
        .idle_timeout(ms(1_000));
    drop(join_all((0..60).map(|_| pool.get(&()))).await);
    assert_eq!(pool.handle().stats().available, 60);
    sleep(ms(1_130)).await;
    let stats = pool.handle().stats();
    assert_eq!((stats.available, stats.closed.idle, dialler.open()), (5, 55, 5));
    sleep(ms(5_000)).await;
    assert_eq!(pool.handle().stats().available, 5);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_of_keys_nobody_asks_for_close_too_and_the_keys_are_forgotten() {
    let dialler = Dialler::default();
    let pool: TestPool<u8> = TestPool::new(dialler.clone(), 4).idle_timeout(ms(1_000));
    for key in 0..3 {
        drop(pool.get(&key).await.unwrap());
    }
    sleep(ms(1_001)).await;
    let stats = pool.handle().stats();
    assert_eq!((stats.keys, stats.total, dialler.open()), (0, 0, 0));
    // And it is looked after again.
    drop(pool.get(&1).await.unwrap());
    sleep(ms(1_001)).await;
    assert_eq!(pool.handle().stats().total, 0);
}

#[tokio::test(start_paused = true)]
async fn hikari_backfill_the_only_connection_dies_in_use_and_the_minimum_is_there_again() {
    let dialler = Dialler::default();
    let pool = dialler.pool(4).min_idle(1);
    let mut lease = pool.get(&()).await.unwrap();
    lease.mark_broken();
    drop(lease);
    sleep(ms(1_250)).await;
    assert_eq!(pool.handle().stats().total, 1);
}

#[tokio::test(start_paused = true)]
async fn the_minimum_is_tried_for_again_after_a_failure() {
    let dialler = Dialler::default().then(How::Open);
    (0..3).for_each(|_| dialler.push(How::Refuse));
    let pool = dialler.pool(4).min_idle(2).max_connecting(1);
    let lease = pool.get(&()).await.unwrap();
    sleep(ms(1_000)).await;
    let stats = pool.handle().stats();
    assert_eq!(stats.connect_errors, 3);
    assert_eq!((stats.available, stats.active), (2, 1));
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_connection_past_its_lifetime_is_closed_at_its_return_even_if_nobody_looks_after_it() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1).max_lifetime(ms(1_000)).no_idle_timeout();
    let lease = pool.get(&()).await.unwrap();
    sleep(ms(2_000)).await;
    assert_eq!(pool.handle().stats().closed.lifetime, 0);
    drop(lease);
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.lifetime, stats.total), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn two_gets_within_a_lifetime_are_the_same_connection_and_later_it_is_another() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1).max_lifetime(ms(700));
    for (at, id) in [(0, 1), (300, 1), (2_000, 2)] {
        sleep(ms(at)).await;
        assert_eq!(pool.get(&()).await.unwrap().id, id);
        assert!(dialler.open() <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_and_a_minimum_keep_young_connections_at_hand() {
    let dialler = Dialler::default();
    let pool = dialler.pool(13).min_idle(3).max_lifetime(ms(400));
    drop(join_all((0..5).map(|_| pool.get(&()))).await);
    for _ in 0..20 {
        sleep(ms(100)).await;
        let stats = pool.handle().stats();
        // Five and the minimum beside them, and each is there until its replacement is.
        assert!((8..=13).contains(&stats.total), "{stats:?}");
        assert!(pool.get(&()).await.unwrap().age() < ms(400));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_together_does_not_retire_together_and_is_replaced_before() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(101)
        .max_connecting(100)
        .no_idle_timeout()
        .max_lifetime(Duration::from_secs(1_800));
    drop(join_all((0..100).map(|_| pool.get(&()))).await);
    let (mut before, mut most) = (0, 0);
    for second in 0..1_800 {
        sleep(ms(1_000)).await;
        let stats = pool.handle().stats();
        assert!(stats.total >= 100, "{} at {second} s", stats.total);
        most = most.max(stats.closed.lifetime - before);
        before = stats.closed.lifetime;
    }
    assert_eq!(before, 100);
    // A hundred over 180 seconds, two of them with a chance to meet in the same second.
    assert!(most <= 6, "{most} in one second");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_no_more_often_than_it_may_be() {
    let pool = Dialler::default().pool(1).max_uses(3);
    for id in [1, 1, 1, 2, 2, 2, 3] {
        assert_eq!(pool.get(&()).await.unwrap().id, id);
    }
    assert_eq!(pool.handle().stats().closed.uses, 2);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_been_idle_for_a_second_is_checked() {
    let (pool, checks) = checked(&Dialler::default(), 1, |_, _| Some(true));
    for (idle, so_far) in [(0, 0), (999, 0), (1_000, 1), (0, 1), (5_000, 2)] {
        advance(ms(idle)).await;
        let lease = pool.get(&()).await.unwrap();
        // However long it is held: in use is not idle.
        advance(ms(3_000)).await;
        drop(lease);
        assert_eq!(checks.load(SeqCst), so_far, "idle for {idle} ms");
    }
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_its_check_is_closed_and_the_caller_keeps_its_turn() {
    let dialler = Dialler::default();
    let (pool, checks) = checked(&dialler, 2, |_, _| Some(false));
    drop((pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap()));
    advance(ms(1_000)).await;
    let lease = pool.get(&()).await.unwrap();
    assert_eq!((lease.id, lease.uses(), checks.load(SeqCst)), (3, 1, 2));
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.unfit, stats.total, dialler.open()), (2, 1, 1));

    // Somebody else is in line by the time the check fails.
    let dialler = Dialler::default().then(How::Open).then(How::OpenAfter(ms(5)));
    let (pool, _) = checked(&dialler, 1, |id, _| (id != 1).then_some(true));
    drop(pool.get(&()).await.unwrap());
    advance(ms(1_000)).await;
    let mut first = task::spawn(pool.get(&()));
    let mut second = task::spawn(pool.get(&()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    advance(ms(1_000)).await;
    assert_pending!(first.poll());
    sleep(ms(6)).await;
    assert_pending!(second.poll());
    let lease = assert_ready_ok!(first.poll());
    assert_eq!(lease.id, 2);
    drop(lease);
    assert_ready_ok!(second.poll());
}

#[tokio::test(start_paused = true)]
async fn bb8_now_invalid_both_idle_connections_and_no_new_one() {
    let dialler = Dialler::default();
    let (pool, _) = checked(&dialler, 2, |_, _| Some(false));
    drop((pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap()));
    advance(ms(1_000)).await;
    dialler.push(How::Refuse);
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(_))));
    let stats = pool.handle().stats();
    assert_eq!((stats.closed.unfit, stats.total), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_check_has_a_time_of_its_own() {
    let dialler = Dialler::default();
    let (pool, _) = checked(&dialler, 1, |_, check| (check > 1).then_some(true));
    let pool = pool.check_timeout(ms(250));
    drop(pool.get(&()).await.unwrap());
    advance(ms(1_000)).await;
    let start = Instant::now();
    assert_eq!(pool.get(&()).await.unwrap().id, 2);
    assert_eq!(start.elapsed(), ms(250));
}

#[tokio::test(start_paused = true)]
async fn bb8_a_half_checked_connection_goes_back_to_idle() {
    let dialler = Dialler::default();
    let (pool, checks) = checked(&dialler, 1, |_, _| None);
    drop(pool.get(&()).await.unwrap());
    advance(ms(1_000)).await;
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    assert_eq!(checks.load(SeqCst), 1);
    drop(get);
    let stats = pool.handle().stats();
    assert_eq!((stats.total, stats.closed.unfit, dialler.open()), (0, 1, 0));
    assert_eq!(pool.get(&()).await.unwrap().id, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_check_closes_the_connection_and_leaks_no_slot() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1).check_with(|_: &mut Conn| panic!("no check"));
    drop(pool.get(&()).await.unwrap());
    advance(ms(1_000)).await;
    let other = pool.clone();
    let joined = tokio::spawn(async move { drop(other.get(&()).await) }).await;
    assert!(joined.unwrap_err().is_panic());
    assert_eq!((pool.handle().stats().total, dialler.open()), (0, 0));
    assert_eq!(pool.get(&()).await.unwrap().id, 2);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_kept_alive_and_grows_no_younger_by_it() {
    let dialler = Dialler::default();
    let (pool, checks) = checked(&dialler, 2, |_, _| Some(true));
    let pool = pool.keep_alive(ms(1_000)).idle_timeout(ms(10_000));
    drop(pool.get(&()).await.unwrap());
    sleep(ms(4_500)).await;
    assert_eq!((checks.load(SeqCst), pool.handle().stats().available), (4, 1));
    sleep(ms(5_501)).await;
    let stats = pool.handle().stats();
    assert_eq!((stats.total, stats.closed.idle), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_live_any_more_is_found_by_the_keep_alive() {
    let dialler = Dialler::default();
    let (pool, _) = checked(&dialler, 2, |_, check| Some(check < 3));
    let pool = pool.keep_alive(ms(1_000));
    drop(pool.get(&()).await.unwrap());
    sleep(ms(3_500)).await;
    let stats = pool.handle().stats();
    assert_eq!((stats.total, stats.closed.unfit, dialler.open()), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn pgx_an_expired_connection_is_closed_by_whoever_asks_before_anybody_looks_after_it() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1).idle_timeout(ms(1_000));
    drop(pool.get(&()).await.unwrap());
    // Time passes, but nothing in the background has its turn.
    let mut skip = task::spawn(advance(ms(1_000)));
    assert_pending!(skip.poll());
    let mut get = task::spawn(pool.get(&()));
    assert_eq!(assert_ready_ok!(get.poll()).id, 2);
    assert_eq!(pool.handle().stats().closed.idle, 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_of_a_connection_tells_how_old_idle_and_used_it_is() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    assert_eq!((lease.age(), lease.idle(), lease.uses()), (ms(0), ms(0), 1));
    advance(ms(70)).await;
    assert_eq!((lease.age(), lease.idle(), lease.held()), (ms(70), ms(0), ms(70)));
    drop(lease);
    advance(ms(30)).await;
    let lease = pool.get(&()).await.unwrap();
    assert_eq!((lease.age(), lease.idle(), lease.uses()), (ms(100), ms(30), 2));
}
