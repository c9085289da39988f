//! What shares a circuit, what begins another, and what may go where.

use std::panic::{RefUnwindSafe, UnwindSafe};

use hook_breaker::{
    Breaker, CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerLayer, Event, Events, KeyedBreaker,
    KeyedBreakerLayer, KeyedCircuits, OpenFor, Permit, Snapshot, State, TripPolicy, Window,
};
use tower::Layer;

#[test]
fn every_public_type_is_send_sync_and_unpin_and_safe_to_unwind_through() {
    fn check<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

    check::<CircuitBreaker>();
    check::<CircuitBreakerBuilder>();
    check::<CircuitBreakerLayer>();
    check::<KeyedBreakerLayer<(), u32>>();
    check::<KeyedBreaker<(), (), u32>>();
    check::<KeyedCircuits<u32>>();
    check::<Permit>();
    check::<(TripPolicy, Window, OpenFor, Snapshot, Event, State)>();
    fn check_movable<T: Send + Sync + Unpin>() {}
    // These hold wakers and timers of the runtime.
    check_movable::<Breaker<()>>();
    check_movable::<Events>();
}

#[test]
fn a_clone_of_a_layer_shares_its_circuit_and_a_setter_begins_another() {
    let layer = CircuitBreakerLayer::new();
    let circuit = layer.handle();
    layer.clone().handle().force_open();
    assert_eq!(circuit.state(), State::ForcedOpen);
    assert_eq!(
        layer.layer(()).handle().state(),
        State::ForcedOpen,
        "every service is on it"
    );
    let other = layer.clone().consecutive_failures(1);
    assert_eq!(other.handle().state(), State::Closed);
    // What has nothing to do with figures keeps it.
    let answering = layer.respond_with(|_| ());
    assert_eq!(answering.handle().state(), State::ForcedOpen);
}

#[test]
fn calls_of_a_circuit_that_is_gone_disturb_none_that_comes_after() {
    for round in 0..50 {
        let old = CircuitBreaker::builder().consecutive_failures(1).build();
        old.try_acquire().unwrap().success();
        let late: Vec<_> = (0..4).map(|_| old.try_acquire().unwrap()).collect();
        drop(old);
        let circuits: Vec<_> = (0..4)
            .map(|_| CircuitBreaker::builder().consecutive_failures(1).build())
            .collect();
        for (place, permit) in late.into_iter().enumerate() {
            if place % 2 == 0 {
                permit.failure();
            } else {
                permit.success();
            }
        }
        circuits.iter().for_each(check_is_new);
        // The room of the old one is free by now.
        let window = Window::calls(10);
        check_is_new(&CircuitBreaker::builder().failure_rate(1.0, window).build());
        circuits[round % 4].try_acquire().unwrap().failure();
    }
}

fn check_is_new(circuit: &CircuitBreaker) {
    let seen = circuit.snapshot();
    assert_eq!(
        (seen.state, seen.generation, seen.in_flight),
        (State::Closed, 0, 0)
    );
    assert_eq!((seen.successes, seen.failures, seen.ignored), (0, 0, 0));
    assert!(seen.windows.iter().all(|window| window.tally.calls == 0));
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn a_layer_told_so_judges_by_the_status() {
    use std::{convert::Infallible, time::Duration};

    use tower::{Service, ServiceExt, service_fn};

    use hook_breaker::HttpStatus;

    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(2)
        .classify_with(HttpStatus);
    let circuit = layer.handle();
    let mut service = layer.layer(service_fn(async |status: u16| {
        let response = http::Response::builder().status(status).body(()).unwrap();
        Ok::<_, Infallible>(response)
    }));
    for (status, state) in [
        (500, State::Closed),
        (200, State::Closed),
        (429, State::Closed),
        (404, State::Closed),
        (503, State::Open),
    ] {
        service.ready().await.unwrap().call(status).await.unwrap();
        assert_eq!(circuit.state(), state, "{status}");
    }
    assert!(service.ready().await.unwrap().call(200).await.is_err());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(service.ready().await.unwrap().call(200).await.is_ok());
}
