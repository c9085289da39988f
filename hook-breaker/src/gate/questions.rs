use std::thread;

use super::Gate;
use crate::{
    circuit::Circuit,
    config::State,
    policy::{Judge, Tally},
    word::Word,
};

/// What a user's rules have to be asked, once there is no lock.
pub(super) struct Questions {
    asked: Vec<(Judge, Tally)>,
    generation: u32,
    /// What follows when there is no answer: an open circuit, where everything waits for one.
    by_default: bool,
}

impl Questions {
    pub(super) fn of(circuit: &mut Circuit, word: Word) -> Option<Self> {
        if !circuit.has_questions() {
            return None;
        }
        let asked = circuit.questions(word);
        // A rule that makes calls of its own, or changes the circuit, is not asked about those while it is being asked.
        (!asked.is_empty() && circuit.begin_asking()).then(|| Self {
            asked,
            generation: word.generation,
            by_default: word.state == State::HalfOpen,
        })
    }

    pub(super) fn ask(self, gate: &Gate) {
        let mut answer = Answer {
            gate,
            generation: self.generation,
            opens: self.by_default,
        };
        // A panic amid another aborts the process. The next call asks again.
        if !thread::panicking() {
            answer.opens = self.asked.iter().any(|(judge, tally)| judge.ask(tally));
        }
    }
}

/// Given when it is dropped, by a panic of the rule too.
struct Answer<'a> {
    gate: &'a Gate,
    generation: u32,
    opens: bool,
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let gate = self.gate;
        let (mut locked, now) = (gate.lock(), gate.now());
        let word = gate.enter(&mut locked);
        let word = locked.circuit.answered(word, self.generation, self.opens, now);
        gate.unlock(locked, word, now);
    }
}
