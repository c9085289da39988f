//! What a call costs the heap: nothing, unless it is refused with an error.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use allocation_counter::measure;
use futures::task::noop_waker;
use hook_breaker::{CircuitBreaker, CircuitBreakerLayer, State, TripPolicy, Window};
use tower::{Layer, Service, service_fn};

/// One call the way an executor makes it, without the executor.
fn call<S, E>(service: &mut S) -> Result<(), E>
where
    S: Service<(), Response = (), Error = E>,
{
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    match pin!(service.call(())).poll(&mut cx) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the backend is always ready"),
    }
}

fn calls<S, E>(service: &mut S) -> u64
where
    S: Service<(), Response = (), Error = E>,
{
    let _ = call(service);
    measure(|| {
        for _ in 0..100 {
            let _ = call(service);
        }
    })
    .count_total
}

fn well((): ()) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

#[test]
fn a_call_through_a_closed_circuit_allocates_nothing() {
    let layer = CircuitBreakerLayer::new();
    assert_eq!(calls(&mut layer.layer(service_fn(well))), 0);
    assert_eq!(layer.handle().snapshot().successes, 101);
}

#[test]
fn failures_that_do_not_open_allocate_nothing() {
    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(u32::MAX)
        .respond_with(|_| ());
    assert_eq!(
        calls(&mut layer.layer(service_fn(|()| ready(Err::<(), u8>(1))))),
        0
    );
    assert_eq!(layer.handle().snapshot().consecutive_failures, 101);
}

#[test]
fn an_answered_refusal_allocates_nothing() {
    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .respond_with(|_| ());
    layer.handle().try_acquire().unwrap().failure();
    assert_eq!(calls(&mut layer.layer(service_fn(well))), 0);
    assert_eq!(layer.handle().snapshot().not_permitted, 101);
}

#[test]
fn a_refusal_as_an_error_allocates_the_error() {
    let layer = CircuitBreakerLayer::new().consecutive_failures(1);
    layer.handle().try_acquire().unwrap().failure();
    assert_eq!(calls(&mut layer.layer(service_fn(well))), 100);
}

#[test]
fn the_plain_core_allocates_nothing() {
    let breaker = CircuitBreaker::new();
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    let mut one = || {
        breaker.try_acquire().unwrap().success();
        let call = pin!(breaker.call(ready(Ok::<_, ()>(()))));
        assert!(call.poll(&mut cx).is_ready());
    };
    one();
    assert_eq!(measure(one).count_total, 0);
}

#[test]
fn looking_allocates_nothing() {
    let breaker = CircuitBreaker::new();
    let look = || assert_eq!(breaker.snapshot().state, State::Closed);
    assert_eq!(measure(look).count_total, 0);
}

/// Which is where the windows are written to, and not only noted down for.
#[test]
fn a_rate_over_a_window_allocates_nothing_whatever_comes_of_the_calls() {
    let slow = Duration::from_nanos(1);
    for window in [Window::calls(100), Window::time(Duration::from_secs(3_600))] {
        let failures = TripPolicy::failure_rate(0.5, window.clone());
        let slow_calls = TripPolicy::slow_call_rate(0.5, slow, window.clone());
        for (policy, is_timed) in [(failures.clone(), false), (failures.or(slow_calls), true)] {
            let layer = CircuitBreakerLayer::new().trip_when(policy).respond_with(|_| ());
            // Every call is slow to the second rule, and it may say so, once.
            layer.handle().metrics_only();
            let mut nth = 0;
            let mut service = layer.layer(service_fn(move |()| {
                nth += 1;
                ready(if nth % 3 == 0 { Err(nth) } else { Ok(()) })
            }));
            for _ in 0..200 {
                let _ = call(&mut service);
            }
            assert_eq!(calls(&mut service), 0, "{window:?}");
            let seen = layer.handle().snapshot();
            assert_eq!((seen.successes, seen.failures), (201, 100));
            assert_eq!(seen.slow_calls, if is_timed { 301 } else { 0 });
        }
    }
}
