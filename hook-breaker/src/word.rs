use crate::config::State;

/// All that a call needs to know of a circuit that lets calls in, in one atomic load.
///
/// Bits 0-2: state, 3: watch, 4: dated, 5-15: free, 16-31: tick, 32-63: generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) state: State,
    /// Every success has to be brought before the circuit at once, for it may be what opens it.
    pub(crate) watch: bool,
    /// Successes have to be counted in the tick they belong to.
    pub(crate) dated: bool,
    /// Half-open: probes that may still be let in. Otherwise zero.
    pub(crate) free: u16,
    /// Moves on whenever a bucket of a window of time ends; wraps.
    pub(crate) tick: u16,
    /// Grows with each transition and each reset; wraps.
    pub(crate) generation: u32,
}

const WATCH: u32 = 3;
const DATED: u32 = 4;
const FREE: u32 = 5;
const TICK: u32 = 16;
const GENERATION: u32 = 32;

impl Word {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Closed,
            watch: false,
            dated: false,
            free: 0,
            tick: 0,
            generation: 0,
        }
    }

    #[inline]
    pub(crate) const fn pack(self) -> u64 {
        let state = match self.state {
            State::Closed => 0,
            State::MetricsOnly => 1,
            State::Disabled => State::DISABLED,
            State::Open => 3,
            State::HalfOpen => 4,
            State::ForcedOpen => 5,
        };
        state
            | (self.watch as u64) << WATCH
            | (self.dated as u64) << DATED
            | (self.free as u64) << FREE
            | (self.tick as u64) << TICK
            | (self.generation as u64) << GENERATION
    }

    #[inline]
    pub(crate) const fn unpack(bits: u64) -> Self {
        Self {
            state: match bits & 0b111 {
                0 => State::Closed,
                1 => State::MetricsOnly,
                2 => State::Disabled,
                3 => State::Open,
                4 => State::HalfOpen,
                _ => State::ForcedOpen,
            },
            watch: bits >> WATCH & 1 == 1,
            dated: bits >> DATED & 1 == 1,
            free: (bits >> FREE) as u16 & ((1 << (TICK - FREE)) - 1),
            tick: (bits >> TICK) as u16,
            generation: (bits >> GENERATION) as u32,
        }
    }

    /// The next generation, in `state`.
    pub(crate) const fn next(self, state: State) -> Self {
        Self {
            state,
            watch: false,
            dated: false,
            free: 0,
            tick: self.tick,
            generation: self.generation.wrapping_add(1),
        }
    }

    /// What successes that are counted now are counted under.
    #[inline]
    pub(crate) const fn era(self) -> u32 {
        self.generation << 16 | self.tick as u32
    }
}

/// What the hot path asks of a word, without taking it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits(pub(crate) u64);

impl Bits {
    /// Whether every call that asks is let in.
    #[inline]
    pub(crate) const fn lets_in(self) -> bool {
        // Closed, metrics-only, disabled.
        self.0 & 0b111 <= 2
    }

    /// Whether successes change nothing but the number of calls: closed or metrics-only, and not watched.
    #[inline]
    pub(crate) const fn is_calm(self) -> bool {
        self.0 & (0b110 | 1 << WATCH) == 0
    }

    #[inline]
    pub(crate) const fn is_dated(self) -> bool {
        self.0 >> DATED & 1 == 1
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> GENERATION) as u32
    }

    /// See [`Word::era`].
    #[inline]
    pub(crate) const fn era(self) -> u32 {
        self.generation() << 16 | self.0 as u32 >> TICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_packing_at_its_limits() {
        for state in State::ALL {
            for (free, tick, generation) in [(0, 0, 0), (1_024, 1, 1), (2_047, u16::MAX, u32::MAX)] {
                for (watch, dated) in [(false, true), (true, false)] {
                    let word = Word {
                        state,
                        watch,
                        dated,
                        free,
                        tick,
                        generation,
                    };
                    let bits = Bits(word.pack());
                    assert_eq!(Word::unpack(bits.0), word);
                    assert_eq!(bits.lets_in(), state.lets_in());
                    assert_eq!(bits.is_calm(), state.judges() && !watch);
                    assert_eq!(bits.is_dated(), dated);
                    assert_eq!((bits.generation(), bits.era()), (generation, word.era()));
                }
            }
        }
    }

    #[test]
    fn the_generation_wraps() {
        let last = Word {
            generation: u32::MAX,
            ..Word::new()
        };
        assert_eq!(last.next(State::Open).generation, 0);
    }

    #[test]
    fn another_generation_or_tick_is_another_era() {
        let word = Word::new();
        let ticked = Word { tick: 1, ..word };
        let eras = [word, ticked, word.next(State::Closed), ticked.next(State::Closed)].map(Word::era);
        for (place, era) in eras.iter().enumerate() {
            assert!(!eras[..place].contains(era), "{eras:?}");
        }
    }
}
