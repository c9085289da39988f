//! Until when a value is served, and when it is gone from memory.
#![cfg(not(loom))]

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use hook_cache::ResultCache;
use tokio::time::{advance, sleep};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// moka time_to_live: put at 0 for 10 s; at 5 s a hit, at exactly 10 s a miss, and then the table is empty.
#[tokio::test(start_paused = true)]
async fn time_to_live_is_exact_and_a_sweep_leaves_nothing() {
    let cache = ResultCache::builder().ttl(secs(10)).build();
    cache.insert("a", "alice");
    advance(secs(5)).await;
    assert_eq!(cache.get(&"a"), Some("alice"));
    advance(secs(5)).await;
    assert!(!cache.contains(&"a"));
    assert_eq!(
        cache.invalidate_if(|_, _| true),
        0,
        "it is not among what can be picked"
    );
    assert!(cache.is_empty());
}

/// moka time_to_idle: put at 0 for 10 s, read at 5: there at 12 for one who only looks, gone at 15; put at 10 and
/// read at 15: there until 25.
#[tokio::test(start_paused = true)]
async fn time_to_idle_is_extended_by_reading_and_not_by_looking() {
    let cache = ResultCache::builder().time_to_idle(secs(10)).build();
    cache.insert("a", 1);
    advance(secs(5)).await;
    assert_eq!(cache.get(&"a"), Some(1));
    advance(secs(5)).await;
    cache.insert("b", 2);
    advance(secs(2)).await;
    assert!(cache.contains(&"a"));
    advance(secs(3)).await;
    assert_eq!(cache.get(&"a"), None);
    assert_eq!(cache.get(&"b"), Some(2));
    advance(secs(10) - Duration::from_nanos(1)).await;
    assert!(cache.contains(&"b"));
    advance(Duration::from_nanos(1)).await;
    assert_eq!(cache.get(&"b"), None);
    assert_eq!(cache.stats().expired, 2);
}

#[tokio::test(start_paused = true)]
async fn being_read_does_not_carry_an_entry_past_its_time_to_live() {
    let cache = ResultCache::builder().ttl(secs(10)).time_to_idle(secs(4)).build();
    cache.insert("a", 1);
    for _ in 0..3 {
        advance(secs(3)).await;
        assert_eq!(cache.get(&"a"), Some(1));
    }
    advance(secs(1)).await;
    assert_eq!(cache.get(&"a"), None);
}

#[tokio::test(start_paused = true)]
async fn each_value_may_have_a_life_of_its_own() {
    let cache = ResultCache::builder()
        .ttl_by(|key: &&str, value: &u64| if *key == "short" { secs(1) } else { secs(*value) })
        .build();
    cache.insert("short", 100);
    cache.insert("five", 5);
    let load = || async { Ok::<_, ()>(7) };
    assert_eq!(cache.get_or_load("seven", load).await, Ok(7));
    cache.insert_with_ttl("told", 1, secs(60));
    for (step, left) in [(1, 3), (4, 2), (2, 1), (53, 0)] {
        advance(secs(step)).await;
        let keys = ["short", "five", "seven", "told"];
        assert_eq!(
            keys.iter().filter(|key| cache.contains(*key)).count(),
            left,
            "{step} s later"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_the_ends_and_makes_no_life_longer() {
    let cache = ResultCache::builder()
        .capacity(100_000)
        .ttl(secs(1_000))
        .jitter(0.2)
        .build();
    for key in 0..1_000 {
        cache.insert(key, key);
    }
    advance(secs(800)).await;
    let alive = |cache: &ResultCache<i32, i32>| (0..1_000).filter(|key| cache.contains(key)).count();
    assert_eq!(alive(&cache), 1_000);
    let mut before = 1_000;
    for _ in 0..10 {
        advance(secs(20)).await;
        let after = alive(&cache);
        assert!(
            (60..=140).contains(&(before - after)),
            "{} died in 20 of 200 s",
            before - after
        );
        before = after;
    }
    assert_eq!(before, 0);
}

#[test]
#[should_panic(expected = "the jitter is a share of the time to live, from 0 to 1, and not 1.5")]
fn a_jitter_that_is_no_share_is_refused() {
    let _ = ResultCache::<u32, u32>::builder().jitter(1.5);
}

#[tokio::test(start_paused = true)]
async fn a_cache_in_use_sweeps_itself() {
    let cache = ResultCache::builder().capacity(100_000).ttl(secs(10)).build();
    for key in 0..50_000 {
        cache.insert(key, key);
    }
    advance(secs(10)).await;
    // Nobody asks for the dead; other values are put, for less than half as many keys.
    for key in 100_000..120_000 {
        cache.insert(key, key);
    }
    for key in 100_000..120_000 {
        cache.insert(key, key);
    }
    let stats = cache.stats();
    assert!(
        stats.entries < 25_000,
        "{} entries for 20,000 that live",
        stats.entries
    );
    assert_eq!(stats.expired + stats.entries as u64, 70_000);
}

#[tokio::test(start_paused = true)]
async fn an_idle_cache_frees_its_memory() {
    let cache = ResultCache::builder().capacity(100_000).ttl(secs(60)).build();
    let small = cache.table_bytes();
    let values: Vec<Weak<u64>> = (0..50_000)
        .map(|key| {
            let value = Arc::new(key);
            let weak = Arc::downgrade(&value);
            cache.insert(key, value);
            weak
        })
        .collect();
    assert!(cache.table_bytes() > 50_000 * size_of::<u64>());
    let sweeper = tokio::spawn(cache.sweeper(secs(10)));
    sleep(secs(75)).await;
    assert_eq!(cache.len(), 0);
    assert!(values.iter().all(|value| value.upgrade().is_none()));
    assert_eq!(cache.table_bytes(), small, "the tables kept their slots");
    assert_eq!(cache.stats().expired, 50_000);
    drop(cache);
    sleep(secs(10)).await;
    assert!(sweeper.is_finished(), "the sweeper outlives the cache");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_stops_when_its_budget_is_spent_and_goes_on_there() {
    let cache = ResultCache::builder().capacity(10_000).ttl(secs(1)).build();
    (0..5_000).for_each(|key| cache.insert(key, key));
    advance(secs(1)).await;
    let mut sweeps = 1;
    while !cache.sweep(Duration::ZERO) {
        let left = cache.len();
        sweeps += 1;
        assert!(sweeps < 1_000, "{left} entries left");
        if left == 0 {
            break;
        }
    }
    assert!(sweeps > 1, "without a budget it went round at once");
    assert!(cache.is_empty());
    assert!(cache.sweep(secs(1)));
}

/// `Drop` of what is swept may take its time and come back to the cache.
#[test]
fn what_is_swept_is_dropped_without_a_lock() {
    struct Back(Weak<ResultCache<u32, Arc<Back>>>);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(cache) = self.0.upgrade() {
                cache.invalidate(&1_000);
            }
        }
    }
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let cache = Arc::new(ResultCache::builder().ttl(Duration::ZERO).build());
        (0..10).for_each(|key| cache.insert(key, Arc::new(Back(Arc::downgrade(&cache)))));
        assert!(cache.sweep(secs(1)));
        assert!(cache.is_empty());
        done.send(()).unwrap();
    });
    // Not a sleep: the limit for a deadlock.
    assert_eq!(finished.recv_timeout(secs(5)), Ok(()), "dropped under a lock");
}

