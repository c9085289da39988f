//! What other breakers get wrong, and the test that keeps this one from it.
//!
//! | whose | fault | test |
//! |---|---|---|
//! | tower-resilience | the count window never slides | `policies.rs`: `count_window_slides` |
//! | " | the time window is rescanned with each call | here: `time_window_costs_the_same_at_any_rate` |
//! | " | half-open wedges when probes are far apart | `half_open.rs`: `probes_far_apart_do_not_wedge` |
//! | " | half-open wedges when a probe hangs | `half_open.rs`: `hung_probe_does_not_wedge`; `contract.rs`: `a_hung_probe_that_fills_the_inner_service_keeps_nobody_waiting_after_its_lease` |
//! | " | no generation: a stale success closes | `half_open.rs`: `stale_success_does_not_close` |
//! | " | slow probes close what slowness opened | here: `slow_probes_do_not_close_a_breaker_that_slowness_opened` |
//! | " | `reset` in Closed does nothing | `half_open.rs`: `reset_in_closed_clears_the_failures`; here: `reset_in_closed_empties_both_windows` |
//! | " | a timeout outside records nothing | `calls.rs`: `thirty_timeouts_outside_in_a_row_trip`, `timeouts_around_the_plain_core_trip_too` |
//! | " | panics are not counted | `calls.rs`: `panics_count_as_failures_and_go_on_unwinding` |
//! | " | backpressure says ready, then refuses | `waiting.rs`: `who_was_told_to_be_ready_is_never_refused` |
//! | " | fresh state with each `layer()` | `axum.rs`: `a_breaker_declared_once_over_two_routes_trips_for_both`; `calls.rs`: `every_service_of_a_layer_is_behind_the_same_circuit` |
//! | " | the gauge shows all states at once | `source.rs`: `the_gauge_shows_one_state_at_a_time_and_the_status_follows` |
//! | Polly | a probe whose error nobody handles closes | here: `a_probe_with_an_ignored_error_does_not_close` |
//! | failsafe-rs, recloser | half-open admits everyone | `half_open.rs`: `half_open_lets_in_as_many_as_it_has_probes_and_as_many_again_next_time`, `threads_that_race_out_of_open_never_probe_more_than_is_allowed` |

use std::{io, time::Duration};

use allocation_counter::measure;
use hook_breaker::{
    CircuitBreaker, CircuitBreakerLayer, Outcome, Permit, Reason, State, Tally, TripPolicy, Window,
};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

const OPEN_FOR: Duration = Duration::from_secs(60);

fn acquire(breaker: &CircuitBreaker) -> Permit {
    breaker.try_acquire().expect("the circuit lets calls in")
}

fn settle(breaker: &CircuitBreaker, results: &str) {
    for result in results.chars() {
        acquire(breaker).settle(match result {
            'S' => Outcome::Success,
            _ => Outcome::Failure,
        });
    }
}

/// So many calls a window, a quarter of them failures, for a window and a half. Gives the allocations and what the
/// window holds in the end.
async fn run(calls: u32) -> (u64, Tally) {
    const STEPS: u32 = 100;
    let length = Duration::from_secs(10);
    let policy = TripPolicy::failure_rate(0.5, Window::time(length)).or(TripPolicy::slow_call_rate(
        0.5,
        Duration::from_secs(1),
        Window::time(length),
    ));
    let breaker = CircuitBreaker::builder().trip_when(policy).build();
    settle(&breaker, "SSSF");
    let mut allocations = 0;
    for _ in 0..STEPS * 3 / 2 {
        allocations += measure(|| {
            for i in 0..calls / STEPS {
                settle(&breaker, if i % 4 == 3 { "F" } else { "S" });
            }
        })
        .count_total;
        advance(length / STEPS).await;
    }
    assert_eq!(breaker.state(), State::Closed);
    (allocations, breaker.snapshot().windows[0].tally)
}

/// Whatever is looked through must be kept somewhere, and nothing is: not a byte more for a hundred times the calls.
#[tokio::test(start_paused = true)]
async fn time_window_costs_the_same_at_any_rate() {
    for calls in [1_000, 100_000] {
        let (allocations, held) = run(calls).await;
        assert_eq!(allocations, 0, "{calls} calls a window");
        let calls = u64::from(calls);
        assert!((calls * 9 / 10..=calls).contains(&held.calls), "{held:?}");
        // Failures come last in each four, so a step of ten has two.
        assert!(
            (held.calls / 5..=held.calls / 4).contains(&held.failures),
            "{held:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn slow_probes_do_not_close_a_breaker_that_slowness_opened() {
    let slow = Duration::from_secs(2);
    for window in [
        Window::calls(4),
        Window::time(Duration::from_secs(60)).min_calls(4),
    ] {
        let breaker = CircuitBreaker::builder()
            .trip_when(TripPolicy::slow_call_rate(0.5, slow, window))
            .probes(4)
            .build();
        let take = |took| {
            let permit = acquire(&breaker);
            async move {
                advance(took).await;
                permit.success();
            }
        };
        for _ in 0..4 {
            take(slow).await;
        }
        assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Open, 0));

        // Every probe succeeds, none in time: two of four are enough to know.
        advance(OPEN_FOR).await;
        take(slow).await;
        assert_eq!(breaker.state(), State::HalfOpen);
        take(slow).await;
        assert_eq!(breaker.state(), State::Open);

        advance(OPEN_FOR).await;
        for _ in 0..3 {
            assert_ne!(breaker.state(), State::Closed);
            take(slow - Duration::from_millis(1)).await;
        }
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn reset_in_closed_empties_both_windows() {
    for window in [Window::calls(10), Window::time(Duration::from_secs(10))] {
        let breaker = CircuitBreaker::builder()
            .failure_rate(0.5, window.min_calls(10))
            .build();
        settle(&breaker, "SSSSSFFFF");
        breaker.reset();
        assert_eq!(breaker.snapshot().windows[0].tally, Tally::default());
        settle(&breaker, "FFFFFFFFF");
        assert_eq!(breaker.state(), State::Closed, "nine are no ten");
        settle(&breaker, "F");
        assert_eq!(breaker.state(), State::Open);
    }
}

/// Nor does it open, nor use its slot up.
#[tokio::test(start_paused = true)]
async fn a_probe_with_an_ignored_error_does_not_close() {
    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .probes(1)
        .classify_with(|result: Result<&(), &io::Error>, _took: Duration| match result {
            Ok(()) => Outcome::Success,
            Err(err) if err.kind() == io::ErrorKind::NotFound => Outcome::Ignored,
            Err(_) => Outcome::Failure,
        });
    let circuit = layer.handle();
    let mut service = layer.layer(service_fn(|answer: Result<(), io::ErrorKind>| async move {
        answer.map_err(io::Error::from)
    }));
    let down = Err(io::ErrorKind::ConnectionRefused);
    service.ready().await.unwrap().call(down).await.unwrap_err();
    advance(OPEN_FOR).await;
    for _ in 0..3 {
        let missing = Err(io::ErrorKind::NotFound);
        let err = service.ready().await.unwrap().call(missing).await.unwrap_err();
        assert!(err.is::<io::Error>(), "it was let in");
        assert_eq!(circuit.state(), State::HalfOpen);
    }
    let probe = acquire(&circuit);
    assert_eq!(
        circuit.try_acquire().map(drop).unwrap_err().reason(),
        Reason::ProbesTaken
    );
    drop(probe);
    service.ready().await.unwrap().call(Ok(())).await.unwrap();
    assert_eq!(circuit.state(), State::Closed);
}
