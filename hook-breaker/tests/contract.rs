//! The laws of `tower::Service`, one test each.

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
    time::Duration,
};

use hook_breaker::{Breaker, CircuitBreaker, CircuitBreakerLayer, Reason, Rejected, State};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_test::mock;

const OPEN_FOR: Duration = Duration::from_secs(5);

fn layer() -> CircuitBreakerLayer {
    CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .open_for(OPEN_FOR)
        .probes(1)
}

fn trip(circuit: &CircuitBreaker) {
    circuit.try_acquire().expect("the circuit is closed").failure();
}

fn reason<T>(answer: Result<T, hook_breaker::BoxError>) -> (Reason, Option<Duration>) {
    let err = answer.err().expect("the call was refused");
    let rejected = Rejected::find(&*err).expect("the error is a refusal");
    (rejected.reason(), rejected.retry_after())
}

/// Insists on the contract: called unready it panics, and a clone is not ready.
#[derive(Debug, Default)]
struct Strict {
    ready: bool,
    polled: usize,
}

impl Service<()> for Strict {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        self.polled += 1;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(self.ready, "called before it was ready");
        self.ready = false;
        ready(Ok(()))
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_the_one_called() {
    let mut service = layer().layer(Strict::default());
    for _ in 0..3 {
        service.ready().await.unwrap().call(()).await.unwrap();
    }
    assert_eq!(service.get_ref().polled, 3);
}

#[tokio::test(start_paused = true)]
async fn a_clone_starts_unready() {
    let mut service = layer().layer(Strict::default());
    service.ready().await.unwrap();
    let mut clone = service.clone();
    service.call(()).await.unwrap();

    // The clone's inner service was not polled, and the breaker does not pretend that it was.
    assert!(catch_unwind(AssertUnwindSafe(|| clone.call(()))).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_clone_does_not_inherit_the_promise_of_a_refusal() {
    let layer = layer();
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, Infallible>(()) }));
    trip(&layer.handle());
    service.ready().await.unwrap();
    let mut clone = service.clone();
    layer.handle().reset();

