//! Faults that were reproduced in other caches, each under its name, and what happens here instead. Those that are about
//! HTTP are in `http/peers.rs`.
//!
//! | whose fault, or which scenario | its test |
//! |---|---|
//! | tower-resilience: a hit needs the backend's readiness | `tower_resilience_cache_hit_needs_the_backends_readiness` |
//! | ... and keeps its permit | `tower_resilience_cache_hit_keeps_a_permit_of_the_backend` |
//! | ... fresh state per `layer()` call | `tower_resilience_state_is_fresh_with_each_call_of_layer` |
//! | ... waiters busy-spin | `tower_resilience_coalesce_waiters_busy_spin` |
//! | ... a panic poisons a key for ever | `tower_resilience_coalesce_panic_poisons_a_key_for_ever` |
//! | ... a cancelled leader fails all its waiters | `tower_resilience_coalesce_cancelled_leader_fails_all_its_waiters` |
//! | quick_cache: failures are serialised | `quick_cache_guard_serialises_failures` |
//! | ... `retain` does not see a load in flight | `quick_cache_retain_does_not_see_a_load_in_flight` |
//! | ... a heavy value is refused in silence | `quick_cache_refuses_a_heavy_value_in_silence` |
//! | ... `on_evict` also fires on replacement | `quick_cache_on_evict_also_fires_on_replacement` |
//! | ... a cold load counts as two misses | `quick_cache_stats_count_a_cold_load_as_two_misses` |
//! | moka: panics after 200 aborted leaders | `moka_panics_after_200_aborted_leaders` |
//! | axum-response-cache: caches any method | `http/peers.rs`: `axum_response_cache_caches_any_method` |
//! | ... replays `Set-Cookie` (rustango#1259) | `http/peers.rs`: `axum_response_cache_replays_set_cookie` |
//! | ... ignores `Vary` | `http/peers.rs`: `axum_response_cache_ignores_vary` |
//! | ... ignores `Authorization` | `http/peers.rs`: `axum_response_cache_ignores_authorization` |
//! | ... answers 500 on a large body | `http/peers.rs`: `axum_response_cache_answers_500_on_a_large_body` |
//! | the original: one input's result for every other | `python_original_serves_one_inputs_result_for_every_other` |
//! | ... six identical events ran six times | `python_original_runs_six_identical_events_six_times` |
//! | moka: time to live, exact, and an empty table | `expiry.rs`: `time_to_live_is_exact_and_a_sweep_leaves_nothing` |
//! | moka: time to idle | `expiry.rs`: `time_to_idle_is_extended_by_reading_and_not_by_looking` |
//! | moka, quick_cache: capacity 0 | `capacity.rs`: `a_cache_without_capacity_stores_nothing` |
//! | moka: a predicate | `invalidation.rs`: `a_predicate_picks_what_is_there_and_nothing_that_comes_later` |
//! | moka `try_get_with`: who waits for a load that fails | `shared_errors.rs`: `who_waits_for_a_load_that_fails_gets_its_error_and_loads_nothing` |
//! | quick_cache: a guard that is held, and a limit to waiting | `quick_cache_guard_is_held_for_longer_than_a_waiter_waits` |
//! | quick_cache: a put during a load | `quick_cache_put_during_a_load_stays` |
//! | a predicate, or a tag, during a load | `invalidation.rs`: `a_load_that_began_before_a_predicate_was_asked_is_not_stored`; `tags.rs`: `a_load_that_turns_out_to_bear_a_tag_invalidated_meanwhile_is_not_stored` |
//! | moka: a slow listener puts it over its capacity | `weights.rs`: `the_capacity_is_kept_however_long_a_drop_takes` |
//! | moka#590: the weight under writers that reuse keys | `weights.rs`: `the_weight_is_kept_under_writers_that_use_the_same_keys` |
//! | quick_cache: 100 at a barrier, the n-th load succeeds | `shared_errors.rs`: `a_hundred_at_a_barrier_make_one_call_a_wave` |
//! | a refresh that fails | `stale.rs`: `a_refresh_that_fails_is_not_tried_again_before_the_back_off` |
//! | authorino#663: 27 calls at the mark | `authorino_makes_many_calls_at_the_mark` |
//! | a hit while the inner service is not ready | `hits.rs`: `a_hit_is_served_while_the_inner_service_is_not_ready`, `a_hit_takes_no_permit` |
//! | http-cache-tower: unsafe methods, `OPTIONS`, `HEAD` | `http/rules.rs`: `a_method_that_changes_things_invalidates_its_uri`; `http/bodies.rs`: `head_gets_the_fields_and_no_body_and_is_not_stored_itself` |
//! | http-cache: a 304, and a 500 with `must-revalidate` | `http/revalidation.rs`: `on_a_304_the_body_is_kept_the_fields_merged_and_the_time_renewed`, `an_error_in_the_place_of_an_answer_is_made_up_for_unless_that_is_forbidden` |
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::join_all;
use hook_cache::{CacheLayer, ResultCache};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, limit::ConcurrencyLimit, service_fn};

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Never ready, and never called.
#[derive(Clone)]
struct Busy;

