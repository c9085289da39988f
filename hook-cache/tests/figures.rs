//! What a handle tells a collector.
#![cfg(not(loom))]

use std::{convert::Infallible, future::ready, time::Duration};

use hook_cache::{CacheLayer, CacheStats, ResultCache};
use hook_monitor::{Gather, HistogramSnapshot, Label, Source, Status};
use tower::{Layer, Service, service_fn};

#[derive(Default)]
struct Lines(Vec<String>);

fn series(name: &str, labels: &[Label]) -> String {
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

impl Gather for Lines {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.0.push(format!("{} {value}", series(name, labels)));
    }

    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        self.0.push(format!("{} {value}", series(name, labels)));
    }

    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
        self.0.push(format!("{} {}", series(name, labels), value.count()));
    }
}

#[tokio::test]
async fn every_figure_is_told_under_its_name() {
    let layer = CacheLayer::keyed_by(|req: &u32| (*req < 100).then_some(*req))
        .capacity(2)
        .name("users");
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(|req: u32| {
        ready(if req == 9 { Err("nine") } else { Ok(req) })
    }));
    for req in [1, 1, 2, 3, 9, 100] {
        let _ = svc.call(req).await;
    }
    handle.cache().insert(3, 30);
    handle.invalidate(&3);

    let source: &dyn Source = &handle;
    assert_eq!((source.layer(), source.name()), ("cache", "users"));
    assert_eq!(source.status(), Status::Healthy);
    let mut lines = Lines::default();
    source.read(&mut lines);
    assert_eq!(
        lines.0,
        [
            "hook_cache_gets_total{result=hit} 1",
            "hook_cache_gets_total{result=stale} 0",
            "hook_cache_gets_total{result=negative} 0",
            "hook_cache_gets_total{result=miss} 4",
            "hook_cache_gets_total{result=coalesced} 0",
            "hook_cache_gets_total{result=bypass} 1",
            "hook_cache_refreshes_total{} 0",
            "hook_cache_rescued_total{} 0",
            "hook_cache_puts_total{} 4",
            "hook_cache_evictions_total{cause=capacity} 1",
            "hook_cache_evictions_total{cause=expired} 0",
            "hook_cache_evictions_total{cause=replaced} 1",
            "hook_cache_evictions_total{cause=invalidated} 1",
            "hook_cache_refused_total{reason=no_capacity} 0",
            "hook_cache_refused_total{reason=too_heavy} 0",
            "hook_cache_refused_total{reason=outdated} 0",
            "hook_cache_refused_total{reason=declined} 0",
            "hook_cache_entries{} 1",
            "hook_cache_weight{} 1",
            "hook_cache_utilisation{} 0.5",
            "hook_cache_load_duration_seconds{result=success} 3",
            "hook_cache_load_duration_seconds{result=failure} 1",
        ]
    );
    let stats = handle.stats();
    assert_eq!((stats.loads, stats.load_errors, stats.capacity), (3, 1, 2));
    assert_eq!(stats.hit_ratio(), 0.2);
}

#[test]
fn a_cache_that_was_never_asked_has_a_hit_ratio_of_zero() {
    let layer = CacheLayer::<_, u32, _>::keyed_by(|req: &u32| Some(*req));
    assert_eq!(layer.handle().stats().hit_ratio(), 0.0);
    assert_eq!(layer.handle().name(), "cache");
}

/// quick_cache's own statistics count a load that was not there as two misses.
#[tokio::test]
async fn a_cold_load_is_one_miss() {
    let layer = CacheLayer::keyed_by(|req: &u32| Some(*req));
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(|req: u32| ready(Ok::<_, Infallible>(req))));
    svc.call(1).await.unwrap();
    let stats = handle.stats();
    assert_eq!((stats.hits, stats.misses), (0, 1));
}

/// One call is in exactly one of the figures that say what it came to; a refresh is nobody's call.
fn gets(stats: &CacheStats) -> u64 {
    stats.hits + stats.stale_hits + stats.negative_hits + stats.misses + stats.coalesced + stats.bypassed
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_told_a_remembered_error_counts_as_no_call() {
    let cache = ResultCache::builder()
        .ttl(Duration::from_secs(1))
        .stale_while_revalidate(Duration::from_secs(100))
        .remember_errors(Duration::from_secs(50))
        .build();
    cache.insert(1, 1);
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(2)).await;
        let load = || async { Err::<u32, _>("down") };
        assert_eq!(cache.get_or_load_shared(1, load).await, Ok(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(gets(&cache.stats()), 5, "{:?}", cache.stats());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_comes_too_late_counts_as_no_call() {
    let cache = ResultCache::builder()
        .ttl(Duration::from_secs(1))
        .stale_while_revalidate(Duration::from_secs(100))
        .build();
    cache.insert(1, 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    let load = || async { Ok::<_, ()>(2) };
    assert_eq!(cache.get_or_load_shared(1, load).await, Ok(1));
    // Before the refresh has run.
    cache.insert(1, 3);
    tokio::task::yield_now().await;
    assert_eq!(gets(&cache.stats()), 1, "{:?}", cache.stats());
    assert_eq!(cache.get(&1), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_loads_for_itself_counts_as_a_refresh() {
    let layer = CacheLayer::keyed_by(|req: &u32| Some(*req))
        .ttl(Duration::from_secs(1))
        .stale_while_revalidate(Duration::from_secs(100))
        .max_waiters(0);
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(|_: u32| {
        std::future::pending::<Result<u32, Infallible>>()
    }));
    // Made before there was a value, polled when that is stale: it leads, and leaves no room to wait.
    let mut early = tokio_test::task::spawn(svc.call(1));
    handle.cache().insert(1, 10);
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio_test::assert_pending!(early.poll());
    assert_eq!(svc.call(1).await, Ok(10));
    tokio::task::yield_now().await;
    let stats = handle.stats();
    assert_eq!((gets(&stats), stats.refreshes), (2, 1), "{stats:?}");
}
