//! Misses, stampedes and invalidation.

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use benches::{Spread, call, claims::Suite};
use criterion::{BatchSize, BenchmarkId, Criterion};
use futures::future::join_all;
use hook_cache::{CacheLayer, ResultCache};
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

use crate::peers::{Answer, TR, TTL, ours, theirs};

/// Calls that are never found, of a cache that is full: what a miss, its store and its eviction add to a call.
pub(crate) fn miss(c: &mut Criterion) {
    let mut group = c.benchmark_group("cache/miss, store and evict");
    let mut line = |id: &str, look_up: &mut dyn FnMut(u64)| {
        let mut next = 0;
        (0..2_000).for_each(|_| {
            next += 1;
            look_up(next);
        });
        group.bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| {
                next += 1;
                look_up(next);
            });
        });
    };
    line("bare", &mut |key| {
        let _ = black_box(call(&mut Answer, key));
    });
    let mut service = ours(1_000).layer(Answer);
    line("hook-cache", &mut |key| {
        let _ = black_box(call(&mut service, key));
    });
    let mut service = ours(1_000).coarse_clock().layer(Answer);
    line("hook-cache, coarse clock", &mut |key| {
        let _ = black_box(call(&mut service, key));
    });
    let mut service = ours(1_000).coarse_clock().resume().layer(Answer);
    line("hook-cache, coarse clock, resume", &mut |key| {
        let _ = black_box(call(&mut service, key));
    });
    let cache = quick_cache::sync::Cache::<u64, u64>::new(1_000);
    line("quick_cache 0.6 get_or_insert_with", &mut |key| {
        let _ = black_box(cache.get_or_insert_with(&key, || Ok::<_, Infallible>(7)));
    });
    let cache = moka::sync::Cache::builder()
        .max_capacity(1_000)
        .time_to_live(TTL)
        .build();
    line("moka 0.12 get_with", &mut |key| {
        black_box(cache.get_with(key, || 7u64));
    });
    let mut service = theirs::<u64>(1_000).layer(Answer);
    line(TR, &mut |key| {
        let _ = black_box(call(&mut service, key));
    });
}

