//! A circuit that outlives its process.
#![cfg(feature = "serde")]

use std::time::{Duration, SystemTime};

use hook_breaker::{
    CircuitBreaker, CircuitBreakerBuilder, Permit, Reason, SavedCircuit, State, TripPolicy, Window,
};

const MINUTE: Duration = Duration::from_secs(60);

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder().consecutive_failures(1)
}

/// Some time, in whole milliseconds, as it is saved.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + 1_000_000 * MINUTE
}

fn through_a_file(saved: &SavedCircuit) -> SavedCircuit {
    serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap()
}

/// The next process, so much later by the wall clock.
fn next(breaker: &CircuitBreaker, builder: CircuitBreakerBuilder, later: Duration) -> CircuitBreaker {
    let now = noon();
    let next = builder.build();
    next.restore_at(&through_a_file(&breaker.save_at(now)), now + later);
    next
}

fn fail(breaker: &CircuitBreaker) {
    breaker.try_acquire().unwrap().failure();
}

#[tokio::test(start_paused = true)]
async fn every_state_survives() {
    for state in State::ALL {
        let breaker = builder().build();
        match state {
            State::Closed => (),
            State::Open => fail(&breaker),
            State::HalfOpen => {
                fail(&breaker);
                tokio::time::advance(MINUTE).await;
                breaker.try_acquire().unwrap().success();
            }
            State::ForcedOpen => breaker.force_open(),
            State::Disabled => breaker.disable(),
            State::MetricsOnly => breaker.metrics_only(),
            _ => unreachable!(),
        }
        assert_eq!(breaker.state(), state);
        let next = next(&breaker, builder(), Duration::ZERO);
        let (seen, before) = (next.snapshot(), breaker.snapshot());
        assert_eq!(seen.state, state);
        assert_eq!(
            (seen.breaks, seen.free_probes, seen.retry_after),
            (before.breaks, before.free_probes, before.retry_after),
            "{state}"
        );
        assert_eq!(seen.opened_at.is_some(), before.opened_at.is_some(), "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_restored_over_an_open_circuit_is_not_open_since_then() {
    let (closed, open) = (builder().build(), builder().build());
    fail(&open);
    open.restore(&closed.save());
    assert_eq!((open.state(), open.snapshot().opened_at), (State::Closed, None));
}

#[tokio::test(start_paused = true)]
async fn the_break_goes_on_while_no_process_lives_and_a_clock_set_back_does_not_lengthen_it() {
    let breaker = builder().build();
    fail(&breaker);
    tokio::time::advance(Duration::from_secs(10)).await;
    for (later, rest) in [(0, 50), (20, 30), (49, 1)] {
        let next = next(&breaker, builder(), Duration::from_secs(later));
        let rejected = next.try_acquire().unwrap_err();
        assert_eq!(rejected.retry_after(), Some(Duration::from_secs(rest)));
    }
    for later in [50, 100_000_000] {
        next(&breaker, builder(), Duration::from_secs(later))
            .try_acquire()
            .unwrap()
            .success();
    }

    let now = noon();
    let saved = through_a_file(&breaker.save_at(now));
    let set_back = builder().build();
    set_back.restore_at(&saved, now - 1_000 * MINUTE);
    assert_eq!(set_back.snapshot().retry_after, Some(Duration::from_secs(50)));
}

#[tokio::test(start_paused = true)]
async fn failures_add_up_over_processes() {
    let rate = |window| CircuitBreaker::builder().failure_rate(0.5, window);
    for builder in [
        CircuitBreaker::builder().consecutive_failures(5),
        rate(Window::calls(10).min_calls(5)),
        rate(Window::time(10 * MINUTE).min_calls(5)),
    ] {
        let mut breaker = builder.clone().build();
        for failures in 1..=5 {
            assert_eq!(breaker.state(), State::Closed, "{failures}");
            fail(&breaker);
            breaker = next(&breaker, builder.clone(), Duration::from_secs(1));
        }
        assert_eq!(breaker.state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_calls_slides_on_and_one_of_time_forgets_what_is_too_old() {
    let builder = CircuitBreaker::builder().failure_rate(0.5, Window::calls(4));
    let mut breaker = builder.clone().build();
    for is_well in [false, true, true, true, true, false] {
        let permit = breaker.try_acquire().unwrap();
        if is_well {
            permit.success();
        } else {
            permit.failure();
        }
        breaker = next(&breaker, builder.clone(), MINUTE);
    }
    let tally = breaker.snapshot().windows[0].tally;
    assert_eq!((tally.calls, tally.failures), (4, 1));

    let builder = CircuitBreaker::builder().failure_rate(0.5, Window::time(MINUTE));
    let breaker = builder.clone().build();
    fail(&breaker);
    let held = |later| {
        let next = next(&breaker, builder.clone(), Duration::from_secs(later));
        next.snapshot().windows[0].tally.failures
    };
    assert_eq!([0, 50, 61, 1_000].map(held), [1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn five_processes_with_a_probe_each_close_the_circuit() {
    let mut breaker = builder().build();
    fail(&breaker);
    let mut later = MINUTE;
    for probe in 1..=5 {
        breaker = next(&breaker, builder(), later);
        later = Duration::from_secs(1);
        assert_ne!(breaker.state(), State::Closed, "{probe}");
        breaker.try_acquire().unwrap().success();
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn probes_under_way_give_their_slots_back() {
    let breaker = builder().probes(1).build();
    fail(&breaker);
    tokio::time::advance(MINUTE).await;
    let _under_way = breaker.try_acquire().unwrap();
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), Reason::ProbesTaken);
    next(&breaker, builder().probes(1), Duration::ZERO)
        .try_acquire()
        .unwrap()
        .success();
}

#[tokio::test(start_paused = true)]
async fn another_policy_begins_empty() {
    let window = || Window::calls(10);
    let breaker = CircuitBreaker::builder().failure_rate(1.0, window()).build();
    fail(&breaker);
    let policy =
        TripPolicy::failure_rate(1.0, Window::time(MINUTE)).or(TripPolicy::failure_rate(1.0, window()));
    let next = next(
        &breaker,
        CircuitBreaker::builder().trip_when(policy),
        Duration::ZERO,
    );
    assert!(
        next.snapshot()
            .windows
            .iter()
            .all(|window| window.tally.calls == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hostile_file_neither_panics_nor_takes_memory() {
    let letters = "FXs.?é".repeat(200_000);
    let buckets = vec!["[18446744073709551615,4294967295,4294967295,4294967295]"; 10_000].join(",");
    let many = vec!["[0,4294967295,4294967295,4294967295]"; 10_000].join(",");
    let probes = vec!["[true,18446744073709551615]"; 10_000].join(",");
    let policy = TripPolicy::failure_rate(1.0, Window::calls(10))
        .or(TripPolicy::failure_rate(1.0, Window::time(MINUTE)))
        .or(TripPolicy::failure_rate(1.0, Window::time(MINUTE)));
    let windows =
        format!(r#"{{"calls":"{letters}"}},{{"time":[{buckets}]}},{{"time":[{many}]}},"none","none""#);
    for state in State::ALL {
        for saved_at in [0, u64::MAX] {
            let file = format!(
                r#"{{"saved_at":{saved_at},"state":"{state}","rest":18446744073709551615,"breaks":4294967295,
                    "row":4294967295,"probes":[{probes}],"windows":[{windows}]}}"#
            );
            let saved: SavedCircuit = serde_json::from_str(&file).unwrap();
            let breaker = CircuitBreaker::builder().trip_when(policy.clone()).build();
            breaker.restore(&saved);
            let seen = breaker.snapshot();
            assert!(seen.windows[0].tally.calls <= 10);
            assert!(seen.free_probes <= 5);
            for _ in 0..3 {
                let _ = breaker.try_acquire().map(Permit::failure);
            }
            through_a_file(&breaker.save());
            breaker.reset();
            breaker.try_acquire().unwrap().success();
        }
    }
    for wrong in ["{}", "null", r#"{"saved_at":-1}"#, r#"{"state":"ajar"}"#] {
        assert!(serde_json::from_str::<SavedCircuit>(wrong).is_err(), "{wrong}");
    }
}
