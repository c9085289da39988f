use hook_monitor::{Gather, Outcome};

/// What calls are counted as, and the place of each kind among the counters.
#[derive(Debug)]
pub(crate) enum Kinds {}

impl Kinds {
    pub(crate) const SUCCESS: usize = 0;
    pub(crate) const FAILURE: usize = 1;
    /// Of the successes and failures, those that were slow.
    pub(crate) const SLOW: usize = 2;
    pub(crate) const IGNORED: usize = 3;
    pub(crate) const NOT_PERMITTED: usize = 4;
    pub(crate) const LEN: usize = 5;

    #[inline]
    pub(crate) const fn of(outcome: Outcome) -> usize {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::Failure => Self::FAILURE,
            Outcome::Ignored => Self::IGNORED,
        }
    }

    pub(crate) fn read(counts: [u64; Self::LEN], into: &mut dyn Gather) {
        let names = ["success", "failure", "slow", "ignored", "not_permitted"];
        for (name, count) in names.into_iter().zip(counts) {
            into.counter("hook_breaker_calls_total", &[("kind", name)], count);
        }
    }
}
