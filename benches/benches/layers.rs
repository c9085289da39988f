//! What each layer costs in a steady state, and all of them together, beside the bare service, tower's own and the peers.
//!
//! Each layer has a suite of its own with more states; this one has a line for each state a user would ask about.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use benches::{Bare, Down, IsDown, call, calls, claims::Suite};
use criterion::{BenchmarkId, Criterion};
use hook_breaker::CircuitBreakerLayer;
use hook_cache::CacheLayer;
use hook_monitor::MonitorLayer;
use hook_pool::PoolLayer;
use hook_retry::{NoWait, RetryLayer, RetryPolicy};
use tokio::runtime::Runtime;
use tower::{
    BoxError, Layer, Service, ServiceBuilder, limit::ConcurrencyLimitLayer, service_fn, timeout::TimeoutLayer,
};

const TR: &str = "tower-resilience 0.13";

/// One line: calls of `service`, made and warmed up before the clock starts.
fn line<S: Service<u64>>(c: &mut Criterion, group: &str, id: &str, mut service: S) {
    for req in 0..10_000 {
        let _ = call(&mut service, req);
    }
    c.benchmark_group(group)
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| call(&mut service, black_box(7)).is_ok());
        });
}

/// Every second attempt fails.
#[derive(Clone, Debug, Default)]
struct Flaky(Arc<AtomicU64>);

impl Service<u64> for Flaky {
    type Response = u64;
    type Error = IsDown;
    type Future = Ready<Result<u64, IsDown>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), IsDown>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: u64) -> Self::Future {
        ready(match self.0.fetch_add(1, Relaxed) % 2 {
            0 => Err(IsDown),
            _ => Ok(req),
        })
    }
}

/// What tower itself has, for scale.
fn towers(c: &mut Criterion) {
    line(c, "tower", "bare", Bare);
    line(
        c,
        "tower",
        "concurrency_limit",
        ConcurrencyLimitLayer::new(10).layer(Bare),
    );
    line(
        c,
        "tower",
        "timeout",
        TimeoutLayer::new(Duration::from_secs(30)).layer(Bare),
    );
}

fn monitor(c: &mut Criterion) {
    line(c, "monitor", "bare", Bare);
    line(
        c,
        "monitor",
        "hook-monitor",
        MonitorLayer::new("bench").layer(Bare),
    );
    let coarse = MonitorLayer::new("bench").coarse_clock();
    line(c, "monitor", "hook-monitor, coarse clock", coarse.layer(Bare));
}

fn breaker(c: &mut Criterion) {
    line(c, "layers/breaker", "bare", Bare);
    line(
        c,
        "layers/breaker",
        "closed",
        CircuitBreakerLayer::new().layer(Bare),
    );
    line(
        c,
        "layers/breaker",
        "open",
        CircuitBreakerLayer::new().layer(Down),
    );
    // Open for no time at all: every call is a probe that fails and opens the circuit again.
    let probing = CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .open_for(Duration::from_nanos(1));
    line(
        c,
        "layers/breaker",
        "half-open, a failing probe",
        probing.layer(Down),
    );
    let peer = |open: Duration| {
        tower_resilience::circuitbreaker::CircuitBreakerLayer::builder()
            .sliding_window_size(10)
            .wait_duration_in_open(open)
            .build()
            .expect("sensible figures")
    };
    let long = Duration::from_secs(3600);
    line(
        c,
        "layers/breaker",
        "tower-resilience 0.13, closed",
        peer(long).layer(Bare),
    );
    line(
        c,
        "layers/breaker",
        "tower-resilience 0.13, open",
        peer(long).layer(Down),
    );
    let probing = peer(Duration::from_nanos(1)).layer(Down);
    line(c, "layers/breaker", "tower-resilience 0.13, half-open", probing);
}