/// The claims about misses and invalidation: counts, and the median of some invalidations.
pub(crate) fn claims(suite: &mut Suite, runtime: &Runtime) {
    let calls = Arc::new(AtomicU64::new(0));
    let service = CacheLayer::keyed_by(|key: &u64| Some(*key)).layer(slow_backend(&calls));
    let most = (0..suite.mode().pick(20, 200))
        .map(|round| {
            runtime.block_on(join_all((0..512).map(|_| service.clone().call(round))));
            calls.swap(0, Relaxed)
        })
        .max()
        .unwrap_or_default();
    suite.value("cache.stampede", most as f64, "the most of any round");

    const ENTRIES: u64 = 100_000;
    let ours = ResultCache::builder().capacity(150_000).build();
    let tagged = Spread::of(
        (0..5)
            .map(|_| {
                (0..ENTRIES).for_each(|key| ours.insert_tagged(key, key, ["all"]));
                let began = Instant::now();
                ours.invalidate_tag(black_box("all"));
                let took = began.elapsed();
                assert_eq!(ours.get(&7), None);
                took.as_secs_f64() * 1e6
            })
            .collect(),
    );
    let moka = moka::sync::Cache::<u64, u64>::builder()
        .max_capacity(150_000)
        .support_invalidation_closures()
        .build();
    let scanned = Spread::of(
        (0..3)
            .map(|_| {
                (0..ENTRIES).for_each(|key| moka.insert(key, key));
                moka.run_pending_tasks();
                let began = Instant::now();
                moka.invalidate_entries_if(|key, _| *key < ENTRIES)
                    .expect("closures are supported");
                moka.run_pending_tasks();
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect(),
    );
    suite.value(
        "cache.invalidate_tag",
        tagged.median,
        format!(
            "moka by a predicate, its pending work included: {:.0} us",
            scanned.median
        ),
    );
}

/// A backend that takes a turn of the scheduler, and counts who comes.
fn slow_backend(
    calls: &Arc<AtomicU64>,
) -> impl Service<u64, Response = u64, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static {
    let counted = calls.clone();
    service_fn(move |key: u64| {
        counted.fetch_add(1, Relaxed);
        async move {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(key)
        }
    })
}

/// 512 callers of one key whose entry has just expired, and a backend that takes a turn of the scheduler.
pub(crate) fn stampede(c: &mut Criterion, runtime: &Runtime) {
    let calls = Arc::new(AtomicU64::new(0));
    let backend = slow_backend(&calls);
    let mut group = c.benchmark_group("cache/stampede of 512");
    let mut rounds = 0;
    let service = CacheLayer::keyed_by(|key: &u64| Some(*key)).layer(backend.clone());
    group.bench_function("hook-cache", |b| {
        b.iter(|| {
            // A key that was never asked for is what an expired one is, without the wait.
            rounds += 1;
            runtime.block_on(join_all((0..512).map(|_| service.clone().call(rounds))))
        });
    });
    let made = calls.swap(0, Relaxed);
    println!("hook-cache: {made} calls of the backend for {rounds} stampedes of 512");
    assert_eq!(made, rounds, "one call for each stampede");

    let mut rounds = 0;
    let cache = moka::future::Cache::<u64, u64>::builder()
        .max_capacity(1_000)
        .time_to_live(TTL)
        .build();
    group.bench_function("moka 0.12", |b| {
        b.iter(|| {
            rounds += 1;
            let load = || async {
                calls.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
                7
            };
            runtime.block_on(join_all((0..512).map(|_| cache.get_with(rounds, load()))))
        });
    });
    println!(
        "moka: {} calls of the backend for {rounds} stampedes of 512",
        calls.swap(0, Relaxed)
    );

    let mut rounds = 0;
    let peer = tower_resilience::cache::CacheLayer::builder()
        .max_size(1_000)
        .ttl(TTL)
        .key_extractor(|key: &u64| *key)
        .build()
        .expect("sensible figures");
    let service = peer.layer(backend);
    group.bench_function(TR, |b| {
        b.iter(|| {
            rounds += 1;
            runtime.block_on(join_all((0..512).map(|_| {
                let mut service = service.clone();
                async move {
                    futures::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(rounds).await
                }
            })))
        });
    });
    println!(
        "{TR}: {} calls of the backend for {rounds} stampedes of 512",
        calls.load(Relaxed)
    );
}

/// 100,000 entries go at once.
pub(crate) fn invalidate(c: &mut Criterion) {
    const ENTRIES: u64 = 100_000;
    let mut group = c.benchmark_group("cache/invalidate 100000 entries");
    group.sample_size(10);
    // The filling takes a thousand times what is measured.
    let mut line = |id: &str, fill: &dyn Fn(), empty: &dyn Fn()| {
        group.bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter_batched(fill, |()| empty(), BatchSize::PerIteration);
        });
    };
    let ours = ResultCache::builder().capacity(150_000).build();
    line(
        "hook-cache invalidate_tag",
        &|| (0..ENTRIES).for_each(|key| ours.insert_tagged(key, key, ["all"])),
        &|| {
            ours.invalidate_tag(black_box("all"));
        },
    );
    assert_eq!(ours.get(&7), None);
    let fill = || (0..ENTRIES).for_each(|key| ours.insert(key, key));
    line("hook-cache invalidate_if", &fill, &|| {
        ours.invalidate_if(|key, _| *key < ENTRIES);
    });
    line("hook-cache invalidate_all", &fill, &|| {
        ours.invalidate_all();
    });
    let raw = quick_cache::sync::Cache::<u64, u64>::new(150_000);
    line(
        "quick_cache 0.6 retain",
        &|| (0..ENTRIES).for_each(|key| raw.insert(key, key)),
        &|| raw.retain(|key, _| *key >= ENTRIES),
    );
    let moka = moka::sync::Cache::<u64, u64>::builder()
        .max_capacity(150_000)
        .support_invalidation_closures()
        .build();
    line(
        "moka 0.12 invalidate_entries_if and its pending work",
        &|| {
            (0..ENTRIES).for_each(|key| moka.insert(key, key));
            moka.run_pending_tasks();
        },
        &|| {
            moka.invalidate_entries_if(|key, _| *key < ENTRIES)
                .expect("closures are supported");
            moka.run_pending_tasks();
        },
    );
}