    assert_eq!(reason(service.call(()).await).0, Reason::CircuitOpen);
    clone.call(()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pending_registers_the_waker_of_the_inner_service() {
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(layer());
    backend.allow(0);
    assert_pending!(service.poll_ready());
    backend.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_passes_through_and_counts_for_nothing() {
    let layer = layer();
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(layer.clone());
    backend.send_error("gone for good");
    let err = assert_ready_err!(service.poll_ready());
    assert_eq!(err.to_string(), "gone for good");
    assert_eq!(layer.handle().state(), State::Closed);
    assert_eq!(layer.handle().snapshot().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn open_circuit_is_ready_and_never_touches_the_backend() {
    let layer = layer();
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(layer.clone());
    backend.allow(0);
    trip(&layer.handle());

    assert_ready_ok!(service.poll_ready());
    let mut refused = task::spawn(service.call(()));
    assert_eq!(
        reason(assert_ready!(refused.poll())),
        (Reason::CircuitOpen, Some(OPEN_FOR))
    );
    assert_pending!(backend.poll_request());
}

#[tokio::test(start_paused = true)]
async fn full_half_open_circuit_is_ready_and_never_touches_the_backend() {
    let layer = layer();
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(layer.clone());
    backend.allow(0);
    trip(&layer.handle());
    tokio::time::advance(OPEN_FOR).await;
    let probe = layer.handle().try_acquire().unwrap();

    assert_ready_ok!(service.poll_ready());
    let mut refused = task::spawn(service.call(()));
    assert_eq!(reason(assert_ready!(refused.poll())), (Reason::ProbesTaken, None));
    probe.ignore();
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_that_fills_the_inner_service_keeps_nobody_waiting_after_its_lease() {
    let layer = layer().probes(2).probe_lease(Duration::from_secs(5));
    let circuit = layer.handle();
    let hanging = service_fn(|()| pending::<Result<(), Infallible>>());
    let mut service = layer.layer(ConcurrencyLimit::new(hanging, 1));
    let mut other = service.clone();
    trip(&circuit);
    tokio::time::advance(OPEN_FOR).await;
    let mut hung = task::spawn(service.ready().await.unwrap().call(()));
    assert_pending!(hung.poll());
    assert_eq!(circuit.state(), State::HalfOpen);

    let mut asking = task::spawn(async { other.ready().await.unwrap().call(()).await });
    tokio::time::advance(Duration::from_millis(4_999)).await;
    assert_pending!(asking.poll());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(
        reason(assert_ready!(asking.poll())),
        (Reason::CircuitOpen, Some(OPEN_FOR))
    );
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_break_that_is_over_asks_the_inner_service_first() {
    let layer = layer();
    let (mut service, mut backend) = mock::spawn_layer::<(), (), _>(layer.clone());
    backend.allow(0);
    trip(&layer.handle());
    tokio::time::advance(OPEN_FOR).await;
    assert_pending!(service.poll_ready());
    assert_eq!(layer.handle().state(), State::Open, "readiness takes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_promised_refusal_stands_when_the_break_ends_before_the_call() {
    let layer = layer();
    let mut service = layer.layer(Strict::default());
    trip(&layer.handle());
    service.ready().await.unwrap();
    tokio::time::advance(OPEN_FOR).await;

    // Not called: it would panic, for it was never polled.
    assert_eq!(
        reason(service.call(()).await),
        (Reason::CircuitOpen, Some(OPEN_FOR))
    );
    let seen = layer.handle().snapshot();
    assert_eq!((seen.not_permitted, seen.ignored), (1, 0));

    // The next attempt is the probe that closes the circuit.
    service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(layer.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn readiness_from_before_the_break_serves_the_probe_after_it() {
    let layer = layer();
    let mut service = layer.layer(Strict::default());
    service.ready().await.unwrap();
    trip(&layer.handle());
    assert_eq!(reason(service.call(()).await).0, Reason::CircuitOpen);
    service.ready().await.unwrap();
    tokio::time::advance(OPEN_FOR).await;
    service.call(()).await.unwrap();
    assert_eq!(service.get_ref().polled, 1, "one readiness, one call");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_readiness_keeps_one_slot_and_never_takes_two() {
    let layer = layer();
    let limited = ConcurrencyLimit::new(service_fn(|()| async { Ok::<_, Infallible>(()) }), 2);
    let mut other = limited.clone();
    let mut another = limited.clone();
    let mut service = layer.layer(limited);

    service.ready().await.unwrap();
    trip(&layer.handle());
    for _ in 0..3 {
        service.ready().await.unwrap();
        assert_eq!(reason(service.call(()).await).0, Reason::CircuitOpen);
    }
    // Of two slots one is reserved, as it was when the circuit opened.
    ServiceExt::<()>::ready(&mut other).await.unwrap();
    let mut waiting = task::spawn(async { ServiceExt::<()>::ready(&mut another).await.map(drop) });
    assert_pending!(waiting.poll());

    // Back in business it is used, and given back.
    layer.handle().reset();
    service.ready().await.unwrap().call(()).await.unwrap();
    assert!(waiting.is_woken());
    assert_ready_ok!(waiting.poll());
}

#[tokio::test(start_paused = true)]
async fn a_service_dropped_while_ready_gives_everything_back() {
    let layer = layer();
    let limited = ConcurrencyLimit::new(service_fn(|()| async { Ok::<_, Infallible>(()) }), 1);
    let mut other = limited.clone();
    let mut service = layer.layer(limited);
    service.ready().await.unwrap();
    trip(&layer.handle());
    let _ = service.call(()).await;
    drop(service);
    let mut waiting = task::spawn(ServiceExt::<()>::ready(&mut other));
    assert!(waiting.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn ready_services_hold_no_probe() {
    let layer = layer();
    let mut services = [(); 3].map(|()| layer.layer(Strict::default()));
    trip(&layer.handle());
    tokio::time::advance(OPEN_FOR).await;
    for service in &mut services {
        service.ready().await.unwrap();
    }
    let [first, second, last] = services;
    drop((first, second));
    let mut last = last;
    last.call(()).await.unwrap();
    assert_eq!(layer.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_a_probe_gives_its_slot_back() {
    let layer = layer();
    let (mut service, _backend) = mock::spawn_layer::<(), (), _>(layer.clone());
    trip(&layer.handle());
    tokio::time::advance(OPEN_FOR).await;
    for _ in 0..3 {
        assert_ready_ok!(service.poll_ready());
        let mut probe = task::spawn(service.call(()));
        assert_pending!(probe.poll());
        assert_eq!(
            layer.handle().try_acquire().unwrap_err().reason(),
            Reason::ProbesTaken
        );
    }
    assert_eq!(layer.handle().snapshot().ignored, 3);
}

#[test]
fn everything_is_send_sync_and_unpin_around_what_is() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}

    let layer = CircuitBreakerLayer::new()
        .classify_with(|_: Result<&(), &Infallible>, _: Duration| hook_breaker::Outcome::Success)
        .respond_with(|_| ());
    check(&layer);
    check(&layer.handle());
    check(&layer.layer(Strict::default()));
    check(
        &layer
            .layer(service_fn(|()| ready(Ok::<_, Infallible>(()))))
            .call(()),
    );
    check(&CircuitBreaker::new().call(ready(Ok::<_, ()>(()))));
    check(&CircuitBreaker::new().try_acquire());
}

#[test]
fn a_breaker_gives_its_inner_service_back() {
    let mut service: Breaker<Strict> = layer().layer(Strict::default());
    service.get_mut().polled = 7;
    assert_eq!(service.into_inner().polled, 7);
}
