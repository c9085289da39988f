//! One call per key also when it fails, when its caller goes away, and when it waits too long.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::join_all;
use hook_cache::{CacheLayer, ResultCache};
use hook_monitor::BoxError;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, limit::ConcurrencyLimit, service_fn};
use tower_test::mock;

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// moka try_get_with: a load of 300 ms fails; who asks at 100 ms gets the same error and its own load never runs; who
/// asks at 400 ms loads anew until 700; who asks at 500 ms gets that; a plain look at 200 finds nothing, at 800 it.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_load_that_fails_gets_its_error_and_loads_nothing() {
    let cache = ResultCache::new(10);
    let load = |took: u64, result: Result<&'static str, &'static str>| {
        move || async move {
            sleep(ms(took)).await;
            result
        }
    };
    let start = Instant::now();
    let first = cache.get_or_load_shared(1, load(300, Err("down")));
    let second = async {
        sleep(ms(100)).await;
        let never = load(0, Ok("never loaded"));
        (cache.get_or_load_shared(1, never).await, start.elapsed())
    };
    let plain = async {
        sleep(ms(200)).await;
        let before = cache.get(&1);
        sleep(ms(600)).await;
        (before, cache.get(&1))
    };
    let third = async {
        sleep(ms(400)).await;
        (
            cache.get_or_load_shared(1, load(300, Ok("up"))).await,
            start.elapsed(),
        )
    };
    let fourth = async {
        sleep(ms(500)).await;
        let never = load(0, Ok("never loaded"));
        (cache.get_or_load_shared(1, never).await, start.elapsed())
    };
    let (first, second, plain, third, fourth) = tokio::join!(first, second, plain, third, fourth);
    assert_eq!(first, Err("down"));
    assert_eq!(second, (Err("down"), ms(300)));
    assert_eq!(plain, (None, Some("up")));
    assert_eq!(third, (Ok("up"), ms(700)));
    assert_eq!(fourth, (Ok("up"), ms(700)));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_errors, stats.coalesced), (1, 1, 2));
}

#[tokio::test]
async fn a_service_that_fails_is_called_once_by_those_who_ask_together() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(
        CacheLayer::keyed_by(by_itself).share_errors_by(|err: &BoxError| err.to_string().into()),
    );
    let mut callers: Vec<_> = (0..4).map(|_| task::spawn(svc.call(1))).collect();
    callers
        .iter_mut()
        .for_each(|caller| assert_pending!(caller.poll()));
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    send.send_error("down");
    assert_eq!(assert_ready_err!(callers[0].poll()).to_string(), "down");
    for caller in &mut callers[1..] {
        assert!(caller.is_woken());
        assert_eq!(assert_ready_err!(caller.poll()).to_string(), "down");
    }
    assert_pending!(backend.poll_request());
}

/// quick_cache's test_get_or_insert: 100 threads, one key, a load that succeeds only the n-th time. There each failure is
/// one thread's own, and n calls are made; here one call is made for each wave, and its error answers all who waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_a_barrier_make_one_call_a_wave() {
    for n in [1, 2, 5] {
        let cache = ResultCache::<u32, usize>::new(10);
        let calls = Arc::new(AtomicUsize::new(0));
        for wave in 1..=n {
            let asked = Arc::new(AtomicUsize::new(0));
            let callers = (0..100).map(|_| {
                let (cache, calls, asked) = (cache.clone(), calls.clone(), asked.clone());
                tokio::spawn(async move {
                    let everybody = asked.clone();
                    let load = move || async move {
                        let call = calls.fetch_add(1, SeqCst) + 1;
                        while everybody.load(SeqCst) < 100 {
                            tokio::task::yield_now().await;
                        }
                        if call == n { Ok(call) } else { Err(call) }
                    };
                    let mut answer = pin!(cache.get_or_load_shared(1, load));
                    let mut first = true;
                    poll_fn(|cx| {
                        let poll = answer.as_mut().poll(cx);
                        asked.fetch_add(usize::from(std::mem::take(&mut first)), SeqCst);
                        poll
                    })
                    .await
                })
            });
            let expected = if wave == n { Ok(n) } else { Err(wave) };
            for answer in join_all(callers.collect::<Vec<_>>()).await {
                assert_eq!(answer.unwrap(), expected);
            }
            assert_eq!(calls.load(SeqCst), wave);
        }
        assert_eq!(cache.get(&1), Some(n));
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_caller_goes_away_is_gone_on_with_where_it_is() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let backend = service_fn(move |_: u32| {
        counted.fetch_add(1, SeqCst);
        async {
            sleep(ms(100)).await;
            Ok::<_, Infallible>("loaded")
        }
    });
    let layer = CacheLayer::keyed_by(by_itself).resume();
    let handle = layer.handle();
    let mut svc = layer.layer(backend);
    let start = Instant::now();
    let impatient = timeout(ms(60), svc.call(1));
    let mut svc = svc.clone();
    let patient = async {
        sleep(ms(10)).await;
        svc.call(1).await
    };
    let (impatient, patient) = tokio::join!(impatient, patient);
    assert!(impatient.is_err());
    assert_eq!(patient, Ok("loaded"));
    assert_eq!(start.elapsed(), ms(100), "it began anew");
    assert_eq!(begun.load(SeqCst), 1);
    let stats = handle.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.loads), (2, 0, 1));
}

