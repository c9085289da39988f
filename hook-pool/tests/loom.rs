//! The interleavings of return, wait, cancel, give up and close, on the pool itself with loom's lock in it.
//!
//! `RUSTFLAGS='--cfg loom' cargo test --release -p hook-pool --test loom`
//!
//! No test has a timer in it: with the longest timeouts the pool asks for none. A lost wake-up shows as a
//! deadlock, which loom reports.
#![cfg(loom)]

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hook_monitor::Reason;
use hook_pool::{ConnectionPool, GetError, Pooled};
use loom::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};
use tower_service::Service;

/// Opens connections and counts how many are open, at any time and at most.
#[derive(Clone, Default)]
struct Dialler(Arc<Counts>);

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    open: AtomicUsize,
}

struct Conn(Arc<Counts>);

impl Drop for Conn {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Service<()> for Dialler {
    type Response = Conn;
    type Error = Infallible;
    type Future = Ready<Result<Conn, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.0.made.fetch_add(1, SeqCst);
        let open = self.0.open.fetch_add(1, SeqCst) + 1;
        assert!(open <= 1, "{open} connections where one is allowed");
        ready(Ok(Conn(self.0.clone())))
    }
}

/// Every interleaving of at most three preemptions: enough for any race of two steps, and done in seconds.
fn model(f: impl Fn() + Send + Sync + 'static) {
    model_with(3, f);
}

fn model_with(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

type Pool = ConnectionPool<Dialler, ()>;

fn pool(dialler: &Dialler) -> Pool {
    ConnectionPool::new(dialler.clone(), 1)
        .wait_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .no_idle_timeout()
}

fn get(pool: &Pool) -> Pooled<Conn> {
    block_on(pool.get(&())).unwrap_or_else(|_| panic!("nobody refuses"))
}

/// Polls once, and goes.
fn look_in(pool: &Pool) {
    let _ = pin!(pool.get(&())).poll(&mut Context::from_waker(Waker::noop()));
}

/// In the end one can be had, so no slot is lost, and when the pool goes everything is closed.
fn check(pool: Pool, dialler: &Dialler) {
    let stats = pool.handle().stats();
    assert_eq!((stats.active, stats.connecting, stats.waiting), (0, 0, 0));
    assert_eq!(
        stats.created,
        stats.total as u64 + stats.detached + stats.closed.total()
    );
    if !pool.is_closed() {
        drop(get(&pool));
    }
    drop(pool);
    assert_eq!(dialler.0.open.load(SeqCst), 0);
}

#[test]
fn a_return_reaches_whoever_waits() {
    // Three threads that all wait: a third preemption takes minutes.
    model_with(2, || {
        let dialler = Dialler::default();
        let pool = pool(&dialler);
        let threads = [(); 2].map(|()| {
            let pool = pool.clone();
            thread::spawn(move || drop(get(&pool)))
        });
        drop(get(&pool));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(dialler.0.made.load(SeqCst), 1);
        check(pool, &dialler);
    });
}

#[test]
fn a_slot_that_comes_free_reaches_whoever_waits() {
    model(|| {
        let dialler = Dialler::default();
        let pool = pool(&dialler);
        let other = pool.clone();
        let waiter = thread::spawn(move || drop(get(&other)));
        let mut lease = get(&pool);
        lease.mark_broken();
        drop(lease);
        waiter.join().unwrap();
        check(pool, &dialler);
    });
}

#[test]
fn whoever_goes_passes_on_what_it_was_given() {
    for broken in [false, true] {
        model(move || {
            let dialler = Dialler::default();
            let pool = pool(&dialler);
            let mut lease = get(&pool);
            let [first, second] = [pool.clone(), pool.clone()];
            let goes = thread::spawn(move || look_in(&first));
            let waits = thread::spawn(move || drop(get(&second)));
            if broken {
                lease.mark_broken();
            }
            drop(lease);
            goes.join().unwrap();
            waits.join().unwrap();
            check(pool, &dialler);
        });
    }
}

#[test]
fn giving_up_races_with_being_served_and_loses_nothing() {
    model(|| {
        let dialler = Dialler::default();
        let pool = pool(&dialler);
        let lease = get(&pool);
        // Looks, and gives up in the same poll: a return may come between the two.
        let hasty = pool.clone().wait_timeout(Duration::ZERO);
        let patient = pool.clone();
        let gives_up = thread::spawn(move || match block_on(hasty.get(&())) {
            Ok(lease) => drop(lease),
            Err(GetError::Timeout(_)) => {}
            Err(_) => panic!("nothing else can happen"),
        });
        let waits = thread::spawn(move || drop(get(&patient)));
        drop(lease);
        gives_up.join().unwrap();
        waits.join().unwrap();
        check(pool, &dialler);
    });
}

#[test]
fn close_leaves_nobody_waiting_and_nothing_open() {
    model(|| {
        let dialler = Dialler::default();
        let pool = pool(&dialler);
        let lease = get(&pool);
        let [waiting, closing] = [pool.clone(), pool.clone()];
        let waits = thread::spawn(move || match block_on(waiting.get(&())) {
            Ok(lease) => drop(lease),
            Err(GetError::Rejected(rejected)) => assert_eq!(rejected.reason(), Reason::PoolClosed),
            Err(_) => panic!("nothing else can happen"),
        });
        let closes = thread::spawn(move || closing.close());
        drop(lease);
        waits.join().unwrap();
        closes.join().unwrap();
        let stats = pool.handle().stats();
        assert_eq!((stats.keys, stats.total), (0, 0));
        check(pool, &dialler);
    });
}

#[test]
fn close_races_with_a_connect() {
    model(|| {
        let dialler = Dialler::default();
        let pool = pool(&dialler);
        let connecting = pool.clone();
        let connects = thread::spawn(move || drop(block_on(connecting.get(&()))));
        pool.close();
        connects.join().unwrap();
        check(pool, &dialler);
    });
}
