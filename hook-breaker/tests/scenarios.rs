//! Scenarios that the tests of other breakers pin down, with their numbers, in paused time.
//!
//! Those that are not here are told where they belong:
//!
//! | whose | scenario | test |
//! |---|---|---|
//! | resilience4j | half-open grants 4, refuses 5 and 6, and grants 4 again next time | `half_open.rs`: `half_open_lets_in_as_many_as_it_has_probes_and_as_many_again_next_time` |
//! | " | 4 ignored probes in a row, 4 real ones still possible | `half_open.rs`: `four_ignored_probes_in_a_row_leave_all_four_slots` |
//! | " | MetricsOnly: F F F S S, said once | `metrics_only.rs`: `three_failures_of_five_are_said_once_and_refuse_nothing` |
//! | " | half-open for too long | `policies.rs`: `a_half_open_circuit_without_a_verdict_opens_or_closes_as_it_was_told` |
//! | " | threads race from open to half-open | `half_open.rs`: `threads_that_race_out_of_open_never_probe_more_than_is_allowed` |
//! | gobreaker | 2 probes done, 1 under way | `half_open.rs`: `succeeded_probes_use_up_their_slots_and_the_last_one_closes` |
//! | " | a panic counts once | `calls.rs`: `panics_count_as_failures_and_go_on_unwinding` |
//! | failsafe-go | 3 of 4, by turns | `policies.rs`: `three_of_four_never_come_about_by_turns` |
//! | " | the remaining delay falls while open | `half_open.rs`: `the_remaining_delay_falls_while_open_and_is_none_otherwise` (`None` where it says 0) |
//! | Polly | 4.999 s | `half_open.rs`: `a_break_of_five_seconds_says_after_a_millisecond_to_retry_after_4999_of_them` |
//! | " | results that land in Open | `half_open.rs`: `results_that_land_in_an_open_circuit_do_not_lengthen_the_break_nor_open_it_again` |
//! | " | breaks grow, and begin again after a close | `policies.rs`: `breaks_grow_until_the_circuit_closes_and_then_begin_again` |
//! | Hystrix | a half-open command is unsubscribed | `half_open.rs`: `dropped_probe_frees_its_slot_or_fails_by_the_rule_and_is_never_stuck` (the rule for dropped calls decides) |

use std::time::Duration;

use futures::FutureExt;
use hook_breaker::{
    AfterWait, Cause, CircuitBreaker, Event, Events, Outcome, Permit, Reason, State, Tally, TripPolicy,
    Window,
};
use tokio::time::advance;

const OPEN_FOR: Duration = Duration::from_secs(60);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn breaker(policy: TripPolicy) -> CircuitBreaker {
    CircuitBreaker::builder().trip_when(policy).probes(4).build()
}

fn acquire(breaker: &CircuitBreaker) -> Permit {
    breaker.try_acquire().expect("the circuit lets calls in")
}

fn refusal(breaker: &CircuitBreaker) -> Reason {
    breaker.try_acquire().expect_err("the circuit refuses").reason()
}

fn settle(breaker: &CircuitBreaker, results: &str) {
    for result in results.chars() {
        acquire(breaker).settle(match result {
            'S' => Outcome::Success,
            _ => Outcome::Failure,
        });
    }
}

/// Lets a call take so long.
async fn take(breaker: &CircuitBreaker, result: &str, took: Duration) {
    let permit = acquire(breaker);
    advance(took).await;
    match result {
        "S" => permit.success(),
        _ => permit.failure(),
    }
}

/// What was heard: the state that was gone to, and why; `None` for a circuit that would have opened.
fn heard(events: &mut Events) -> Vec<(Option<State>, Cause)> {
    let mut heard = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        match event {
            Event::Transition(transition) => heard.push((Some(transition.to), transition.cause)),
            Event::WouldOpen { cause, .. } => heard.push((None, cause)),
            _ => (),
        }
    }
    heard
}

/// Calls and failures in the only window.
fn held(breaker: &CircuitBreaker) -> (u64, u64) {
    let Tally { calls, failures, .. } = breaker.snapshot().windows[0].tally;
    (calls, failures)
}

// ===== resilience4j =====

#[tokio::test(start_paused = true)]
async fn twelve_calls_in_a_window_of_ten_are_ten() {
    let breaker = breaker(TripPolicy::failure_rate(0.5, Window::calls(10).min_calls(10)));
    let rate = || breaker.snapshot().windows[0].failure_rate();
    breaker.metrics_only();
    let mut events = breaker.subscribe();
    settle(&breaker, "SSFF");
    assert_eq!((held(&breaker), rate()), ((4, 2), None));
    settle(&breaker, "FFFFSSSS");
    assert_eq!((held(&breaker), rate()), ((10, 6), Some(0.6)));
    assert_eq!(heard(&mut events), [(None, Cause::FailureRate { rate: 0.6 })]);
    settle(&breaker, "SSS");
    assert_eq!((held(&breaker), rate()), ((10, 3), Some(0.3)));
    assert_eq!(heard(&mut events), []);
}

