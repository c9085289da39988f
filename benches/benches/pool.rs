//! The pool beside deadpool and bb8: what a checkout costs, and what becomes of a spike and of impatient callers.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use benches::{claims::Suite, drive};
use criterion::Criterion;
use futures::future::join_all;
use hook_pool::ConnectionPool;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
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
fn checkout(c: &mut Criterion, suite: &mut Suite) {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let mut group = c.benchmark_group("pool/checkout");

    fn connector() -> impl hook_pool::Connector<(), Response = u64, Error = Infallible> {
        service_fn(|()| -> Ready<Result<u64, Infallible>> { ready(Ok(1)) })
    }
    let ours = ConnectionPool::new(connector(), 10);
    let ours = || *drive(ours.get(&())).expect("an idle connection");
    group.bench_function("hook-pool", |b| b.iter(ours));
    let coarse = ConnectionPool::new(connector(), 10).coarse_clock();
    let coarse = || *drive(coarse.get(&())).expect("an idle connection");
    group.bench_function("hook-pool, coarse clock", |b| b.iter(coarse));
    let deadpool = runtime.block_on(deadpool::managed::Pool::of(&Dial::default(), 10));
    let deadpool = || *drive(deadpool.get()).expect("an idle connection");
    group.bench_function("deadpool 0.13", |b| b.iter(deadpool));
    let bb8 = runtime.block_on(bb8::Pool::of(&Dial::default(), 10));
    let bb8 = || *drive(bb8.get()).expect("an idle connection");
    group.bench_function("bb8 0.9", |b| b.iter(bb8));

    suite.ratio("pool.checkout.deadpool", timed(ours), timed(deadpool));
    suite.ratio("pool.checkout.bb8", timed(ours), timed(bb8));
}

/// So many in a row.
fn timed(once: impl Fn() -> u64) -> impl FnMut(u64) -> Duration {
    move |n| {
        let start = Instant::now();
        for _ in 0..n {
            black_box(once());
        }
        start.elapsed()
    }
}

/// Forty tasks on ten connections, each held while its task gives way once: thirty are always in line. The time is
/// that of all checkouts together by their number.
fn contended(c: &mut Criterion) {
    for workers in [1, 2] {
        let group = format!(
            "pool/40 tasks on 10 connections, {workers} worker{}",
            if workers == 1 { "" } else { "s" }
        );
        line::<Ours>(c, &group, workers);
        line::<Deadpool>(c, &group, workers);
        line::<Bb8>(c, &group, workers);
        line::<Untimed>(c, &group, workers);
        line::<Permits>(c, &group, workers);
        line::<Nothing>(c, &group, workers);
    }
}

/// Ours, without a timer for each who waits: deadpool sets none here, bb8 does.
#[derive(Clone)]
struct Untimed(Ours);

impl Peer for Untimed {
    const NAME: &'static str = "hook-pool, no wait timeout";

    async fn of(dial: &Dial, max: usize) -> Self {
        let dial = dial.clone();
        let connector = service_fn(move |()| {
            let dial = dial.clone();
            async move { dial.connect().await }
        });
        let pool = ConnectionPool::new(Connector::new(connector), max);
        Self(Arc::new(pool.wait_timeout(Duration::MAX)))
    }

    async fn with<W: Future<Output = ()> + Send>(&self, work: impl FnOnce() -> W + Send) {
        self.0.with(work).await;
    }

    fn connections(&self) -> usize {
        self.0.connections()
    }
}

/// No connections, only the right to have one: the least that a fair line costs.
impl Peer for Arc<Semaphore> {
    const NAME: &'static str = "tokio's semaphore alone";

    async fn of(_: &Dial, max: usize) -> Self {
        Self::new(Semaphore::new(max))
    }

    async fn with<W: Future<Output = ()> + Send>(&self, work: impl FnOnce() -> W + Send) {
        let _permit = self.acquire().await.expect("never closed");
        work().await;
    }

    fn connections(&self) -> usize {
        0
    }
}

/// No line either: each gives way twice, for its wait and for its work.
#[derive(Clone)]
struct Nothing;

impl Peer for Nothing {
    const NAME: &'static str = "two yields and no pool";

    async fn of(_: &Dial, _: usize) -> Self {
        Self
    }

    async fn with<W: Future<Output = ()> + Send>(&self, work: impl FnOnce() -> W + Send) {
        tokio::task::yield_now().await;
        work().await;
    }

    fn connections(&self) -> usize {
        0
    }
}

fn line<P: Peer>(c: &mut Criterion, group: &str, workers: usize) {
    let crowd = crowd::<P>(workers);
    c.benchmark_group(group)
        .bench_function(P::NAME, |b| b.iter_custom(&crowd));
}

/// So many checkouts by forty tasks on ten connections.
fn crowd<P: Peer>(workers: usize) -> impl Fn(u64) -> Duration {
    const TASKS: u64 = 40;
    let runtime = runtime(workers);
    let pool = runtime.block_on(P::of(&Dial::default(), 10));
    move |iterations| {
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
    }
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

type Ours = Arc<ConnectionPool<Connector, ()>>;
type Deadpool = deadpool::managed::Pool<Dial>;
type Bb8 = bb8::Pool<Dial>;
type Permits = Arc<Semaphore>;

fn main() {
    let mut suite = Suite::named("pool");
    let mut criterion = suite.mode().criterion();
    checkout(&mut criterion, &mut suite);
    contended(&mut criterion);
    criterion.final_summary();
    suite.ratio("pool.contended.deadpool", crowd::<Ours>(1), crowd::<Deadpool>(1));
    suite.ratio("pool.contended.bb8", crowd::<Ours>(1), crowd::<Bb8>(1));
    if suite.wants("pool.spike") || suite.wants("pool.impatient") {
        behaviour(&mut suite);
    }
    suite.finish();
}

/// Not how long it takes but what comes of it, in real time: the median of three spikes.
fn behaviour(suite: &mut Suite) {
    let times = suite.mode().pick(1, 3);
    runtime(1).block_on(async {
        let (took, connections) = spikes::<Ours>(times).await;
        let (deadpool, bb8) = (spikes::<Deadpool>(times).await, spikes::<Bb8>(times).await);
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        suite.value(
            "pool.spike",
            ms(took),
            format!("deadpool {:.1} ms, bb8 {:.1} ms", ms(deadpool.0), ms(bb8.0)),
        );
        suite.value(
            "pool.spike.connections",
            connections as f64,
            format!("deadpool {}, bb8 {}", deadpool.1, bb8.1),
        );
        let (served, begun) = impatient::<Ours>().await;
        let (deadpool, bb8) = (impatient::<Deadpool>().await, impatient::<Bb8>().await);
        suite.value(
            "pool.impatient",
            served as f64,
            format!("of 20; deadpool {}, bb8 {}", deadpool.0, bb8.0),
        );
        suite.value(
            "pool.impatient.connects",
            begun as f64,
            format!("deadpool {}, bb8 {}", deadpool.1, bb8.1),
        );
    });
}

async fn spikes<P: Peer>(times: usize) -> (Duration, usize) {
    let mut all = Vec::new();
    for _ in 0..times {
        all.push(spike::<P>().await);
    }
    all.sort();
    all[times / 2]
}
