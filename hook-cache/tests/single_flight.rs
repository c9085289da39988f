//! One load per key, however many ask, and whatever becomes of it.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use futures::future::join_all;
use hook_cache::{CacheLayer, ResultCache};
use tokio::{
    sync::{Barrier, oneshot},
    time::{Instant, advance, sleep},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, service_fn};
use tower_test::mock;

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn those_who_ask_together_make_one_call_and_all_get_its_answer() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut callers: Vec<_> = (0..4).map(|_| task::spawn(svc.call(1))).collect();
    let mut other = task::spawn(svc.call(2));
    for caller in &mut callers {
        assert_pending!(caller.poll());
    }
    assert_pending!(other.poll());

    let (req, send) = assert_ready!(backend.poll_request()).expect("a request");
    assert_eq!(req, 1);
    assert_eq!(assert_ready!(backend.poll_request()).expect("a request").0, 2);
    assert_pending!(backend.poll_request());
    send.send_response(10);
    assert_eq!(assert_ready_ok!(callers[0].poll()), 10);
    for caller in &mut callers[1..] {
        assert!(caller.is_woken());
        assert_eq!(assert_ready_ok!(caller.poll()), 10);
    }
    let stats = handle.stats();
    assert_eq!((stats.hits, stats.misses, stats.coalesced), (0, 2, 3));
}

#[tokio::test(start_paused = true)]
async fn five_hundred_and_twelve_at_the_mark_make_one_call() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let inner = service_fn(move |_: u32| {
        let call = counted.fetch_add(1, SeqCst);
        async move {
            sleep(ms(20)).await;
            Ok::<_, Infallible>(call)
        }
    });
    let layer = CacheLayer::keyed_by(by_itself).ttl(Duration::from_secs(60));
    let handle = layer.handle();
    let mut svc = layer.layer(inner);
    assert_eq!(svc.call(1).await, Ok(0));
    advance(Duration::from_secs(60)).await;
    let answers = join_all((0..512).map(|_| svc.call(1))).await;
    assert!(answers.iter().all(|answer| *answer == Ok(1)));
    assert_eq!(calls.load(SeqCst), 2);
    let stats = handle.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.expired), (2, 511, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_and_twelve_on_four_threads_make_one_call() {
    for round in 0..40 {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let inner = service_fn(move |_: u32| {
            counted.fetch_add(1, SeqCst);
            async move {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(round)
            }
        });
        let layer = CacheLayer::keyed_by(by_itself);
        let handle = layer.handle();
        let svc = layer.layer(inner);
        let start = Arc::new(Barrier::new(512));
        let callers = (0..512).map(|_| {
            let (mut svc, start) = (svc.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                svc.call(1).await
            })
        });
        for answer in join_all(callers.collect::<Vec<_>>()).await {
            assert_eq!(answer.unwrap(), Ok(round));
        }
        assert_eq!(calls.load(SeqCst), 1, "round {round}");
        let stats = handle.stats();
        assert_eq!(stats.misses, 1);
        assert_eq!(stats.hits + stats.coalesced, 511);
    }
}

#[tokio::test]
async fn one_who_missed_before_the_load_landed_and_asks_after_it_is_a_hit() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut first = task::spawn(svc.call(1));
    let mut second = task::spawn(svc.call(1));
    assert_pending!(first.poll());
    assert_ready!(backend.poll_request())
        .expect("a request")
        .1
        .send_response(10);
    assert_eq!(assert_ready_ok!(first.poll()), 10);
    assert_eq!(assert_ready_ok!(second.poll()), 10);
    assert_pending!(backend.poll_request());
    assert_eq!((handle.stats().hits, handle.stats().misses), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_all_who_waited_load_at_once_and_not_one_after_the_other() {
    let cache = ResultCache::new(10);
    let loads = AtomicUsize::new(0);
    let load = || async {
        let load = loads.fetch_add(1, SeqCst);
        sleep(ms(20)).await;
        if load == 9 { Ok(load) } else { Err(load) }
    };
    let start = Instant::now();
    let results = join_all((0..10).map(|_| cache.get_or_load("key", load))).await;
    // 20 ms for the leader and 20 ms for all others together, where 10 in a row take 200 ms.
    assert_eq!(start.elapsed(), ms(40));
    assert_eq!(loads.load(SeqCst), 10);
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 9);
    // The one that did not fail was stored.
    assert_eq!(cache.get(&"key"), Some(9));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.load_errors), (10, 0, 9));
}

