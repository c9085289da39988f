//! What a circuit tells whoever listens.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use hook_breaker::{CircuitBreaker, Event, Events, State, Window};
use tokio_test::{assert_pending, assert_ready, task};

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(1)
        .build()
}

fn fail(breaker: &CircuitBreaker) {
    breaker.try_acquire().unwrap().failure();
}

/// What is there now: the states that were begun, and `None` for a `WouldOpen`.
fn heard(events: &mut Events) -> Vec<Option<State>> {
    let mut heard = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        heard.push(match event {
            Event::Transition(change) => Some(change.to),
            _ => None,
        });
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn every_subscriber_hears_everything_in_order_from_when_it_came() {
    let breaker = breaker();
    breaker.force_open();
    let mut first = breaker.subscribe();
    breaker.reset();
    let mut second = breaker.subscribe();
    fail(&breaker);
    tokio::time::advance(Duration::from_secs(60)).await;
    breaker.try_acquire().unwrap().success();
    let rest = [State::Open, State::HalfOpen, State::Closed].map(Some);
    assert_eq!(heard(&mut second), rest);
    assert_eq!(heard(&mut first)[0], Some(State::Closed));
    breaker.disable();
    assert_eq!(heard(&mut first), [Some(State::Disabled)]);
    assert_eq!((first.missed(), second.missed()), (0, 0));
}

#[test]
fn whoever_lags_loses_the_oldest_and_is_told_how_many() {
    let breaker = breaker();
    let (mut slow, mut quick) = (breaker.subscribe(), breaker.subscribe());
    for _ in 0..100 {
        breaker.reset();
        assert_eq!(heard(&mut quick).len(), 1);
    }
    let Some(Some(Event::Transition(oldest))) = slow.next().now_or_never() else {
        panic!("there are events");
    };
    assert_eq!((oldest.generation, slow.missed(), quick.missed()), (37, 36, 0));
    assert_eq!(heard(&mut slow).len(), 63);
    assert_eq!(slow.missed(), 36);
}

#[test]
fn the_stream_ends_with_the_circuit_after_all_that_happened() {
    let breaker = breaker();
    let events = breaker.subscribe();
    let mut waiting = breaker.subscribe();
    let mut next = task::spawn(waiting.next());
    assert_pending!(next.poll());
    breaker.force_open();
    assert!(next.is_woken());
    assert!(assert_ready!(next.poll()).is_some());
    drop(next);
    let mut next = task::spawn(waiting.next());
    assert_pending!(next.poll());
    drop(breaker);
    assert!(next.is_woken());
    assert_eq!(assert_ready!(next.poll()), None);
    assert_eq!(futures::executor::block_on(events.count()), 1, "as a stream");
}

#[test]
fn one_who_waits_is_woken_through_the_last_waker_and_one_who_is_gone_through_none() {
    let breaker = breaker();
    let mut events = task::spawn(breaker.subscribe());
    let mut others = task::spawn(breaker.subscribe());
    assert_pending!(events.poll_next());
    assert_pending!(others.poll_next());
    // Another task takes the stream over.
    let mut events = task::spawn(events.into_inner());
    assert_pending!(events.poll_next());
    drop(others);
    breaker.reset();
    assert!(events.is_woken());
    assert!(assert_ready!(events.poll_next()).is_some());
    assert_pending!(events.poll_next());
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_call_back_into_the_handle() {
    let breaker = breaker();
    let (mut events, handle) = (breaker.subscribe(), breaker.clone());
    let listening = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Transition(change) if change.to == State::Open) {
                handle.reset();
                return handle.snapshot().state;
            }
        }
        panic!("the circuit is gone");
    });
    tokio::task::yield_now().await;
    fail(&breaker);
    assert_eq!(listening.await.unwrap(), State::Closed);
}

#[test]
fn a_circuit_that_only_measures_says_once_that_it_would_open_and_again_after_health() {
    let rate = |calls| CircuitBreaker::builder().failure_rate(0.5, Window::calls(calls));
    for builder in [
        CircuitBreaker::builder().consecutive_failures(1),
        rate(1),
        rate(2),
    ] {
        let breaker = builder.build();
        breaker.metrics_only();
        let mut events = breaker.subscribe();
        for _ in 0..2 {
            for _ in 0..4 {
                fail(&breaker);
            }
            assert_eq!(heard(&mut events), [None]);
            for _ in 0..4 {
                breaker.try_acquire().unwrap().success();
            }
            assert_eq!(heard(&mut events), []);
        }
        assert_eq!(breaker.state(), State::MetricsOnly);
    }
}