#[test]
fn a_load_changes_hands_as_often_as_it_must_and_the_last_one_lands_it() {
    let cache = ResultCache::new(10);
    let (send, receive) = oneshot::channel();
    let begun = Arc::new(AtomicUsize::new(0));
    let mut receive = Some(receive);
    let counted = begun.clone();
    let mut caller = |cache: &ResultCache<u32, u32>| {
        let receive = receive.take();
        let begun = counted.clone();
        let load = async move { receive.expect("loaded anew").await.map_err(|_| "dropped") };
        let shared = cache.get_or_load_shared(1, move || {
            begun.fetch_add(1, SeqCst);
            load
        });
        let mut shared = task::spawn(shared);
        assert_pending!(shared.poll());
        shared
    };
    let mut callers: Vec<_> = (0..50).map(|_| caller(&cache)).collect();
    let mut last = callers.pop().unwrap();
    for caller in &mut callers {
        // Each takes over in its turn before it goes away too.
        assert_pending!(caller.poll());
    }
    let mut callers = callers.into_iter();
    drop(callers.next());
    for mut caller in callers {
        assert!(caller.is_woken());
        assert_pending!(caller.poll());
        drop(caller);
    }
    assert!(last.is_woken());
    assert_pending!(last.poll());
    send.send(7).unwrap();
    assert!(last.is_woken(), "the load woke whoever had it first");
    assert_eq!(assert_ready!(last.poll()), Ok(7));
    assert_eq!(begun.load(SeqCst), 1);
    assert_eq!(cache.get(&1), Some(7));
}

