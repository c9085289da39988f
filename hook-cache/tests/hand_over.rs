//! Callers that go away or panic while others wait for what they load.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_cache::{CacheLayer, ResultCache};
use tokio::sync::{Notify, oneshot};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, service_fn};
use tower_test::mock;

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

#[tokio::test]
async fn a_dropped_leader_hands_over_to_one_and_the_others_go_on_waiting() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut callers: Vec<_> = (0..4).map(|_| task::spawn(svc.call(1))).collect();
    for caller in &mut callers {
        assert_pending!(caller.poll());
    }
    let (_, abandoned) = assert_ready!(backend.poll_request()).expect("a request");
    drop(callers.remove(0));
    drop(abandoned);
    let woken: Vec<_> = callers.iter().map(task::Spawn::is_woken).collect();
    assert_eq!(woken, [true, false, false], "one takes over, the first in line");
    assert_pending!(callers[0].poll());
    let (_, send) = assert_ready!(backend.poll_request()).expect("another request");
    assert_pending!(callers[1].poll());
    assert_pending!(backend.poll_request());
    send.send_response(10);
    for caller in &mut callers {
        assert_eq!(assert_ready_ok!(caller.poll()), 10);
    }
    let stats = handle.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.loads), (2, 2, 1));
}

#[tokio::test]
async fn one_that_is_to_take_over_and_goes_away_too_passes_it_on() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(CacheLayer::keyed_by(by_itself));
    let mut callers: Vec<_> = (0..4).map(|_| task::spawn(svc.call(1))).collect();
    for caller in &mut callers {
        assert_pending!(caller.poll());
    }
    drop(callers.remove(0));
    assert!(callers[0].is_woken());
    drop(callers.remove(0));
    assert!(callers[0].is_woken());
    drop(callers.remove(0));
    assert!(callers[0].is_woken());
    let _first = assert_ready!(backend.poll_request());
    assert_pending!(callers[0].poll());
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    send.send_response(10);
    assert_eq!(assert_ready_ok!(callers[0].poll()), 10);
}

#[tokio::test]
async fn when_everybody_has_gone_nothing_is_left_behind() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(CacheLayer::keyed_by(by_itself));
    let mut leader = task::spawn(svc.call(1));
    let mut follower = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    drop(leader);
    drop(follower);
    let mut next = task::spawn(svc.call(1));
    assert_pending!(next.poll());
    let _abandoned = assert_ready!(backend.poll_request());
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    send.send_response(10);
    assert_eq!(assert_ready_ok!(next.poll()), 10);
}

/// moka panics here: web3-proxy#217.
#[tokio::test]
async fn two_hundred_and_one_leaders_go_away_and_the_one_who_waits_is_served() {
    let cache = ResultCache::new(10);
    let mut leader = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    assert_pending!(leader.poll());
    let mut waiter = task::spawn(cache.get_or_load(1, || async { Ok::<u32, Infallible>(7) }));
    assert_pending!(waiter.poll());
    for _ in 0..201 {
        drop(leader);
        leader = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
        assert_pending!(leader.poll());
    }
    assert!(waiter.is_woken());
    assert_pending!(waiter.poll());
    drop(leader);
    assert!(waiter.is_woken());
    assert_eq!(assert_ready_ok!(waiter.poll()), 7);
}

#[tokio::test]
async fn a_panic_is_the_leaders_own_and_the_key_works_on() {
    let cache = ResultCache::new(10);
    let started = Arc::new(Notify::new());
    let (go, gone) = oneshot::channel::<()>();
    let leader = tokio::spawn({
        let (cache, started) = (cache.clone(), started.clone());
        async move {
            let load = || async move {
                started.notify_one();
                gone.await.unwrap();
                panic!("the load panics");
                #[expect(unreachable_code, reason = "for the type")]
                Ok::<u32, Infallible>(0)
            };
            cache.get_or_load(1, load).await
        }
    });
    started.notified().await;
    let mut waiter = task::spawn(cache.get_or_load(1, || async { Ok::<u32, Infallible>(7) }));
    assert_pending!(waiter.poll());
    go.send(()).unwrap();
    let panic = leader
        .await
        .expect_err("the panic reaches the leader")
        .into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"the load panics"));
    assert!(waiter.is_woken());
    assert_eq!(assert_ready_ok!(waiter.poll()), 7);
    assert_eq!(cache.get(&1), Some(7));
}

#[tokio::test]
async fn a_panic_before_the_load_or_in_the_judge_hands_over_too() {
    let layer = CacheLayer::keyed_by(by_itself).store_if_key(|_: &u32, res: &u32| match res {
        0 => panic!("the judge panics"),
        _ => true,
    });
    let answers = Arc::new(AtomicUsize::new(0));
    let next = answers.clone();
    let inner = service_fn(move |_: u32| {
        let answer = next.fetch_add(1, SeqCst) as u32;
        assert_ne!(answer, 1, "the call panics");
        async move {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(answer)
        }
    });
    let svc = layer.layer(inner);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let mut svc = svc.clone();
            tokio::spawn(async move { svc.call(1).await })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.ok());
    }
    assert_eq!(answers, [None, None, Some(Ok(2)), Some(Ok(2))]);
}

#[tokio::test]
async fn one_that_gives_up_waiting_counts_as_coalesced_and_concerns_nobody() {
    let cache = ResultCache::new(10);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    let mut waiter = task::spawn(cache.get_or_load(1, pending::<Result<u32, oneshot::error::RecvError>>));
    assert_pending!(waiter.poll());
    drop(waiter);
    send.send(7).unwrap();
    assert_eq!(assert_ready_ok!(leader.poll()), 7);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.coalesced), (0, 1, 1));
}

/// Leaders come and go on four threads; everybody who stays is served, and nobody hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_hangs_while_leaders_are_aborted_on_four_threads() {
    let cache = ResultCache::builder().ttl(Duration::ZERO).build();
    let load = || async {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Ok::<u32, Infallible>(7)
    };
    for round in 0..200u32 {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.get_or_load(round % 2, load).await })
            })
            .collect();
        for caller in callers.iter().step_by(2) {
            tokio::task::yield_now().await;
            caller.abort();
        }
        for (n, caller) in callers.into_iter().enumerate() {
            match caller.await {
                Ok(value) => assert_eq!(value, Ok(7)),
                Err(err) => assert!(err.is_cancelled() && n % 2 == 0),
            }
        }
    }
}
