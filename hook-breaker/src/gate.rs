use std::{
    sync::{
        PoisonError,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

use hook_monitor::{Outcome, Reason, Rejected};

use crate::{
    circuit::{Circuit, Ticket, remaining},
    config::{Settings, State},
    sync::{AtomicU64, Mutex, MutexGuard},
    word::Word,
};

#[cfg(all(test, loom))]
mod loom_tests;

/// The circuit as many threads share it.
///
/// While closed, results are written into the word with compare-and-swap, without the lock. Every
/// other change is made by the holder of the lock, so in the other states the word stands still for
/// him. A transition out of closed is the one place where both meet: it is a compare-and-swap under
/// the lock.
#[derive(Debug)]
pub(crate) struct Gate {
    /// A [`Word`]. Publishes `until`, which is written before it.
    word: AtomicU64,
    /// End of the break in nanoseconds after `epoch`, for refusals that need no lock. A reader may
    /// find the end of a later break than the one its word speaks of; it is then refused for longer,
    /// and rightly.
    until: AtomicU64,
    epoch: Instant,
    threshold: u32,
    locked: Mutex<Locked>,
}

#[derive(Debug)]
struct Locked {
    circuit: Circuit,
    transitions: Transitions,
}

/// How often the circuit went from one state to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transitions {
    pub(crate) closed_to_open: u64,
    pub(crate) open_to_half_open: u64,
    pub(crate) open_to_closed: u64,
    pub(crate) half_open_to_open: u64,
    pub(crate) half_open_to_closed: u64,
}

/// What a caller who asked now would be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    /// To come in, most likely.
    Admitting,
    /// To go away, for this reason.
    Refusing(Reason),
}

