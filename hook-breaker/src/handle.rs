use std::time::{Duration, Instant};

use hook_monitor::{Gather, Source, Status};

use crate::{
    breaker::CircuitBreaker,
    circuit::{Circuit, remaining},
    config::State,
    feed::Events,
    gate::Kinds,
    policy::Tally,
    queue::Queue,
    word::Word,
};

/// A circuit as it was when it was looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What the circuit was doing. An open circuit whose break is over is `Open` until a call asks.
    pub state: State,
    /// Grows by one with each transition and each reset; wraps after 2^32.
    pub generation: u32,
    /// Failures since the last success; zero unless calls are judged.
    pub consecutive_failures: u32,
    /// What the policy's windows hold, in the order of its rules. Empty if it has none.
    pub windows: Vec<WindowSnapshot>,
    /// When the circuit opened, until it closes; for one that was restored, when that was.
    pub opened_at: Option<Instant>,
    /// The rest of the break, while open; zero when the next call will be let in.
    pub retry_after: Option<Duration>,
    /// When a call last failed.
    pub last_failure: Option<Instant>,
    /// Probes that could still be let in; zero unless half-open.
    pub free_probes: u32,
    /// Breaks in a row without the circuit having closed in between.
    pub breaks: u32,
    /// Calls under way, with those of [`call`](CircuitBreaker::call) that have yet to be polled, and services that were
    /// [promised](crate::CircuitBreakerLayer::wait_until_permitted) a call.
    pub in_flight: u64,
    /// Services that wait until they are let in.
    pub waiting: usize,
    /// Calls that succeeded, since the circuit was made.
    pub successes: u64,
    /// Calls that failed, since the circuit was made; panics and dropped calls that count as failures
    /// among them.
    pub failures: u64,
    /// Calls that counted for neither side, since the circuit was made; the other dropped calls among
    /// them.
    pub ignored: u64,
    /// Calls, successful or failed, that were slow to any rule, since the circuit was made.
    pub slow_calls: u64,
    /// Calls that were refused, since the circuit was made.
    pub not_permitted: u64,
    /// How often the circuit opened, the first time and again, by itself.
    pub opened: u64,
}

/// What one window of the policy holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WindowSnapshot {
    /// The calls in it.
    pub tally: Tally,
    /// How many it takes for a rate.
    pub min_calls: u64,
}

impl WindowSnapshot {
    /// Failures by calls, from 0 to 1; `None` while there are too few.
    pub fn failure_rate(&self) -> Option<f64> {
        self.tally.failure_rate().filter(|_| self.is_enough())
    }

    /// Slow calls by calls, from 0 to 1; `None` while there are too few.
    pub fn slow_call_rate(&self) -> Option<f64> {
        self.tally.slow_call_rate().filter(|_| self.is_enough())
    }

    fn is_enough(&self) -> bool {
        self.tally.calls >= self.min_calls
    }
}

/// Looking in from outside, and the hand brake. `snapshot`, `read` and what changes the circuit take the lock that
/// transitions are made under, which is held for moments; `state` and `status` take none.
impl CircuitBreaker {
    /// What this breaker is called.
    pub fn name(&self) -> &str {
        self.core().name()
    }

    /// What the circuit is doing. An open circuit whose break is over is `Open` until a call asks.
    #[inline]
    pub fn state(&self) -> State {
        self.gate().word().state
    }

