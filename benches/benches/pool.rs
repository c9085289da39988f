//! The pool beside deadpool and bb8: what a checkout costs, and what becomes of a spike and of impatient callers.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use benches::drive;
use criterion::Criterion;
use futures::future::join_all;
use hook_pool::ConnectionPool;
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};
use tower::service_fn;

/// How long a connect takes where it matters; none at all where only checkouts are measured.
#[derive(Clone, Debug, Default)]
struct Dial {
    takes: Duration,
    begun: Arc<AtomicUsize>,
}

impl Dial {
    fn taking(takes: Duration) -> Self {
        Self {
            takes,
            ..Self::default()
        }
    }

    async fn connect(&self) -> Result<u64, Infallible> {
        self.begun.fetch_add(1, SeqCst);
        if !self.takes.is_zero() {
            sleep(self.takes).await;
        }
        Ok(1)
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }
}

impl deadpool::managed::Manager for Dial {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        self.connect().await
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl bb8::ManageConnection for Dial {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Self::connect(self).await
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// The three, so that each is asked the same.
trait Peer: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    fn of(dial: &Dial, max: usize) -> impl Future<Output = Self>;
    /// Takes a connection, does `work`, and gives it back.
    fn with<W: Future<Output = ()> + Send>(
        &self,
        work: impl FnOnce() -> W + Send,
    ) -> impl Future<Output = ()> + Send;
    fn connections(&self) -> usize;
}

type Connector = tower::util::BoxCloneSyncService<(), u64, Infallible>;

impl Peer for Arc<ConnectionPool<Connector, ()>> {
    const NAME: &'static str = "hook-pool";

    async fn of(dial: &Dial, max: usize) -> Self {
        let dial = dial.clone();
        let connector = service_fn(move |()| {
            let dial = dial.clone();
            async move { dial.connect().await }
        });
        Self::new(ConnectionPool::new(Connector::new(connector), max))
    }

    async fn with<W: Future<Output = ()> + Send>(&self, work: impl FnOnce() -> W + Send) {
        let _lease = self.get(&()).await.expect("a connection");
        work().await;
    }

    fn connections(&self) -> usize {
        let stats = self.handle().stats();
        stats.total + stats.connecting
    }
}

impl Peer for deadpool::managed::Pool<Dial> {
    const NAME: &'static str = "deadpool 0.13";

    async fn of(dial: &Dial, max: usize) -> Self {
        Self::builder(dial.clone())
            .max_size(max)
            .build()
            .expect("no timeouts set")
    }

    async fn with<W: Future<Output = ()> + Send>(&self, work: impl FnOnce() -> W + Send) {
        let _lease = self.get().await.expect("a connection");
        work().await;
    }

    fn connections(&self) -> usize {
        self.status().size
    }
}

impl Peer for bb8::Pool<Dial> {
    const NAME: &'static str = "bb8 0.9";

    async fn of(dial: &Dial, max: usize) -> Self {
        Self::builder()
            .max_size(u32::try_from(max).expect("a small pool"))
            // As it checks nothing here, neither do the others.
            .test_on_check_out(false)
            .build(dial.clone())
            .await
            .expect("nothing is opened yet")
    }

    async fn with<W: Future<Output = ()> + Send>(&self, work: impl FnOnce() -> W + Send) {
        let _lease = self.get().await.expect("a connection");
        work().await;
    }