#[test]
fn a_load_that_nobody_waits_for_ends_with_its_caller() {
    let cache = ResultCache::<u32, u32>::new(10);
    let held = Arc::new(());
    let twin = held.clone();
    let load = || async move {
        let _held = twin;
        pending::<Result<u32, Infallible>>().await
    };
    let mut leader = task::spawn(cache.get_or_load_shared(1, load));
    assert_pending!(leader.poll());
    assert_eq!(Arc::strong_count(&held), 2);
    drop(leader);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_load_left_half_done_is_given_up_when_its_key_is_invalidated() {
    type Change = fn(&ResultCache<u32, &'static str>);
    let changes: [Change; 4] = [
        |cache| {
            cache.invalidate(&1);
        },
        ResultCache::invalidate_all,
        |cache| {
            cache.invalidate_if(|_, _| false);
        },
        |cache| cache.insert_with_ttl(1, "put", Duration::ZERO),
    ];
    for change in changes {
        let cache = ResultCache::new(10);
        let (send, receive) = oneshot::channel();
        let answers = Arc::new(std::sync::Mutex::new(vec![Some(receive), None]));
        let begun = Arc::new(AtomicUsize::new(0));
        let load = move || {
            let receive = answers.lock().unwrap()[begun.fetch_add(1, SeqCst)].take();
            async move {
                match receive {
                    Some(receive) => Ok(receive.await.unwrap_or("dropped")),
                    None => Ok::<_, Infallible>("loaded after"),
                }
            }
        };
        let mut leader = task::spawn(cache.get_or_load_shared(1, load.clone()));
        let mut follower = task::spawn(cache.get_or_load_shared(1, load));
        assert_pending!(leader.poll());
        assert_pending!(follower.poll());
        drop(leader);
        change(&cache);
        assert!(
            send.send("loaded before").is_err(),
            "the half done load is still there"
        );
        assert_eq!(assert_ready!(follower.poll()), Ok("loaded after"));
        assert_eq!(cache.get(&1), Some("loaded after"));
    }
}

#[test]
fn a_load_of_another_kind_is_not_resumed_and_an_error_of_another_kind_is_not_shared() {
    let cache = ResultCache::<u32, u32>::new(10);
    let mut leader = task::spawn(cache.get_or_load_shared(1, pending::<Result<u32, &str>>));
    assert_pending!(leader.poll());
    let mut other = task::spawn(cache.get_or_load_shared(1, || async { Ok::<u32, u8>(7) }));
    assert_pending!(other.poll());
    drop(leader);
    assert_eq!(assert_ready!(other.poll()), Ok(7));
    cache.invalidate(&1);

    let (fail, failed) = oneshot::channel::<()>();
    let load = || async move {
        let _ = failed.await;
        Err::<u32, _>("down")
    };
    let mut leader = task::spawn(cache.get_or_load_shared(1, load));
    assert_pending!(leader.poll());
    let mut other = task::spawn(cache.get_or_load_shared(1, || ready(Ok::<u32, u8>(8))));
    assert_pending!(other.poll());
    drop(fail);
    assert_eq!(assert_ready!(leader.poll()), Err("down"));
    assert_eq!(assert_ready!(other.poll()), Ok(8));
}

#[tokio::test]
async fn a_load_that_panics_is_begun_anew_and_not_resumed() {
    let cache = ResultCache::<u32, u32>::new(10);
    let calls = Arc::new(AtomicUsize::new(0));
    let (go, gone) = oneshot::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let counted = calls.clone();
    let load = move || {
        let (calls, gone) = (counted.clone(), gone.clone());
        async move {
            if calls.fetch_add(1, SeqCst) == 0 {
                let gone = gone.lock().unwrap().take().unwrap();
                gone.await.unwrap();
                panic!("the load panics");
            }
            Ok::<_, Infallible>(7)
        }
    };
    let leader = tokio::spawn(cache.get_or_load_shared(1, load.clone()));
    while calls.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut waiter = task::spawn(cache.get_or_load_shared(1, load));
    assert_pending!(waiter.poll());
    go.send(()).unwrap();
    assert!(leader.await.unwrap_err().is_panic());
    assert!(waiter.is_woken());
    assert_eq!(assert_ready!(waiter.poll()), Ok(7));
}

#[tokio::test]
async fn a_resumed_call_keeps_the_permit_it_had() {
    let limited = ConcurrencyLimit::new(service_fn(|_: u32| pending::<Result<u32, Infallible>>()), 1);
    let mut other = limited.clone();
    let mut svc = CacheLayer::keyed_by(by_itself).resume().layer(limited);
    let mut leader = task::spawn(svc.call(1));
    let mut follower = task::spawn(svc.call(1));
    assert_pending!(leader.poll());
    assert_pending!(follower.poll());
    drop(leader);
    assert_pending!(follower.poll());
    let mut ready = task::spawn(());
    assert_pending!(ready.enter(|cx, _| other.poll_ready(cx)));
    drop(follower);
    assert!(ready.is_woken());
    assert_ready_ok!(ready.enter(|cx, _| other.poll_ready(cx)));
}

#[test]
fn those_above_the_limit_load_for_themselves() {
    let cache = ResultCache::<u32, u32>::builder().max_waiters(2).build();
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    let mut waiters: Vec<_> = (0..2)
        .map(|_| task::spawn(cache.get_or_load(1, pending::<Result<u32, oneshot::error::RecvError>>)))
        .collect();
    waiters
        .iter_mut()
        .for_each(|waiter| assert_pending!(waiter.poll()));
    let mut above = task::spawn(cache.get_or_load(1, || ready(Ok::<_, Infallible>(8))));
    assert_eq!(assert_ready!(above.poll()), Ok(8));
    // It began later than the leader, so its value is the one to keep.
    send.send(7).unwrap();
    assert_eq!(assert_ready_ok!(leader.poll()), 7);
    waiters
        .iter_mut()
        .for_each(|waiter| assert_eq!(assert_ready_ok!(waiter.poll()), 7));
    assert_eq!(cache.get(&1), Some(8));
}

/// quick_cache: a guard is held for 200 ms, a waiter has 50 ms: it times out there. Here it loads for itself.
#[tokio::test(start_paused = true)]
async fn who_runs_out_of_patience_loads_for_itself() {
    for (patience, at) in [(ms(50), ms(60)), (Duration::ZERO, ms(10))] {
        let cache = ResultCache::builder().patience(patience).build();
        let slow = || async {
            sleep(ms(200)).await;
            Ok::<_, Infallible>("slow")
        };
        let quick = || async {
            sleep(ms(10)).await;
            Ok::<_, Infallible>("quick")
        };
        let start = Instant::now();
        let follower = async {
            let answer = cache.get_or_load(1, quick).await;
            (answer, start.elapsed())
        };
        let (leader, (answer, took)) = tokio::join!(cache.get_or_load(1, slow), follower);
        assert_eq!(leader, Ok("slow"));
        assert_eq!((answer, took), (Ok("quick"), at));
        assert_eq!(start.elapsed(), ms(200));
        // The one that began later is the one that stays.
        assert_eq!(cache.get(&1), Some("quick"));
    }
}

/// A leader that is polled once and kept aside is waited for no longer than one has patience.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_never_polled_again_hangs_nobody_who_has_a_limit() {
    let cache = ResultCache::<u32, u32>::builder().patience(ms(50)).build();
    let mut kept_aside = task::spawn(cache.get_or_load(1, pending::<Result<u32, Infallible>>));
    assert_pending!(kept_aside.poll());
    let answers = join_all((0..3).map(|_| cache.get_or_load(1, || ready(Ok::<_, Infallible>(7))))).await;
    assert_eq!(answers, [Ok(7); 3]);
    drop(kept_aside);
}