#[tokio::test(start_paused = true)]
async fn lives_differ_from_key_to_key_and_stay_within_the_share() {
    let cache = ResultCache::builder().ttl(secs(100)).jitter(1.0).build();
    (0..200).for_each(|key| cache.insert(key, ()));
    let mut ends = HashSet::new();
    for second in 0..100 {
        ends.insert((second, (0..200).filter(|key| cache.contains(key)).count()));
        advance(secs(1)).await;
    }
    let distinct: HashSet<usize> = ends.iter().map(|(_, alive)| *alive).collect();
    assert!(distinct.len() > 50, "{} steps", distinct.len());
    assert_eq!((0..200).filter(|key| cache.contains(key)).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_a_part_with_many_entries_goes_on_where_it_stopped() {
    // Few parts, as each has room for a large value; thousands of small ones in each.
    let cache = ResultCache::builder()
        .capacity_bytes(64 << 20, |_: &u64, _: &u64| 0)
        .ttl(secs(10))
        .build();
    (0..50_000).for_each(|key| cache.insert(key, key));
    advance(secs(10)).await;
    assert_eq!(cache.len(), 50_000);
    let mut sweeps = 0;
    loop {
        let before = cache.len();
        let round = cache.sweep(Duration::ZERO);
        let after = cache.len();
        assert!(
            before - after <= 256,
            "{} at once, without any budget",
            before - after
        );
        if round || after as u64 == sweeps {
            break;
        }
        // What is put meanwhile stays, sweeps as little, and is found when its time has come.
        sweeps += 1;
        cache.insert_with_ttl(1_000_000 + sweeps, 0, secs(20));
        let put = cache.len();
        assert!(after + 1 - put <= 256, "{} at once, for one put", after + 1 - put);
        assert!(sweeps < 1_000, "{put} are left");
    }
    assert_eq!(cache.len() as u64, sweeps);
    advance(secs(20)).await;
    while !cache.sweep(secs(1)) {}
    assert_eq!((cache.len(), cache.stats().expired), (0, 50_000 + sweeps));
    assert!(cache.table_bytes() < 100_000, "{}", cache.table_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_leaves_the_rest_to_the_next_sweep() {
    #[derive(Clone)]
    struct Grenade(bool);
    impl Drop for Grenade {
        fn drop(&mut self) {
            if std::mem::take(&mut self.0) && !std::thread::panicking() {
                panic!("a drop that panics");
            }
        }
    }
    let cache = ResultCache::builder().capacity(10_000).ttl(secs(10)).build();
    (0..1_000u32).for_each(|key| cache.insert(key, Grenade(key == 500)));
    advance(secs(10)).await;
    let sweep = std::panic::AssertUnwindSafe(|| while !cache.sweep(secs(1)) {});
    assert!(std::panic::catch_unwind(sweep).is_err());
    while !cache.sweep(secs(1)) {}
    assert_eq!((cache.len(), cache.stats().expired), (0, 1_000));
}
