//! How connections come, go and come again.

mod support;

use std::time::Duration;

use futures::future::join_all;
use hook_monitor::{Reason, Rejected};
use hook_pool::{ConnectionPool, GetError};
use support::{Dialler, How, Lease, Refused, TestPool, ms, reason};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Service, ServiceExt};

#[tokio::test(start_paused = true)]
async fn five_gets_at_once_succeed_with_five_connects_while_the_others_are_held() {
    let dialler = Dialler::default();
    let pool = dialler.pool(5);
    let leases: Vec<Lease> = join_all((0..5).map(|_| async { pool.get(&()).await.unwrap() })).await;
    assert_eq!(dialler.made(), 5);
    let stats = pool.handle().stats();
    assert_eq!((stats.active, stats.available, stats.total), (5, 0, 5));
    drop(leases);
    let stats = pool.handle().stats();
    assert_eq!((stats.active, stats.available, stats.total), (0, 5, 5));
}

#[tokio::test(start_paused = true)]
async fn the_connection_used_last_is_used_next() {
    let pool = Dialler::default().pool(2);
    let (one, two) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    drop(two);
    drop(one);
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_tells_age_and_uses() {
    let pool = Dialler::default().pool(1);
    let lease = pool.get(&()).await.unwrap();
    assert_eq!((lease.uses(), lease.age()), (1, Duration::ZERO));
    advance(ms(70)).await;
    drop(lease);
    advance(ms(30)).await;
    let lease = pool.get(&()).await.unwrap();
    assert_eq!((lease.uses(), lease.age()), (2, ms(100)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_handed_out_until_its_timeout_and_not_from_then_on() {
    for (idle, id) in [(ms(999), 1), (ms(1_000), 2), (ms(5_000), 2)] {
        let dialler = Dialler::default();
        let pool = dialler.pool(1).idle_timeout(ms(1_000));
        drop(pool.get(&()).await.unwrap());
        advance(idle).await;
        assert_eq!(pool.get(&()).await.unwrap().id, id, "idle for {idle:?}");
        assert_eq!(pool.handle().stats().closed.idle, id as u64 - 1);
        assert_eq!(dialler.open(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_ninety_seconds_idle_are_too_many_unless_there_is_no_timeout() {
    for (pool, id) in [
        (Dialler::default().pool(1), 2),
        (Dialler::default().pool(1).no_idle_timeout(), 1),
    ] {
        drop(pool.get(&()).await.unwrap());
        advance(Duration::from_secs(90)).await;
        assert_eq!(pool.get(&()).await.unwrap().id, id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_closed_before_its_slot_is_free() {
    /// Looks at the pool while it is dropped. That also shows that the pool's lock is not held then.
    struct Looking(Option<Box<dyn Fn() + Send>>);
    impl Drop for Looking {
        fn drop(&mut self) {
            self.0.iter().for_each(|look| look());
        }
    }
    let connector = tower::service_fn(|()| async { Ok::<_, Refused>(Looking(None)) });
    let pool = ConnectionPool::new(connector, 1);
    let handle = pool.handle();
    let (seen, sees) = std::sync::mpsc::channel();
    let mut lease = pool.get(&()).await.unwrap();
    lease.0 = Some(Box::new(move || {
        let stats = handle.stats();
        seen.send((stats.active, stats.connecting, stats.waiting))
            .unwrap();
    }));
    let mut waiter = task::spawn(pool.get(&()));
    assert!(waiter.poll().is_pending());
    lease.mark_broken();
    lease.mark_broken();
    assert!(lease.is_broken());
    assert!(!waiter.is_woken(), "its connection is still open");
    drop(lease);
    assert_eq!(sees.try_recv(), Ok((1, 0, 1)));
    assert!(waiter.is_woken());
    assert_eq!(pool.handle().stats().closed.broken, 1);
}

#[tokio::test(start_paused = true)]
async fn a_detached_connection_frees_its_slot_and_lives_on() {
    let dialler = Dialler::default();
    let pool = dialler.pool(1);
    let lease = pool.get(&()).await.unwrap();
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());
    let own = lease.detach();
    let lease = assert_ready!(waiter.poll()).unwrap();
    assert_eq!((own.id, lease.id), (1, 2));
    let stats = pool.handle().stats();
    assert_eq!((stats.total, stats.detached, stats.created), (1, 1, 2));
    drop(lease);
    pool.close();
    assert_eq!(dialler.open(), 1);
    drop(own);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_connection_is_dropped_leaks_no_slot() {
    struct Grim(bool);
    impl Drop for Grim {
        fn drop(&mut self) {
            assert!(!self.0, "grim");
        }
    }
    let pool = ConnectionPool::new(tower::service_fn(|()| async { Ok::<_, Refused>(Grim(false)) }), 1)
        .wait_timeout(Duration::ZERO);
    let mut lease = pool.get(&()).await.unwrap();
    lease.0 = true;
    lease.mark_broken();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(lease))).unwrap_err();
    assert!(pool.get(&()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_takes_too_long_says_so_and_is_dropped() {
    let dialler = Dialler::default().then(How::Hang);
    let pool = dialler.pool(1).connect_timeout(ms(250));
    let start = Instant::now();
    let refusal = reason(pool.get(&()).await);
    assert_eq!(refusal, Reason::ConnectTimeout { after: ms(250) });
    assert_eq!(start.elapsed(), ms(250));
    let stats = pool.handle().stats();
    assert_eq!(
        (stats.connect_timeouts, stats.timeouts, stats.connecting),
        (1, 0, 0)
    );
    // Not at once, but soon.
    advance(ms(50)).await;
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn by_default_a_connect_may_take_ten_seconds() {
    let pool = Dialler::default().then(How::Hang).pool(1);
    let start = Instant::now();
    let after = Duration::from_secs(10);
    assert_eq!(reason(pool.get(&()).await), Reason::ConnectTimeout { after });
    assert_eq!(start.elapsed(), after);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_is_never_ready_runs_into_the_connect_timeout_too() {
    let (connector, mut backend) = tower_test::mock::pair::<(), u8>();
    backend.allow(0);
    let pool = ConnectionPool::new(connector, 1).connect_timeout(ms(250));
    let refusal = reason(pool.get(&()).await);
    assert_eq!(refusal, Reason::ConnectTimeout { after: ms(250) });
    assert_eq!(pool.handle().stats().connecting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_under_way_at_close_is_dropped() {
    let dialler = Dialler::default().then(How::OpenAfter(ms(10)));
    let pool = dialler.pool(1);
    let mut get = task::spawn(pool.get(&()));
    assert_pending!(get.poll());
    pool.close();
    assert_eq!(reason(assert_ready!(get.poll())), Reason::PoolClosed);
    advance(ms(5)).await;
    let stats = pool.handle().stats();
    assert_eq!((stats.keys, stats.connecting, stats.created), (0, 0, 0));
    advance(ms(10)).await;
    assert_eq!((dialler.started(), dialler.made()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn when_the_last_handle_is_gone_idle_connections_close_now_and_used_ones_at_return() {
    let dialler = Dialler::default();
    let pool = dialler.pool(2);
    let handle = pool.handle();
    let (used, idle) = (pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap());
    drop(idle);
    let clone = pool.clone();
    drop(pool);
    assert_eq!((dialler.open(), handle.is_closed()), (2, false));
    drop(clone);
    assert_eq!((dialler.open(), handle.is_closed()), (1, true));
    drop(used);
    assert_eq!(dialler.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_keeps_the_pool_open() {
    let mut pool = Dialler::default().then(How::OpenAfter(ms(5))).pool(1);
    let connecting = pool.call(());
    let waiting = pool.call(());
    drop(pool);
    drop(connecting.await.unwrap());
    assert_eq!(waiting.await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn keys_share_neither_connections_nor_limits_and_vanish_with_their_last_connection() {
    let pool: TestPool<&str> = ConnectionPool::new(Dialler::default(), 1);
    let mut a = pool.get(&"a").await.unwrap();
    let b = pool.get(&"b").await.unwrap();
    assert_eq!((a.id, b.id, pool.handle().stats().keys), (1, 2, 2));
    drop(b);
    a.mark_broken();
    drop(a);
    assert_eq!(pool.handle().stats().keys, 1);
    assert_eq!(pool.get(&"b").await.unwrap().id, 2);
}

#[tokio::test(start_paused = true)]
async fn the_key_that_rested_longest_gives_way_and_a_key_in_use_does_not() {
    let dialler = Dialler::default();
    let pool: TestPool<u32> = ConnectionPool::new(dialler.clone(), 2).max_keys(2);
    drop(pool.get(&1).await.unwrap());
    drop(pool.get(&2).await.unwrap());
    drop(pool.get(&1).await.unwrap());

    let three = pool.get(&3).await.unwrap();
    assert_eq!((dialler.open(), pool.handle().stats().closed.evicted), (2, 1));
    let one = pool.get(&1).await.unwrap();
    assert_eq!(one.uses(), 3, "key 2 had rested longer");

    let refusal = reason(pool.get(&4).await);
    assert_eq!(refusal, Reason::TooManyKeys { keys: 2 });
    assert_eq!(pool.handle().stats().too_many_keys, 1);
    // A key that is there already is none too many.
    drop(pool.get(&3).await.unwrap());
    drop(one);
    assert!(pool.get(&4).await.is_ok());
    drop(three);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_leaves_no_more_than_the_limit() {
    let dialler = Dialler::default();
    let pool: TestPool<u32> = ConnectionPool::new(dialler.clone(), 2).max_keys(16);
    for key in 0..10_000 {
        drop(pool.get(&key).await.unwrap());
    }
    let stats = pool.handle().stats();
    assert_eq!((stats.keys, stats.total, dialler.open()), (16, 16, 16));
}

#[tokio::test(start_paused = true)]
async fn as_a_service_it_stands_under_and_over_towers_own_layers() {
    let dialler = Dialler::default().then(How::Hang);
    let connector = tower::timeout::Timeout::new(dialler.clone(), ms(20));
    // The connector's own layers judge the connect; the pool passes their error on.
    let pool = ConnectionPool::new(connector, 1);
    let Err(GetError::Connect(err)) = pool.clone().oneshot(()).await else {
        panic!("it hangs for ever")
    };
    assert!(err.is::<tower::timeout::error::Elapsed>());

    let mut over = tower::timeout::Timeout::new(dialler.pool(1), ms(20));
    let lease = over.ready().await.unwrap().call(()).await.unwrap();
    let err = over.ready().await.unwrap().call(()).await.unwrap_err();
    assert!(err.is::<tower::timeout::error::Elapsed>());
    drop(lease);
    assert!(over.ready().await.unwrap().call(()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_short_sentence_with_its_cause_behind_it() {
    let pool = Dialler::default().then(How::Refuse).pool(1);
    let err = pool.get(&()).await.unwrap_err();
    assert_eq!(err.to_string(), "could not connect: connection refused");
    assert_eq!(
        std::error::Error::source(&err).unwrap().to_string(),
        "connection refused"
    );

    pool.close();
    let err = pool.get(&()).await.unwrap_err();
    assert_eq!(err.to_string(), "no connection to be had: pool closed");
    assert_eq!(Rejected::find(&err).unwrap().reason(), Reason::PoolClosed);
}

#[test]
fn absurd_settings_are_refused_in_a_full_sentence() {
    fn panic_of(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(f).unwrap_err();
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.unwrap_or_else(|| panic.downcast_ref::<String>().unwrap().clone())
    }
    for (panic, says) in [
        (panic_of(|| drop(Dialler::default().pool(0))), "max_per_key"),
        (
            panic_of(|| drop(Dialler::default().pool(1).max_keys(0))),
            "max_keys",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).idle_timeout(Duration::ZERO))),
            "idle_timeout",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).connect_timeout(Duration::ZERO))),
            "connect_timeout",
        ),
        (
            panic_of(|| drop(hook_pool::PoolLayer::<(), ()>::new(0))),
            "max_per_key",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).max_total(0))),
            "max_total",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).max_connecting(0))),
            "max_connecting",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).connect_backoff(ms(2), ms(1)))),
            "connect_backoff",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).max_lifetime(Duration::ZERO))),
            "max_lifetime",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).lifetime_jitter(f64::NAN))),
            "lifetime_jitter",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).max_uses(0))),
            "max_uses",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).check_timeout(Duration::ZERO))),
            "check_timeout",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).keep_alive(Duration::ZERO))),
            "keep_alive",
        ),
        (
            panic_of(|| drop(Dialler::default().pool(1).leak_warning(Duration::ZERO, |_| ()))),
            "leak_warning",
        ),
        (
            panic_of(|| Dialler::default().pool(1).handle().resize(0)),
            "max_per_key",
        ),
        (
            panic_of(|| Dialler::default().pool(1).handle().resize_total(0)),
            "max_total",
        ),
    ] {
        assert!(panic.contains(says), "{panic}");
        // And what it was given instead.
        let (_, given) = panic.rsplit_once(", not ").expect(&panic);
        assert!(!given.is_empty(), "{panic}");
    }
}
