//! Every law of `tower::Service`, one test each.

use std::{
    cell::Cell,
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hook_retry::{BoxError, NoWait, Retry, RetryHandle, RetryLayer, RetryPolicy, future::ResponseFuture};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_test::mock;

fn at_once() -> RetryLayer<NoWait> {
    RetryLayer::new(RetryPolicy::new().backoff(NoWait))
}

/// A service that must be polled ready before each call, knows which clone it is, and fails `failures` times
/// in a row.
struct Strict {
    id: u32,
    is_ready: bool,
    log: Rc<Log>,
}

#[derive(Default)]
struct Log {
    clones: Cell<u32>,
    failures: Cell<u32>,
    calls: std::cell::RefCell<Vec<u32>>,
}

impl Strict {
    fn failing(failures: u32) -> Self {
        let log = Log::default();
        log.failures.set(failures);
        Self {
            id: 0,
            is_ready: false,
            log: Rc::new(log),
        }
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        self.log.clones.set(self.log.clones.get() + 1);
        Self {
            id: self.log.clones.get(),
            is_ready: false,
            log: Rc::clone(&self.log),
        }
    }
}

impl Service<()> for Strict {
    type Response = u32;
    type Error = &'static str;
    type Future = Ready<Result<u32, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(self.is_ready, "clone {} was called without being ready", self.id);
        self.is_ready = false;
        self.log.calls.borrow_mut().push(self.id);
        ready(match self.log.failures.get() {
            0 => Ok(self.id),
            n => {
                self.log.failures.set(n - 1);
                Err("again")
            }
        })
    }
}

#[test]
fn the_clone_that_was_readied_is_the_one_that_is_called_first_and_again() {
    let strict = Strict::failing(2);
    let log = Rc::clone(&strict.log);
    let mut service = at_once().layer(strict);
    futures::executor::block_on(async {
        assert_eq!(service.ready().await.unwrap().call(()).await, Ok(0));
        assert_eq!(*log.calls.borrow(), [0, 0, 0]);
        // What stayed behind is a clone that must be readied itself.
        assert_eq!(service.ready().await.unwrap().call(()).await, Ok(1));
    });
}

#[test]
#[should_panic = "clone 1 was called without being ready"]
fn what_stays_behind_after_a_call_is_not_ready() {
    let mut service = at_once().layer(Strict::failing(0));
    futures::executor::block_on(async {
        let _ = service.ready().await.unwrap().call(()).await;
        let _ = service.call(()).await;
    });
}

#[test]
#[should_panic = "clone 1 was called without being ready"]
fn a_clone_starts_unready() {
    let mut service = at_once().layer(Strict::failing(0));
    futures::executor::block_on(async {
        service.ready().await.unwrap();
        let _ = service.clone().call(()).await;
    });
}

#[tokio::test]
async fn pending_readiness_registers_a_waker_and_a_readiness_error_passes_through() {
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(at_once());
    backend.allow(0);
    assert_pending!(service.poll_ready());
    backend.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    backend.send_error("gone");
    assert_eq!(assert_ready_err!(service.poll_ready()).to_string(), "gone");
}

#[tokio::test]
async fn a_retry_waits_until_the_service_is_ready_again_and_is_woken_then() {
    let (mut service, mut backend) = mock::spawn_layer::<&str, &str, _>(at_once());
    backend.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call("hello"));
    let (_, reply) = assert_ready!(backend.poll_request()).unwrap();
    reply.send_error("again");
    assert_pending!(call.poll());
    assert_pending!(backend.poll_request());

    backend.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (req, reply) = assert_ready!(backend.poll_request()).unwrap();
    assert_eq!(req, "hello");
    reply.send_response("world");
    assert!(call.is_woken());
    assert_eq!(assert_ready_ok!(call.poll()), "world");
}

