use super::*;

const SEEDS: u64 = 200;

/// A sequence that has come as far as retry number `retries`.
fn at(backoff: &impl Backoff<Delays = Delays>, retries: u32, seed: u64) -> Delays {
    Delays {
        retries,
        ..backoff.delays(seed)
    }
}

fn millis(backoff: &impl Backoff, n: usize) -> Vec<u128> {
    backoff.delays(0).take(n).map(|delay| delay.as_millis()).collect()
}

/// Retries from the first to the last that can be counted, ever farther apart.
fn retries() -> impl Iterator<Item = u32> {
    (0..40)
        .chain((5..32).map(|bits| 1 << bits))
        .chain([1_000, u32::MAX - 1, u32::MAX])
}

#[test]
fn exponential_doubles_up_to_its_cap() {
    let backoff = Exponential::new(Duration::from_secs(1))
        .cap(Duration::from_secs(3))
        .no_jitter();
    assert_eq!(millis(&backoff, 4), [1_000, 2_000, 3_000, 3_000]);
    let backoff = Exponential::new(Duration::from_secs(1)).no_jitter();
    assert_eq!(millis(&backoff, 5), [1_000, 2_000, 4_000, 5_000, 5_000]);
    let backoff = Exponential::from_millis(100).factor(1.5).no_jitter();
    assert_eq!(millis(&backoff, 4), [100, 150, 225, 337]);
}

#[test]
fn linear_adds_and_fixed_stays_and_no_wait_is_none() {
    assert_eq!(millis(&Linear::from_millis(100).no_jitter(), 3), [100, 200, 300]);
    assert_eq!(millis(&Fixed::from_millis(100), 3), [100, 100, 100]);
    assert_eq!(millis(&NoWait, 3), [0, 0, 0]);
}

#[test]
fn a_cap_below_the_first_wait_holds_and_a_first_wait_above_the_default_cap_is_kept() {
    let cap = Duration::from_millis(123);
    assert_eq!(
        millis(&Exponential::from_millis(500).cap(cap).no_jitter(), 2),
        [123, 123]
    );
    assert_eq!(
        millis(&Linear::from_millis(500).cap(cap).no_jitter(), 2),
        [123, 123]
    );
    assert_eq!(
        millis(&Exponential::from_millis(9_000).no_jitter(), 2),
        [9_000; 2]
    );
    assert_eq!(millis(&Linear::from_millis(9_000).no_jitter(), 2), [9_000; 2]);
}

#[test]
fn retry_one_thousand_of_a_day_saturates_at_the_cap() {
    let day = Duration::from_secs(24 * 60 * 60);
    for retries in [1_000, u32::MAX] {
        let exponential = Exponential::new(day).cap(Duration::MAX).no_jitter();
        // 584 years, the most that nanoseconds count.
        assert_eq!(
            at(&exponential, retries, 0).next(),
            Some(Duration::from_nanos(u64::MAX))
        );
        let capped = exponential.cap(Duration::from_millis(123));
        assert_eq!(at(&capped, retries, 0).next(), Some(Duration::from_millis(123)));
        let capped = Linear::new(Duration::MAX)
            .cap(Duration::from_millis(123))
            .no_jitter();
        assert_eq!(at(&capped, retries, 0).next(), Some(Duration::from_millis(123)));
    }
}

