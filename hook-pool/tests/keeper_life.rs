//! Who looks after a pool in the background, whatever happens to it.
#![cfg(not(loom))]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_pool::ConnectionPool;
use support::{Conn, Dialler, Refused, ms};
use tokio::time::{Instant, sleep, timeout};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_connector_in_the_background_does_not_end_the_minimum_for_good() {
    let armed = Arc::new(AtomicBool::new(false));
    let dialler = Dialler::default();
    let connector = tower::service_fn({
        let (armed, dialler) = (armed.clone(), dialler.clone());
        move |(): ()| {
            assert!(!armed.swap(false, SeqCst), "this connect panics at once");
            let conn = dialler.connection();
            async move { Ok::<_, Refused>(conn) }
        }
    });
    let pool = ConnectionPool::new(connector, 10).min_idle(2);
    let _held = pool.get(&()).await.unwrap();
    sleep(secs(1)).await;
    assert_eq!(pool.handle().stats().available, 2);
    armed.store(true, SeqCst);
    // It is the background that fills the gap.
    let mut gone = pool.get(&()).await.unwrap();
    gone.mark_broken();
    drop(gone);
    sleep(secs(60)).await;
    let stats = pool.handle().stats();
    assert!(!armed.load(SeqCst));
    assert_eq!((stats.connect_errors, stats.available), (1, 2));
}

#[test]
fn a_pool_that_moves_to_another_runtime_is_looked_after_there() {
    let dialler = Dialler::default();
    let told = Arc::new(AtomicUsize::new(0));
    let pool = dialler.pool(2).idle_timeout(secs(80)).leak_warning(secs(40), {
        let told = told.clone();
        move |_| {
            told.fetch_add(1, SeqCst);
        }
    });
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let first = runtime();
    drop(first.block_on(pool.get(&())).unwrap());
    drop(first);
    runtime().block_on(async {
        let conn = pool.get(&()).await.unwrap();
        assert_eq!(conn.uses(), 2);
        sleep(secs(120)).await;
        assert_eq!(told.load(SeqCst), 1, "the leak warning");
        drop(conn);
        sleep(secs(200)).await;
        assert_eq!(
            dialler.open(),
            0,
            "closed in the background after the idle timeout"
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_minimum_set_later_on_a_clone_is_opened() {
    let dialler = Dialler::default();
    let pool = dialler.pool(10).no_idle_timeout();
    drop(pool.get(&()).await.unwrap());
    let pool = pool.min_idle(3);
    for _ in 0..60 {
        sleep(secs(1)).await;
        drop(pool.get(&()).await.unwrap());
    }
    assert!(
        pool.handle().stats().available >= 3,
        "{:?}",
        pool.handle().stats().available
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_leak_warning_costs_no_other_warning() {
    let told = Arc::new(AtomicUsize::new(0));
    let dialler = Dialler::default();
    let pool = dialler.pool(4).leak_warning(secs(1), {
        let told = told.clone();
        move |_| assert!(told.fetch_add(1, SeqCst) > 0, "the first panics")
    });
    let _held = [pool.get(&()).await.unwrap(), pool.get(&()).await.unwrap()];
    for _ in 0..20 {
        sleep(secs(1)).await;
        drop(pool.get(&()).await.unwrap());
    }
    assert_eq!(pool.handle().stats().leaks, 2);
    assert_eq!(told.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_leaves_something_for_those_who_ask() {
    let dialler = Dialler::default();
    let pool = dialler
        .pool(4)
        .keep_alive(secs(10))
        .check_after(secs(60))
        .check_with(|_: &mut Conn| {
            Box::pin(async {
                sleep(ms(900)).await;
                true
            })
        });
    pool.warm_up(&(), 4).await.unwrap();
    // They are all due at the same time.
    sleep(ms(10_050)).await;
    let idle = pool.handle().stats().available;
    let start = Instant::now();
    drop(pool.get(&()).await.unwrap());
    let took = start.elapsed();
    assert!(
        took < ms(100),
        "a caller waited {took:?} for a keep-alive: {idle} of 4 were idle"
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_raised_by_a_setter_of_a_clone_serves_those_in_line() {
    let pool = Dialler::default().pool(4).max_total(1);
    let _one = pool.get(&()).await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get(&()).await.map(|c| c.id) }
    });
    sleep(ms(10)).await;
    let _other = pool.clone().max_total(4);
    sleep(ms(10)).await;
    assert!(waiter.is_finished(), "{:?}", pool.handle().stats().waiting);
}

mod hash {
    use super::*;
    #[derive(Clone, Debug)]
    pub(crate) struct Key(pub(crate) &'static str, pub(crate) Arc<AtomicBool>);
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
            assert!(!(self.0 == "b" && self.1.load(SeqCst)), "hash panics");
            self.0.hash(h);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_hash_of_a_key_in_the_background_leaks_no_slot() {
    let armed = Arc::new(AtomicBool::new(false));
    let key = |name| hash::Key(name, armed.clone());
    let dialler = Dialler::default();
    let pool = ConnectionPool::new(dialler.clone(), 1)
        .keep_alive(secs(8))
        .no_idle_timeout()
        .check_with(|_: &mut Conn| Box::pin(async { true }));
    drop(pool.get(&key("a")).await.unwrap());
    let mut b = pool.get(&key("b")).await.unwrap();
    sleep(ms(7_950)).await;
    b.mark_broken();
    drop(b);
    armed.store(true, SeqCst);
    // Key `b` is bare and goes at the next look; key `a` becomes due for its check at the same look.
    sleep(secs(3)).await;
    armed.store(false, SeqCst);
    let stats = pool.handle().stats();
    assert_eq!(
        (stats.active, dialler.open()),
        (0, stats.total),
        "{} active, {} exist",
        stats.active,
        dialler.open()
    );
    let again = timeout(secs(60), pool.get(&key("a"))).await.unwrap();
    assert!(again.is_ok(), "{again:?}");
}