    fn connections(&self) -> usize {
        self.state().connections as usize
    }
}

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// An idle connection taken and given back, by one caller.
fn checkout(c: &mut Criterion) {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let mut group = c.benchmark_group("pool/checkout");

    fn connector() -> impl hook_pool::Connector<(), Response = u64, Error = Infallible> {
        service_fn(|()| -> Ready<Result<u64, Infallible>> { ready(Ok(1)) })
    }
    let ours = ConnectionPool::new(connector(), 10);
    group.bench_function("hook-pool", |b| {
        b.iter(|| *drive(ours.get(&())).expect("an idle connection"));
    });
    let coarse = ConnectionPool::new(connector(), 10).coarse_clock();
    group.bench_function("hook-pool, coarse clock", |b| {
        b.iter(|| *drive(coarse.get(&())).expect("an idle connection"));
    });
    let deadpool = runtime.block_on(deadpool::managed::Pool::of(&Dial::default(), 10));
    group.bench_function("deadpool 0.13", |b| {
        b.iter(|| *drive(deadpool.get()).expect("an idle connection"));
    });
    let bb8 = runtime.block_on(bb8::Pool::of(&Dial::default(), 10));
    group.bench_function("bb8 0.9", |b| {
        b.iter(|| *drive(bb8.get()).expect("an idle connection"));
    });
}

/// Forty tasks on ten connections, each held while its task gives way once: thirty are always in line. The time is
/// that of all checkouts together by their number.
fn contended(c: &mut Criterion) {
    for workers in [1, 2] {
        let group = format!(
            "pool/40 tasks on 10 connections, {workers} worker{}",
            if workers == 1 { "" } else { "s" }
        );
        line::<Arc<ConnectionPool<Connector, ()>>>(c, &group, workers);
        line::<deadpool::managed::Pool<Dial>>(c, &group, workers);
        line::<bb8::Pool<Dial>>(c, &group, workers);
    }
}

fn line<P: Peer>(c: &mut Criterion, group: &str, workers: usize) {
    const TASKS: u64 = 40;
    let runtime = runtime(workers);
    let pool = runtime.block_on(P::of(&Dial::default(), 10));
    c.benchmark_group(group).bench_function(P::NAME, |b| {
        b.iter_custom(|iterations| {
            let each = iterations.div_ceil(TASKS);
            let took = runtime.block_on(async {
                let start = Instant::now();
                let tasks = (0..TASKS).map(|_| {
                    let pool = pool.clone();
                    tokio::spawn(async move {
                        for _ in 0..each {
                            pool.with(tokio::task::yield_now).await;
                        }
                    })
                });
                join_all(tasks).await;
                start.elapsed()
            });
            took.mul_f64(iterations as f64 / (each * TASKS) as f64)
        });
    });
}

/// Five warm connections, a connect takes 150 ms, a query 2 ms, and fifty come at once to a pool of fifty.
async fn spike<P: Peer>() -> (Duration, usize) {
    let dial = Dial::taking(Duration::from_millis(150));
    let pool = P::of(&dial, 50).await;
    join_all((0..5).map(|_| pool.with(|| sleep(Duration::from_millis(1))))).await;
    // Whatever the warming has begun is over.
    sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    join_all((0..50).map(|_| pool.with(|| sleep(Duration::from_millis(2))))).await;
    let took = start.elapsed();
    sleep(Duration::from_millis(400)).await;
    (took, pool.connections())
}

/// Twenty callers one after the other, each with 20 ms of patience, and a connect takes 150 ms.
async fn impatient<P: Peer>() -> (usize, usize) {
    let dial = Dial::taking(Duration::from_millis(150));
    let pool = P::of(&dial, 10).await;
    let mut served = 0;
    for _ in 0..20 {
        let caller = timeout(Duration::from_millis(20), pool.with(|| ready(())));
        served += usize::from(caller.await.is_ok());
    }
    (served, dial.begun())
}

async fn print<P: Peer>() {
    let (took, connections) = spike::<P>().await;
    let (served, begun) = impatient::<P>().await;
    println!(
        "{:<14} | {took:>8.1?}, {connections:>2} connections at the end | {served:>2} of 20 served, {begun:>2} connects begun",
        P::NAME
    );
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    checkout(&mut criterion);
    contended(&mut criterion);
    criterion.final_summary();
    let asked_for_something_else = std::env::args()
        .skip(1)
        .any(|arg| !arg.starts_with('-') && !"behaviour".contains(&*arg));
    if !asked_for_something_else {
        behaviour();
    }
}

/// Not how long it takes but what comes of it, in real time.
fn behaviour() {
    println!("               | spike: 50 at once, 5 warm           | 20 callers of 20 ms, connect 150 ms");
    runtime(1).block_on(async {
        print::<Arc<ConnectionPool<Connector, ()>>>().await;
        print::<deadpool::managed::Pool<Dial>>().await;
        print::<bb8::Pool<Dial>>().await;
    });
}
