//! From open to closed or back: probes, their leases, and results that come too late.

use std::time::Duration;

use hook_breaker::{CircuitBreaker, DroppedCall, Outcome, Permit, Reason, State};
use tokio::time::advance;

const OPEN_FOR: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);

/// A breaker whose break is over.
async fn rested(probes: u32) -> CircuitBreaker {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(probes)
        .build();
    acquire(&breaker).failure();
    advance(OPEN_FOR).await;
    breaker
}

fn acquire(breaker: &CircuitBreaker) -> Permit {
    breaker.try_acquire().expect("the circuit lets calls in")
}

fn refusal(breaker: &CircuitBreaker) -> (Reason, Option<Duration>) {
    let rejected = breaker.try_acquire().expect_err("the circuit refuses");
    (rejected.reason(), rejected.retry_after())
}

#[tokio::test(start_paused = true)]
async fn a_break_of_five_seconds_says_after_a_millisecond_to_retry_after_4999_of_them() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(Duration::from_secs(5))
        .build();
    acquire(&breaker).failure();
    advance(Duration::from_millis(1)).await;
    assert_eq!(
        refusal(&breaker),
        (Reason::CircuitOpen, Some(Duration::from_millis(4_999)))
    );
}

#[tokio::test(start_paused = true)]
async fn the_remaining_delay_falls_while_open_and_is_none_otherwise() {
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build();
    assert_eq!(breaker.snapshot().retry_after, None);
    acquire(&breaker).failure();
    for seconds in [60, 40, 20, 0, 0] {
        assert_eq!(breaker.snapshot().retry_after, Some(Duration::from_secs(seconds)));
        advance(Duration::from_secs(20)).await;
    }
    let _probe = acquire(&breaker);
    assert_eq!(breaker.snapshot().retry_after, None);
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_in_as_many_as_it_has_probes_and_as_many_again_next_time() {
    let breaker = rested(4).await;
    for _ in 0..2 {
        let probes: Vec<_> = (0..4).map(|_| acquire(&breaker)).collect();
        for _ in 5..=6 {
            assert_eq!(refusal(&breaker), (Reason::ProbesTaken, None));
        }
        for probe in probes {
            probe.failure();
        }
        assert_eq!(refusal(&breaker), (Reason::CircuitOpen, Some(OPEN_FOR)));
        advance(OPEN_FOR).await;
    }
    assert_eq!(breaker.snapshot().opened, 3);
}

#[tokio::test(start_paused = true)]
async fn succeeded_probes_use_up_their_slots_and_the_last_one_closes() {
    let breaker = rested(3).await;
    acquire(&breaker).success();
    acquire(&breaker).success();
    let last = acquire(&breaker);
    // Two done and one under way: the reason is another than that of an open circuit.
    assert_eq!(refusal(&breaker), (Reason::ProbesTaken, None));
    last.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_failed_probe_opens_at_once_for_a_full_break() {
    let breaker = rested(5).await;
    for _ in 0..4 {
        acquire(&breaker).success();
    }
    acquire(&breaker).failure();
    assert_eq!(refusal(&breaker), (Reason::CircuitOpen, Some(OPEN_FOR)));
}

#[tokio::test(start_paused = true)]
async fn four_ignored_probes_in_a_row_leave_all_four_slots() {
    let breaker = rested(4).await;
    for _ in 0..4 {
        acquire(&breaker).ignore();
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    for _ in 0..4 {
        acquire(&breaker).success();
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn hung_probe_does_not_wedge() {
    let breaker = rested(2).await;
    let hung = acquire(&breaker);
    acquire(&breaker).success();
    advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(refusal(&breaker), (Reason::ProbesTaken, None));
    advance(Duration::from_millis(1)).await;
    assert_eq!(refusal(&breaker), (Reason::CircuitOpen, Some(OPEN_FOR)));

    // Life goes on without it, and what it says in the end is nobody's business.
    advance(OPEN_FOR).await;
    acquire(&breaker).success();
    hung.success();
    assert_eq!(breaker.state(), State::HalfOpen);
    acquire(&breaker).success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn probes_far_apart_do_not_wedge() {
    let breaker = rested(3).await;
    for _ in 0..3 {
        advance(Duration::from_secs(60 * 60)).await;
        acquire(&breaker).success();
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn slow_probe_does_not_close() {
    let breaker = rested(1).await;
    let slow = acquire(&breaker);
    advance(LEASE).await;
    slow.success();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn stale_success_does_not_close() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(1)
        .build();
    let before = [(); 3].map(|()| acquire(&breaker));
    acquire(&breaker).failure();
    let [while_open, while_half_open, while_closed] = before;

    while_open.success();
    assert_eq!(breaker.state(), State::Open);

    advance(OPEN_FOR).await;
    let probe = acquire(&breaker);
    while_half_open.success();
    assert_eq!(breaker.state(), State::HalfOpen);

    probe.success();
    assert_eq!(breaker.state(), State::Closed);
    while_closed.failure();
    assert_eq!(
        breaker.state(),
        State::Closed,
        "a stale failure does not open either"
    );
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn results_that_land_in_an_open_circuit_do_not_lengthen_the_break_nor_open_it_again() {
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build();
    let late: Vec<_> = (0..3).map(|_| acquire(&breaker)).collect();
    acquire(&breaker).failure();
    advance(Duration::from_secs(20)).await;
    for permit in late {
        permit.failure();
    }
    assert_eq!(
        refusal(&breaker),
        (Reason::CircuitOpen, Some(Duration::from_secs(40)))
    );
    assert_eq!(breaker.snapshot().opened, 1);
}

/// Hystrix opens again when a half-open command is unsubscribed. Here the rule for dropped calls
/// decides, and either way the circuit is not stuck.
#[tokio::test(start_paused = true)]
async fn dropped_probe_frees_its_slot_or_fails_by_the_rule_and_is_never_stuck() {
    let old = Duration::from_secs(1);
    for (rule, age, state) in [
        (DroppedCall::Neutral, LEASE / 2, State::HalfOpen),
        (DroppedCall::Failure, Duration::ZERO, State::Open),
        (
            DroppedCall::FailureIfOlderThan(old),
            old - Duration::from_millis(1),
            State::HalfOpen,
        ),
        (DroppedCall::FailureIfOlderThan(old), old, State::Open),
    ] {
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .probes(1)
            .dropped_call(rule)
            .build();
        acquire(&breaker).failure();
        advance(OPEN_FOR).await;
        let probe = acquire(&breaker);
        advance(age).await;
        drop(probe);
        assert_eq!(breaker.state(), state, "{rule:?} after {age:?}");

        advance(OPEN_FOR).await;
        acquire(&breaker).success();
        assert_eq!(breaker.state(), State::Closed, "{rule:?} after {age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reset_in_closed_clears_the_failures() {
    let breaker = CircuitBreaker::new();
    acquire(&breaker).failure();
    acquire(&breaker).failure();
    let under_way = acquire(&breaker);
    breaker.reset();
    assert_eq!(breaker.snapshot().consecutive_failures, 0);

    under_way.failure();
    acquire(&breaker).failure();
    acquire(&breaker).failure();
    assert_eq!(breaker.state(), State::Closed);
    acquire(&breaker).failure();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn reset_works_in_every_state() {
    let breaker = rested(1).await;
    breaker.reset();
    assert_eq!(breaker.state(), State::Closed);

    let breaker = rested(1).await;
    let probe = acquire(&breaker);
    breaker.reset();
    assert_eq!(breaker.state(), State::Closed);
    probe.failure();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn every_call_of_many_threads_is_counted_once() {
    let breaker = CircuitBreaker::builder().consecutive_failures(u32::MAX).build();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            let breaker = breaker.clone();
            scope.spawn(move || {
                for i in 0..10_000 {
                    acquire(&breaker).settle(match i % 2 {
                        0 => Outcome::Success,
                        _ => Outcome::Failure,
                    });
                }
            });
        }
    });
    let seen = breaker.snapshot();
    assert_eq!((seen.successes, seen.failures, seen.ignored), (50_000, 50_000, 0));
}

#[test]
fn threads_that_race_out_of_open_never_probe_more_than_is_allowed() {
    for _ in 0..50 {
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .open_for(Duration::ZERO)
            .probes(3)
            .build();
        acquire(&breaker).failure();
        let permits: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| breaker.try_acquire().ok()))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(permits.len(), 3);
    }
}
