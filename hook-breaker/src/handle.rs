use std::time::Duration;

use hook_monitor::{Gather, Source, Status};

use crate::{
    breaker::CircuitBreaker,
    circuit::remaining,
    config::State,
    shared::{FAILURE, IGNORED, NOT_PERMITTED, SUCCESS},
};

/// A circuit as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What the circuit was doing. An open circuit whose break is over is `Open` until a call asks.
    pub state: State,
    /// Grows by one with each transition and each reset; wraps after 2^30.
    pub generation: u32,
    /// Failures since the last success; zero unless closed.
    pub consecutive_failures: u32,
    /// The rest of the break, while open; zero when the next call will be let in.
    pub retry_after: Option<Duration>,
    /// Calls that succeeded, since the circuit was made.
    pub successes: u64,
    /// Calls that failed, since the circuit was made; panics and dropped calls that count as failures
    /// among them.
    pub failures: u64,
    /// Calls that counted for neither side, since the circuit was made; the other dropped calls among
    /// them.
    pub ignored: u64,
    /// Calls that were refused, since the circuit was made.
    pub not_permitted: u64,
    /// How often the circuit opened, the first time and again.
    pub opened: u64,
}

/// Looking in from outside, and the hand brake. Nothing here allocates. `snapshot`, `read` and `reset`
/// take the lock that transitions are made under, which is held for moments; `state` and `status`
/// take none.
impl CircuitBreaker {
    /// What the circuit is doing. An open circuit whose break is over is `Open` until a call asks.
    pub fn state(&self) -> State {
        self.core().gate.word().state
    }

    /// Everything there is to know, read at once. Totals may be ahead of or behind the state by the
    /// calls that are ending at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let core = self.core();
        let (word, until, transitions) = core.gate.look();
        let [successes, failures, ignored, not_permitted] = core.counters.read();
        let is_open = word.state == State::Open;
        let is_closed = word.state == State::Closed;
        Snapshot {
            state: word.state,
            generation: word.generation,
            consecutive_failures: if is_closed { word.count } else { 0 },
            retry_after: is_open.then(|| remaining(until, core.clock.now()).unwrap_or_default()),
            successes,
            failures,
            ignored,
            not_permitted,
            opened: transitions.opened(),
        }
    }

    /// Closes the circuit and forgets the failures in a row, whatever its state, closed included.
    ///
    /// Calls under way keep running; their results no longer count for the circuit. Totals go on.
    pub fn reset(&self) {
        self.core().gate.reset();
    }
}

impl Source for CircuitBreaker {
    fn layer(&self) -> &'static str {
        "breaker"
    }

    fn name(&self) -> &str {
        &self.core().name
    }

    /// Degraded unless closed: the process is well, what it depends on is not.
    fn status(&self) -> Status {
        match self.state() {
            State::Closed => Status::Healthy,
            State::Open | State::HalfOpen => Status::Degraded,
        }
    }

    fn read(&self, into: &mut dyn Gather) {
        let core = self.core();
        let (word, _, transitions) = core.gate.look();
        for state in [State::Closed, State::Open, State::HalfOpen] {
            let is_on = if state == word.state { 1.0 } else { 0.0 };
            into.gauge("hook_breaker_state", &[("state", state.as_str())], is_on);
        }
        let calls = core.counters.read();
        for (kind, index) in [
            ("success", SUCCESS),
            ("failure", FAILURE),
            ("ignored", IGNORED),
            ("not_permitted", NOT_PERMITTED),
        ] {
            into.counter("hook_breaker_calls_total", &[("kind", kind)], calls[index]);
        }
        for (from, to, count) in [
            (State::Closed, State::Open, transitions.closed_to_open),
            (State::Open, State::HalfOpen, transitions.open_to_half_open),
            (State::Open, State::Closed, transitions.open_to_closed),
            (State::HalfOpen, State::Open, transitions.half_open_to_open),
            (State::HalfOpen, State::Closed, transitions.half_open_to_closed),
        ] {
            let labels = [("from", from.as_str()), ("to", to.as_str())];
            into.counter("hook_breaker_transitions_total", &labels, count);
        }
    }
}
