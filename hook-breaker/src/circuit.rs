use std::time::{Duration, Instant};

use hook_monitor::{Outcome, Reason, Rejected};

use crate::{
    config::{Settings, State},
    word::Word,
};

/// The state machine: no clock, no lock, no atomics.
///
/// Each event takes the circuit's [`Word`] and gives the next one. What is kept here besides is only
/// looked at while the circuit is not closed.
#[derive(Debug)]
pub(crate) struct Circuit {
    settings: Settings,
    /// End of the break, while open.
    until: Instant,
    /// The probes under way, each with the time it was let in, at the place its ticket names.
    probes: Vec<Option<Instant>>,
    /// Probes of this generation that succeeded. Their slots are used up.
    passed: u32,
}

/// Proof of admission: whose result may count, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u32,
    /// Index among the probes; without meaning for a call let in by a closed circuit.
    slot: u32,
}

impl Ticket {
    #[inline]
    pub(crate) const fn closed(word: Word) -> Self {
        Self {
            generation: word.generation,
            slot: u32::MAX,
        }
    }

    #[inline]
    pub(crate) const fn is_of(self, word: Word) -> bool {
        self.generation == word.generation
    }
}

impl Circuit {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            until: now,
            probes: Vec::new(),
            passed: 0,
        }
    }

    /// A call asks to be let in.
    pub(crate) fn acquire(&mut self, word: Word, now: Instant) -> (Word, Result<Ticket, Rejected>) {
        match word.state {
            State::Closed => (word, Ok(Ticket::closed(word))),
            State::Open => match remaining(self.until, now) {
                Some(wait) => (word, Err(Rejected::new(Reason::CircuitOpen).after(wait))),
                None => {
                    let word = self.half_open(word);
                    self.grant(word, now)
                }
            },
            State::HalfOpen if self.lease_is_over(now) => {
                let refused = Rejected::new(Reason::CircuitOpen).after(self.settings.open_for);
                (self.open(word, now), Err(refused))
            }
            State::HalfOpen if word.count == 0 => (word, Err(Rejected::new(Reason::ProbesTaken))),
            State::HalfOpen => self.grant(word, now),
        }
    }

    /// A call that was let in has ended. What an older generation let in changes nothing.
    pub(crate) fn settle(&mut self, word: Word, ticket: Ticket, outcome: Outcome, now: Instant) -> Word {
        if !ticket.is_of(word) {
            return word;
        }
        match word.state {
            State::Closed => match word.closed_after(outcome, self.settings.consecutive_failures) {
                Some(word) => word,
                None => self.open(word, now),
            },
            // An open circuit lets nobody in, so no ticket is of its generation.
            State::Open => word,
            State::HalfOpen => self.settle_probe(word, ticket, outcome, now),
        }
    }

    /// An operator says that all is well. In-flight calls belong to the past from here on.
    pub(crate) fn reset(&mut self, word: Word) -> Word {
        self.close(word)
    }

    /// End of the break, where the circuit is open.
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    fn settle_probe(&mut self, word: Word, ticket: Ticket, outcome: Outcome, now: Instant) -> Word {
        let Some(since) = self.probes.get_mut(ticket.slot as usize).and_then(Option::take) else {
            return word;
        };
        match outcome {
            Outcome::Ignored => Word {
                count: word.count + 1,
                ..word
            },
            // Late is failed, whether or not a caller came by in the meantime and noticed.
            Outcome::Success if !self.is_over(since, now) => {
                self.passed += 1;
                if self.passed == self.settings.probes {
                    self.close(word)
                } else {
                    word
                }
            }
            Outcome::Success | Outcome::Failure => self.open(word, now),
        }
    }

    fn grant(&mut self, word: Word, now: Instant) -> (Word, Result<Ticket, Rejected>) {
        let slot = match self.probes.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.probes.push(None);
                self.probes.len() - 1
            }
        };
        self.probes[slot] = Some(now);
        let ticket = Ticket {
            generation: word.generation,
            slot: slot as u32,
        };
        let count = word.count - 1;
        (Word { count, ..word }, Ok(ticket))
    }

    /// Whether a probe under way has taken too long. Never while there are none, half-open or not.
    pub(crate) fn lease_is_over(&self, now: Instant) -> bool {
        self.probes
            .iter()
            .flatten()
            .any(|&since| self.is_over(since, now))
    }

    fn is_over(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.settings.probe_lease
    }

    fn open(&mut self, word: Word, now: Instant) -> Word {
        self.until = now + self.settings.open_for;
        self.forget_probes();
        word.next(State::Open, 0)
    }

    fn half_open(&mut self, word: Word) -> Word {
        self.forget_probes();
        word.next(State::HalfOpen, self.settings.probes)
    }

    fn close(&mut self, word: Word) -> Word {
        self.forget_probes();
        word.next(State::Closed, 0)
    }

    fn forget_probes(&mut self) {
        self.probes.clear();
        self.passed = 0;
    }
}

