//! A capacity in bytes: what it counts, what it refuses, and that it is kept.
#![cfg(not(loom))]

use std::{convert::Infallible, future::ready, time::Duration};

use hook_cache::{CacheLayer, ResultCache};
use tower::{Layer, Service, service_fn};

fn of_bytes(total: u64) -> hook_cache::ResultCacheBuilder<u64, Vec<u8>> {
    ResultCache::builder().capacity_bytes(total, |_key, value: &Vec<u8>| value.len())
}

#[test]
fn an_entry_weighs_its_bytes_and_the_overhead() {
    let cache = of_bytes(1 << 20).build();
    cache.insert(1, vec![0; 1_000]);
    cache.insert(2, vec![0; 500]);
    let stats = cache.stats();
    assert_eq!(stats.weight, 1_500 + 2 * cache.overhead());
    assert_eq!(stats.capacity, 1 << 20);
    assert!((stats.utilisation() - stats.weight as f64 / f64::from(1 << 20)).abs() < 1e-9);
    // The overhead is that of the tables: within a factor of two, once there are many small entries.
    let cache = of_bytes(64 << 20).build();
    (0..100_000).for_each(|key| cache.insert(key, Vec::new()));
    let (counted, taken) = (cache.stats().weight, cache.table_bytes() as u64);
    assert!(
        taken < 2 * counted && counted < 2 * taken,
        "{counted} counted, {taken} taken"
    );
}

#[test]
fn nothing_below_the_stated_maximum_is_refused_and_refusals_are_counted() {
    for total in [10_000u64, 100_000, 1 << 20, 64 << 20] {
        for largest in [total / 16, total / 4, total / 2, total] {
            let cache = of_bytes(total).largest(largest).build();
            let most = (largest - cache.overhead()) as usize;
            for key in 0..50 {
                cache.insert(key, vec![0; most]);
                assert!(
                    cache.get(&key).is_some(),
                    "{most} bytes of {total}, {largest} at most"
                );
                assert!(cache.stats().weight <= total);
            }
            assert_eq!(cache.stats().refused.too_heavy, 0);
            cache.insert(100, vec![0; most + 1]);
            assert_eq!(cache.get(&100), None);
            assert_eq!(cache.stats().refused.too_heavy, 1);
        }
    }
}

#[test]
fn a_value_that_is_too_heavy_takes_the_one_before_it_along() {
    let cache = of_bytes(16_000).build();
    cache.insert(1, vec![1; 10]);
    cache.insert(1, vec![2; 10_000]);
    assert_eq!(cache.get(&1), None, "the old value is not served in its place");
    let stats = cache.stats();
    assert_eq!(
        (stats.replaced, stats.refused.too_heavy, stats.entries),
        (1, 1, 0)
    );
    assert_eq!(stats.inserted, stats.replaced);
}

#[test]
fn the_largest_means_nothing_where_entries_count() {
    let cache = ResultCache::builder().capacity(10).largest(0).build();
    cache.insert(1, 1);
    assert_eq!((cache.stats().weight, cache.stats().capacity), (1, 10));
}

/// moka#590: the weight is kept under writers that use the same keys.
#[test]
fn the_weight_is_kept_under_writers_that_use_the_same_keys() {
    let cache = of_bytes(100_000).build();
    std::thread::scope(|scope| {
        for seed in 0..3u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut number = seed;
                for _ in 0..20_000 {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (key, size) = ((number >> 33) % 500, (number >> 44) as usize % 2_000);
                    cache.insert(key, vec![0; size]);
                    assert!(cache.stats().weight <= 100_000);
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!(
        stats.inserted,
        stats.replaced + stats.evicted + stats.entries as u64
    );
    assert!(stats.evicted > 0);
}

#[tokio::test]
async fn a_layer_counts_why_it_stored_nothing() {
    let layer = CacheLayer::keyed_by(|req: &u64| Some(*req))
        .capacity_bytes(16_000, |_key, value: &Vec<u8>| value.len())
        .store_if_key(|key: &u64, _value: &Vec<u8>| *key != 1);
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(|req: u64| {
        ready(Ok::<_, Infallible>(vec![0u8; req as usize]))
    }));
    for req in [1, 2, 5_000] {
        assert_eq!(svc.call(req).await.unwrap().len() as u64, req);
    }
    let stats = handle.stats();
    assert_eq!((stats.refused.declined, stats.refused.too_heavy), (1, 1));
    assert_eq!((stats.inserted, stats.entries), (1, 1));
    let none = ResultCache::new(0);
    none.insert(1, 1);
    assert_eq!(none.stats().refused.no_capacity, 1);
}

/// An eviction listener that takes 11 ms keeps moka over its capacity (20 becomes 37). Here what is evicted is dropped
/// after the lock is gone, however long that takes, and the capacity is kept.
#[test]
fn the_capacity_is_kept_however_long_a_drop_takes() {
    #[derive(Clone)]
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_micros(200) {
                std::hint::spin_loop();
            }
        }
    }
    let cache = ResultCache::new(20);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let cache = &cache;
            scope.spawn(move || {
                for key in 0..100 {
                    cache.insert(thread * 1_000 + key, Slow);
                    assert!(cache.len() <= 20);
                }
            });
        }
    });
    assert_eq!(cache.stats().evicted, 180);
}
