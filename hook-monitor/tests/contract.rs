//! The laws of `tower::Service`, one by one.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    marker::PhantomPinned,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hook_monitor::{
    Call, CallMonitor, MonitorHandle, MonitorLayer, MonitorSnapshot, Monitored, Outcome,
    future::{ResponseFuture, Watch},
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, limit::ConcurrencyLimit, util::ServiceFn};
use tower_test::mock;

type Mock = mock::Mock<&'static str, &'static str>;

fn monitored() -> (
    mock::Spawn<Monitored<Mock>>,
    mock::Handle<&'static str, &'static str>,
    MonitorHandle,
) {
    let layer = MonitorLayer::new("contract");
    let calls = layer.handle();
    let (service, backend) = mock::spawn_layer(layer);
    (service, backend, calls)
}

#[tokio::test]
async fn readiness_is_the_inner_services_and_its_waker_is_passed_on() {
    let (mut service, mut backend, _) = monitored();
    backend.allow(0);
    assert_pending!(service.poll_ready());
    assert!(!service.is_woken());

    backend.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test]
async fn a_readiness_error_passes_through_and_counts_as_nothing() {
    let (mut service, mut backend, calls) = monitored();
    backend.send_error("gone");
    let err: BoxError = assert_ready_err!(service.poll_ready());
    assert_eq!(err.to_string(), "gone");
    assert_eq!(calls.snapshot().started, 0);
}

#[tokio::test]
async fn a_clone_starts_unready_and_a_readied_service_that_is_dropped_gives_its_permit_back() {
    let layer = MonitorLayer::new("contract");
    let one_at_a_time = ConcurrencyLimit::new(tower::service_fn(|()| ready(Ok::<_, Infallible>(()))), 1);
    let mut service = mock::Spawn::new(layer.layer(one_at_a_time));
    let mut clone = service.clone();
    assert_ready_ok!(service.poll_ready());
    assert_pending!(clone.poll_ready());

    drop(service);
    assert!(clone.is_woken());
    assert_ready_ok!(clone.poll_ready());
    assert_eq!(layer.handle().snapshot().started, 0, "readiness is no call");
}

#[tokio::test]
async fn the_readied_service_is_the_one_called_and_the_futures_waker_is_passed_on() {
    let (mut service, mut backend, calls) = monitored();
    backend.allow(1);
    assert_ready_ok!(service.poll_ready());

    // The mock panics if what is called is not what was readied.
    let mut response = task::spawn(service.call("ping"));
    let (request, send) = backend.next_request().await.expect("a request");
    assert_eq!(request, "ping");
    assert_pending!(response.poll());
    send.send_response("pong");
    assert!(response.is_woken());
    assert_eq!(assert_ready_ok!(response.poll()), "pong");
    assert_eq!(calls.snapshot().successes, 1);
}

#[tokio::test]
async fn an_error_keeps_its_type_and_is_the_inner_services_own() {
    #[derive(Debug, PartialEq)]
    struct OutOfPaper(u32);

    let service = tower::service_fn(|tray: u32| ready(Err::<(), _>(OutOfPaper(tray))));
    let mut service = MonitorLayer::new("printer").layer(service);
    assert_eq!(service.call(3).await, Err(OutOfPaper(3)));
}

#[tokio::test]
async fn dropping_the_response_gives_back_what_the_call_held() {
    let held = Arc::new(());
    let service = tower::service_fn(|held: Arc<()>| async move {
        std::future::pending::<()>().await;
        drop(held);
        Ok::<_, Infallible>(())
    });
    let layer = MonitorLayer::new("contract");
    let mut response = task::spawn(layer.layer(service).call(Arc::clone(&held)));
    assert_pending!(response.poll());
    assert_eq!(
        (Arc::strong_count(&held), layer.handle().snapshot().in_flight),
        (2, 1)
    );

    drop(response);
    assert_eq!(
        (Arc::strong_count(&held), layer.handle().snapshot().in_flight),
        (1, 0)
    );
}

/// What the mock cannot do: a service and a classifier that stay on their thread, never move, borrow,
/// and are no `Clone`.
#[tokio::test]
async fn nothing_need_be_send_clone_static_or_unpin() {
    struct Local<'a>(Rc<Cell<u32>>, &'a str);

    impl Service<()> for Local<'_> {
        type Response = Rc<Cell<u32>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            self.0.set(self.0.get() + self.1.len() as u32);
            ready(Ok(Rc::clone(&self.0)))
        }
    }

    let name = String::from("four");
    let judged = Rc::new(Cell::new(0));
    let unclonable = (Rc::clone(&judged), PhantomPinned, Cell::new(0));
    let layer = MonitorLayer::new("local").classify_with(
        move |_: Result<&Rc<Cell<u32>>, &Infallible>, _: Duration| {
            unclonable.2.set(unclonable.2.get() + 1);
            unclonable.0.set(unclonable.2.get());
            Outcome::Ignored
        },
    );
    let mut service = layer.layer(Local(Rc::new(Cell::new(0)), &name));
    let Ok(total) = service.call(()).await;
    assert_eq!((total.get(), judged.get()), (4, 1));
    assert_eq!(layer.handle().snapshot().ignored, 1);
}

#[test]
fn what_is_made_of_threadsafe_parts_is_threadsafe_and_movable() {
    fn all<T: Send + Sync + Unpin + 'static>(_: impl FnOnce() -> T) {}
    type Answer = Ready<Result<(), Infallible>>;
    fn inner() -> ServiceFn<fn(()) -> Answer> {
        tower::service_fn(|()| ready(Ok(())))
    }

    all(|| MonitorLayer::new("x"));
    all(|| MonitorLayer::new("x").classify_with(|_: Result<&(), &Infallible>, _: Duration| Outcome::Success));
    all(|| MonitorLayer::new("x").layer(inner()));
    all(|| MonitorLayer::new("x").layer(inner()).call(()));
    all(|| CallMonitor::new("x").watch(ready(Ok::<(), ()>(()))));
    all(|| CallMonitor::new("x").start());

    fn named<T: Send + Sync + Unpin>() {}
    named::<Call>();
    named::<MonitorHandle>();
    named::<MonitorSnapshot>();
    named::<ResponseFuture<Ready<()>, ()>>();
    named::<Watch<Ready<()>, ()>>();
}
