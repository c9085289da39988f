use std::thread;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// As many retries as there are.
fn drain(budget: &Budget, now: Instant) -> u64 {
    std::iter::from_fn(|| budget.withdraw_at(now))
        .map(Withdrawal::spend)
        .count() as u64
}

fn deposit(budget: &Budget, calls: u64) {
    (0..calls).for_each(|_| budget.deposit());
}

#[test]
fn under_a_frozen_clock_retries_are_the_ratio_of_the_calls_to_the_last_one() {
    for ratio in [
        0.0001,
        0.001,
        0.01,
        0.1,
        0.2,
        0.29,
        0.3,
        1.0 / 3.0,
        0.5,
        0.6,
        0.9,
        1.0,
        1.1,
        1.5,
        2.0,
    ] {
        let expected = (10_000.0 * (ratio * 1e6_f64).round() / 1e6) as u64;
        let budget = Budget::new().ratio(ratio).floor(0);
        deposit(&budget, 10_000);
        assert_eq!(
            drain(&budget, budget.inner.origin),
            expected,
            "{ratio}, all at once"
        );

        let budget = Budget::new().ratio(ratio).floor(0);
        let mut retries = 0;
        for calls in 1..=10_000 {
            budget.deposit();
            retries += drain(&budget, budget.inner.origin);
            assert!(
                retries as f64 <= ratio * f64::from(calls) + 1e-2,
                "{ratio}: {retries} after {calls}"
            );
        }
        assert_eq!(retries, expected, "{ratio}, one by one");
    }
}

#[test]
fn an_empty_budget_refuses_and_the_floor_is_the_least_and_no_addition() {
    let budget = Budget::new().floor(0);
    assert_eq!(drain(&budget, budget.inner.origin), 0);
    for (calls, retries) in [(0, 10), (49, 10), (50, 10), (100, 20)] {
        let budget = Budget::new();
        deposit(&budget, calls);
        assert_eq!(budget.left(), retries);
        assert_eq!(drain(&budget, budget.inner.origin), retries, "{calls} calls");
    }
}

// tower's scenarios, window 1 s.
#[test]
fn calls_count_for_the_window_and_no_longer() {
    let second = || Budget::new().ratio(0.5).floor(0).window(1_000 * MS);
    let budget = second();
    let start = budget.inner.origin;
    deposit(&budget, 2);
    assert_eq!(drain(&budget, start + 901 * MS), 1);

    let budget = second();
    let start = budget.inner.origin;
    for at in [0, 301, 1_102] {
        budget.deposit();
        drop(budget.looked_at(start + at * MS));
    }
    assert_eq!(drain(&budget, start + 1_102 * MS), 1);

    let budget = Budget::new().ratio(1.0).floor(0).window(1_000 * MS);
    budget.deposit();
    // Looked at then; else it would count as having come just now, as the last call before a failure has.
    drop(budget.looked_at(budget.inner.origin));
    assert_eq!(drain(&budget, budget.inner.origin + 3_000 * MS), 0);
}

#[test]
fn calls_since_the_last_look_count_as_evenly_spread() {
    let budget = Budget::new().floor(0);
    deposit(&budget, 100);
    assert_eq!(drain(&budget, budget.inner.origin + Duration::from_secs(10)), 18);
}

#[test]
fn a_day_without_a_failure_is_no_credit_nor_is_a_burst_before_a_quiet_time() {
    let budget = Budget::new().floor(0);
    deposit(&budget, 86_400);
    let after_a_day = budget.inner.origin + Duration::from_secs(86_400);
    // They may all have come in the morning.
    assert_eq!(drain(&budget, after_a_day), 0);
    // And those that were seen go out of the window in time.
    deposit(&budget, 100);
    assert!(drain(&budget, after_a_day) >= 20);
    assert_eq!(drain(&budget, after_a_day + Duration::from_secs(11)), 0);
}

#[test]
fn retries_are_given_back_by_time_and_by_dropping() {
    let budget = Budget::new().ratio(0.0).floor(2).window(1_000 * MS);
    let start = budget.inner.origin;
    let first = budget.withdraw_at(start).expect("two are left");
    let second = budget.withdraw_at(start).expect("one is left");
    assert!(budget.withdraw_at(start).is_none());
    drop(first);
    let first = budget.withdraw_at(start).expect("it was given back");
    assert!(budget.withdraw_at(start).is_none());
    second.spend();
    // Both have left the window: giving one back now adds nothing.
    assert_eq!(drain(&budget, start + 1_100 * MS), 2);
    drop(first);
    assert_eq!(drain(&budget, start + 1_100 * MS), 0);
}

#[test]
fn time_that_goes_backwards_is_time_that_stands_still() {
    let budget = Budget::new().ratio(1.0).floor(0);
    let start = budget.inner.origin;
    deposit(&budget, 4);
    drop(budget.looked_at(start + 5_000 * MS));
    deposit(&budget, 4);
    assert_eq!(drain(&budget, start), 8);
}

#[test]
fn threads_never_overspend() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 5_000;
    let budget = Budget::new().floor(0);
    let now = budget.inner.origin;
    let spent: u64 = thread::scope(|scope| {
        let spenders: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut spent = 0;
                    for call in 0..CALLS {
                        budget.deposit();
                        match budget.withdraw_at(now) {
                            Some(retry) if call % 3 == 0 => drop(retry),
                            Some(retry) => {
                                retry.spend();
                                spent += 1;
                            }
                            None => {}
                        }
                    }
                    spent
                })
            })
            .collect();
        spenders
            .into_iter()
            .map(|spender| spender.join().expect("no panic"))
            .sum()
    });
    let allowed = THREADS * CALLS / 5;
    assert!(spent <= allowed, "{spent} of {allowed}");
    assert_eq!(spent + drain(&budget, now), allowed);
}

#[test]
fn a_ratio_that_is_none_is_refused_with_a_sentence() {
    for ratio in [f64::NAN, f64::INFINITY, -0.1, 1_000.1] {
        let panic = std::panic::catch_unwind(|| Budget::new().ratio(ratio)).expect_err("refused");
        assert_eq!(
            *panic.downcast_ref::<String>().expect("a sentence"),
            format!(
                "The ratio of a retry budget must be from 0 to 1000 retries for each call, but it was {ratio}."
            )
        );
    }
    assert!(std::panic::catch_unwind(|| Budget::new().window(Duration::ZERO)).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn no_window_ever_holds_more_than_its_allowance(
        ratio in 0.0f64..2.0,
        floor in 0u32..5,
        steps in proptest::collection::vec((0u64..50, 0u32..400, 0u32..40), 1..60),
    ) {
        let budget = Budget::new().ratio(ratio).floor(floor).window(1_000 * MS);
        let (mut now, mut calls, mut retries) = (budget.inner.origin, 0, 0);
        for (came, millis, wanted) in steps {
            now += millis * MS;
            deposit(&budget, came);
            calls += came;
            retries += (0..wanted).map_while(|_| budget.withdraw_at(now)).map(Withdrawal::spend).count() as u64;
            let elapsed = now - budget.inner.origin;
            // Never more than all calls earned, and a floor for each window.
            let windows = elapsed.as_millis() as f64 / 900.0 + 2.0;
            proptest::prop_assert!(retries as f64 <= ratio * calls as f64 + f64::from(floor) * windows + 1.0);
            let state = budget.looked_at(now);
            let (sum, slots) = state.window.totals();
            proptest::prop_assert_eq!(sum, slots);
        }
    }
}
