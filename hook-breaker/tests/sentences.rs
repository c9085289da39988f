//! Settings that make no sense are refused where they are made, with a sentence; those that only look like it are not.

use std::{panic::catch_unwind, time::Duration};

use hook_breaker::{AfterWait, CircuitBreaker, CircuitBreakerLayer, OpenFor, TripPolicy, Window};

const SECOND: Duration = Duration::from_secs(1);

fn what(panics: fn()) -> Option<String> {
    let panic = catch_unwind(panics).err()?;
    let said = panic.downcast_ref::<&str>().map(ToString::to_string);
    said.or_else(|| panic.downcast_ref::<String>().cloned())
}

#[test]
fn windows_policies_breaks_and_probes_that_make_no_sense_are_refused_with_a_sentence() {
    let table: [(fn(), &str); 28] = [
        (
            || drop(Window::calls(0)),
            "A window holds 1 to 1,048,576 calls, but `calls` was 0.",
        ),
        (
            || drop(Window::calls(Window::MOST_CALLS + 1)),
            "A window holds 1 to 1,048,576 calls, but `calls` was 1048577.",
        ),
        (
            || drop(Window::time(Duration::ZERO)),
            "A window lasts some time, but `length` was 0.",
        ),
        (
            || drop(Window::calls(10).min_calls(0)),
            "There is no rate of no calls at all, but `min_calls` was 0.",
        ),
        (
            || drop(Window::time(SECOND).min_calls(0)),
            "There is no rate of no calls at all, but `min_calls` was 0.",
        ),
        (
            || drop(Window::calls(10).min_calls(11)),
            "A window of 10 calls never holds more, but `min_calls` was 11.",
        ),
        (
            || drop(Window::time(SECOND).buckets(0)),
            "A window slides in 1 to 1,024 parts, but `buckets` was 0.",
        ),
        (
            || drop(Window::time(SECOND).buckets(Window::MOST_BUCKETS + 1)),
            "A window slides in 1 to 1,024 parts, but `buckets` was 1025.",
        ),
        (
            || drop(Window::calls(10).buckets(0)),
            "A window slides in 1 to 1,024 parts, but `buckets` was 0.",
        ),
        (
            || drop(Window::calls(10).slow_after(Duration::ZERO)),
            "Every call takes some time, but `slow` was 0.",
        ),
        (
            || drop(TripPolicy::consecutive_failures(0)),
            "A circuit needs at least one failure to open, but `consecutive_failures` was 0.",
        ),
        (
            || drop(TripPolicy::failure_rate(0.0, Window::calls(10))),
            "A rate is a part of the calls, above 0 and up to 1, but `rate` was 0.",
        ),
        (
            || drop(TripPolicy::failure_rate(-0.5, Window::calls(10))),
            "A rate is a part of the calls, above 0 and up to 1, but `rate` was -0.5.",
        ),
        (
            // Who means half of them.
            || drop(TripPolicy::failure_rate(50.0, Window::calls(10))),
            "A rate is a part of the calls, above 0 and up to 1, but `rate` was 50.",
        ),
        (
            || drop(TripPolicy::failure_rate(f64::NAN, Window::calls(10))),
            "A rate is a part of the calls, above 0 and up to 1, but `rate` was NaN.",
        ),
        (
            || {
                drop(TripPolicy::slow_call_rate(
                    f64::INFINITY,
                    SECOND,
                    Window::calls(10),
                ));
            },
            "A rate is a part of the calls, above 0 and up to 1, but `rate` was inf.",
        ),
        (
            || drop(TripPolicy::slow_call_rate(0.5, Duration::ZERO, Window::calls(10))),
            "Every call takes some time, but `slow` was 0.",
        ),
        (
            || drop(OpenFor::exponential(SECOND).factor(0.99)),
            "A break lasts 1 to 1,000 times as long as the one before, but `factor` was 0.99.",
        ),
        (
            || drop(OpenFor::exponential(SECOND).factor(1_000.5)),
            "A break lasts 1 to 1,000 times as long as the one before, but `factor` was 1000.5.",
        ),
        (
            || drop(OpenFor::exponential(SECOND).factor(f64::NAN)),
            "A break lasts 1 to 1,000 times as long as the one before, but `factor` was NaN.",
        ),
        (
            || drop(OpenFor::fixed(SECOND).jitter(-0.1)),
            "Jitter is a part of the break, from 0 to 1, but `ratio` was -0.1.",
        ),
        (
            || drop(OpenFor::fixed(SECOND).jitter(1.1)),
            "Jitter is a part of the break, from 0 to 1, but `ratio` was 1.1.",
        ),
        (
            || drop(CircuitBreaker::builder().consecutive_failures(0)),
            "A circuit needs at least one failure to open, but `consecutive_failures` was 0.",
        ),
        (
            || drop(CircuitBreaker::builder().failure_rate(1.5, Window::calls(10))),
            "A rate is a part of the calls, above 0 and up to 1, but `rate` was 1.5.",
        ),
        (
            || drop(CircuitBreaker::builder().probes(0)),
            "A circuit that lets no probe in never closes again, but `probes` was 0.",
        ),
        (
            || drop(CircuitBreaker::builder().probe_lease(Duration::ZERO)),
            "A probe needs some time to succeed in, but `probe_lease` was 0.",
        ),
        (
            || drop(CircuitBreaker::builder().max_half_open(Duration::ZERO, AfterWait::Close)),
            "Probes need some time to come to a verdict in, but `max_half_open` was 0.",
        ),
        (
            || drop(CircuitBreakerLayer::keyed_by(|req: &u32| *req).max_keys(0)),
            "A keyed breaker has at least one circuit, but `max_keys` was 0.",
        ),
    ];
    for (setter, sentence) in table {
        assert_eq!(what(setter).as_deref(), Some(sentence));
    }
}

