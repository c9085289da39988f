//! A panic in somebody else's code costs no slot, no connection and nobody's turn.

mod support;

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, Ready, ready},
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use hook_pool::{ConnectionPool, Connector, Key};
use support::{Dialler, ms, reason};
use tokio::time::advance;
use tokio_test::task;

/// Panics when it is dropped, if it is armed by then.
#[derive(Clone, Default)]
struct Grim(Arc<AtomicBool>);

impl Drop for Grim {
    fn drop(&mut self) {
        assert!(!self.0.swap(false, SeqCst), "grim");
    }
}

/// Opens connections of which the next that is dropped panics, once `armed`.
fn grim_pool<K: Key>(
    max: usize,
    armed: &Arc<AtomicBool>,
) -> ConnectionPool<impl Connector<K, Response = Grim, Error = Infallible> + use<K>, K> {
    let armed = armed.clone();
    let connector = tower::service_fn(move |_: K| ready(Ok::<_, Infallible>(Grim(armed.clone()))));
    ConnectionPool::new(connector, max)
        .idle_timeout(ms(2_000))
        .wait_timeout(Duration::ZERO)
}

fn panics(f: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(f)).expect_err("it is to panic");
}

fn look(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_broken_connection_is_dropped_gives_the_slot_back() {
    let armed = Arc::default();
    let pool = grim_pool(1, &armed);
    let mut lease = pool.get(&()).await.unwrap();
    lease.mark_broken();
    armed.store(true, SeqCst);
    panics(|| drop(lease));
    let stats = pool.handle().stats();
    assert_eq!((stats.connecting, stats.keys), (0, 0));
    assert!(pool.get(&()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_an_expired_connection_is_dropped_gives_the_one_just_lent_back() {
    let armed = Arc::default();
    let pool = grim_pool(2, &armed).max_lifetime(ms(2_000)).lifetime_jitter(0.0);
    let old = pool.get(&()).await.unwrap();
    advance(ms(1_000)).await;
    drop((pool.get(&()).await.unwrap(), old));
    // Without a turn of the runtime: nobody in the background comes first.
    look(advance(ms(1_000)));
    armed.store(true, SeqCst);
    panics(|| look(pool.get(&())));
    let stats = pool.handle().stats();
    assert_eq!((stats.active, stats.available, stats.closed.lifetime), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_an_evicted_connection_is_dropped_gives_the_slot_back() {
    let armed = Arc::default();
    let pool = grim_pool(1, &armed).max_keys(1);
    drop(pool.get(&1).await.unwrap());
    armed.store(true, SeqCst);
    panics(|| look(pool.get(&2)));
    assert_eq!(pool.handle().stats().connecting, 0);
    drop(pool.get(&2).await.unwrap());
    drop(pool.get(&1).await.unwrap());
}

/// Hashes by `SALT` and panics if that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fickle(u32);

thread_local! {
    static SALT: Cell<Option<u32>> = const { Cell::new(Some(0)) };
}

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let salt = SALT.get().expect("salt");
        (self.0, salt).hash(state);
    }
}

#[derive(Clone)]
struct Number;

/// A connection is the key it was opened for.
impl tower::Service<Fickle> for Number {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: Fickle) -> Self::Future {
        ready(Ok(key.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_hash_of_a_key_that_gives_way_costs_whoever_asks_nothing() {
    let pool = ConnectionPool::new(Number, 4).max_keys(1);
    drop(pool.get(&Fickle(1)).await.unwrap());
    SALT.set(None);
    panics(|| look(pool.get(&Fickle(2))));
    SALT.set(Some(0));
    let stats = pool.handle().stats();
    assert_eq!((stats.active, stats.connecting, stats.waiting), (0, 0, 0));
    assert_eq!(*pool.get(&Fickle(2)).await.unwrap(), 2);
    assert_eq!(*pool.get(&Fickle(1)).await.unwrap(), 1);
    assert_eq!(pool.handle().stats().keys, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_hash_changes_is_not_lent_the_connection_of_another() {
    let pool = ConnectionPool::new(Number, 4).max_keys(2);
    drop(pool.get(&Fickle(1)).await.unwrap());
    drop(pool.get(&Fickle(2)).await.unwrap());
    // The first gives way, but stays in the index under its old hash.
    SALT.set(Some(1));
    drop(pool.get(&Fickle(3)).await.unwrap());
    SALT.set(Some(0));
    for key in [1, 2, 3, 1] {
        assert_eq!(*pool.get(&Fickle(key)).await.unwrap(), key);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_background_leaves_the_pool_to_those_who_ask() {
    let armed = Arc::default();
    let pool = grim_pool(1, &armed);
    drop(pool.get(&()).await.unwrap());
    armed.store(true, SeqCst);
    advance(ms(2_000)).await;
    tokio::task::yield_now().await;
    let stats = pool.handle().stats();
    assert_eq!((stats.total, stats.closed.idle), (0, 1));
    for _ in 0..2 {
        drop(pool.get(&()).await.unwrap());
        advance(ms(2_000)).await;
        tokio::task::yield_now().await;
        assert_eq!(pool.handle().stats().total, 0, "somebody looks after it again");
    }
}

#[tokio::test(start_paused = true)]
async fn wakers_that_panic_keep_nobody_behind_them_from_being_woken() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let pool = Dialler::default().pool(1);
    let _lease = pool.get(&()).await.unwrap();
    let bad = Arc::new(Bad).into();
    let mut first = [(); 2].map(|()| Box::pin(pool.get(&())));
    for waiter in &mut first {
        let mut cx = Context::from_waker(&bad);
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    let mut last = task::spawn(pool.get(&()));
    assert!(last.poll().is_pending());
    panics(|| pool.close());
    assert!(last.is_woken());
    let Poll::Ready(turned_away) = last.poll() else {
        panic!("the pool is closed");
    };
    assert_eq!(reason(turned_away), hook_monitor::Reason::PoolClosed);
}