#[tokio::test]
async fn a_readiness_error_before_a_retry_is_the_answer() {
    let layer = at_once();
    let handle = layer.handle();
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(layer);
    backend.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(()));
    let (_, reply) = assert_ready!(backend.poll_request()).unwrap();
    reply.send_error("again");
    assert_pending!(call.poll());

    backend.send_error("gone for good");
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "gone for good");
    let seen = handle.snapshot();
    assert_eq!((seen.unready, seen.failed_without_retry, seen.retries), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_before_the_call_and_at_every_stage_of_the_future_gives_the_slot_back() {
    let tries = || {
        service_fn(|pending: bool| async move {
            if pending {
                std::future::pending::<()>().await;
            }
            Err::<(), _>("no")
        })
    };
    let limited = ConcurrencyLimit::new(tries(), 1);
    let mut service = RetryLayer::default().layer(limited.clone());
    let mut other = limited.clone();
    let is_free = |other: &mut ConcurrencyLimit<_>| {
        let mut ready = task::spawn(());
        let free = ready.enter(|cx, _| Service::<bool>::poll_ready(other, cx).is_ready());
        *other = limited.clone();
        free
    };

    // Ready and never called.
    service.ready().await.unwrap();
    assert!(!is_free(&mut other));
    drop(service);
    assert!(is_free(&mut other));

    // The attempt under way.
    let mut service = RetryLayer::default().layer(limited.clone());
    let mut call = task::spawn(service.ready().await.unwrap().call(true));
    assert_pending!(call.poll());
    assert!(!is_free(&mut other));
    drop(call);
    assert!(is_free(&mut other));

    // The wait, which holds nothing in the first place.
    let mut call = task::spawn(service.ready().await.unwrap().call(false));
    assert_pending!(call.poll());
    assert!(is_free(&mut other));
    // Waiting for readiness: the queue is left.
    let mut holder = limited.clone();
    holder.ready().await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_pending!(call.poll());
    drop(call);
    drop(holder);
    assert!(is_free(&mut other));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_in_its_wait_leaves_no_timer_and_no_second_call() {
    let handle = tokio::runtime::Handle::current();
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(RetryLayer::default());
    backend.allow(9);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(()));
    assert_ready!(backend.poll_request())
        .unwrap()
        .1
        .send_error("again");
    assert_pending!(call.poll());
    drop(call);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_pending!(backend.poll_request());
    assert_eq!(handle.metrics().num_alive_tasks(), 0);
}

#[test]
fn auto_traits_and_bounds_are_those_of_what_is_inside() {
    fn shared<T: Send + Sync + Unpin + 'static>(_: &T) {}
    fn sent<T: Send>(_: &T) {}

    let service = service_fn(|_: String| async { Ok::<_, BoxError>(()) });
    let policy = RetryPolicy::new()
        .deadline_by(|_: &String| None::<Instant>)
        .retry_if(|result: Result<&(), &BoxError>| result.is_err());
    shared(&policy);
    let layer = RetryLayer::new(policy);
    shared(&layer);
    shared(&layer.handle());
    let mut service = layer.layer(service);
    shared(&service);
    sent(&service.call(String::new()));
    sent(&RetryPolicy::new().run(|_| async { Ok::<_, ()>(()) }));

    // Neither `Send` nor `'static` is asked of anything.
    let text = String::from("local");
    let local = Rc::new(&text);
    let policy = RetryPolicy::new().retry_if(|result: Result<&usize, &&str>| {
        let _ = &local;
        result.is_err()
    });
    let mut service = RetryLayer::new(policy).layer(service_fn(|add: usize| {
        let len = local.len();
        async move { Ok::<_, &str>(len + add) }
    }));
    assert_eq!(futures::executor::block_on(service.call(1)), Ok(6));
}

#[test]
fn the_types_can_be_named() {
    type Inner = tower::util::BoxCloneSyncService<String, String, BoxError>;
    #[allow(dead_code, reason = "only its types matter")]
    struct Client {
        service: Retry<Inner>,
        call: Option<
            ResponseFuture<
                Inner,
                String,
                hook_retry::Exponential,
                hook_retry::RetryErrors,
                hook_retry::request::Requests,
            >,
        >,
        figures: RetryHandle,
    }
    let service = RetryLayer::default().layer(Inner::new(service_fn(|req| async { Ok(req) })));
    let figures = service.handle();
    let client = Client {
        service,
        call: None,
        figures,
    };
    assert_eq!(client.figures.snapshot().calls(), 0);
}