#[test]
fn the_limits_themselves_and_all_eternity_are_taken() {
    let table: [fn(); 10] = [
        || drop(Window::calls(1).min_calls(1)),
        || drop(Window::calls(Window::MOST_CALLS).min_calls(Window::MOST_CALLS)),
        || drop(Window::time(Duration::MAX).buckets(Window::MOST_BUCKETS)),
        || drop(Window::time(SECOND).min_calls(u32::MAX)),
        || drop(TripPolicy::failure_rate(1.0, Window::calls(1))),
        || drop(TripPolicy::failure_rate(f64::MIN_POSITIVE, Window::calls(1))),
        || drop(TripPolicy::slow_call_rate(1.0, Duration::MAX, Window::calls(1))),
        || drop(OpenFor::exponential(Duration::MAX).factor(1.0).jitter(1.0)),
        || drop(OpenFor::exponential(Duration::ZERO).factor(1_000.0).jitter(0.0)),
        || {
            let builder = CircuitBreaker::builder().probes(1_024).probe_lease(Duration::MAX);
            let window = Window::time(Duration::MAX).min_calls(1);
            let breaker = builder
                .max_half_open(Duration::MAX, AfterWait::Open)
                .open_for(Duration::MAX)
                .failure_rate(1.0, window)
                .build();
            breaker.try_acquire().unwrap().failure();
            assert!(breaker.try_acquire().is_err());
        },
    ];
    for setter in table {
        assert_eq!(what(setter), None);
    }
}

/// They are refused where the mistake is, not somewhere in here.
#[test]
fn the_sentence_points_to_the_line_that_is_wrong() {
    use std::{
        panic::{set_hook, take_hook},
        sync::{Arc, Mutex},
    };

    let file = Arc::new(Mutex::new(Vec::new()));
    let (before, seen) = (take_hook(), Arc::clone(&file));
    let this = std::thread::current().id();
    set_hook(Box::new(move |info| {
        if std::thread::current().id() == this {
            let place = info.location().map(|place| place.file().to_owned());
            seen.lock().unwrap().push(place.unwrap_or_default());
        }
    }));
    let setters: [fn(); 7] = [
        || drop(Window::calls(0)),
        || drop(Window::calls(1).min_calls(2)),
        || drop(TripPolicy::failure_rate(2.0, Window::calls(1))),
        || drop(TripPolicy::slow_call_rate(0.5, Duration::ZERO, Window::calls(1))),
        || drop(OpenFor::fixed(SECOND).jitter(2.0)),
        || drop(CircuitBreakerLayer::new().failure_rate(2.0, Window::calls(1))),
        || drop(CircuitBreakerLayer::new().max_half_open(Duration::ZERO, AfterWait::Open)),
    ];
    for setter in setters {
        let _ = catch_unwind(setter);
    }
    set_hook(before);
    let seen = file.lock().unwrap();
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().all(|file| file.ends_with("sentences.rs")), "{seen:?}");
}