#[tokio::test(start_paused = true)]
async fn the_fifth_call_of_twenty_seconds_opens_though_it_succeeds() {
    let breaker = breaker(TripPolicy::failure_rate(0.5, Window::time(secs(20)).min_calls(5)));
    let mut events = breaker.subscribe();
    settle(&breaker, "FFFS");
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().windows[0].failure_rate(), None);
    settle(&breaker, "S");
    let cause = Cause::FailureRate { rate: 0.6 };
    assert_eq!(heard(&mut events), [(Some(State::Open), cause)]);
    assert_eq!(refusal(&breaker), Reason::CircuitOpen);
    assert_eq!(breaker.snapshot().not_permitted, 1);
    assert_eq!(heard(&mut events), []);
}

#[tokio::test(start_paused = true)]
async fn slowness_opens_where_failures_are_too_few() {
    for window in [Window::calls(5), Window::time(secs(60)).min_calls(5)] {
        let failures = TripPolicy::failure_rate(0.5, window.clone());
        let breaker = breaker(failures.or(TripPolicy::slow_call_rate(0.5, secs(4), window)));
        let mut events = breaker.subscribe();
        for (result, took) in [("F", 5_000), ("S", 5_000), ("F", 100), ("S", 100)] {
            take(&breaker, result, millis(took)).await;
        }
        assert_eq!((breaker.state(), held(&breaker)), (State::Closed, (4, 2)));
        take(&breaker, "S", secs(5)).await;
        // Two failures of five are not half, three slow calls are more.
        let cause = Cause::SlowCallRate { rate: 0.6 };
        assert_eq!(heard(&mut events), [(Some(State::Open), cause)]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_failed_probe_of_four_closes_and_the_window_begins_anew() {
    let breaker = breaker(TripPolicy::failure_rate(0.5, Window::calls(10)));
    settle(&breaker, "FFFFFFFFFF");
    advance(OPEN_FOR).await;
    settle(&breaker, "FSSS");
    let seen = breaker.snapshot();
    assert_eq!((seen.state, held(&breaker)), (State::Closed, (0, 0)));
    assert_eq!((seen.consecutive_failures, seen.breaks), (0, 0));
    settle(&breaker, "S");
    assert_eq!(held(&breaker), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_circuit_counts_nothing_and_says_nothing() {
    let breaker = breaker(TripPolicy::failure_rate(0.5, Window::calls(4)).or(TripPolicy::default()));
    breaker.disable();
    let mut events = breaker.subscribe();
    settle(&breaker, &"FS".repeat(10));
    settle(&breaker, &"F".repeat(20));
    acquire(&breaker).ignore();
    let seen = breaker.snapshot();
    assert_eq!((seen.state, held(&breaker)), (State::Disabled, (0, 0)));
    assert_eq!((seen.successes, seen.failures, seen.ignored), (0, 0, 0));
    assert_eq!((seen.in_flight, seen.last_failure), (0, None));
    assert_eq!(heard(&mut events), []);
    // Those of before and those of then are no failures in a row.
    let under_way = acquire(&breaker);
    breaker.reset();
    under_way.failure();
    settle(&breaker, "FF");
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 2));
}

/// A probe under way does not hold it up, and what it says later changes nothing.
#[tokio::test(start_paused = true)]
async fn after_a_second_of_half_open_without_a_verdict_that_is_over() {
    for (then, state) in [(AfterWait::Open, State::Open), (AfterWait::Close, State::Closed)] {
        let breaker = CircuitBreaker::builder()
            .failure_rate(0.5, Window::calls(4))
            .max_half_open(secs(1), then)
            .build();
        settle(&breaker, "FFFF");
        advance(OPEN_FOR).await;
        let mut events = breaker.subscribe();
        let probe = acquire(&breaker);
        advance(millis(999)).await;
        settle(&breaker, "S");
        assert_eq!(breaker.state(), State::HalfOpen);
        advance(millis(1)).await;
        probe.failure();
        let half_open = (Some(State::HalfOpen), Cause::BreakOver);
        assert_eq!(
            heard(&mut events),
            [half_open, (Some(state), Cause::HalfOpenTooLong)]
        );
        assert_eq!(breaker.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_five_seconds_is_forgotten() {
    for buckets in [5, 10] {
        let window = Window::time(secs(5)).buckets(buckets);
        let failures = TripPolicy::failure_rate(1.0, window.clone());
        let breaker = breaker(failures.or(TripPolicy::slow_call_rate(1.0, millis(400), window)));
        let tally = || breaker.snapshot().windows[1].tally;
        settle(&breaker, "F");
        advance(millis(100)).await;
        settle(&breaker, "S");
        advance(millis(300)).await;
        take(&breaker, "F", millis(400)).await;
        assert_eq!((tally().calls, tally().failures, tally().slow_calls), (3, 2, 1));
        advance(millis(4_000)).await;
        assert_eq!((tally().calls, tally().failures, tally().slow_calls), (3, 2, 1));
        advance(secs(1)).await;
        assert_eq!(tally().calls, 0, "{buckets} buckets");
        assert_eq!((tally().failures, tally().slow_calls), (0, 0));
        advance(secs(5)).await;
        settle(&breaker, "S");
        assert_eq!((tally().calls, tally().failures, tally().slow_calls), (1, 0, 0));
    }
}

// ===== gobreaker =====

#[test]
fn ten_threads_with_ten_thousand_calls_each_make_a_hundred_thousand() {
    let hour = Window::time(secs(3_600));
    let policy =
        TripPolicy::failure_rate(1.0, Window::calls(1 << 20)).or(TripPolicy::failure_rate(1.0, hour));
    let breaker = breaker(policy);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            let breaker = breaker.clone();
            scope.spawn(move || settle(&breaker, &"SF".repeat(5_000)));
        }
    });
    let seen = breaker.snapshot();
    assert_eq!(
        (seen.state, seen.successes, seen.failures),
        (State::Closed, 50_000, 50_000)
    );
    for window in seen.windows {
        assert_eq!((window.tally.calls, window.tally.failures), (100_000, 50_000));
    }
}

// ===== failsafe-go =====

#[tokio::test(start_paused = true)]
async fn two_of_three_need_not_be_in_a_row() {
    let breaker = breaker(TripPolicy::failure_rate(2.0 / 3.0, Window::calls(3)));
    settle(&breaker, "FS");
    assert_eq!(breaker.state(), State::Closed);
    settle(&breaker, "F");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn half_of_200_ms_but_of_no_fewer_than_three() {
    let breaker = breaker(TripPolicy::failure_rate(
        0.5,
        Window::time(millis(200)).min_calls(3),
    ));
    settle(&breaker, "FS");
    advance(millis(200)).await;
    settle(&breaker, "FSS");
    assert_eq!((breaker.state(), held(&breaker)), (State::Closed, (3, 1)));
    settle(&breaker, "F");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn three_probes_of_a_minute_keep_five_more_out() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(3)
        .probe_lease(secs(120))
        .build();
    settle(&breaker, "F");
    advance(OPEN_FOR).await;
    let probes = [(); 3].map(|()| acquire(&breaker));
    advance(secs(60)).await;
    for _ in 0..5 {
        assert_eq!(refusal(&breaker), Reason::ProbesTaken);
    }
    probes.into_iter().for_each(Permit::success);
    assert_eq!(
        (breaker.state(), breaker.snapshot().not_permitted),
        (State::Closed, 5)
    );
}

// ===== Polly =====

#[tokio::test(start_paused = true)]
async fn a_success_a_second_makes_nine_in_ten_seconds_and_eight_a_second_later() {
    let breaker = breaker(TripPolicy::failure_rate(0.5, Window::time(secs(10)).buckets(10)));
    for _ in 0..10 {
        settle(&breaker, "S");
        advance(secs(1)).await;
    }
    assert_eq!(held(&breaker), (9, 0), "exactly ten seconds old is out");
    advance(secs(1)).await;
    assert_eq!(held(&breaker), (8, 0));
    advance(secs(8)).await;
    assert_eq!(held(&breaker), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn results_that_land_in_an_isolated_circuit_change_nothing() {
    let breaker = breaker(TripPolicy::consecutive_failures(1));
    let late = [(); 2].map(|()| acquire(&breaker));
    breaker.force_open();
    let mut events = breaker.subscribe();
    let [success, failure] = late;
    success.success();
    failure.failure();
    advance(100 * OPEN_FOR).await;
    assert_eq!(refusal(&breaker), Reason::CircuitIsolated);
    let seen = breaker.snapshot();
    assert_eq!(
        (seen.state, seen.opened, seen.retry_after),
        (State::ForcedOpen, 0, None)
    );
    assert_eq!((seen.last_failure, heard(&mut events)), (None, Vec::new()));
}
