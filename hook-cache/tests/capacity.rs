//! How much a cache holds, and what it says about what it does not.
#![cfg(not(loom))]

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use hook_cache::ResultCache;

/// A small generator of numbers that look random, the same in every run.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|n| n >> 33)
}

#[test]
fn a_small_cache_holds_exactly_what_it_was_made_for() {
    for capacity in [1, 2, 3, 5, 31, 32, 33, 64, 100, 127] {
        let cache = ResultCache::new(capacity);
        for key in 0..capacity {
            cache.insert(key, key);
        }
        assert_eq!(cache.len(), capacity);
        assert!(
            (0..capacity).all(|key| cache.get(&key) == Some(key)),
            "capacity {capacity}"
        );
        assert_eq!(cache.stats().evicted, 0);

        cache.insert(capacity, capacity);
        assert_eq!(cache.len(), capacity);
        assert_eq!(cache.get(&capacity), Some(capacity), "capacity {capacity}");
        assert_eq!(cache.stats().evicted, 1);
    }
}

#[test]
fn a_large_cache_never_holds_more_and_hardly_less() {
    for capacity in [128, 200, 1_000, 1_001, 10_000] {
        let cache = ResultCache::new(capacity);
        for key in 0..capacity {
            cache.insert(key, key);
            assert!(cache.len() <= capacity);
        }
        // Parts of 64 entries, the smallest there are, fill the most unevenly.
        assert!(
            cache.len() * 100 >= capacity * 85,
            "{} of {capacity}",
            cache.len()
        );
        for key in capacity..10 * capacity {
            cache.insert(key, key);
        }
        assert!(cache.len() <= capacity);
        assert!(
            cache.len() * 100 >= capacity * 95,
            "{} of {capacity}",
            cache.len()
        );
    }
}

#[test]
fn what_is_put_is_found_whatever_the_capacity_and_every_departure_is_counted() {
    for capacity in 1..=9 {
        let cache = ResultCache::new(capacity);
        let (mut inserted, mut replaced) = (0, 0);
        for (n, number) in numbers(capacity as u64).take(20_000).enumerate() {
            let key = number % 15;
            if number % 7 == 0 {
                cache.get(&(number / 7 % 15));
            }
            let was_there = cache.get(&key).is_some();
            cache.insert(key, n);
            inserted += 1;
            replaced += u64::from(was_there);
            assert_eq!(cache.get(&key), Some(n), "capacity {capacity}, put {n}");
            assert!(cache.len() <= capacity);
        }
        let stats = cache.stats();
        assert_eq!((stats.inserted, stats.replaced), (inserted, replaced));
        assert_eq!(
            stats.inserted,
            stats.replaced + stats.evicted + stats.entries as u64
        );
    }
}

#[tokio::test]
async fn a_cache_without_capacity_stores_nothing() {
    let cache = ResultCache::new(0);
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), None);
    assert_eq!(
        cache.get_or_load(1, || async { Ok::<_, Infallible>(2) }).await,
        Ok(2)
    );
    assert_eq!(cache.get(&1), None);
    assert!(!cache.invalidate(&1));
    cache.invalidate_all();
    assert_eq!(cache.invalidate_if(|_, _| true), 0);
    assert_eq!((cache.len(), cache.stats().inserted), (0, 0));
}

#[test]
fn capacity_is_kept_under_writers_that_use_the_same_keys() {
    let cache = ResultCache::new(64);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3u64)
            .map(|seed| {
                let cache = &cache;
                scope.spawn(move || {
                    for number in numbers(seed).take(30_000) {
                        let key = number % 100;
                        if number % 11 == 0 {
                            cache.invalidate(&key);
                        } else {
                            cache.insert(key, number);
                        }
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            while !done.load(SeqCst) {
                assert!(cache.len() <= 64);
                std::thread::yield_now();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, SeqCst);
        watcher.join().unwrap();
    });
    let stats = cache.stats();
    let gone = stats.replaced + stats.evicted + stats.invalidated;
    assert_eq!(stats.inserted, gone + stats.entries as u64);
}

/// Asks the cache while it is dropped, which hangs or is refused if that happens under a lock.
struct Curious {
    cache: Arc<Mutex<Option<Holder>>>,
}

type Holder = ResultCache<u32, Arc<Curious>>;

impl Drop for Curious {
    fn drop(&mut self) {
        let cache = self.cache.lock().unwrap().clone();
        if let Some(cache) = cache {
            cache.invalidate(&1_000_000);
            cache.get(&1_000_000);
            cache.len();
        }
    }
}

#[test]
fn whatever_leaves_is_dropped_without_a_lock() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let slot = Arc::new(Mutex::new(None));
        let cache = ResultCache::new(3);
        *slot.lock().unwrap() = Some(cache.clone());
        let curious = || Arc::new(Curious { cache: slot.clone() });
        for key in 0..10 {
            cache.insert(key, curious());
        }
        cache.insert(9, curious());
        assert!(cache.invalidate(&9));
        assert_eq!(cache.invalidate_if(|_, _| true), 2);
        cache.insert(1, curious());
        cache.invalidate_all();
        assert!(cache.is_empty());
        *slot.lock().unwrap() = None;
        done.send(()).unwrap();
    });
    // Not a sleep: the limit for a deadlock.
    let limit = std::time::Duration::from_secs(20);
    assert_eq!(
        finished.recv_timeout(limit),
        Ok(()),
        "a value was dropped under a lock"
    );
}

#[test]
fn a_predicate_is_asked_without_a_lock_and_once_per_entry() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let cache = ResultCache::new(100);
        (0..10).for_each(|key| cache.insert(key, key));
        let seen = Mutex::new(HashSet::new());
        let removed = cache.invalidate_if(|key, value| {
            assert_eq!(cache.get(key), Some(*value));
            cache.insert(100, 100);
            *key == 100 || seen.lock().unwrap().insert(*key) && key % 2 == 0
        });
        assert!(removed >= 5);
        assert!((0..10).all(|key| cache.get(&key).is_some() == (key % 2 == 1)));
        assert_eq!(seen.lock().unwrap().len(), 10);
        done.send(()).unwrap();
    });
    let limit = std::time::Duration::from_secs(20);
    assert_eq!(
        finished.recv_timeout(limit),
        Ok(()),
        "the predicate was asked under a lock"
    );
}

#[test]
fn a_cache_that_is_to_be_without_bounds_takes_no_memory_for_that() {
    for cache in [
        ResultCache::new(usize::MAX),
        ResultCache::new(1 << 40),
        ResultCache::builder().capacity_bytes(u64::MAX, |_, _| 0).build(),
        ResultCache::builder()
            .capacity_bytes(u64::MAX, |_, _| 0)
            .largest(1 << 10)
            .build(),
    ] {
        assert!(cache.table_bytes() < 64 << 20, "{}", cache.table_bytes());
        (0..10_000u64).for_each(|key| cache.insert(key, key));
        assert_eq!((0..10_000).filter(|key| cache.get(key).is_some()).count(), 10_000);
    }
}
