//! What a rule about rates makes of probes that never end, and when a user's own rule is not asked.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures::FutureExt;
use hook_breaker::{
    Cause, CircuitBreaker, DroppedCall, Event, Events, Permit, Reason, State, Tally, TripPolicy, Window,
};
use tokio::time::advance;

const OPEN_FOR: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);

fn acquire(breaker: &CircuitBreaker) -> Permit {
    breaker.try_acquire().expect("the circuit lets calls in")
}

/// A breaker whose break is over, with four probes of which two may not fail.
async fn rested(policy: TripPolicy) -> CircuitBreaker {
    let breaker = CircuitBreaker::builder()
        .trip_when(policy)
        .probes(4)
        .dropped_call(DroppedCall::Failure)
        .build();
    for _ in 0..4 {
        drop(acquire(&breaker));
    }
    assert_eq!(breaker.state(), State::Open);
    advance(OPEN_FOR).await;
    breaker
}

fn by_failures() -> TripPolicy {
    TripPolicy::failure_rate(0.5, Window::calls(4))
}

fn last_cause(events: &mut Events) -> Option<Cause> {
    let mut last = None;
    while let Some(Some(event)) = events.next().now_or_never() {
        if let Event::Transition(transition) = event {
            last = Some(transition.cause);
        }
    }
    last
}

#[tokio::test(start_paused = true)]
async fn one_overdue_probe_of_four_has_failed_and_two_are_too_many() {
    let breaker = rested(by_failures()).await;
    let mut events = breaker.subscribe();
    let first = acquire(&breaker);
    advance(LEASE).await;
    let second = acquire(&breaker);
    assert_eq!(breaker.state(), State::HalfOpen, "one of four is not half");
    assert_eq!(breaker.snapshot().free_probes, 2, "its slot is used up");
    first.success();
    assert_eq!(breaker.state(), State::HalfOpen, "it is too late");
    assert_eq!(breaker.snapshot().free_probes, 2);

    advance(LEASE).await;
    let refused = breaker.try_acquire().map(drop).unwrap_err();
    assert_eq!(
        (refused.reason(), refused.retry_after()),
        (Reason::CircuitOpen, Some(OPEN_FOR))
    );
    assert_eq!(last_cause(&mut events), Some(Cause::ProbeOverdue));
    second.success();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn one_overdue_probe_of_four_does_not_keep_the_circuit_from_closing() {
    let breaker = rested(by_failures()).await;
    let hung = acquire(&breaker);
    advance(LEASE).await;
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::HalfOpen);
        acquire(&breaker).success();
    }
    assert_eq!(breaker.state(), State::Closed);
    hung.failure();
    let seen = breaker.snapshot();
    assert_eq!(
        (seen.state, seen.windows[0].tally),
        (State::Closed, Tally::default())
    );
    assert_eq!(seen.consecutive_failures, 0);
}

/// Nobody knows how long it would have taken, so it is slow whatever slow is.
#[tokio::test(start_paused = true)]
async fn an_overdue_probe_is_slow_to_a_rule_that_knows_nothing_of_failures() {
    let slow = 100 * LEASE;
    let breaker = CircuitBreaker::builder()
        .trip_when(TripPolicy::slow_call_rate(0.5, slow, Window::calls(4)))
        .probes(4)
        .build();
    let calls = [(); 4].map(|()| acquire(&breaker));
    advance(slow).await;
    calls.into_iter().for_each(Permit::success);
    assert_eq!(breaker.state(), State::Open);

    advance(OPEN_FOR).await;
    let mut events = breaker.subscribe();
    let _hung = [(); 2].map(|()| acquire(&breaker));
    advance(LEASE).await;
    assert_eq!(
        breaker.snapshot().state,
        State::HalfOpen,
        "looking changes nothing"
    );
    assert!(breaker.try_acquire().is_err());
    assert_eq!(
        (breaker.state(), last_cause(&mut events)),
        (State::Open, Some(Cause::ProbeOverdue))
    );
}

/// A rule of the user's that notes down what it was asked, and whether amid a panic.
fn noting(min_calls: u32) -> (TripPolicy, Arc<Mutex<Vec<Tally>>>, Arc<AtomicUsize>) {
    let (asked, amid_panic) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let (notes, panics) = (Arc::<Mutex<Vec<Tally>>>::clone(&asked), Arc::clone(&amid_panic));
    let judge = move |tally: &Tally| {
        panics.fetch_add(thread::panicking().into(), SeqCst);
        notes.lock().unwrap().push(*tally);
        tally.failures > 1
    };
    (
        TripPolicy::custom(Window::calls(10).min_calls(min_calls), judge),
        asked,
        amid_panic,
    )
}

fn panic_with(permit: Permit) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = permit;
        panic!("half way");
    }));
    assert!(panicked.is_err());
}

/// Should it panic as well, the process would be gone.
#[tokio::test(start_paused = true)]
async fn a_rule_of_ones_own_is_not_asked_amid_a_panic_but_with_the_next_call() {
    let (policy, asked, amid_panic) = noting(1);
    let breaker = CircuitBreaker::builder().trip_when(policy).build();
    panic_with(acquire(&breaker));
    panic_with(acquire(&breaker));
    assert_eq!((amid_panic.load(SeqCst), asked.lock().unwrap().len()), (0, 0));
    let seen = breaker.snapshot();
    assert_eq!((seen.state, seen.failures, seen.in_flight), (State::Closed, 2, 0));

    acquire(&breaker).success();
    let asked = asked.lock().unwrap();
    assert_eq!((asked.len(), asked[0].calls, asked[0].failures), (1, 3, 2));
    assert_eq!(breaker.state(), State::Open);
}

/// There is no next call that could ask: every slot is used up.
#[tokio::test(start_paused = true)]
async fn a_last_probe_that_panics_opens_where_nobody_can_be_asked() {
    let (policy, asked, amid_panic) = noting(1);
    let breaker = CircuitBreaker::builder().trip_when(policy).probes(2).build();
    acquire(&breaker).failure();
    acquire(&breaker).failure();
    advance(OPEN_FOR).await;
    asked.lock().unwrap().clear();

    acquire(&breaker).success();
    panic_with(acquire(&breaker));
    assert_eq!((amid_panic.load(SeqCst), asked.lock().unwrap().len()), (0, 0));
    assert_eq!(breaker.state(), State::Open);

    // With nobody panicking the same two probes would have done.
    advance(OPEN_FOR).await;
    acquire(&breaker).success();
    acquire(&breaker).failure();
    let asked = asked.lock().unwrap();
    assert_eq!((asked.len(), asked[0].calls, asked[0].failures), (1, 2, 1));
    assert_eq!(breaker.state(), State::Closed);
}