impl Service<u32> for Busy {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _req: u32) -> Self::Future {
        panic!("called without being ready")
    }
}

#[tokio::test]
async fn tower_resilience_cache_hit_needs_the_backends_readiness() {
    let layer = CacheLayer::keyed_by(by_itself);
    layer.handle().cache().insert(1, 10);
    let mut svc = layer.layer(Busy);
    assert_ready_ok!(task::spawn(()).enter(|cx, _| svc.poll_ready(cx)));
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 10);
}

#[tokio::test]
async fn tower_resilience_cache_hit_keeps_a_permit_of_the_backend() {
    let limited = ConcurrencyLimit::new(service_fn(|req: u32| ready(Ok::<_, Infallible>(req))), 1);
    let mut other = limited.clone();
    let mut svc = CacheLayer::keyed_by(by_itself).layer(limited);
    svc.call(1).await.unwrap();
    assert_ready_ok!(task::spawn(()).enter(|cx, _| svc.poll_ready(cx)));
    let mut held = svc.call(1);
    assert_ready_ok!(task::spawn(()).enter(|cx, _| other.poll_ready(cx)));
    assert_ready_ok!(task::spawn(&mut held).poll());
}

#[tokio::test]
async fn tower_resilience_state_is_fresh_with_each_call_of_layer() {
    let calls = Arc::new(AtomicUsize::new(0));
    let layer = CacheLayer::keyed_by(by_itself);
    for _ in 0..3 {
        let counted = calls.clone();
        let inner = service_fn(move |req: u32| {
            counted.fetch_add(1, SeqCst);
            ready(Ok::<_, Infallible>(req))
        });
        layer.layer(inner).call(1).await.unwrap();
    }
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn tower_resilience_coalesce_waiters_busy_spin() {
    let cache = ResultCache::<u32, u32>::new(10);
    let mut leader = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    assert_pending!(leader.poll());
    let mut waiter = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    for _ in 0..10 {
        assert_pending!(waiter.poll());
        assert!(!waiter.is_woken(), "it wakes itself");
    }
}

#[tokio::test]
async fn tower_resilience_coalesce_panic_poisons_a_key_for_ever() {
    let cache = ResultCache::<u32, u32>::new(10);
    let panics = || async {
        if true {
            panic!("the load panics");
        }
        Ok::<_, Infallible>(0)
    };
    let twin = cache.clone();
    let leader = tokio::spawn(async move { twin.get_or_load(1, panics).await });
    assert!(leader.await.unwrap_err().is_panic());
    assert_eq!(
        cache.get_or_load(1, || ready(Ok::<_, Infallible>(7))).await,
        Ok(7)
    );
}

#[test]
fn tower_resilience_coalesce_cancelled_leader_fails_all_its_waiters() {
    let cache = ResultCache::<u32, u32>::new(10);
    let mut leader = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    assert_pending!(leader.poll());
    let mut waiters: Vec<_> = (0..3)
        .map(|_| task::spawn(cache.get_or_load(1, || ready(Ok::<_, Infallible>(7)))))
        .collect();
    waiters
        .iter_mut()
        .for_each(|waiter| assert_pending!(waiter.poll()));
    drop(leader);
    waiters
        .iter_mut()
        .for_each(|waiter| assert_eq!(assert_ready_ok!(waiter.poll()), 7));
}

/// There, 10 callers of a load that fails after 20 ms make 10 loads in 201 ms.
#[tokio::test(start_paused = true)]
async fn quick_cache_guard_serialises_failures() {
    let cache = ResultCache::<u32, u32>::new(10);
    let start = Instant::now();
    let load = || async {
        sleep(ms(20)).await;
        Err::<u32, _>("down")
    };
    let answers = join_all((0..10).map(|_| cache.get_or_load_shared(1, load))).await;
    assert_eq!(answers, [Err("down"); 10]);
    assert_eq!((start.elapsed(), cache.stats().load_errors), (ms(20), 1));

    // And where errors cannot be shared: all at once, and not one after the other.
    let start = Instant::now();
    join_all((0..10).map(|_| cache.get_or_load(1, load))).await;
    assert_eq!(start.elapsed(), ms(40));
}

#[test]
fn quick_cache_retain_does_not_see_a_load_in_flight() {
    let cache = ResultCache::<u32, u32>::new(10);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    assert_eq!(cache.invalidate_if(|_, _| true), 0);
    send.send(10).unwrap();
    assert_eq!(assert_ready_ok!(leader.poll()), 10);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn quick_cache_put_during_a_load_stays() {
    let cache = ResultCache::<u32, u32>::new(10);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    cache.insert(1, 99);
    send.send(10).unwrap();
    assert_eq!(assert_ready_ok!(leader.poll()), 10);
    assert_eq!(cache.get(&1), Some(99));
}

/// A guard that is held for 200 ms: who waits for 50 ms at most is not held up for longer, and who waits for nothing not
/// at all.
#[tokio::test(start_paused = true)]
async fn quick_cache_guard_is_held_for_longer_than_a_waiter_waits() {
    for patience in [ms(50), ms(0)] {
        let cache = ResultCache::<u32, u32>::builder().patience(patience).build();
        let mut held = task::spawn(cache.get_or_load(1, || async {
            sleep(ms(200)).await;
            Ok::<_, Infallible>(1)
        }));
        assert_pending!(held.poll());
        let start = Instant::now();
        assert_eq!(
            cache.get_or_load(1, || ready(Ok::<_, Infallible>(2))).await,
            Ok(2)
        );
        // The timer of tokio counts in whole milliseconds.
        assert!(
            (patience..=patience + ms(1)).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
        held.await.unwrap();
        assert_eq!(cache.get(&1), Some(2), "the later load stays");
    }
}

/// There, a value heavier than 97 % of one shard is dropped and nobody is told.
#[test]
fn quick_cache_refuses_a_heavy_value_in_silence() {
    let cache: ResultCache<u32, Vec<u8>> = ResultCache::builder()
        .capacity_bytes(1 << 20, |_, value: &Vec<u8>| value.len())
        .largest(1 << 20)
        .build();
    let most = (1 << 20) - cache.overhead() as usize;
    cache.insert(1, vec![0; most]);
    assert_eq!(cache.get(&1).map(|value| value.len()), Some(most));
    cache.insert(2, vec![0; most + 1]);
    assert_eq!((cache.get(&2), cache.stats().refused.too_heavy), (None, 1));
}

#[test]
fn quick_cache_on_evict_also_fires_on_replacement() {
    let cache = ResultCache::<u32, u32>::new(10);
    cache.insert(1, 1);
    cache.insert(1, 2);
    let stats = cache.stats();
    assert_eq!((stats.replaced, stats.evicted), (1, 0));
}

#[tokio::test]
async fn quick_cache_stats_count_a_cold_load_as_two_misses() {
    let cache = ResultCache::<u32, u32>::new(10);
    cache
        .get_or_load(1, || ready(Ok::<_, Infallible>(7)))
        .await
        .unwrap();
    assert_eq!((cache.stats().hits, cache.stats().misses), (0, 1));
}

/// web3-proxy#217: there, a waiter whose leaders go away 201 times panics.
#[test]
fn moka_panics_after_200_aborted_leaders() {
    let cache = ResultCache::<u32, u32>::new(10);
    let mut leader = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    assert_pending!(leader.poll());
    let mut waiter = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    assert_pending!(waiter.poll());
    for _ in 0..201 {
        drop(leader);
        leader = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
        assert_pending!(leader.poll());
        assert_pending!(waiter.poll());
    }
    drop(leader);
    drop(waiter);
    let mut last = task::spawn(cache.get_or_load(1, || ready(Ok::<_, Infallible>(7))));
    assert_eq!(assert_ready!(last.poll()), Ok(7));
}

/// authorino#663: 27 calls of the backend there, for one key at its mark of 60 s.
#[tokio::test(start_paused = true)]
async fn authorino_makes_many_calls_at_the_mark() {
    let cache = ResultCache::<u32, u32>::builder()
        .ttl(Duration::from_secs(60))
        .build();
    cache.insert(1, 0);
    tokio::time::advance(Duration::from_secs(60)).await;
    let calls = AtomicUsize::new(0);
    let load = || async {
        calls.fetch_add(1, SeqCst);
        sleep(ms(20)).await;
        Ok::<_, Infallible>(7)
    };
    let answers = join_all((0..512).map(|_| cache.get_or_load(1, load))).await;
    assert_eq!(answers, [Ok(7); 512]);
    assert_eq!(calls.load(SeqCst), 1);
}

/// There, the event is left out of the key, and one input's result is served for every other.
#[tokio::test]
async fn python_original_serves_one_inputs_result_for_every_other() {
    let mut svc =
        CacheLayer::keyed_by(by_itself).layer(service_fn(|req: u32| ready(Ok::<_, Infallible>(req * 10))));
    for req in [1, 2, 1, 3, 2] {
        assert_eq!(svc.call(req).await, Ok(req * 10));
    }
}

/// There, six identical events at once run six times.
#[tokio::test(start_paused = true)]
async fn python_original_runs_six_identical_events_six_times() {
    let calls = AtomicUsize::new(0);
    let cache = ResultCache::<u32, u32>::new(10);
    let load = || async {
        calls.fetch_add(1, SeqCst);
        sleep(ms(5)).await;
        Ok::<_, Infallible>(7)
    };
    join_all((0..6).map(|_| cache.get_or_load(1, load))).await;
    assert_eq!(calls.load(SeqCst), 1);
}
