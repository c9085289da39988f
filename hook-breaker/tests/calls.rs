//! What counts as what: results, timeouts outside, dropped calls, panics.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, pending, poll_fn},
    io,
    panic::AssertUnwindSafe,
    task::Poll,
    time::Duration,
};

use futures::FutureExt;
use hook_breaker::{
    BoxError, CallError, CircuitBreaker, CircuitBreakerLayer, DroppedCall, OnReject, Outcome, Reason,
    Rejected, State, TripPolicy, Window,
};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer};

async fn fail(breaker: &CircuitBreaker) {
    let _ = breaker.call(async { Err::<(), _>("no") }).await;
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_open_and_a_success_between_them_starts_again() {
    let breaker = CircuitBreaker::new();
    for _ in 0..20 {
        fail(&breaker).await;
        fail(&breaker).await;
        breaker.call(async { Ok::<_, ()>(()) }).await.unwrap();
    }
    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..3 {
        fail(&breaker).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_refused_future_is_never_polled_and_the_refusal_is_not_the_users_error() {
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build();
    let answer = breaker
        .call(async { Err::<(), _>(io::Error::other("reset")) })
        .await
        .unwrap_err();
    assert_eq!(answer.to_string(), "call failed");
    assert_eq!(answer.source().unwrap().to_string(), "reset");
    assert_eq!(answer.into_inner().unwrap().to_string(), "reset");

    let refused = breaker
        .call(async {
            panic!("polled");
            #[expect(unreachable_code, reason = "says what the type is")]
            Ok::<(), io::Error>(())
        })
        .await
        .unwrap_err();
    assert_eq!(refused.rejected().unwrap().reason(), Reason::CircuitOpen);
    assert_eq!(Rejected::find(&refused), refused.rejected());
    assert_eq!(refused.to_string(), "call refused");
    assert!(matches!(refused, CallError::Rejected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_error_is_boxed_ends_in_a_question_mark_and_its_refusal_is_found() {
    async fn ask(breaker: &CircuitBreaker) -> Result<(), BoxError> {
        let call = async { Err::<(), BoxError>("down".into()) };
        breaker.call(call).await.map_err(CallError::into_box)?;
        Ok(())
    }

    let breaker = CircuitBreaker::builder().consecutive_failures(1).build();
    // The call's own error, not a box of a box.
    assert_eq!(ask(&breaker).await.unwrap_err().to_string(), "down");
    let refused = ask(&breaker).await.unwrap_err();
    assert_eq!(
        Rejected::find(&*refused).map(Rejected::reason),
        Some(Reason::CircuitOpen)
    );
}

#[tokio::test(start_paused = true)]
async fn thirty_timeouts_outside_in_a_row_trip() {
    let layer = CircuitBreakerLayer::new().consecutive_failures(30);
    let mut service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_millis(100)))
        .layer(layer.clone())
        .service(service_fn(|()| pending::<Result<(), io::Error>>()));
    for nth in 1..=30 {
        assert_eq!(layer.handle().state(), State::Closed, "timeout {nth}");
        service.ready().await.unwrap().call(()).await.unwrap_err();
    }
    assert_eq!(layer.handle().state(), State::Open);
    assert_eq!(layer.handle().snapshot().failures, 30);
}

#[tokio::test(start_paused = true)]
async fn timeouts_around_the_plain_core_trip_too() {
    let breaker = CircuitBreaker::new();
    for _ in 0..3 {
        let call = breaker.call(pending::<Result<(), ()>>());
        timeout(Duration::from_secs(1), call).await.unwrap_err();
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_as_old_as_its_first_wait_and_one_never_polled_is_never_old() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .dropped_call(DroppedCall::FailureIfOlderThan(Duration::from_secs(1)))
        .build();

    let mut service =
        CircuitBreakerLayer::from(breaker.clone()).layer(service_fn(|()| pending::<Result<(), io::Error>>()));
    let unpolled = service.ready().await.unwrap().call(());
    advance(Duration::from_secs(10)).await;
    drop(unpolled);
    assert_eq!((breaker.state(), breaker.snapshot().ignored), (State::Closed, 1));

    let mut young = Box::pin(service.ready().await.unwrap().call(()));
    advance(Duration::from_secs(10)).await;
    assert!(poll_once(&mut young).await.is_none());
    advance(Duration::from_millis(999)).await;
    drop(young);
    assert_eq!((breaker.state(), breaker.snapshot().ignored), (State::Closed, 2));

    let mut old = Box::pin(service.ready().await.unwrap().call(()));
    for _ in 0..2 {
        // Polled again, it does not grow young.
        assert!(poll_once(&mut old).await.is_none());
        advance(Duration::from_millis(500)).await;
    }
    drop(old);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_timed_classifier_makes_no_call_older_than_its_wait() {
    let layer = CircuitBreakerLayer::new().consecutive_failures(1).classify_with(
        |result: Result<&(), &Infallible>, took: Duration| match result {
            Ok(()) if took < Duration::from_secs(20) => Outcome::Success,
            _ => Outcome::Failure,
        },
    );
    let circuit = layer.handle();
    let mut service = layer.layer(service_fn(|()| pending::<Result<(), Infallible>>()));

    let unpolled = service.ready().await.unwrap().call(());
    advance(Duration::from_secs(10)).await;
    drop(unpolled);
    assert_eq!((circuit.state(), circuit.snapshot().ignored), (State::Closed, 1));

    for (waited, state) in [(99, State::Closed), (100, State::Open)] {
        let mut call = Box::pin(service.ready().await.unwrap().call(()));
        advance(Duration::from_secs(10)).await;
        assert!(poll_once(&mut call).await.is_none());
        advance(Duration::from_millis(waited)).await;
        drop(call);
        assert_eq!(circuit.state(), state, "{waited} ms");
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| match future.poll_unpin(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn the_rule_decides_what_a_dropped_call_is() {
    let slow_at_200_ms =
        TripPolicy::slow_call_rate(1.0, Duration::from_millis(200), Window::calls(10).min_calls(10));
    let by_default = CircuitBreaker::builder;
    let by_slowness = || by_default().trip_when(slow_at_200_ms.clone());
    for (builder, age, failures) in [
        (
            by_default().dropped_call(DroppedCall::Neutral),
            Duration::from_secs(60),
            0,
        ),
        (by_default().dropped_call(DroppedCall::Failure), Duration::ZERO, 1),
        (by_default(), Duration::from_millis(99), 0),
        (by_default(), Duration::from_millis(100), 1),
        (by_slowness(), Duration::from_millis(199), 0),
        (by_slowness(), Duration::from_millis(200), 1),
    ] {
        let rule = format!("{builder:?}");
        let breaker = builder.build();
        let mut call = Box::pin(breaker.call(pending::<Result<(), ()>>()));
        assert!(poll_once(&mut call).await.is_none());
        advance(age).await;
        drop(call);
        let seen = breaker.snapshot();
        assert_eq!(seen.failures, failures, "{rule} after {age:?}");
        assert_eq!(seen.failures + seen.ignored, 1, "it never vanishes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_it_was_polled_was_never_made() {
    let breaker = CircuitBreaker::builder()
        .dropped_call(DroppedCall::Failure)
        .build();
    drop(breaker.call(pending::<Result<(), ()>>()));
    assert_eq!(breaker.snapshot().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn panics_count_as_failures_and_go_on_unwinding() {
    #[derive(Clone, Copy, Debug)]
    enum Where {
        Call,
        Future,
        LaterInTheFuture,
        Classifier,
    }

    for place in [
        Where::Call,
        Where::Future,
        Where::LaterInTheFuture,
        Where::Classifier,
    ] {
        let layer = CircuitBreakerLayer::new()
            .consecutive_failures(1)
            // What the panic drops must not be mistaken for a dropped call.
            .dropped_call(DroppedCall::Neutral)
            .classify_with(move |_: Result<&(), &Infallible>, _| match place {
                Where::Classifier => panic!("classifier"),
                _ => Outcome::Success,
            });
        let mut service = layer.layer(service_fn(move |()| {
            assert!(!matches!(place, Where::Call), "call");
            async move {
                assert!(!matches!(place, Where::Future), "future");
                sleep(Duration::from_secs(1)).await;
                assert!(!matches!(place, Where::LaterInTheFuture), "later");
                Ok::<_, Infallible>(())
            }
        }));
        let call = async { service.ready().await.unwrap().call(()).await };
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err(), "{place:?}");
        let seen = layer.handle().snapshot();
        assert_eq!((seen.state, seen.failures), (State::Open, 1), "{place:?}");
    }
}

#[test]
fn a_permit_dropped_by_a_panic_is_a_failure() {
    let breaker = CircuitBreaker::builder()
        .dropped_call(DroppedCall::Neutral)
        .build();
    let worker = breaker.clone();
    let panicked = std::thread::spawn(move || {
        let _permit = worker.try_acquire();
        panic!("half way");
    })
    .join();
    assert!(panicked.is_err());
    assert_eq!(breaker.snapshot().failures, 1);
}

#[test]
fn a_permit_taken_amid_a_panic_and_dropped_is_a_dropped_call() {
    /// Cleans up after itself behind a breaker.
    struct Guest(CircuitBreaker);

    impl Drop for Guest {
        fn drop(&mut self) {
            drop(self.0.try_acquire());
        }
    }

    let breaker = CircuitBreaker::new();
    let guest = Guest(breaker.clone());
    let panicked = std::panic::catch_unwind(move || {
        let _guest = guest;
        panic!("elsewhere");
    });
    assert!(panicked.is_err());
    let seen = breaker.snapshot();
    assert_eq!((seen.failures, seen.ignored), (0, 1));
}

/// Somebody else's panic on the same task is not this call's failure.
#[tokio::test(start_paused = true)]
async fn a_pending_call_dropped_by_a_foreign_panic_is_a_dropped_call() {
    let breaker = CircuitBreaker::builder()
        .dropped_call(DroppedCall::Neutral)
        .build();
    let both = async {
        let call = breaker.call(pending::<Result<(), ()>>());
        let foreign = async { panic!("not the breaker's") };
        let _: (Result<(), _>, ()) = futures::join!(call, foreign);
    };
    assert!(AssertUnwindSafe(both).catch_unwind().await.is_err());
    let seen = breaker.snapshot();
    assert_eq!((seen.failures, seen.ignored), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_timed_classifier_is_told_how_long_the_call_took() {
    let layer = CircuitBreakerLayer::new().consecutive_failures(1).classify_with(
        |_: Result<&(), &Infallible>, took: Duration| match took {
            took if took < Duration::from_secs(4) => Outcome::Success,
            took => {
                assert_eq!(took, Duration::from_secs(4));
                Outcome::Failure
            }
        },
    );
    let mut service = layer.layer(service_fn(|seconds: u64| async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok::<_, Infallible>(())
    }));
    service.ready().await.unwrap().call(3).await.unwrap();
    assert_eq!(layer.handle().state(), State::Closed);
    service.ready().await.unwrap().call(4).await.unwrap();
    assert_eq!(layer.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn own_on_reject_decides_what_a_refusal_is() {
    #[derive(Clone)]
    struct AsStatus;

    #[derive(Debug, PartialEq)]
    enum Failed {
        Inner(u16),
        Refused(Duration),
    }

    impl<Res> OnReject<Res, u16> for AsStatus {
        type Error = Failed;

        fn reject(&self, rejected: Rejected) -> Result<Res, Failed> {
            Err(Failed::Refused(rejected.retry_after().unwrap_or_default()))
        }

        fn inner(err: u16) -> Failed {
            Failed::Inner(err)
        }
    }

    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .on_reject(AsStatus);
    let mut service = layer.layer(service_fn(|()| async { Err::<(), u16>(500) }));
    for expected in [Failed::Inner(500), Failed::Refused(Duration::from_secs(60))] {
        assert_eq!(service.ready().await.unwrap().call(()).await, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn every_service_of_a_layer_is_behind_the_same_circuit() {
    let layer = CircuitBreakerLayer::new().consecutive_failures(2);
    let failing = service_fn(|()| async { Err::<(), _>(io::Error::other("down")) });
    for _ in 0..2 {
        // A fresh service and a fresh clone of the layer for each call, as axum does it.
        let _ = layer.clone().layer(failing).oneshot(()).await;
    }
    let err = layer.layer(failing).oneshot(()).await.unwrap_err();
    assert!(Rejected::find(&*err).is_some());
}

#[test]
fn settings_that_would_make_a_breaker_useless_are_refused_with_a_sentence() {
    type Setter = fn() -> CircuitBreakerLayer;
    for (setter, sentence) in [
        (
            (|| CircuitBreakerLayer::new().consecutive_failures(0)) as Setter,
            "A circuit needs at least one failure to open, but `consecutive_failures` was 0.",
        ),
        (
            || CircuitBreakerLayer::new().probes(0),
            "A circuit that lets no probe in never closes again, but `probes` was 0.",
        ),
        (
            || CircuitBreakerLayer::new().probes(1_025),
            "Probes are a careful few, at most 1,024, but `probes` was 1025.",
        ),
        (
            || CircuitBreakerLayer::new().probe_lease(Duration::ZERO),
            "A probe needs some time to succeed in, but `probe_lease` was 0.",
        ),
    ] {
        let panic = std::panic::catch_unwind(setter).unwrap_err();
        let said = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned());
        assert_eq!(said.as_deref(), Some(sentence));
    }
}

#[tokio::test(start_paused = true)]
async fn a_circuit_with_the_most_probes_there_may_be_closes() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(1_024)
        .build();
    fail(&breaker).await;
    advance(Duration::from_secs(60)).await;
    let probes: Vec<_> = (0..1_024).map(|_| breaker.try_acquire().unwrap()).collect();
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), Reason::ProbesTaken);
    for probe in probes {
        assert_eq!(breaker.state(), State::HalfOpen);
        probe.success();
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_break_of_all_eternity_overflows_nothing() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(Duration::MAX)
        .build();
    fail(&breaker).await;
    advance(Duration::from_secs(60 * 60 * 24 * 365)).await;
    assert!(breaker.try_acquire().is_err());
}