/// The time from `now` to `until`, if there is any.
#[inline]
pub(crate) fn remaining(until: Instant, now: Instant) -> Option<Duration> {
    until.checked_duration_since(now).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(60);
    const LEASE: Duration = Duration::from_secs(30);

    /// A circuit that opens at the second failure and closes after the second probe.
    struct Bench {
        circuit: Circuit,
        word: Word,
        now: Instant,
        tickets: Vec<Ticket>,
    }

    impl Bench {
        /// In `state` with one ticket, unless that is impossible: one failure behind it if closed, one
        /// of two probes under way if half-open.
        fn in_state(state: State) -> Self {
            let settings = Settings {
                consecutive_failures: 2,
                open_for: OPEN_FOR,
                probes: 2,
                probe_lease: LEASE,
                ..Settings::default()
            };
            let now = Instant::now();
            let mut bench = Self {
                circuit: Circuit::new(settings, now),
                word: Word::new(),
                now,
                tickets: Vec::new(),
            };
            bench.ask();
            bench.settle(Outcome::Failure);
            bench.ask();
            if state != State::Closed {
                bench.settle(Outcome::Failure);
            }
            if state == State::HalfOpen {
                bench.now += OPEN_FOR;
                bench.ask();
            }
            assert_eq!(bench.word.state, state);
            bench
        }

        fn ask(&mut self) -> String {
            let (word, answer) = self.circuit.acquire(self.word, self.now);
            self.word = word;
            match answer {
                Ok(ticket) => {
                    self.tickets.push(ticket);
                    "let in".to_owned()
                }
                Err(rejected) => match rejected.reason() {
                    Reason::CircuitOpen => "`CircuitOpen`".to_owned(),
                    Reason::ProbesTaken => "`ProbesTaken`".to_owned(),
                    other => panic!("not a circuit's reason: {other:?}"),
                },
            }
        }

        /// Settles the oldest ticket; in an open circuit, where there can be none, a forged one.
        fn settle(&mut self, outcome: Outcome) -> String {
            let ticket = match self.tickets.is_empty() {
                true => Ticket {
                    generation: self.word.generation,
                    slot: 0,
                },
                false => self.tickets.remove(0),
            };
            self.word = self.circuit.settle(self.word, ticket, outcome, self.now);
            String::new()
        }

        fn settle_stale(&mut self) -> String {
            let generation = self.word.generation + 1;
            for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored] {
                let before = format!("{:?} {:?}", self.word, self.circuit);
                let ticket = Ticket { generation, slot: 0 };
                self.word = self.circuit.settle(self.word, ticket, outcome, self.now);
                assert_eq!(before, format!("{:?} {:?}", self.word, self.circuit));
            }
            String::new()
        }
    }

    type Event = (&'static str, fn(&mut Bench) -> String);

    /// Rows and columns as they stand in the README, `Closed` with one failure of two behind it,
    /// `HalfOpen` with one probe of two under way.
    const EVENTS: [Event; 12] = [
        ("a call asks", Bench::ask),
        ("more calls ask than there are `probes`", |bench| {
            bench.ask();
            bench.ask()
        }),
        ("a call asks after `open_for`", |bench| {
            if bench.word.state == State::Open {
                bench.now += OPEN_FOR;
            }
            bench.ask()
        }),
        ("a call asks after `probe_lease`", |bench| {
            bench.now += LEASE;
            bench.ask()
        }),
        ("success", |bench| bench.settle(Outcome::Success)),
        ("the last success needed", |bench| {
            bench.ask();
            bench.settle(Outcome::Success);
            bench.settle(Outcome::Success)
        }),
        ("success after `probe_lease`", |bench| {
            bench.now += LEASE;
            bench.settle(Outcome::Success)
        }),
        ("failure, first in a row", |bench| {
            if bench.word.state == State::Closed {
                bench.word.count = 0;
            }
            bench.settle(Outcome::Failure)
        }),
        ("failure, last in a row", |bench| bench.settle(Outcome::Failure)),
        ("ignored", |bench| bench.settle(Outcome::Ignored)),
        ("any result of an older generation", Bench::settle_stale),
        ("`reset()`", |bench| {
            bench.word = bench.circuit.reset(bench.word);
            String::new()
        }),
    ];

    /// Each state and each event; the README shows this very table.
    #[test]
    fn every_event_in_every_state_does_what_the_readme_says() {
        let mut table = String::from("| event | Closed | Open | HalfOpen |\n|---|---|---|---|\n");
        for (name, event) in EVENTS {
            table += &format!("| {name} |");
            for state in [State::Closed, State::Open, State::HalfOpen] {
                let mut bench = Bench::in_state(state);
                let answer = event(&mut bench);
                let to = match bench.word.state == state {
                    true => "stays".to_owned(),
                    false => format!("**{:?}**", bench.word.state),
                };
                let separator = if answer.is_empty() { "" } else { ", " };
                table += &format!(" {answer}{separator}{to} |");
            }
            table += "\n";
        }
        assert!(
            include_str!("../README.md").contains(&table),
            "the README should say:\n{table}"
        );
    }

    #[test]
    fn every_transition_and_every_reset_is_a_new_generation() {
        let mut bench = Bench::in_state(State::HalfOpen);
        assert_eq!(bench.word.generation, 2);
        bench.ask();
        bench.settle(Outcome::Success);
        bench.settle(Outcome::Success);
        assert_eq!((bench.word.state, bench.word.generation), (State::Closed, 3));
        bench.word = bench.circuit.reset(bench.word);
        assert_eq!((bench.word.state, bench.word.generation), (State::Closed, 4));
    }

    #[test]
    fn a_success_or_a_reset_starts_the_count_of_failures_again_and_an_ignored_call_does_not() {
        for (event, count) in [
            (Some(Outcome::Success), 0),
            (Some(Outcome::Ignored), 1),
            (None, 0),
        ] {
            let mut bench = Bench::in_state(State::Closed);
            assert_eq!(bench.word.count, 1);
            match event {
                Some(outcome) => drop(bench.settle(outcome)),
                None => bench.word = bench.circuit.reset(bench.word),
            }
            assert_eq!(bench.word.count, count, "{event:?}");
        }
    }

    #[test]
    fn an_ignored_probe_gives_its_slot_back_and_a_successful_one_does_not() {
        let mut bench = Bench::in_state(State::HalfOpen);
        assert_eq!(bench.ask(), "let in");
        assert_eq!(bench.ask(), "`ProbesTaken`");
        bench.settle(Outcome::Ignored);
        assert_eq!(bench.ask(), "let in");
        bench.settle(Outcome::Success);
        assert_eq!(bench.ask(), "`ProbesTaken`");
    }

    #[test]
    fn a_ticket_settles_its_own_probe_only() {
        let mut bench = Bench::in_state(State::HalfOpen);
        let first = bench.tickets[0];
        bench.settle(Outcome::Ignored);
        // The slot is free, and stays what it is when its ticket is shown again.
        bench.word = bench
            .circuit
            .settle(bench.word, first, Outcome::Failure, bench.now);
        assert_eq!((bench.word.state, bench.word.count), (State::HalfOpen, 2));
    }
}
