//! Stale answers by choice: while they are loaded anew, and in the place of errors. And errors that are remembered.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use hook_cache::{CacheLayer, ResultCache};
use tokio::{
    sync::oneshot,
    time::{advance, sleep},
};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, service_fn};

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Answers with how often it was asked, and fails while it is down.
#[derive(Clone, Default)]
struct Backend {
    calls: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Backend {
    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, SeqCst);
    }
}

impl Service<u32> for Backend {
    type Response = usize;
    type Error = &'static str;
    type Future = Ready<Result<usize, &'static str>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _req: u32) -> Self::Future {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        ready(if self.down.load(SeqCst) {
            Err("down")
        } else {
            Ok(call)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn is_off_unless_asked_for() {
    let backend = Backend::default();
    let mut svc = CacheLayer::keyed_by(by_itself)
        .ttl(secs(10))
        .layer(backend.clone());
    assert_eq!(svc.call(1).await, Ok(1));
    advance(secs(10)).await;
    backend.set_down(true);
    assert_eq!(svc.call(1).await, Err("down"));
    assert_eq!(svc.call(1).await, Err("down"), "an error was remembered");
    assert_eq!(backend.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn readers_get_what_is_stale_at_once_and_one_refresh_runs() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let backend = service_fn(move |_: u32| {
        let call = counted.fetch_add(1, SeqCst);
        async move {
            sleep(secs(2)).await;
            Ok::<_, Infallible>(call)
        }
    });
    let layer = CacheLayer::keyed_by(by_itself)
        .ttl(secs(10))
        .stale_while_revalidate(secs(30));
    let handle = layer.handle();
    let mut svc = layer.layer(backend);
    assert_eq!(svc.call(1).await, Ok(0));
    advance(secs(10)).await;

    for _ in 0..100 {
        assert_eq!(svc.call(1).now_or_never(), Some(Ok(0)), "a reader waited");
    }
    sleep(secs(1)).await;
    assert_eq!(svc.call(1).now_or_never(), Some(Ok(0)));
    assert_eq!(calls.load(SeqCst), 2);
    sleep(secs(2)).await;
    assert_eq!(
        svc.call(1).now_or_never(),
        Some(Ok(1)),
        "the refresh was not stored"
    );

    let stats = handle.stats();
    assert_eq!(
        (stats.hits, stats.stale_hits, stats.misses, stats.refreshes),
        (1, 101, 1, 1)
    );
    assert_eq!((stats.loads, stats.inserted, stats.replaced), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn after_the_window_a_reader_waits_like_any_other() {
    let backend = Backend::default();
    let layer = CacheLayer::keyed_by(by_itself)
        .ttl(secs(10))
        .stale_while_revalidate(secs(5));
    let handle = layer.handle();
    let mut svc = layer.layer(backend);
    assert_eq!(svc.call(1).await, Ok(1));
    advance(secs(15)).await;
    assert_eq!(svc.call(1).await, Ok(2));
    assert_eq!((handle.stats().stale_hits, handle.stats().expired), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_claimed_once_by_many_threads() {
    // The claim is a compare-and-swap: of many at once, one has it.
    let cache = ResultCache::builder()
        .ttl(Duration::ZERO)
        .stale_while_revalidate(secs(60))
        .build();
    for round in 0..200 {
        cache.insert(round, 0);
        let loads = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let load = || {
                        loads.fetch_add(1, SeqCst);
                        pending::<Result<i32, Infallible>>()
                    };
                    // Without a runtime the one who claims it loads itself, and here goes away.
                    let mut reader = task::spawn(cache.get_or_load(round, load));
                    let polled = reader.poll();
                    std::mem::drop(reader);
                    polled.is_ready()
                });
            }
        });
        assert_eq!(loads.load(SeqCst), 1, "round {round}");
    }
}

/// Refresh fails: readers are served until the time to live and the windows are over; the next refresh does not come
/// before the back-off.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_not_tried_again_before_the_back_off() {
    let backend = Backend::default();
    let layer = CacheLayer::keyed_by(by_itself)
        .ttl(secs(10))
        .stale_if_error(secs(60))
        .backoff(secs(5))
        .stale_while_revalidate(secs(30));
    let mut svc = layer.layer(backend.clone());
    assert_eq!(svc.call(1).await, Ok(1));
    backend.set_down(true);
    // Tried at 10, 15, 20, .. 65 and no more often, while somebody reads each second.
    for second in 1..70 {
        advance(secs(1)).await;
        assert_eq!(svc.call(1).await, Ok(1), "at {second} s");
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let tries = if second < 10 { 0 } else { (second - 10) / 5 + 1 };
        assert_eq!(backend.calls() - 1, tries, "at {second} s");
    }
    advance(secs(1)).await;
    assert_eq!(svc.call(1).await, Err("down"), "served past its last window");
    backend.set_down(false);
    assert!(svc.call(1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_made_up_for_too() {
    /// An open circuit, say: it refuses before it is called.
    #[derive(Clone)]
    struct Refuses(Arc<AtomicBool>);
    impl Service<u32> for Refuses {
        type Response = u32;
        type Error = &'static str;
        type Future = Ready<Result<u32, &'static str>>;
        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(if self.0.load(SeqCst) {
                Err("circuit open")
            } else {
                Ok(())
            })
        }
        fn call(&mut self, req: u32) -> Self::Future {
            ready(Ok(req))
        }
    }
    let open = Arc::new(AtomicBool::new(false));
    let layer = CacheLayer::keyed_by(by_itself)
        .ttl(secs(10))
        .stale_if_error(secs(60));
    let handle = layer.handle();
    let mut svc = layer.layer(Refuses(open.clone()));
    assert_eq!(svc.call(1).await, Ok(1));
    open.store(true, SeqCst);
    advance(secs(10)).await;
    assert_eq!(svc.call(1).await, Ok(1));
    assert_eq!(svc.call(1).await, Ok(1));
    assert_eq!(
        svc.call(2).await,
        Err("circuit open"),
        "there was nothing to serve"
    );
    let stats = handle.stats();
    assert_eq!((stats.rescued, stats.stale_hits, stats.misses), (1, 1, 3));
    advance(secs(60)).await;
    assert_eq!(svc.call(1).await, Err("circuit open"));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_load_that_fails_get_what_is_stale_too() {
    let cache = ResultCache::builder()
        .ttl(secs(10))
        .stale_if_error(secs(60))
        .build();
    cache.insert(1, "old");
    advance(secs(10)).await;
    let load = || async {
        sleep(secs(1)).await;
        Err::<&str, _>("down")
    };
    let answers = join_all((0..5).map(|_| cache.get_or_load(1, load))).await;
    assert_eq!(answers, [Ok("old"); 5]);
    assert_eq!((cache.stats().misses, cache.stats().load_errors), (1, 1));
    assert_eq!(cache.get(&1), None, "it was not made fresh by that");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_stands_in_for_no_error() {
    type Invalidate = fn(&ResultCache<u32, &'static str>);
    let ways: [Invalidate; 4] = [
        |cache| {
            cache.invalidate(&1);
        },
        ResultCache::invalidate_all,
        |cache| {
            cache.invalidate_if(|_, _| true);
        },
        |cache| cache.invalidate_tag("tag"),
    ];
    for invalidate in ways {
        let cache = ResultCache::builder()
            .ttl(secs(10))
            .stale_if_error(secs(60))
            .build();
        cache.insert_tagged(1, "old", ["tag"]);
        advance(secs(10)).await;
        invalidate(&cache);
        let load = || async { Err::<&str, _>("down") };
        assert_eq!(cache.get_or_load(1, load).await, Err("down"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_began_before_an_invalidation_is_not_stored() {
    let cache = ResultCache::builder()
        .ttl(secs(10))
        .stale_while_revalidate(secs(60))
        .build();
    cache.insert(1, "old");
    advance(secs(10)).await;
    let (send, receive) = oneshot::channel();
    let load = || async { receive.await.map_err(|_| "dropped") };
    assert_eq!(cache.get_or_load_shared(1, load).await, Ok("old"));
    tokio::task::yield_now().await;
    cache.invalidate(&1);
    send.send("loaded before").unwrap();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(cache.get(&1), None);
    assert_eq!((cache.stats().refreshes, cache.stats().refused.outdated), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_panics_leaves_its_entry_to_the_next() {
    let cache = ResultCache::builder()
        .ttl(secs(10))
        .stale_while_revalidate(secs(60))
        .build();
    cache.insert(1, "old");
    advance(secs(10)).await;
    let panics = || async {
        if true {
            panic!("the refresh panics");
        }
        Ok::<_, Infallible>("never")
    };
    assert_eq!(cache.get_or_load_shared(1, panics).await, Ok("old"));
    tokio::task::yield_now().await;
    let load = || async { Ok::<_, Infallible>("new") };
    assert_eq!(
        cache.get_or_load_shared(1, load).await,
        Ok("old"),
        "within the back-off"
    );
    advance(secs(1)).await;
    assert_eq!(cache.get_or_load_shared(1, load).await, Ok("old"));
    tokio::task::yield_now().await;
    assert_eq!(cache.get(&1), Some("new"));
}

#[test]
fn without_a_runtime_whoever_claims_the_refresh_waits_for_it() {
    let backend = Backend::default();
    let layer = CacheLayer::keyed_by(by_itself)
        .ttl(Duration::ZERO)
        .stale_while_revalidate(secs(60));
    let mut svc = layer.layer(backend);
    assert_eq!(svc.call(1).now_or_never(), Some(Ok(1)));
    assert_eq!(svc.call(1).now_or_never(), Some(Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn errors_are_remembered_for_their_own_time() {
    let backend = Backend::default();
    let layer = CacheLayer::keyed_by(by_itself)
        .share_errors()
        .remember_errors(secs(5));
    let handle = layer.handle();
    let mut svc = layer.layer(backend.clone());
    backend.set_down(true);
    for _ in 0..3 {
        assert_eq!(svc.call(1).await, Err("down"));
    }
    assert_eq!(backend.calls(), 1);
    backend.set_down(false);
    advance(secs(5) - Duration::from_nanos(1)).await;
    assert_eq!(svc.call(1).await, Err("down"));
    advance(Duration::from_nanos(1)).await;
    assert_eq!(svc.call(1).await, Ok(2));
    let stats = handle.stats();
    assert_eq!((stats.negative_hits, stats.misses, stats.load_errors), (3, 2, 1));
    assert_eq!(stats.entries, 1, "an error takes no value's place");
}

#[tokio::test(start_paused = true)]
async fn a_remembered_error_goes_with_every_invalidation_and_with_a_put() {
    type Change = fn(&ResultCache<u32, u32>);
    let ways: [(Change, _); 6] = [
        (
            |cache| {
                cache.invalidate(&1);
            },
            Ok(2),
        ),
        (ResultCache::invalidate_all, Ok(2)),
        (
            |cache| {
                cache.invalidate_if(|_, _| false);
            },
            Ok(2),
        ),
        (|cache| cache.invalidate_tag("any"), Ok(2)),
        (|cache| cache.insert_with_ttl(1, 9, Duration::ZERO), Ok(2)),
        (
            |cache| {
                cache.invalidate(&2);
            },
            Err("down"),
        ),
    ];
    for (n, (change, expected)) in ways.into_iter().enumerate() {
        let cache = ResultCache::builder().remember_errors(secs(60)).build();
        assert_eq!(
            cache.get_or_load_shared(1, || ready(Err("down"))).await,
            Err("down")
        );
        change(&cache);
        let load = || ready(Ok::<_, &str>(2));
        assert_eq!(cache.get_or_load_shared(1, load).await, expected, "way {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_load_that_began_before_an_invalidation_is_not_remembered() {
    let cache = ResultCache::<u32, u32>::builder()
        .remember_errors(secs(60))
        .build();
    let (send, receive) = oneshot::channel::<()>();
    let load = || async move {
        let _ = receive.await;
        Err::<u32, _>("down")
    };
    let mut leader = task::spawn(cache.get_or_load_shared(1, load));
    assert_pending!(leader.poll());
    cache.invalidate(&1);
    drop(send);
    assert_eq!(assert_ready!(leader.poll()), Err("down"));
    assert_eq!(
        cache.get_or_load_shared(1, || ready(Ok::<_, &str>(2))).await,
        Ok(2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_million_errors_take_the_memory_of_a_thousand() {
    let cache = ResultCache::<u32, u32>::builder()
        .remember_errors(secs(60))
        .build();
    for key in 0..20_000 {
        let load = || ready(Err::<u32, _>("down"));
        assert_eq!(cache.get_or_load_shared(key, load).await, Err("down"));
    }
    let again = Arc::new(AtomicUsize::new(0));
    for key in 0..20_000 {
        let counted = again.clone();
        let load = move || {
            counted.fetch_add(1, SeqCst);
            ready(Err::<u32, _>("down"))
        };
        cache.get_or_load_shared(key, load).await.unwrap_err();
    }
    assert!(again.load(SeqCst) >= 18_000, "{}", again.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn the_right_to_refresh_ends_with_the_load_and_not_with_its_future() {
    let cache = ResultCache::builder()
        .ttl(secs(10))
        .stale_while_revalidate(secs(60))
        .backoff(secs(1))
        .build();
    cache.insert(1, 1);
    advance(secs(10)).await;
    let mut kept = task::spawn(cache.get_or_load(1, || ready(Err::<u32, _>("down"))));
    assert_eq!(assert_ready!(kept.poll()), Err("down"));
    advance(secs(2)).await;
    assert_eq!(cache.get_or_load(1, || ready(Ok::<_, &str>(2))).await, Ok(2));
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_panics_takes_no_right_to_refresh_along() {
    struct Mine(Arc<AtomicBool>);
    impl Clone for Mine {
        fn clone(&self) -> Self {
            assert!(!self.0.swap(false, SeqCst), "a clone that panics");
            Self(self.0.clone())
        }
    }
    let armed = Arc::new(AtomicBool::new(false));
    let cache = ResultCache::builder()
        .ttl(secs(10))
        .stale_while_revalidate(secs(60))
        .build();
    cache.insert(1, Mine(armed.clone()));
    advance(secs(10)).await;
    armed.store(true, SeqCst);
    let calls = AtomicUsize::new(0);
    let load = || {
        calls.fetch_add(1, SeqCst);
        ready(Ok::<_, Infallible>(Mine(armed.clone())))
    };
    let panics = std::panic::AssertUnwindSafe(cache.get_or_load(1, load));
    assert!(panics.catch_unwind().await.is_err());
    assert!(cache.get_or_load(1, load).await.is_ok());
    assert_eq!(calls.load(SeqCst), 1, "nobody may refresh it");
}
