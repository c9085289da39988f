use hook_monitor::Outcome;

use crate::config::State;

/// All that a call needs to know of a closed circuit, in one atomic load.
///
/// Bits 0-1: state, 2-33: count, 34-63: generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) state: State,
    /// Closed: failures in a row. Half-open: probes that may still be let in. Open: zero.
    pub(crate) count: u32,
    /// Grows with each transition and each reset; wraps after 2^30.
    pub(crate) generation: u32,
}

const COUNT: u32 = 2;
const GENERATION: u32 = 34;

impl Word {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Closed,
            count: 0,
            generation: 0,
        }
    }

    #[inline]
    pub(crate) const fn pack(self) -> u64 {
        let state = match self.state {
            State::Closed => 0,
            State::Open => 1,
            State::HalfOpen => 2,
        };
        state | (self.count as u64) << COUNT | (self.generation as u64) << GENERATION
    }

    #[inline]
    pub(crate) const fn unpack(bits: u64) -> Self {
        Self {
            state: match bits & 0b11 {
                0 => State::Closed,
                1 => State::Open,
                _ => State::HalfOpen,
            },
            count: (bits >> COUNT) as u32,
            generation: (bits >> GENERATION) as u32,
        }
    }

    /// The next generation, in `state`.
    pub(crate) const fn next(self, state: State, count: u32) -> Self {
        Self {
            state,
            count,
            generation: (self.generation + 1) & (u32::MAX >> 2),
        }
    }

    /// A closed circuit's word after a result, or `None` if this result opens the circuit.
    #[inline]
    pub(crate) fn closed_after(self, outcome: Outcome, threshold: u32) -> Option<Self> {
        let count = match outcome {
            Outcome::Success => 0,
            Outcome::Ignored => self.count,
            Outcome::Failure => self.count.saturating_add(1),
        };
        (count < threshold).then_some(Self { count, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_packing_at_its_limits() {
        for state in [State::Closed, State::Open, State::HalfOpen] {
            for count in [0, 1, u32::MAX] {
                for generation in [0, 1, u32::MAX >> 2] {
                    let word = Word {
                        state,
                        count,
                        generation,
                    };
                    assert_eq!(Word::unpack(word.pack()), word);
                }
            }
        }
    }

    #[test]
    fn the_generation_wraps_into_its_thirty_bits() {
        let last = Word {
            generation: u32::MAX >> 2,
            ..Word::new()
        };
        assert_eq!(last.next(State::Open, 0).generation, 0);
    }
}
