//! Both windows against a naive oracle, which keeps every call and counts them all again after every step.

use std::time::Duration;

use hook_breaker::{CircuitBreaker, DroppedCall, Outcome, State, TripPolicy, Window};
use proptest::{collection::vec, prelude::*};
use tokio::time::{Instant, advance};

const SLOW: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many calls that end at once, made by this thread or by another.
    Calls(Outcome, usize, bool),
    /// One that takes as long as `SLOW`.
    Slow(Outcome),
    Dropped,
    Milliseconds(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = || {
        prop_oneof![
            4 => Just(Outcome::Success),
            2 => Just(Outcome::Failure),
            1 => Just(Outcome::Ignored),
        ]
    };
    prop_oneof![
        12 => (outcome(), 1..40usize, any::<bool>()).prop_map(|(outcome, n, other)| Step::Calls(outcome, n, other)),
        6 => (outcome(), any::<bool>()).prop_map(|(outcome, other)| Step::Calls(outcome, 1, other)),
        2 => outcome().prop_map(Step::Slow),
        1 => Just(Step::Dropped),
        6 => (0..4_000u64).prop_map(Step::Milliseconds),
        1 => Just(Step::Milliseconds(100_000)),
        1 => Just(Step::Reset),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Calls(u32),
    Time(Duration, u32),
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        (1..200u32).prop_map(Span::Calls),
        (1..100u64, 1..20u32).prop_map(|(tenth, buckets)| {
            // Whole milliseconds a bucket.
            Span::Time(Duration::from_millis(tenth * 100 * u64::from(buckets)), buckets)
        }),
    ]
}

/// What the breaker should say.
struct Oracle {
    span: Span,
    min_calls: u64,
    rate: f64,
    by_slowness: bool,
    /// When the circuit began.
    origin: Instant,
    /// When, whether it failed, whether it was slow.
    calls: Vec<(Instant, bool, bool)>,
    row: u32,
}

impl Oracle {
    fn inside(&self) -> &[(Instant, bool, bool)] {
        let first = match self.span {
            Span::Calls(size) => self.calls.len().saturating_sub(size as usize),
            Span::Time(length, buckets) => {
                let bucket = (length / buckets).as_nanos();
                let index = |at: Instant| at.duration_since(self.origin).as_nanos() / bucket;
                let now = index(Instant::now());
                let is_in = |(at, ..): &(Instant, bool, bool)| index(*at) + u128::from(buckets) > now;
                self.calls.iter().position(is_in).unwrap_or(self.calls.len())
            }
        };
        &self.calls[first..]
    }

    fn tally(&self) -> (u64, u64, u64) {
        let inside = self.inside();
        let failures = inside.iter().filter(|call| call.1).count();
        let slow = inside.iter().filter(|call| call.2).count();
        (inside.len() as u64, failures as u64, slow as u64)
    }

    /// Whether that opens the circuit.
    fn push(&mut self, failed: bool, slow: bool) -> bool {
        self.calls.push((Instant::now(), failed, slow));
        self.row = if failed { self.row + 1 } else { 0 };
        let (calls, failures, slow_calls) = self.tally();
        let bad = if self.by_slowness { slow_calls } else { failures };
        calls >= self.min_calls && bad as f64 / calls as f64 >= self.rate
    }

    fn begin_anew(&mut self) {
        self.calls.clear();
        (self.row, self.origin) = (0, Instant::now());
    }
}

fn settle(breaker: &CircuitBreaker, outcome: Outcome, by_another: bool) {
    let one = || breaker.try_acquire().expect("it is closed").settle(outcome);
    if by_another {
        // In the same time.
        let runtime = tokio::runtime::Handle::current();
        let there = || {
            let _entered = runtime.enter();
            one();
        };
        std::thread::scope(|scope| scope.spawn(there).join().expect("it does not panic"));
    } else {
        one();
    }
}

async fn run(mut oracle: Oracle, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let window = match oracle.span {
        Span::Calls(size) => Window::calls(size),
        Span::Time(length, buckets) => Window::time(length).buckets(buckets),
    };
    let window = window.min_calls(oracle.min_calls as u32).slow_after(SLOW);
    let policy = match oracle.by_slowness {
        true => TripPolicy::slow_call_rate(oracle.rate, SLOW, window),
        false => TripPolicy::failure_rate(oracle.rate, window),
    };
    let breaker = CircuitBreaker::builder()
        .trip_when(policy)
        .dropped_call(DroppedCall::Neutral)
        .build();
    oracle.begin_anew();
    for step in steps {
        let (outcome, times, by_another, slow) = match step {
            Step::Calls(outcome, times, by_another) => (outcome, times, by_another, false),
            Step::Slow(outcome) => (outcome, 1, false, true),
            Step::Dropped => (Outcome::Ignored, 1, false, false),
            Step::Milliseconds(ms) => {
                advance(Duration::from_millis(ms)).await;
                (Outcome::Ignored, 0, false, false)
            }
            Step::Reset => {
                breaker.reset();
                oracle.begin_anew();
                (Outcome::Ignored, 0, false, false)
            }
        };
        for _ in 0..times {
            if slow {
                let permit = breaker.try_acquire().expect("it is closed");
                advance(SLOW).await;
                permit.settle(outcome);
            } else if matches!(step, Step::Dropped) {
                drop(breaker.try_acquire());
            } else {
                settle(&breaker, outcome, by_another);
            }
            let opens = outcome != Outcome::Ignored && oracle.push(outcome == Outcome::Failure, slow);
            let expected = if opens { State::Open } else { State::Closed };
            prop_assert_eq!(breaker.state(), expected, "{:?}", oracle.tally());
            if opens {
                breaker.reset();
                oracle.begin_anew();
            }
        }
        let seen = breaker.snapshot();
        let tally = seen.windows[0].tally;
        prop_assert_eq!(
            (tally.calls, tally.failures, tally.slow_calls),
            oracle.tally(),
            "{:?}",
            step
        );
        prop_assert_eq!(seen.consecutive_failures, oracle.row);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_windows_hold_what_they_should_and_open_when_they_should(
        span in span(),
        part in 0.0..=1.0f64,
        rate in 0.01..=1.0f64,
        by_slowness in any::<bool>(),
        steps in vec(step(), 1..60),
    ) {
        let most = match span {
            Span::Calls(size) => size,
            Span::Time(..) => 100,
        };
        let min_calls = 1 + (part * f64::from(most - 1)) as u64;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let (origin, calls, row) = (Instant::now(), Vec::new(), 0);
            run(Oracle { span, min_calls, rate, by_slowness, origin, calls, row }, steps).await
        })?;
    }
}