/// In the scenario this stands for, the second caller gets the error of the first. Here errors are not
/// shared, so it loads for itself.
#[tokio::test(start_paused = true)]
async fn a_failed_load_is_not_remembered() {
    let cache = ResultCache::new(10);
    let load = |took: u64, result: Result<&'static str, &'static str>| {
        move || async move {
            sleep(ms(took)).await;
            result
        }
    };
    let first = cache.get_or_load(1, load(300, Err("down")));
    let second = async {
        sleep(ms(100)).await;
        cache.get_or_load(1, load(50, Err("still down"))).await
    };
    let plain = async {
        sleep(ms(200)).await;
        let before = cache.get(&1);
        sleep(ms(600)).await;
        (before, cache.get(&1))
    };
    let third = async {
        sleep(ms(400)).await;
        let value = cache.get_or_load(1, load(300, Ok("up"))).await;
        (value, Instant::now())
    };
    let fourth = async {
        sleep(ms(500)).await;
        let value = cache.get_or_load(1, load(0, Ok("never loaded"))).await;
        (value, Instant::now())
    };
    let start = Instant::now();
    let (first, second, plain, third, fourth) = tokio::join!(first, second, plain, third, fourth);
    assert_eq!((first, second), (Err("down"), Err("still down")));
    assert_eq!(plain, (None, Some("up")));
    assert_eq!(third, (Ok("up"), start + ms(700)));
    assert_eq!(fourth, (Ok("up"), start + ms(700)));
}

#[tokio::test]
async fn an_error_of_readiness_releases_those_who_wait() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(CacheLayer::keyed_by(by_itself));
    backend.allow(0);
    let mut leader = task::spawn(svc.call(1));
    let mut follower = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    backend.send_error("broken");
    assert!(leader.is_woken());
    assert_ready_err!(leader.poll());
    // The mock fails once for each time it is told to, so that the follower waits for itself now.
    assert!(follower.is_woken());
    assert_pending!(follower.poll());
    backend.send_error("still broken");
    assert!(follower.is_woken());
    assert_eq!(assert_ready_err!(follower.poll()).to_string(), "still broken");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_is_not_shared() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let inner = service_fn(move |_: u32| {
        let call = counted.fetch_add(1, SeqCst);
        async move {
            sleep(ms(20)).await;
            Ok::<_, Infallible>(call)
        }
    });
    let mut svc = CacheLayer::keyed_by(by_itself)
        .store_if_key(|_: &u32, _: &usize| false)
        .layer(inner);
    let start = Instant::now();
    let answers = join_all((0..4).map(|_| svc.call(1))).await;
    assert_eq!(answers, [Ok(0), Ok(1), Ok(2), Ok(3)]);
    assert_eq!(start.elapsed(), ms(40));
}

#[tokio::test]
async fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let cache = ResultCache::new(10);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    let mut waiter = pin!(cache.get_or_load(1, pending::<Result<u32, oneshot::error::RecvError>>));
    let mut before = task::spawn(());
    assert_pending!(before.enter(|cx, _| waiter.as_mut().poll(cx)));
    let mut after = task::spawn(());
    assert_pending!(after.enter(|cx, _| waiter.as_mut().poll(cx)));
    send.send(7).unwrap();
    assert_ready_ok!(leader.poll());
    assert!(!before.is_woken());
    assert!(after.is_woken());
    assert_eq!(after.enter(|cx, _| waiter.as_mut().poll(cx)), Poll::Ready(Ok(7)));
}
