//! What was invalidated is not served again, also not by a load that had begun before.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_cache::{CacheLayer, ResultCache};
use tokio::{task::JoinHandle, time::advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower_test::mock;

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

#[test]
fn a_key_is_gone_once_and_the_others_stay() {
    let cache = ResultCache::new(10);
    cache.insert(1, "one");
    cache.insert(2, "two");
    assert!(cache.invalidate(&1));
    assert!(!cache.invalidate(&1));
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some("two")));
    assert_eq!(cache.stats().invalidated, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_dead_already_expires_and_is_not_invalidated() {
    let cache = ResultCache::builder().ttl(Duration::from_secs(10)).build();
    for key in 0..4 {
        cache.insert(key, key);
    }
    cache.insert_with_ttl(4, 4, Duration::from_secs(20));
    advance(Duration::from_secs(10)).await;
    assert!(!cache.invalidate(&0));
    assert_eq!(cache.invalidate_if(|key, _| *key == 4), 1);
    assert_eq!(cache.len(), 0, "the dead are taken along");
    let stats = cache.stats();
    assert_eq!((stats.expired, stats.invalidated), (4, 1));
}

#[test]
fn everything_goes_and_is_counted() {
    let cache = ResultCache::new(1_000);
    (0..500).for_each(|key| cache.insert(key, key));
    cache.invalidate_all();
    assert!(cache.is_empty());
    assert_eq!(cache.stats().invalidated, 500);
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_predicate_picks_what_is_there_and_nothing_that_comes_later() {
    let cache = ResultCache::new(10);
    cache.insert(0, "alice");
    cache.insert(1, "bob");
    cache.insert(2, "alex");
    advance(Duration::from_secs(5)).await;
    assert_eq!(cache.invalidate_if(|_, name| name.starts_with("al")), 2);
    assert_eq!(
        (cache.get(&0), cache.get(&1), cache.get(&2)),
        (None, Some("bob"), None)
    );
    cache.insert(0, "alice");
    assert_eq!(cache.get(&0), Some("alice"));
}

/// Runs `invalidate` while a load is under way, and looks at what becomes of the load.
fn during_a_load(invalidate: impl FnOnce(&ResultCache<u32, u32>)) {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut leader = task::spawn(svc.call(1));
    let mut follower = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let (_, old) = assert_ready!(backend.poll_request()).expect("a request");

    invalidate(handle.cache());

    // Who asks after it waits for nothing that began before it.
    let mut newcomer = task::spawn(svc.call(1));
    assert_pending!(newcomer.poll());
    let (_, new) = assert_ready!(backend.poll_request()).expect("a request of its own");

    old.send_response(10);
    assert_eq!(assert_ready_ok!(leader.poll()), 10);
    assert_eq!(assert_ready_ok!(follower.poll()), 10);
    assert_eq!(handle.cache().get(&1), None, "the old value was stored");
    assert_pending!(newcomer.poll());

    new.send_response(11);
    assert_eq!(assert_ready_ok!(newcomer.poll()), 11);
    assert_eq!(handle.cache().get(&1), Some(11));
    assert_eq!(handle.stats().inserted, 1);
}

#[tokio::test]
async fn a_load_that_began_before_its_key_was_invalidated_is_not_stored() {
    during_a_load(|cache| assert!(!cache.invalidate(&1)));
}

#[tokio::test]
async fn a_load_that_began_before_everything_was_invalidated_is_not_stored() {
    during_a_load(ResultCache::invalidate_all);
}

#[tokio::test]
async fn a_load_that_began_before_a_predicate_was_asked_is_not_stored() {
    during_a_load(|cache| assert_eq!(cache.invalidate_if(|_, _| false), 0));
}

#[tokio::test]
async fn another_key_does_not_disturb_a_load() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut leader = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    handle.invalidate(&2);
    handle.cache().insert(3, 30);
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    send.send_response(10);
    assert_ready_ok!(leader.poll());
    assert_eq!(handle.cache().get(&1), Some(10));
}

#[tokio::test]
async fn a_put_during_a_load_stays_and_the_loaded_value_is_not_stored() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut leader = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    handle.cache().insert(1, 99);
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 99);
    send.send_response(10);
    assert_eq!(assert_ready_ok!(leader.poll()), 10);
    assert_eq!(handle.cache().get(&1), Some(99));
    assert_eq!(handle.stats().inserted, 1);
}

