//! The laws of `tower::Service`, as `Cache` keeps them.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use hook_cache::CacheLayer;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, limit::ConcurrencyLimit, service_fn};
use tower_test::mock;

fn by_itself(req: &u32) -> Option<u32> {
    Some(*req)
}

/// Panics if it is called without having been polled ready, and is born not ready, as a clone too.
#[derive(Default)]
struct Strict {
    ready: bool,
    polls: Arc<AtomicUsize>,
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        self.polls.fetch_add(1, Relaxed);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        ready(Ok(req))
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            polls: self.polls.clone(),
        }
    }
}

#[test]
fn the_clone_that_was_polled_ready_is_the_one_that_is_called() {
    let mut svc = CacheLayer::keyed_by(by_itself).layer(Strict::default());
    for req in [1, 2, 1] {
        let res = assert_ready_ok!(task::spawn(svc.call(req)).poll());
        assert_eq!(res, req);
    }
}

#[test]
fn the_clone_is_polled_ready_for_a_request_without_a_key_too() {
    let mut svc = CacheLayer::keyed_by(|_: &u32| None::<u32>).layer(Strict::default());
    assert_eq!(assert_ready_ok!(task::spawn(svc.call(1)).poll()), 1);
}

#[test]
fn is_always_ready_and_asks_nobody() {
    let inner = Strict::default();
    let polls = inner.polls.clone();
    let mut svc = CacheLayer::keyed_by(by_itself).layer(inner);
    assert_ready_ok!(task::spawn(()).enter(|cx, _| svc.poll_ready(cx)));
    assert_eq!(polls.load(Relaxed), 0);

    assert_ready_ok!(task::spawn(svc.call(1)).poll());
    assert_eq!(polls.load(Relaxed), 1);
    assert_ready_ok!(task::spawn(svc.call(1)).poll());
    assert_eq!(polls.load(Relaxed), 1, "a hit asked the inner service");
}

#[test]
fn a_clone_of_a_ready_service_serves_without_having_been_polled() {
    let mut svc = CacheLayer::keyed_by(by_itself).layer(Strict::default());
    assert_ready_ok!(task::spawn(()).enter(|cx, _| svc.poll_ready(cx)));
    let mut clone = svc.clone();
    assert_ready_ok!(task::spawn(clone.call(1)).poll());
    assert_ready_ok!(task::spawn(svc.call(2)).poll());
}

#[test]
fn being_ready_holds_no_permit_of_the_inner_service() {
    let limited = ConcurrencyLimit::new(service_fn(|req: u32| ready(Ok::<_, Infallible>(req))), 1);
    let mut other = limited.clone();
    let mut svc = CacheLayer::keyed_by(by_itself).layer(limited);
    assert_ready_ok!(task::spawn(()).enter(|cx, _| svc.poll_ready(cx)));
    // The service lives on, polled ready and not called.
    assert_ready_ok!(task::spawn(()).enter(|cx, _| other.poll_ready(cx)));
    drop(svc);
}

#[test]
fn dropping_the_future_gives_the_permit_back() {
    let pending = service_fn(|_: u32| std::future::pending::<Result<u32, Infallible>>());
    let limited = ConcurrencyLimit::new(pending, 1);
    let mut other = limited.clone();
    let mut svc = CacheLayer::keyed_by(by_itself).layer(limited);

    let mut loading = task::spawn(svc.call(1));
    assert_pending!(loading.poll());
    let mut ready = task::spawn(());
    assert_pending!(ready.enter(|cx, _| other.poll_ready(cx)));
    drop(loading);
    assert!(ready.is_woken());
    assert_ready_ok!(ready.enter(|cx, _| other.poll_ready(cx)));
}

#[tokio::test]
async fn a_miss_is_woken_when_the_inner_service_becomes_ready_and_when_it_answers() {
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(CacheLayer::keyed_by(by_itself));
    backend.allow(0);
    assert_ready_ok!(svc.poll_ready());
    let mut res = task::spawn(svc.call(1));
    assert_pending!(res.poll());
    assert_pending!(backend.poll_request());

    backend.allow(1);
    assert!(res.is_woken());
    assert_pending!(res.poll());
    let (req, send) = assert_ready!(backend.poll_request()).expect("a request");
    assert_eq!(req, 1);

    send.send_response(10);
    assert!(res.is_woken());
    assert_eq!(assert_ready_ok!(res.poll()), 10);
}

#[tokio::test]
async fn an_error_of_readiness_comes_out_of_the_future_and_is_not_stored() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    backend.send_error("broken");
    assert_ready_ok!(svc.poll_ready());
    let err = assert_ready_err!(task::spawn(svc.call(1)).poll());
    assert_eq!(err.to_string(), "broken");
    assert!(handle.cache().is_empty());
    assert_eq!(handle.stats().load_errors, 1);
}

#[tokio::test]
async fn an_error_of_the_call_keeps_its_type_and_is_not_stored() {
    #[derive(Clone, Debug, PartialEq)]
    struct Mine;

    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let inner = service_fn(move |_: u32| {
        let call = counted.fetch_add(1, Relaxed);
        ready(if call == 0 { Err(Mine) } else { Ok(call) })
    });
    let mut svc = CacheLayer::keyed_by(by_itself).layer(inner);
    assert_eq!(svc.call(1).await, Err(Mine));
    assert_eq!(svc.call(1).await, Ok(1));
    assert_eq!(svc.call(1).await, Ok(1));
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test]
async fn a_future_that_is_never_polled_touches_nothing() {
    let layer = CacheLayer::keyed_by(by_itself);
    let handle = layer.handle();
    let (mut svc, mut backend) = mock::spawn_layer::<u32, u32, _>(layer);
    assert_ready_ok!(svc.poll_ready());
    let unpolled = svc.call(1);
    // Nobody waits for it: the next one leads.
    let mut res = task::spawn(svc.call(1));
    assert_pending!(res.poll());
    let (_, send) = assert_ready!(backend.poll_request()).expect("a request");
    drop(unpolled);
    send.send_response(10);
    assert_eq!(assert_ready_ok!(res.poll()), 10);
    assert_eq!(handle.stats().misses, 1);
}
