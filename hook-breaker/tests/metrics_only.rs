//! What a circuit that only measures says of itself.

use std::time::Duration;

use futures::FutureExt;
use hook_breaker::{CircuitBreaker, Event, Events, Outcome, TripPolicy, Window};

fn would_open(events: &mut Events) -> usize {
    let mut count = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        count += usize::from(matches!(event, Event::WouldOpen { .. }));
    }
    count
}

fn settle(breaker: &CircuitBreaker, outcome: Outcome) {
    breaker.try_acquire().expect("it refuses nothing").settle(outcome);
}

#[tokio::test(start_paused = true)]
async fn what_was_well_in_between_is_said_again_when_it_fails_again() {
    let time = Window::time(Duration::from_secs(10)).min_calls(2);
    for (policy, successes) in [
        (TripPolicy::consecutive_failures(1), 1),
        (TripPolicy::failure_rate(0.5, Window::calls(2)), 2),
        (TripPolicy::failure_rate(0.5, time), 3),
    ] {
        let breaker = CircuitBreaker::builder().trip_when(policy.clone()).build();
        breaker.metrics_only();
        let mut events = breaker.subscribe();
        for round in 0..3 {
            for _ in 0..12 {
                settle(&breaker, Outcome::Failure);
            }
            assert_eq!(would_open(&mut events), 1, "{policy:?}, round {round}");
            for _ in 0..successes * 12 {
                settle(&breaker, Outcome::Success);
            }
            tokio::time::advance(Duration::from_secs(10)).await;
        }
    }
}

/// Three of five failed: said once, and the sixth call says nothing.
#[tokio::test(start_paused = true)]
async fn three_failures_of_five_are_said_once_and_refuse_nothing() {
    let window = Window::calls(5).min_calls(5);
    let breaker = CircuitBreaker::builder().failure_rate(0.5, window).build();
    settle(&breaker, Outcome::Failure);
    breaker.metrics_only();
    assert_eq!(breaker.snapshot().windows[0].tally.calls, 0, "it begins anew");
    let mut events = breaker.subscribe();
    for outcome in [Outcome::Failure; 3].into_iter().chain([Outcome::Success]) {
        settle(&breaker, outcome);
        assert_eq!(would_open(&mut events), 0);
    }
    settle(&breaker, Outcome::Success);
    assert_eq!(would_open(&mut events), 1);
    assert_eq!(breaker.snapshot().windows[0].failure_rate(), Some(0.6));
    settle(&breaker, Outcome::Failure);
    assert_eq!(would_open(&mut events), 0);
}
