//! What is served from memory, and until when.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hook_cache::{CacheLayer, ResultCache};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, limit::ConcurrencyLimit, service_fn};
use tower_test::mock;

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_it_is_a_miss_and_whoever_finds_it_removes_it() {
    let cache = ResultCache::builder().ttl(secs(10)).build();
    cache.insert("key", 1);
    advance(secs(5)).await;
    assert_eq!(cache.get(&"key"), Some(1));
    advance(secs(5) - Duration::from_nanos(1)).await;
    assert_eq!(cache.get(&"key"), Some(1));
    assert_eq!(cache.len(), 1);

    advance(Duration::from_nanos(1)).await;
    assert_eq!(cache.get(&"key"), None);
    assert_eq!(cache.len(), 0);
    assert_eq!(cache.stats().expired, 1);
    assert_eq!(cache.get(&"key"), None);
    assert_eq!(cache.stats().expired, 1, "an entry expires once");
}

#[tokio::test(start_paused = true)]
async fn lives_three_hundred_seconds_unless_told_otherwise() {
    let cache = ResultCache::new(10);
    cache.insert("default", 1);
    cache.insert_with_ttl("short", 2, secs(1));
    cache.insert_with_ttl("for ever", 3, Duration::MAX);
    cache.insert_with_ttl("dead at once", 4, Duration::ZERO);
    assert_eq!(cache.get(&"dead at once"), None);
    advance(secs(1)).await;
    assert_eq!(cache.get(&"short"), None);
    advance(secs(298)).await;
    assert_eq!(cache.get(&"default"), Some(1));
    advance(secs(1)).await;
    assert_eq!(cache.get(&"default"), None);
    advance(secs(100_000_000)).await;
    assert_eq!(cache.get(&"for ever"), Some(3));
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_response_begins_when_it_came() {
    let inner = service_fn(|_: u32| async {
        tokio::time::sleep(secs(8)).await;
        Ok::<_, Infallible>(())
    });
    let layer = CacheLayer::keyed_by(by_itself).ttl(secs(10));
    let handle = layer.handle();
    let mut svc = layer.layer(inner);
    svc.call(1).await.unwrap();
    advance(secs(9)).await;
    svc.call(1).await.unwrap();
    assert_eq!((handle.stats().hits, handle.stats().misses), (1, 1));
    advance(secs(1)).await;
    svc.call(1).await.unwrap();
    assert_eq!((handle.stats().hits, handle.stats().misses), (1, 2));
    assert_eq!(handle.stats().load_time, secs(8));
}

#[tokio::test]
async fn a_hit_is_served_while_the_inner_service_is_not_ready() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(CacheLayer::keyed_by(by_itself));
    assert_ready_ok!(svc.poll_ready());
    let mut first = task::spawn(svc.call(1));
    assert_pending!(first.poll());
    assert_ready!(backend.poll_request())
        .expect("a request")
        .1
        .send_response(10);
    assert_ready_ok!(first.poll());

    backend.allow(0);
    assert_ready_ok!(svc.poll_ready());
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 10);
    assert_pending!(task::spawn(svc.call(2)).poll());
}

#[tokio::test]
async fn a_hit_is_served_after_the_inner_service_has_failed_for_good() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(CacheLayer::keyed_by(by_itself));
    let mut first = task::spawn(svc.call(1));
    assert_pending!(first.poll());
    assert_ready!(backend.poll_request())
        .expect("a request")
        .1
        .send_response(10);
    assert_ready_ok!(first.poll());

    backend.send_error("broken");
    assert_ready_ok!(svc.poll_ready());
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 10);
    assert!(svc.call(2).await.is_err());
}

#[tokio::test]
async fn a_hit_takes_no_permit() {
    let limited = ConcurrencyLimit::new(
        service_fn(|req: u32| async move {
            if req == 2 {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(req)
        }),
        1,
    );
    let mut svc = CacheLayer::keyed_by(by_itself).layer(limited);
    svc.call(1).await.unwrap();
    let mut holds_the_permit = task::spawn(svc.call(2));
    assert_pending!(holds_the_permit.poll());
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 1);
}

#[tokio::test]
async fn a_request_without_a_key_passes_by() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let inner = service_fn(move |_: u32| {
        counted.fetch_add(1, Relaxed);
        ready(Ok::<_, Infallible>(()))
    });
    let layer = CacheLayer::keyed_by(|req: &u32| (*req < 10).then_some(*req));
    let handle = layer.handle();
    let mut svc = layer.layer(inner);
    for req in [1, 1, 10, 10] {
        svc.call(req).await.unwrap();
    }
    assert_eq!(calls.load(Relaxed), 3);
    let stats = handle.stats();
    assert_eq!((stats.hits, stats.misses, stats.bypassed), (1, 1, 2));
    assert_eq!((stats.loads, stats.inserted, stats.entries), (1, 1, 1));
}

#[tokio::test]
async fn only_what_the_judge_lets_pass_is_stored() {
    let layer = CacheLayer::keyed_by(by_itself).store_if(|req, res: &u32| req == res);
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(|req: u32| ready(Ok::<_, Infallible>(req.min(5)))));
    for req in [5, 5, 6, 6] {
        svc.call(req).await.unwrap();
    }
    let stats = handle.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserted), (1, 3, 1));
}

#[tokio::test]
async fn services_of_one_layer_share_what_they_know() {
    let calls = Arc::new(AtomicUsize::new(0));
    let layer = CacheLayer::keyed_by(by_itself);
    let service = || {
        let counted = calls.clone();
        layer.clone().layer(service_fn(move |req: u32| {
            counted.fetch_add(1, Relaxed);
            ready(Ok::<_, Infallible>(req))
        }))
    };
    let (mut one, mut two) = (service(), service());
    one.call(1).await.unwrap();
    two.call(1).await.unwrap();
    two.clone().call(1).await.unwrap();
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test]
async fn a_setter_makes_another_layer_with_a_cache_of_its_own() {
    let layer = CacheLayer::keyed_by(by_itself);
    let early = layer.handle();
    let layer = layer.ttl(secs(1)).name("other");
    let late = layer.handle();
    let mut svc = layer.layer(service_fn(|req: u32| ready(Ok::<_, Infallible>(req))));
    svc.call(1).await.unwrap();
    assert_eq!((early.stats().entries, late.stats().entries), (0, 1));
}

#[cfg(feature = "coarse-clock")]
#[tokio::test(start_paused = true)]
async fn the_coarse_clock_is_real_time_even_while_tokios_stands_still() {
    let cache = ResultCache::builder().ttl(secs(60)).coarse_clock().build();
    cache.insert("key", 1);
    advance(secs(600)).await;
    assert_eq!(cache.get(&"key"), Some(1));

    let layer = CacheLayer::keyed_by(by_itself).ttl(Duration::ZERO).coarse_clock();
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(|req: u32| ready(Ok::<_, Infallible>(req))));
    svc.call(1).await.unwrap();
    svc.call(1).await.unwrap();
    assert_eq!((handle.stats().misses, handle.stats().expired), (2, 1));
}
