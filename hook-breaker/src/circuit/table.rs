//! Each state and each event, as the README shows them.

use hook_monitor::Rejected;

use super::*;
use crate::policy::{TripPolicy, Window};

const OPEN_FOR: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(10);
const SLOW: Duration = Duration::from_secs(1);

/// A circuit that opens at the second failure in a row or at the first slow call, and closes after the second probe.
struct Bench {
    circuit: Circuit,
    word: Word,
    now: Instant,
    tickets: Vec<Ticket>,
}

impl Bench {
    /// In `state` with one ticket, unless that is impossible: one failure behind it if it judges calls, one of two
    /// probes under way if half-open.
    fn in_state(state: State) -> Self {
        let slow = TripPolicy::slow_call_rate(0.5, SLOW, Window::calls(1));
        let settings = Settings {
            trip: TripPolicy::consecutive_failures(2).or(slow),
            open_for: OPEN_FOR.into(),
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
        match state {
            State::Closed | State::Open | State::HalfOpen => (),
            by_hand => drop(bench.put(by_hand)),
        }
        if state != State::ForcedOpen {
            bench.ask();
            bench.settle(Outcome::Failure);
            bench.ask();
        }
        if matches!(state, State::Open | State::HalfOpen) {
            bench.settle(Outcome::Failure);
        }
        if state == State::HalfOpen {
            bench.now += OPEN_FOR;
            bench.ask();
        }
        bench.circuit.events.clear();
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
            Err(refusal) => format!("`{:?}`", Rejected::from(refusal).reason()),
        }
    }

    fn settle(&mut self, outcome: Outcome) -> String {
        self.settle_after(outcome, Duration::ZERO)
    }

    /// Settles the oldest ticket; where there can be none, a forged one.
    fn settle_after(&mut self, outcome: Outcome, took: Duration) -> String {
        let ticket = match self.tickets.is_empty() {
            true => Ticket {
                generation: self.word.generation,
                slot: 0,
            },
            false => self.tickets.remove(0),
        };
        self.word = self.circuit.settle(self.word, ticket, outcome, took, self.now);
        let would = |event: &Event| matches!(event, Event::WouldOpen { .. });
        match self.circuit.events.iter().any(would) {
            true => "`WouldOpen`".to_owned(),
            false => String::new(),
        }
    }

    fn settle_stale(&mut self) -> String {
        let generation = self.word.generation.wrapping_sub(1);
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored] {
            for slot in [0, NO_PROBE] {
                let before = format!("{:?} {:?}", self.word, self.circuit);
                let ticket = Ticket { generation, slot };
                self.word = self.circuit.settle(self.word, ticket, outcome, SLOW, self.now);
                assert_eq!(before, format!("{:?} {:?}", self.word, self.circuit));
            }
        }
        String::new()
    }

    fn put(&mut self, state: State) -> String {
        let generation = self.word.generation;
        self.word = self.circuit.put(self.word, state, self.now);
        assert_eq!(self.word.generation, generation + 1);
        String::new()
    }
}

type What = (&'static str, fn(&mut Bench) -> String);

const EVENTS: [What; 18] = [
    ("a call asks", Bench::ask),
    ("more calls ask than there are `probes`", |bench| {
        bench.ask();
        bench.ask()
    }),
    ("a call asks after `open_for`", |bench| {
        if bench.word.state != State::HalfOpen {
            bench.now += OPEN_FOR;
        }
        bench.ask()
    }),
    ("a call asks after `probe_lease`", |bench| {
        bench.now += LEASE;
        bench.ask()
    }),
    ("a call asks after `max_half_open(_, AfterWait::Open)`", |bench| {
        bench.circuit.settings.half_open_wait = Some(WAIT);
        bench.now += WAIT;
        bench.ask()
    }),
    (
        "a call asks after `max_half_open(_, AfterWait::Close)`",
        |bench| {
            bench.circuit.settings.half_open_wait = Some(WAIT);
            bench.circuit.settings.after_wait = AfterWait::Close;
            bench.now += WAIT;
            bench.ask()
        },
    ),
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
    ("slow success", |bench| bench.settle_after(Outcome::Success, SLOW)),
    ("failure, first in a row", |bench| {
        bench.circuit.row = 0;
        bench.settle(Outcome::Failure)
    }),
    ("failure, last in a row", |bench| bench.settle(Outcome::Failure)),
    ("ignored", |bench| bench.settle(Outcome::Ignored)),
    ("any result of an older generation", Bench::settle_stale),
    ("`reset()`", |bench| bench.put(State::Closed)),
    ("`force_open()`", |bench| bench.put(State::ForcedOpen)),
    ("`disable()`", |bench| bench.put(State::Disabled)),
    ("`metrics_only()`", |bench| bench.put(State::MetricsOnly)),
];

#[test]
fn every_event_in_every_state_does_what_the_readme_says() {
    let states = State::ALL.map(|state| format!(" {state:?} |")).concat();
    let mut table = format!("| event |{states}\n|---|{}\n", "---|".repeat(State::ALL.len()));
    for (name, event) in EVENTS {
        table += &format!("| {name} |");
        for state in State::ALL {
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
        include_str!("../../README.md").contains(&table),
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
    bench.put(State::Closed);
    assert_eq!((bench.word.state, bench.word.generation), (State::Closed, 4));
}

#[test]
fn every_transition_is_told_once_and_counted_once() {
    for from in State::ALL {
        for (_, event) in EVENTS {
            let mut bench = Bench::in_state(from);
            let before = bench.circuit.transitions;
            event(&mut bench);
            let mut counted = before;
            let mut generation = None;
            for event in &bench.circuit.events {
                if let Event::Transition(change) = event {
                    counted[change.from as usize][change.to as usize] += 1;
                    assert!(generation.is_none_or(|before| change.generation == before + 1));
                    generation = Some(change.generation);
                    assert_eq!(change.open_for.is_some(), change.to == State::Open);
                }
            }
            assert_eq!(bench.circuit.transitions, counted, "{from:?}");
            assert!(generation.is_none_or(|last| last == bench.word.generation));
            assert_eq!(generation.is_none(), before == counted);
        }
    }
}

#[test]
fn a_success_or_a_reset_starts_the_row_of_failures_again_and_an_ignored_call_does_not() {
    for state in [State::Closed, State::MetricsOnly] {
        for (event, row) in [
            (Some(Outcome::Success), 0),
            (Some(Outcome::Ignored), 1),
            (None, 0),
        ] {
            let mut bench = Bench::in_state(state);
            assert_eq!(bench.circuit.row(), 1);
            drop(match event {
                Some(outcome) => bench.settle(outcome),
                None => bench.put(state),
            });
            assert_eq!(bench.circuit.row(), row, "{event:?}");
        }
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
    let (word, now) = (bench.word, bench.now);
    // The slot is free, and stays what it is when its ticket is shown again.
    let after = bench
        .circuit
        .settle(word, first, Outcome::Failure, Duration::ZERO, now);
    assert_eq!((after, after.free), (word, 2));
}
