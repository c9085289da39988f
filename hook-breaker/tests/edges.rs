//! Where two things meet that seldom do.

use std::{
    future::ready,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures::executor::block_on;
use hook_breaker::{
    CallError, CircuitBreaker, CircuitBreakerLayer, Classify, DroppedCall, Event, Outcome, Permit, State,
    TripPolicy, Window,
};
use tower::{Layer, Service, ServiceExt, service_fn};

#[test]
fn a_call_that_outlives_every_handle_asks_the_circuit_that_it_was_made_with() {
    let breaker = CircuitBreaker::new();
    breaker.force_open();
    let call = breaker.call(async { Ok::<_, ()>(1) });
    drop(breaker);
    assert!(matches!(block_on(call), Err(CallError::Rejected(_))));
}

#[test]
fn a_custom_rule_that_is_never_asked_keeps_metrics_only_from_nothing() {
    let policy = TripPolicy::consecutive_failures(2)
        .or(TripPolicy::custom(Window::calls(100).min_calls(100), |_| false));
    let breaker = CircuitBreaker::builder().trip_when(policy).build();
    breaker.metrics_only();
    let mut events = breaker.subscribe();
    for _ in 0..3 {
        for _ in 0..2 {
            breaker.try_acquire().unwrap().failure();
        }
        breaker.try_acquire().unwrap().success();
    }
    drop(breaker);
    let mut said = 0;
    while let Some(event) = block_on(events.next()) {
        said += usize::from(matches!(event, Event::WouldOpen { .. }));
    }
    assert_eq!(said, 3);
}

#[test]
fn a_custom_rule_that_makes_calls_of_its_own_comes_to_an_end() {
    static HANDLE: OnceLock<CircuitBreaker> = OnceLock::new();
    let policy = TripPolicy::custom(Window::calls(1), |tally| {
        let handle = HANDLE.get().expect("it is there by now");
        handle.try_acquire().map(Permit::success).ok();
        tally.failures > 0
    });
    let breaker = CircuitBreaker::builder()
        .trip_when(policy)
        .open_for(Duration::ZERO)
        .probes(1)
        .build();
    HANDLE.set(breaker.clone()).expect("it is set once");
    breaker.try_acquire().unwrap().failure();
    assert_eq!(breaker.state(), State::Open);
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), State::Closed);
}

struct Bell {
    rung: AtomicUsize,
    is_cracked: bool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        assert!(!self.is_cracked, "a cracked bell");
    }
}

#[test]
fn a_waker_that_panics_wakes_the_others_none_the_less() {
    let layer = CircuitBreakerLayer::new().wait_until_permitted();
    let circuit = layer.handle();
    circuit.force_open();
    let bells = [true, false].map(|is_cracked| {
        Arc::new(Bell {
            rung: AtomicUsize::new(0),
            is_cracked,
        })
    });
    let mut services = [(); 2].map(|()| layer.layer(service_fn(|(): ()| ready(Ok::<_, std::io::Error>(())))));
    for (service, bell) in services.iter_mut().zip(&bells) {
        let waker = Waker::from(Arc::clone(bell));
        let mut cx = Context::from_waker(&waker);
        assert!(Service::<()>::poll_ready(service, &mut cx).is_pending());
    }
    let reset = std::panic::catch_unwind(|| circuit.reset());
    assert!(reset.is_err(), "the panic goes on");
    assert_eq!(bells.map(|bell| bell.rung.load(SeqCst)), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_guarded_while_any_circuit_is_idle_however_many_were_used_lately() {
    let layer = CircuitBreakerLayer::keyed_by(|key: &u32| *key).max_keys(4_096);
    let circuits = layer.handle();
    let mut service = layer.layer(service_fn(|_: u32| ready(Ok::<_, std::io::Error>(()))));
    for key in 0..5_000 {
        service.ready().await.unwrap().call(key).await.unwrap();
    }
    assert_eq!(circuits.unguarded(), 0);
    assert!(circuits.list().len() <= 4_096);
}

/// Judges well, and cannot be cloned when it should be.
struct Brittle(Arc<AtomicUsize>);

impl Clone for Brittle {
    fn clone(&self) -> Self {
        assert!(self.0.fetch_add(1, SeqCst) < 1, "cloned once too often");
        Self(Arc::clone(&self.0))
    }
}

impl Classify<(), std::io::Error> for Brittle {
    fn classify(&self, _: Result<&(), &std::io::Error>, _: Duration) -> Outcome {
        Outcome::Success
    }
}

#[test]
fn a_panic_in_the_clone_of_a_classifier_leaves_no_call_behind() {
    let layer = CircuitBreakerLayer::new()
        .dropped_call(DroppedCall::Failure)
        .classify_with(Brittle(Arc::default()));
    let circuit = layer.handle();
    let mut service = layer.layer(service_fn(|(): ()| ready(Ok::<_, std::io::Error>(()))));
    let call = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(service.call(()))));
    assert!(call.is_err());
    let seen = circuit.snapshot();
    assert_eq!(
        (seen.successes, seen.failures, seen.ignored, seen.in_flight),
        (0, 0, 0, 0)
    );
}