    /// Everything there is to know, read at once. Totals may be ahead of or behind the state by the
    /// calls that are ending at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let core = self.core();
        let [successes, failures, slow_calls, ignored, not_permitted] = core.gate().totals();
        let in_flight = core.in_flight();
        core.gate().look(|circuit, queue, word, now| {
            let is_open = word.state == State::Open;
            Snapshot {
                state: word.state,
                generation: word.generation,
                consecutive_failures: circuit.row(),
                windows: windows(circuit),
                opened_at: circuit.opened_at(),
                retry_after: is_open.then(|| remaining(circuit.until(), now).unwrap_or_default()),
                last_failure: circuit.last_failure(),
                free_probes: word.free.into(),
                breaks: circuit.breaks(),
                in_flight,
                waiting: queue.len(),
                successes,
                failures,
                ignored,
                slow_calls,
                not_permitted,
                opened: opened(circuit),
            }
        })
    }

    /// Closes the circuit and forgets everything about its health, whatever its state, closed included. Ends every
    /// state that was begun by hand.
    ///
    /// Calls under way keep running; their results no longer count for the circuit. Totals go on.
    pub fn reset(&self) {
        self.put(State::Closed);
    }

    /// Opens the circuit until [`reset`](Self::reset), or another state by hand. Calls are refused with
    /// [`Reason::CircuitIsolated`](crate::Reason::CircuitIsolated), for nobody knows how long.
    pub fn force_open(&self) {
        self.put(State::ForcedOpen);
    }

    /// Lets every call in and counts nothing, until [`reset`](Self::reset), or another state by hand.
    pub fn disable(&self) {
        self.put(State::Disabled);
    }

    /// Lets every call in and judges them all, but only [says](crate::Event::WouldOpen) when the circuit would have
    /// opened, until [`reset`](Self::reset), or another state by hand. Begins with empty windows.
    pub fn metrics_only(&self) {
        self.put(State::MetricsOnly);
    }

    /// What happens to the circuit from here on.
    pub fn subscribe(&self) -> Events {
        Events::of(&self.core().feed)
    }

    fn put(&self, state: State) {
        self.gate()
            .change(|circuit, word, now| circuit.put(word, state, now));
    }
}

fn windows(circuit: &Circuit) -> Vec<WindowSnapshot> {
    let row = circuit.row();
    let of = |meter: &crate::circuit::Meter| {
        Some(WindowSnapshot {
            tally: meter.tally(row)?,
            min_calls: meter.window()?.enough(),
        })
    };
    circuit.meters().iter().filter_map(of).collect()
}

/// By itself: from wherever to `Open`.
fn opened(circuit: &Circuit) -> u64 {
    circuit
        .transitions()
        .iter()
        .map(|to| to[State::Open as usize])
        .sum()
}

impl Source for CircuitBreaker {
    fn layer(&self) -> &'static str {
        "breaker"
    }

    fn name(&self) -> &str {
        self.core().name()
    }

    /// Degraded while calls are refused or only probe: the process is well, what it depends on is not.
    fn status(&self) -> Status {
        if self.state().lets_in() {
            Status::Healthy
        } else {
            Status::Degraded
        }
    }

    fn read(&self, into: &mut dyn Gather) {
        let core = self.core();
        let look = |circuit: &Circuit, queue: &Queue, word: Word, now| {
            let spent = circuit.spent(word, now);
            (word, *circuit.transitions(), spent, windows(circuit), queue.len())
        };
        let (word, transitions, spent, windows, waiting) = core.gate().look(look);
        for state in State::ALL {
            let is_on = if state == word.state { 1.0 } else { 0.0 };
            into.gauge("hook_breaker_state", &[("state", state.as_str())], is_on);
        }
        for (state, spent) in State::ALL.into_iter().zip(spent) {
            // Whole seconds, as counters are whole.
            let labels = [("state", state.as_str())];
            into.counter("hook_breaker_state_seconds_total", &labels, spent.as_secs());
        }
        Kinds::read(core.gate().totals(), into);
        into.gauge("hook_breaker_calls_in_flight", &[], core.in_flight() as f64);
        into.gauge("hook_breaker_waiting", &[], waiting as f64);
        for from in State::ALL {
            for to in State::ALL {
                // There is no way that leads there.
                let is_possible = match (from, to) {
                    (_, State::Open) => matches!(from, State::Closed | State::HalfOpen),
                    (_, State::HalfOpen) => from == State::Open,
                    _ => from != to,
                };
                if is_possible {
                    let labels = [("from", from.as_str()), ("to", to.as_str())];
                    let count = transitions[from as usize][to as usize];
                    into.counter("hook_breaker_transitions_total", &labels, count);
                }
            }
        }
        // Where there are several windows, the worst of them.
        let worst =
            |rate: fn(&WindowSnapshot) -> Option<f64>| windows.iter().filter_map(rate).fold(0.0, f64::max);
        into.gauge(
            "hook_breaker_failure_ratio",
            &[],
            worst(WindowSnapshot::failure_rate),
        );
        into.gauge(
            "hook_breaker_slow_call_ratio",
            &[],
            worst(WindowSnapshot::slow_call_rate),
        );
    }
}
