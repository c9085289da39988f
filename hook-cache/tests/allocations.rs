//! What a hit allocates: nothing.
#![cfg(not(loom))]

use std::{convert::Infallible, future::ready, sync::Arc};

use futures::{FutureExt, executor::block_on};
use hook_cache::{CacheLayer, ResultCache};
use tower::{Layer, Service, service_fn};

#[test]
fn a_hit_allocates_nothing() {
    let layer = CacheLayer::keyed_by(|req: &u64| Some(*req));
    let inner = service_fn(|req: u64| ready(Ok::<_, Infallible>(Arc::<str>::from(req.to_string()))));
    let mut svc = layer.layer(inner);
    block_on(svc.call(1)).unwrap();
    let (mut hits, mut misses) = (0, 0);
    let spent = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            match svc.call(1).now_or_never() {
                Some(Ok(_)) => hits += 1,
                _ => misses += 1,
            }
        }
    });
    assert_eq!((hits, misses), (1_000, 0));
    assert_eq!(spent.count_total, 0);
}

#[test]
fn a_hit_without_tower_allocates_nothing() {
    let cache = ResultCache::new(10);
    cache.insert("key", 7);
    cache.get(&"key");
    let spent = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert_eq!(cache.get(&"key"), Some(7));
            let load = || async { Err::<i32, _>("not loaded") };
            assert_eq!(cache.get_or_load("key", load).now_or_never(), Some(Ok(7)));
        }
    });
    assert_eq!(spent.count_total, 0);
}

#[test]
fn passing_by_allocates_nothing() {
    let layer = CacheLayer::keyed_by(|_: &u64| None::<u64>);
    let mut svc = layer.layer(service_fn(|req: u64| ready(Ok::<_, Infallible>(req))));
    block_on(svc.call(1)).unwrap();
    let spent = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert_eq!(svc.call(1).now_or_never(), Some(Ok(1)));
        }
    });
    assert_eq!(spent.count_total, 0);
}
