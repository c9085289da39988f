//! Keys that are parts of requests, and look-ups by a borrowed form of the key.
#![cfg(not(loom))]

use std::{
    borrow::Borrow,
    cell::Cell,
    convert::Infallible,
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{FutureExt, future::join};
use hook_cache::{CacheLayer, ResultCache};
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: String,
}

fn request(method: &'static str, path: &str) -> Request {
    Request {
        method,
        path: path.into(),
    }
}

/// Answers with the number of its calls.
fn counting(
    calls: &Arc<AtomicUsize>,
) -> impl Service<Request, Response = usize, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let calls = calls.clone();
    service_fn(move |_: Request| {
        let calls = calls.clone();
        async move {
            sleep(Duration::from_millis(1)).await;
            Ok(calls.fetch_add(1, SeqCst) + 1)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_request_is_its_key() {
    let calls = Arc::default();
    let layer = CacheLayer::keyed_by_ref(|req: &Request| (req.method == "GET").then_some(&*req.path));
    let handle = layer.handle();
    let service = layer.layer(counting(&calls));
    let ask = |method, path| service.clone().oneshot(request(method, path));

    assert_eq!(ask("GET", "/a").await, Ok(1));
    assert_eq!(ask("GET", "/a").await, Ok(1));
    assert_eq!(ask("GET", "/b").await, Ok(2));
    assert_eq!(ask("PUT", "/a").await, Ok(3), "it has no key");
    let stats = handle.stats();
    assert_eq!((stats.hits, stats.misses, stats.bypassed), (1, 2, 1));

    // The same entries, however they are asked for.
    assert!(handle.cache().contains("/a"));
    assert_eq!(handle.cache().get("/a"), Some(1));
    assert_eq!(handle.cache().get(&"/a".to_owned()), Some(1));
    handle.cache().insert("/c".to_owned(), 7);
    assert_eq!(ask("GET", "/c").await, Ok(7));
    assert!(handle.invalidate("/c"));
    assert!(!handle.invalidate("/c"));
    assert_eq!(ask("GET", "/c").await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_by_the_key_is_given_the_kept_one() {
    let calls = Arc::default();
    let layer = CacheLayer::keyed_by_ref(|req: &Request| Some(&*req.path))
        .ttl(Duration::from_secs(1))
        .stale_while_revalidate(Duration::from_secs(10))
        .tags_by(|path: &String, _: &usize| [Box::from(&path[..2])])
        .store_if(|req, _| req.method == "GET");
    let handle = layer.handle();
    let service = layer.layer(counting(&calls));
    let ask = |method, path| service.clone().oneshot(request(method, path));

    assert_eq!(
        join(ask("GET", "/a1"), ask("GET", "/a1")).await,
        (Ok(1), Ok(1)),
        "one load"
    );
    assert_eq!(ask("PUT", "/b1").await, Ok(2));
    assert_eq!(ask("GET", "/b1").await, Ok(3), "the other was not stored");

    advance(Duration::from_secs(2)).await;
    assert_eq!(ask("GET", "/a1").await, Ok(1), "stale");
    sleep(Duration::from_millis(2)).await;
    assert_eq!(
        ask("GET", "/a1").await,
        Ok(4),
        "loaded anew behind the caller's back"
    );

    handle.invalidate_tag("/a");
    assert_eq!(ask("GET", "/a1").await, Ok(5));
}

/// A borrowed key of the user's own, and how often one was made to be kept.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Number(u64);

thread_local! {
    static MADE: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Owned(Number);

impl Clone for Owned {
    fn clone(&self) -> Self {
        Self(Number(self.0.0))
    }
}

impl Borrow<Number> for Owned {
    fn borrow(&self) -> &Number {
        &self.0
    }
}

impl ToOwned for Number {
    type Owned = Owned;

    fn to_owned(&self) -> Owned {
        MADE.set(MADE.get() + 1);
        Owned(Number(self.0))
    }
}

#[test]
fn a_key_is_made_for_a_miss_and_for_no_hit() {
    let layer = CacheLayer::keyed_by_ref(|req: &Arc<Number>| Some(&**req));
    let mut service = layer.layer(service_fn(|req: Arc<Number>| ready(Ok::<_, Infallible>(req.0))));
    let number = Arc::new(Number(7));
    for _ in 0..100 {
        assert_eq!(service.call(number.clone()).now_or_never(), Some(Ok(7)));
    }
    assert_eq!(MADE.get(), 1);
}

#[test]
fn a_borrowed_key_that_is_hit_allocates_nothing() {
    let layer = CacheLayer::keyed_by_ref(|req: &Arc<str>| Some(&**req));
    let mut service = layer.layer(service_fn(|req: Arc<str>| ready(Ok::<_, Infallible>(req.len()))));
    let key: Arc<str> = "/users/000000000000007".into();
    let mut look_up = || service.call(key.clone()).now_or_never();
    assert_eq!(look_up(), Some(Ok(22)));
    let spent = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert_eq!(look_up(), Some(Ok(22)));
        }
    });
    assert_eq!(spent.count_total, 0);

    let cache = ResultCache::new(10);
    cache.insert("key".to_owned(), 7);
    let spent = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert_eq!(cache.get("key"), Some(7));
            assert!(cache.contains("key"));
        }
    });
    assert_eq!(spent.count_total, 0);
}

/// A key that panics when it is to be kept and bears the number 13, while that is armed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Fragile(u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sturdy(Arc<Fragile>);

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

impl Borrow<Fragile> for Sturdy {
    fn borrow(&self) -> &Fragile {
        &self.0
    }
}

impl ToOwned for Fragile {
    type Owned = Sturdy;

    fn to_owned(&self) -> Sturdy {
        assert!(!ARMED.get(), "told to panic");
        Sturdy(Arc::new(Fragile(self.0)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_made_keeps_no_stale_entry_from_being_loaded_anew() {
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let calls = calls.clone();
        move |_: Arc<Fragile>| ready(Ok::<_, Infallible>(calls.fetch_add(1, SeqCst) + 1))
    });
    let mut service = CacheLayer::keyed_by_ref(|req: &Arc<Fragile>| Some(&**req))
        .ttl(Duration::from_secs(1))
        .stale_while_revalidate(Duration::from_secs(60))
        .layer(inner);
    let key = Arc::new(Fragile(13));
    assert_eq!(service.call(key.clone()).await, Ok(1));
    advance(Duration::from_secs(2)).await;

    ARMED.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(key.clone())))).is_err());
    ARMED.set(false);
    // As after any refresh that came to nothing, the next one waits for the back-off.
    advance(Duration::from_secs(2)).await;
    assert_eq!(service.call(key.clone()).await, Ok(1), "stale, and loaded anew");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(service.call(key).await, Ok(2));
}
