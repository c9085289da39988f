//! When a circuit opens, rule by rule, and what a user's own rule may do.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use hook_breaker::{AfterWait, CircuitBreaker, OpenFor, Outcome, State, TripPolicy, Window};
use tokio::time::advance;

fn settle(breaker: &CircuitBreaker, results: &str) {
    for result in results.chars() {
        breaker
            .try_acquire()
            .expect("the circuit lets calls in")
            .settle(match result {
                'S' => Outcome::Success,
                _ => Outcome::Failure,
            });
    }
}

fn breaker(policy: TripPolicy) -> CircuitBreaker {
    CircuitBreaker::builder().trip_when(policy).probes(4).build()
}

#[tokio::test(start_paused = true)]
async fn count_window_slides() {
    let breaker = breaker(TripPolicy::failure_rate(0.5, Window::calls(10).min_calls(10)));
    settle(&breaker, &"S".repeat(1_000));
    settle(&breaker, "FFFF");
    assert_eq!(breaker.state(), State::Closed);
    settle(&breaker, "F");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_success_that_makes_up_the_number_opens() {
    for window in [Window::calls(20), Window::time(Duration::from_secs(20))] {
        let breaker = breaker(TripPolicy::failure_rate(0.5, window.min_calls(5)));
        settle(&breaker, "FFFS");
        assert_eq!(breaker.snapshot().windows[0].failure_rate(), None);
        assert_eq!(breaker.state(), State::Closed);
        settle(&breaker, "S");
        assert_eq!((breaker.state(), breaker.snapshot().opened), (State::Open, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn three_of_four_never_come_about_by_turns() {
    let breaker = breaker(TripPolicy::failure_rate(0.75, Window::calls(4)));
    settle(&breaker, &"SF".repeat(20));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_takes_the_rate_over_its_probes_and_says_so_as_soon_as_it_is_decided() {
    let policy = TripPolicy::failure_rate(0.5, Window::calls(4));
    for (probes, state) in [
        ("FSS", State::HalfOpen),
        ("FSSS", State::Closed),
        ("SSS", State::Closed),
        ("FF", State::Open),
    ] {
        let breaker = breaker(policy.clone());
        settle(&breaker, "FFFF");
        advance(Duration::from_secs(60)).await;
        settle(&breaker, probes);
        assert_eq!(breaker.state(), state, "{probes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_without_a_verdict_opens_or_closes_as_it_was_told() {
    for (then, state) in [(AfterWait::Open, State::Open), (AfterWait::Close, State::Closed)] {
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .max_half_open(Duration::from_secs(1), then)
            .build();
        settle(&breaker, "F");
        advance(Duration::from_secs(60)).await;
        settle(&breaker, "S");
        advance(Duration::from_secs(1)).await;
        let _ = breaker.try_acquire();
        assert_eq!(breaker.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn breaks_grow_until_the_circuit_closes_and_then_begin_again() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(OpenFor::exponential(Duration::from_secs(1)))
        .probes(1)
        .build();
    for lengths in [[1, 2, 4, 8, 16].as_slice(), [1, 2, 4].as_slice()] {
        for seconds in lengths {
            settle(&breaker, "F");
            assert_eq!(
                breaker.snapshot().retry_after,
                Some(Duration::from_secs(*seconds))
            );
            advance(Duration::from_secs(*seconds)).await;
        }
        settle(&breaker, "S");
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_ones_own_may_call_back_into_the_handle() {
    let handle = Arc::new(OnceLock::<CircuitBreaker>::new());
    let inner = Arc::clone(&handle);
    let judge = move |tally: &hook_breaker::Tally| {
        let seen = inner.get().expect("it is there").snapshot();
        assert_eq!(seen.state, State::Closed);
        tally.failures == 2
    };
    let breaker = breaker(TripPolicy::custom(Window::calls(10).min_calls(1), judge));
    handle.set(breaker.clone()).expect("once");
    settle(&breaker, "FS");
    assert_eq!(breaker.state(), State::Closed);
    settle(&breaker, "F");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_panics_goes_on_unwinding_and_opens_a_half_open_circuit() {
    let judge = |tally: &hook_breaker::Tally| {
        assert!(tally.failures > 0, "no opinion");
        true
    };
    let breaker = breaker(TripPolicy::custom(Window::calls(10).min_calls(1), judge));
    let succeed = |results: &str| catch_unwind(AssertUnwindSafe(|| settle(&breaker, results)));
    assert!(succeed("S").is_err());
    assert_eq!(
        (breaker.state(), breaker.snapshot().in_flight),
        (State::Closed, 0)
    );
    settle(&breaker, "F");
    for _ in 0..2 {
        advance(Duration::from_secs(60)).await;
        assert!(succeed("SSSS").is_err());
        assert_eq!((breaker.state(), breaker.snapshot().in_flight), (State::Open, 0));
    }
}