fn cache(c: &mut Criterion) {
    let ours = || CacheLayer::keyed_by(|req: &u64| Some(*req));
    line(c, "layers/cache", "bare", Bare);
    line(c, "layers/cache", "hit", ours().layer(Bare));
    line(
        c,
        "layers/cache",
        "hit, coarse clock",
        ours().coarse_clock().layer(Bare),
    );
    line(
        c,
        "layers/cache",
        "passed by",
        CacheLayer::keyed_by(|_: &u64| None::<u64>).layer(Bare),
    );
    // Kept for no time at all: every call finds an entry that is over, and loads anew.
    let brief = ours().ttl(Duration::from_nanos(1));
    line(c, "layers/cache", "expired, loaded again", brief.layer(Bare));
    let peer = |ttl| {
        tower_resilience::cache::CacheLayer::builder()
            .max_size(1_000)
            .ttl(ttl)
            .key_extractor(|req: &u64| *req)
            .build()
            .expect("sensible figures")
    };
    line(
        c,
        "layers/cache",
        "tower-resilience 0.13, hit",
        peer(Duration::from_secs(300)).layer(Bare),
    );
    let brief = peer(Duration::from_nanos(1)).layer(Bare);
    line(c, "layers/cache", "tower-resilience 0.13, expired", brief);
}

fn retry(c: &mut Criterion) {
    let ours = || RetryLayer::new(RetryPolicy::new().backoff(NoWait).no_budget());
    line(c, "layers/retry", "bare", Bare);
    line(c, "layers/retry", "first try", ours().layer(Bare));
    line(
        c,
        "layers/retry",
        "one retry, no wait",
        ours().layer(Flaky::default()),
    );
}

type Connection = Bare;

/// A connector that is asked once: afterwards its connection is idle.
fn connector() -> impl hook_pool::Connector<(), Response = Connection, Error = Infallible> {
    service_fn(|()| -> Ready<Result<Connection, Infallible>> { ready(Ok(Bare)) })
}

fn pool(c: &mut Criterion) {
    line(c, "layers/pool", "bare", Bare);
    line(c, "layers/pool", "idle", PoolLayer::new(10).layer(connector()));
    let coarse = PoolLayer::new(10).coarse_clock();
    line(c, "layers/pool", "idle, coarse clock", coarse.layer(connector()));
}

/// All five, and tower's timeout in its place. The cache is passed by, so that every call goes through all of them.
fn five() -> impl Service<u64, Response = u64, Error = BoxError> {
    ServiceBuilder::new()
        .layer(MonitorLayer::new("bench"))
        .layer(CacheLayer::keyed_by(|_: &u64| None::<u64>))
        .layer(RetryLayer::new(RetryPolicy::new()))
        .layer(CircuitBreakerLayer::new())
        .layer(PoolLayer::new(10))
        .service(connector())
}

fn five_coarse() -> impl Service<u64, Response = u64, Error = BoxError> {
    ServiceBuilder::new()
        .layer(MonitorLayer::new("bench").coarse_clock())
        .layer(CacheLayer::keyed_by(|_: &u64| None::<u64>).coarse_clock())
        .layer(RetryLayer::new(RetryPolicy::new()))
        .layer(CircuitBreakerLayer::new().coarse_clock())
        .layer(PoolLayer::new(10).coarse_clock())
        .service(connector())
}

fn two_of_the_peer() -> impl Service<u64, Response = u64> {
    let breaker = tower_resilience::circuitbreaker::CircuitBreakerLayer::builder()
        .build()
        .expect("its defaults");
    let retry = tower_resilience::retry::RetryLayer::<u64, u64, _>::builder()
        .max_attempts(4)
        .build();
    retry.layer(breaker.layer(Bare))
}

fn stack(c: &mut Criterion) {
    line(c, "stack", "bare", Bare);
    line(c, "stack", "hook: monitor, cache, retry, breaker, pool", five());
    line(c, "stack", "hook: all five, coarse clock", five_coarse());
    line(c, "stack", &format!("{TR}: retry, breaker"), two_of_the_peer());
}

/// Everything runs inside a tokio runtime, as it would in a service.
fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let mut suite = Suite::named("layers");
    let mut criterion = suite.mode().criterion();
    for group in [towers, monitor, breaker, cache, retry, pool, stack] {
        group(&mut criterion);
    }
    criterion.final_summary();
    suite.ratio("stack.five", calls(five()), calls(two_of_the_peer()));
    suite.ratio(
        "stack.five.coarse",
        calls(five_coarse()),
        calls(two_of_the_peer()),
    );
    suite.finish();
}