#[tokio::test]
async fn loads_that_follow_a_failure_are_not_stored_over_an_invalidation() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut leader = task::spawn(svc.call(1));
    let mut follower = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    send.send_error("down");
    assert!(assert_ready!(leader.poll()).is_err());
    assert_pending!(follower.poll());
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    handle.invalidate(&1);
    send.send_response(10);
    assert_eq!(assert_ready_ok!(follower.poll()), 10);
    assert_eq!(handle.cache().get(&1), None);
}

#[tokio::test]
async fn a_leader_dropped_after_an_invalidation_leaves_one_load_for_all() {
    let (mut svc, mut backend) = {
        let layer = CacheLayer::keyed_by(by_itself);
        let handle = layer.handle();
        let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
        let mut leader = task::spawn(svc.call(1));
        let mut followers = [task::spawn(svc.call(1)), task::spawn(svc.call(1))];
        assert_pending!(leader.poll());
        for follower in &mut followers {
            assert_pending!(follower.poll());
        }
        let _abandoned = assert_ready!(backend.poll_request());
        handle.invalidate(&1);
        drop(leader);
        for follower in &mut followers {
            assert!(follower.is_woken());
            assert_pending!(follower.poll());
        }
        let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
        assert_pending!(backend.poll_request());
        send.send_response(10);
        for follower in &mut followers {
            assert_eq!(assert_ready_ok!(follower.poll()), 10);
        }
        (svc, backend)
    };
    // It began after the invalidation, so it was stored.
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 10);
    assert_pending!(backend.poll_request());
}

#[test]
fn a_value_put_while_the_predicate_looks_at_the_one_before_stays() {
    let cache = ResultCache::new(10);
    cache.insert(1, "old");
    let removed = cache.invalidate_if(|key, value| {
        cache.insert(*key, "new");
        *value == "old"
    });
    assert_eq!((removed, cache.get(&1)), (0, Some("new")));
}

/// Readers on two threads must never see a version older than the last one that was invalidated
/// before they asked.
async fn race_versions_with_loads(invalidate: impl Fn(&ResultCache<&'static str, u32>)) {
    const LAST: u32 = 100;
    let cache = ResultCache::builder()
        .capacity(10)
        .tags_by(|_: &&str, _: &u32| ["tag"])
        .build();
    let (current, published) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let begun = Arc::new(AtomicU32::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (cache, current, published) = (cache.clone(), current.clone(), published.clone());
            let begun = begun.clone();
            tokio::spawn(async move {
                loop {
                    let least = published.load(SeqCst);
                    let load = || async {
                        let version = current.load(SeqCst);
                        begun.fetch_add(1, SeqCst);
                        for _ in 0..version % 8 {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, Infallible>(version)
                    };
                    let version = cache.get_or_load("version", load).await.unwrap();
                    assert!(version >= least, "read {version} after {least} was published");
                    if least == LAST {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for version in 1..=LAST {
        let before = begun.load(SeqCst);
        current.store(version, SeqCst);
        invalidate(&cache);
        published.store(version, SeqCst);
        // The next version comes while this one is loaded; a reader that failed ends the waiting.
        while version < LAST && begun.load(SeqCst) == before && !readers.iter().any(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_a_key_is_invalidated() {
    race_versions_with_loads(|cache| {
        cache.invalidate(&"version");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_everything_is_invalidated() {
    race_versions_with_loads(ResultCache::invalidate_all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_a_predicate_invalidates() {
    race_versions_with_loads(|cache| {
        cache.invalidate_if(|_, _| true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_a_pattern_invalidates() {
    race_versions_with_loads(|cache| {
        cache.invalidate_matching("ers");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_a_tag_is_invalidated() {
    race_versions_with_loads(|cache| cache.invalidate_tag("tag")).await;
}
