//! What each layer costs in a steady state, beside the bare service and the peers.

use std::{hint::black_box, time::Duration};

use benches::{Bare, call};
use criterion::{BenchmarkId, Criterion};
use hook_breaker::CircuitBreakerLayer;
use hook_cache::CacheLayer;
use hook_monitor::MonitorLayer;
use hook_retry::{RetryLayer, RetryPolicy};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceBuilder};

const TR: &str = "tower-resilience 0.13";

/// One line: calls of `service`, made and warmed up before the clock starts.
fn line<S, Res>(c: &mut Criterion, group: &str, id: &str, mut service: S)
where
    S: Service<u64, Response = Res>,
    S::Error: std::fmt::Debug,
{
    c.benchmark_group(group)
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| call(&mut service, black_box(7)).map_err(|_| ()));
        });
}

fn monitor(c: &mut Criterion) {
    line(c, "monitor", "bare", Bare);
    line(
        c,
        "monitor",
        "hook-monitor",
        MonitorLayer::new("bench").layer(Bare),
    );
    line(
        c,
        "monitor",
        "hook-monitor, coarse clock",
        MonitorLayer::new("bench").coarse_clock().layer(Bare),
    );
}

fn cache(c: &mut Criterion) {
    line(
        c,
        "cache/hit",
        "hook-cache",
        CacheLayer::keyed_by(|req: &u64| Some(*req)).layer(Bare),
    );
    let coarse = CacheLayer::keyed_by(|req: &u64| Some(*req)).coarse_clock();
    line(c, "cache/hit", "hook-cache, coarse clock", coarse.layer(Bare));

    let raw = quick_cache::sync::Cache::new(1_000);
    raw.insert(7u64, 7u64);
    c.benchmark_group("cache/hit")
        .bench_function("quick_cache::get, no TTL, no statistics", |b| {
            b.iter(|| raw.get(black_box(&7)));
        });
    let peer = tower_resilience::cache::CacheLayer::builder()
        .max_size(1_000)
        .ttl(Duration::from_secs(300))
        .key_extractor(|req: &u64| *req)
        .build()
        .expect("sensible figures");
    line(c, "cache/hit", TR, peer.layer(Bare));
}

fn stack(c: &mut Criterion) {
    line(c, "stack", "bare", Bare);
    // A pass-by cache: every call goes through all the layers, as a miss that is never stored would.
    let ours = ServiceBuilder::new()
        .layer(MonitorLayer::new("bench"))
        .layer(CacheLayer::keyed_by(|_: &u64| None::<u64>))
        .layer(RetryLayer::new(RetryPolicy::new()))
        .layer(CircuitBreakerLayer::new())
        .service(Bare);
    line(c, "stack", "hook: monitor, cache, retry, breaker", ours);

    let breaker = tower_resilience::circuitbreaker::CircuitBreakerLayer::builder()
        .build()
        .expect("its defaults");
    let peer = tower_resilience::retry::RetryLayer::<u64, u64, _>::builder()
        .max_attempts(4)
        .build();
    line(
        c,
        "stack",
        "tower-resilience 0.13: retry, breaker",
        peer.layer(breaker.layer(Bare)),
    );
}

/// Everything runs inside a tokio runtime, as it would in a service.
fn all(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    monitor(c);
    cache(c);
    stack(c);
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    all(&mut criterion);
    criterion.final_summary();
}