impl Gate {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            word: AtomicU64::new(Word::new().pack()),
            until: AtomicU64::new(0),
            epoch: now,
            threshold: settings.consecutive_failures,
            locked: Mutex::new(Locked {
                circuit: Circuit::new(settings, now),
                transitions: Transitions::default(),
            }),
        }
    }

    /// Lets a call in, or refuses it. Reads the clock unless the circuit is closed.
    #[inline]
    pub(crate) fn acquire(&self, now: impl FnOnce() -> Instant) -> Result<Ticket, Rejected> {
        let word = self.word();
        if word.state == State::Closed {
            return Ok(Ticket::closed(word));
        }
        let now = now();
        if word.state == State::Open {
            if let Some(wait) = remaining(self.until(), now) {
                return Err(Rejected::new(Reason::CircuitOpen).after(wait));
            }
        }
        self.acquire_locked(now)
    }

    #[cold]
    fn acquire_locked(&self, now: Instant) -> Result<Ticket, Rejected> {
        let mut locked = self.lock();
        loop {
            let word = self.word();
            let (next, answer) = locked.circuit.acquire(word, now);
            if self.publish(&mut locked, word, next) {
                return answer;
            }
        }
    }

    /// Takes the result of a call. Reads the clock only where the result bears on a probe or opens the
    /// circuit; writes nothing where it changes nothing.
    #[inline]
    pub(crate) fn settle(&self, ticket: Ticket, outcome: Outcome, now: impl FnOnce() -> Instant) {
        let mut word = self.word();
        while ticket.is_of(word) {
            let next = match word.state {
                State::Closed => word.closed_after(outcome, self.threshold),
                State::Open | State::HalfOpen => None,
            };
            let Some(next) = next else {
                return self.settle_locked(ticket, outcome, now());
            };
            if next == word {
                return;
            }
            match self
                .word
                .compare_exchange_weak(word.pack(), next.pack(), AcqRel, Acquire)
            {
                Ok(_) => return,
                Err(found) => word = Word::unpack(found),
            }
        }
    }

    #[cold]
    fn settle_locked(&self, ticket: Ticket, outcome: Outcome, now: Instant) {
        let mut locked = self.lock();
        loop {
            let word = self.word();
            let next = locked.circuit.settle(word, ticket, outcome, now);
            if self.publish(&mut locked, word, next) {
                return;
            }
        }
    }

    /// Closes the circuit, and starts a new generation if it was closed already.
    pub(crate) fn reset(&self) {
        let mut locked = self.lock();
        loop {
            let word = self.word();
            let next = locked.circuit.reset(word);
            if self.publish(&mut locked, word, next) {
                return;
            }
        }
    }

    /// What [`acquire`](Gate::acquire) would say, without taking anything. Takes the lock only while
    /// half-open: whoever were told to come in would wait for an inner service that a hung probe may
    /// fill, and never ask.
    #[inline]
    pub(crate) fn peek(&self, now: impl FnOnce() -> Instant) -> Peek {
        let word = self.word();
        if word.state == State::Closed {
            return Peek::Admitting;
        }
        let now = now();
        let refusal = match word.state {
            State::Open if remaining(self.until(), now).is_some() => Some(Reason::CircuitOpen),
            State::HalfOpen if word.count == 0 => Some(Reason::ProbesTaken),
            State::HalfOpen if self.lock().circuit.lease_is_over(now) => Some(Reason::CircuitOpen),
            State::Closed | State::Open | State::HalfOpen => None,
        };
        refusal.map_or(Peek::Admitting, Peek::Refusing)
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word::unpack(self.word.load(Acquire))
    }

    /// The word, the end of the break and the tally, all of one instant.
    pub(crate) fn look(&self) -> (Word, Instant, Transitions) {
        let locked = self.lock();
        (self.word(), locked.circuit.until(), locked.transitions)
    }

    /// Makes `next` the word if it still is `word`. The circuit's own part is changed already; where
    /// this fails the circuit was closed, and being asked again it overwrites what it had prepared.
    fn publish(&self, locked: &mut Locked, word: Word, next: Word) -> bool {
        if next == word {
            return true;
        }
        if next.state == State::Open {
            let until = locked.circuit.until();
            let nanos = until.saturating_duration_since(self.epoch).as_nanos();
            self.until
                .store(u64::try_from(nanos).unwrap_or(u64::MAX), Relaxed);
        }
        let swapped = self
            .word
            .compare_exchange(word.pack(), next.pack(), Release, Relaxed)
            .is_ok();
        if swapped {
            locked.transitions.count(word.state, next.state);
        }
        swapped
    }

    fn until(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.until.load(Relaxed))
    }

    /// No user code runs under the lock and nothing in there panics half way.
    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transitions {
    fn count(&mut self, from: State, to: State) {
        let count = match (from, to) {
            (State::Closed, State::Open) => &mut self.closed_to_open,
            (State::Open, State::HalfOpen) => &mut self.open_to_half_open,
            (State::Open, State::Closed) => &mut self.open_to_closed,
            (State::HalfOpen, State::Open) => &mut self.half_open_to_open,
            (State::HalfOpen, State::Closed) => &mut self.half_open_to_closed,
            // Staying in a state is no transition, and nothing leads from closed to half-open.
            (State::Closed, _) | (State::Open, _) | (State::HalfOpen, _) => return,
        };
        *count += 1;
    }

    /// How often the circuit opened, the first time and again.
    pub(crate) const fn opened(&self) -> u64 {
        self.closed_to_open + self.half_open_to_open
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_the_clock_while_the_circuit_is_closed_and_stays_so() {
        fn never() -> Instant {
            panic!("the clock was read")
        }

        let gate = Gate::new(Settings::default(), Instant::now());
        for outcome in [
            Outcome::Failure,
            Outcome::Failure,
            Outcome::Ignored,
            Outcome::Success,
        ] {
            assert_eq!(gate.peek(never), Peek::Admitting);
            let ticket = gate.acquire(never).expect("a closed circuit lets calls in");
            gate.settle(ticket, outcome, never);
        }
    }

    #[test]
    fn a_refusal_of_an_open_circuit_reads_the_clock_once_and_takes_no_lock() {
        let now = Instant::now();
        let settings = Settings {
            consecutive_failures: 1,
            ..Settings::default()
        };
        let gate = Gate::new(settings, now);
        let ticket = gate.acquire(|| now).expect("a closed circuit lets calls in");
        gate.settle(ticket, Outcome::Failure, || now);

        let _held = gate.lock();
        let mut readings = 0;
        let answer = gate.acquire(|| {
            readings += 1;
            now
        });
        assert_eq!(
            answer.map_err(|rejected| rejected.reason()),
            Err(Reason::CircuitOpen)
        );
        assert_eq!(readings, 1);
    }
}