#[test]
fn no_wait_is_out_of_bounds_for_any_seed_at_any_retry() {
    let cap = Duration::from_millis(2_345);
    let exponential = Exponential::from_millis(7).factor(3.3).cap(cap);
    let linear = Linear::from_millis(11).cap(cap);
    let fixed = Fixed::from_millis(17);
    for retries in retries() {
        for (plain, full, equal) in [
            (
                at(&exponential.no_jitter(), retries, 0),
                exponential.full_jitter().delays(0),
                exponential.equal_jitter().delays(0),
            ),
            (
                at(&linear.no_jitter(), retries, 0),
                linear.full_jitter().delays(0),
                linear.equal_jitter().delays(0),
            ),
            (
                at(&fixed.no_jitter(), retries, 0),
                fixed.full_jitter().delays(0),
                fixed.equal_jitter().delays(0),
            ),
        ] {
            let base = plain.clone().next().expect("never ends");
            assert!(base <= cap && base >= Duration::from_millis(7), "{base:?}");
            for seed in 0..SEEDS {
                let random = Random::new(seed);
                let full = Delays {
                    retries,
                    random: random.clone(),
                    ..full.clone()
                }
                .next();
                let equal = Delays {
                    retries,
                    random,
                    ..equal.clone()
                }
                .next();
                assert!(full <= Some(base), "full: {full:?} of {base:?}");
                assert!(
                    equal <= Some(base) && equal >= Some(base / 2),
                    "equal: {equal:?} of {base:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_nan_or_negative_where_infinity_meets_zero() {
    let nothing = Exponential::from_millis(0).factor(f64::MAX).no_jitter();
    for retries in retries() {
        assert_eq!(at(&nothing, retries, 0).next(), Some(Duration::ZERO));
    }
    let steep = Exponential::from_millis(1).factor(f64::MAX).no_jitter();
    assert_eq!(millis(&steep, 3), [1, 5_000, 5_000]);
    let flat = Exponential::from_millis(3).factor(1.0).no_jitter();
    assert_eq!(at(&flat, u32::MAX, 0).next(), Some(Duration::from_millis(3)));
}

#[test]
fn full_jitter_is_spread_evenly_from_nothing_to_the_whole() {
    let backoff = Exponential::from_millis(1_000);
    let mut tenths = [0u32; 10];
    for seed in 0..10_000 {
        let delay = backoff.delays(seed).next().expect("never ends");
        tenths[(delay.as_nanos() / 100_000_001) as usize] += 1;
    }
    assert!(tenths.iter().all(|n| (900..1_100).contains(n)), "{tenths:?}");
}

// tower cuts jitter to whole seconds where the wait is whole seconds.
#[test]
fn jitter_keeps_the_fractions_of_a_second_and_of_a_millisecond() {
    let backoff = Exponential::new(Duration::from_secs(3)).no_jitter().full_jitter();
    let delays: Vec<_> = (0..SEEDS)
        .filter_map(|seed| backoff.delays(seed).next())
        .collect();
    assert!(
        delays
            .iter()
            .filter(|delay| delay.subsec_nanos() % 1_000 != 0)
            .count()
            > 150
    );
    assert!(delays.iter().any(|delay| delay.as_secs() == 2));
    assert!(delays.iter().any(|delay| delay.as_secs() == 0));
}

// tower gives every request the same sequence of jitter; several peers have none unless asked.
#[test]
fn jitter_is_there_by_default_and_differs_by_seed_alone() {
    let backoff = Exponential::default();
    let waits = |seed| backoff.delays(seed).take(5).collect::<Vec<_>>();
    assert_eq!(waits(1), waits(1));
    for seed in 1..SEEDS {
        assert_ne!(waits(0), waits(seed));
    }
    assert_eq!(backoff, Exponential::from_millis(100).full_jitter());
    assert_ne!(Linear::from_millis(100), Linear::from_millis(100).no_jitter());
}

#[test]
fn a_factor_that_is_no_growth_is_refused_with_a_sentence() {
    for factor in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0, 0.0, 0.99] {
        let panic = std::panic::catch_unwind(|| Exponential::default().factor(factor));
        let panic = panic.expect_err("refused");
        let said = panic.downcast_ref::<String>().expect("a sentence");
        assert_eq!(
            *said,
            format!(
                "The factor of an exponential back-off must be a finite number of at least 1, but it was {factor}."
            )
        );
    }
}

#[test]
fn a_closure_that_makes_an_iterator_is_a_backoff_that_ends() {
    let backoff = || [1, 2].map(Duration::from_millis);
    assert_eq!(millis(&backoff, 9), [1, 2]);
}

#[test]
fn decorrelated_waits_stay_between_the_first_and_three_times_the_one_before_and_do_not_gather_at_the_cap() {
    let (first, cap) = (Duration::from_millis(100), Duration::from_secs(5));
    let backoff = Exponential::new(first).cap(cap).decorrelated_jitter();
    let mut at_cap = 0;
    for seed in 0..SEEDS {
        let mut before = first;
        for wait in backoff.delays(seed).take(100) {
            assert!(
                wait >= first && wait <= (before * 3).min(cap),
                "{wait:?} after {before:?}"
            );
            at_cap += u32::from(wait == cap);
            before = wait;
        }
    }
    assert!(
        at_cap < 10,
        "{at_cap} waits of {} are the cap itself",
        SEEDS * 100
    );
    let below = Exponential::new(first)
        .cap(Duration::from_millis(1))
        .decorrelated_jitter();
    assert!(
        below
            .delays(1)
            .take(9)
            .all(|wait| wait == Duration::from_millis(1))
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    #[test]
    fn any_backoff_at_any_retry_keeps_its_bounds(
        first in 0u64.., cap in 0u64.., factor in 1.0f64..1e300, retries in 0u32.., seed in 0u64..,
    ) {
        let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(cap));
        let exponential = Exponential::new(first).factor(factor).cap(cap);
        let linear = Linear::new(first).cap(cap);
        for retries in [retries, 0, 1, u32::MAX - 1, u32::MAX] {
            for (plain, equal, full) in [
                (at(&exponential.no_jitter(), retries, seed), at(&exponential.equal_jitter(), retries, seed),
                 at(&exponential.full_jitter(), retries, seed)),
                (at(&linear.no_jitter(), retries, seed), at(&linear.equal_jitter(), retries, seed),
                 at(&linear.full_jitter(), retries, seed)),
            ] {
                let [plain, equal, full] = [plain, equal, full].map(|mut waits| waits.next().expect("no end"));
                proptest::prop_assert!(plain <= cap && plain >= first.min(cap));
                proptest::prop_assert!(equal <= plain && equal >= plain / 2);
                proptest::prop_assert!(full <= plain);
            }
            let mut decorrelated = at(&exponential.decorrelated_jitter(), retries, seed);
            let wait = decorrelated.next().expect("no end");
            proptest::prop_assert!(wait >= first.min(cap) && wait <= cap);
        }
    }
}
