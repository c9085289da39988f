use std::time::{Duration, Instant};

use super::{
    calls::Calls,
    cause::Cause,
    lapse::{Bucket, Lapse},
};
use crate::policy::{Judge, Rule, Span, Tally, Window};

/// A rule and what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    rule: Rule,
    memory: Memory,
}

#[derive(Clone, Debug)]
pub(crate) enum Memory {
    /// The count of failures in a row is the circuit's.
    None,
    Calls(Calls),
    Lapse(Lapse),
}

impl Meter {
    pub(crate) fn new(rule: &Rule, now: Instant) -> Self {
        let memory = match rule
            .window()
            .map(|window| (window.span(), window.slow().is_some()))
        {
            None => Memory::None,
            Some((Span::Calls(size), has_slow)) => Memory::Calls(Calls::new(size, has_slow)),
            Some((Span::Time(length, buckets), _)) => Memory::Lapse(Lapse::new(length, buckets, now)),
        };
        Self {
            rule: rule.clone(),
            memory,
        }
    }

    pub(crate) fn clear(&mut self, now: Instant) {
        match &mut self.memory {
            Memory::None => (),
            Memory::Calls(calls) => calls.clear(),
            Memory::Lapse(lapse) => lapse.clear(now),
        }
    }

    pub(crate) fn push(&mut self, failed: bool, took: Duration, now: Instant) {
        let slow = self.is_slow(took);
        match &mut self.memory {
            Memory::None => (),
            Memory::Calls(calls) => calls.push(failed, slow),
            Memory::Lapse(lapse) => lapse.push(Bucket::call(failed, slow), now),
        }
    }

    /// `n` calls of the time `at` that neither failed nor were slow.
    pub(crate) fn push_successes(&mut self, n: u64, at: Instant) {
        match &mut self.memory {
            Memory::None => (),
            Memory::Calls(calls) => calls.push_successes(n),
            Memory::Lapse(lapse) => lapse.push(Bucket::successes(n), at),
        }
    }

    pub(crate) fn prune(&mut self, now: Instant) {
        if let Memory::Lapse(lapse) = &mut self.memory {
            lapse.prune(now);
        }
    }

    pub(crate) fn next_bucket(&self, now: Instant) -> Option<Instant> {
        match &self.memory {
            Memory::Lapse(lapse) => lapse.next_bucket(now),
            Memory::None | Memory::Calls(_) => None,
        }
    }

    /// Why the circuit should open, if it should; a custom rule is asked by whoever holds no lock.
    pub(crate) fn verdict(&self, row: u32) -> Option<Cause> {
        match (&self.rule, self.tally(row)) {
            (Rule::Consecutive(limit), _) => {
                (row >= *limit).then_some(Cause::ConsecutiveFailures { failures: row })
            }
            (Rule::Failures(limit, window), Some(tally)) if tally.calls >= window.enough() => {
                let rate = tally.failure_rate().filter(|rate| rate >= limit)?;
                Some(Cause::FailureRate { rate })
            }
            (Rule::SlowCalls(limit, window), Some(tally)) if tally.calls >= window.enough() => {
                let rate = tally.slow_call_rate().filter(|rate| rate >= limit)?;
                Some(Cause::SlowCallRate { rate })
            }
            (Rule::Failures(..) | Rule::SlowCalls(..) | Rule::Custom(..), _) => None,
        }
    }

    /// A custom rule and what to ask it, if it is one and there is enough to judge by.
    pub(crate) fn question(&self, row: u32) -> Option<(Judge, Tally)> {
        let Rule::Custom(judge, window) = &self.rule else {
            return None;
        };
        let tally = self.tally(row).filter(|tally| tally.calls >= window.enough())?;
        Some((judge.clone(), tally))
    }

    /// The user's judgement of probes that all have ended.
    pub(crate) fn question_of(&self, probes: Tally) -> Option<(Judge, Tally)> {
        match &self.rule {
            Rule::Custom(judge, _) => Some((judge.clone(), probes)),
            Rule::Consecutive(_) | Rule::Failures(..) | Rule::SlowCalls(..) => None,
        }
    }

    /// Whether a success could be what opens the circuit, so that every one has to be brought before it at once:
    /// where it may make up the number, and to a judge whose mind nobody knows.
    pub(crate) fn watches_successes(&self) -> bool {
        match (&self.rule, self.tally(0)) {
            (Rule::Custom(..), _) => true,
            (Rule::Failures(_, window), Some(tally)) => tally.failures > 0 && tally.calls < window.enough(),
            (Rule::SlowCalls(_, window), Some(tally)) => {
                tally.slow_calls > 0 && tally.calls < window.enough()
            }
            (Rule::Consecutive(_) | Rule::Failures(..) | Rule::SlowCalls(..), _) => false,
        }
    }

    /// How many of `probes` have to be bad for the circuit to open again, and how many were, of those in `seen`.
    ///
    /// A failed probe goes on with the row of failures that opened the circuit, so one is enough for that rule.
    pub(crate) fn probes(&self, seen: &[Probed], probes: u32) -> Option<(u32, u32)> {
        let count =
            |is_bad: &dyn Fn(&Probed) -> bool| seen.iter().filter(|probe| is_bad(probe)).count() as u32;
        match &self.rule {
            Rule::Consecutive(_) => Some((1, count(&|probe| probe.failed))),
            Rule::Failures(limit, _) => Some((least(*limit, probes), count(&|probe| probe.failed))),
            Rule::SlowCalls(limit, _) => {
                let slow = count(&|probe| self.is_slow(probe.took));
                Some((least(*limit, probes), slow))
            }
            Rule::Custom(..) => None,
        }
    }

    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        self.rule
            .window()
            .and_then(Window::slow)
            .is_some_and(|slow| took >= slow)
    }

    pub(crate) fn window(&self) -> Option<&Window> {
        self.rule.window()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// What is in the window, if the rule has one.
    pub(crate) fn tally(&self, row: u32) -> Option<Tally> {
        let tally = match &self.memory {
            Memory::None => return None,
            Memory::Calls(calls) => calls.tally(),
            Memory::Lapse(lapse) => lapse.tally(),
        };
        Some(Tally {
            consecutive_failures: row,
            ..tally
        })
    }

    pub(crate) fn cause_of_probes(&self, bad: u32, probes: u32) -> Cause {
        let rate = f64::from(bad) / f64::from(probes);
        match self.rule {
            Rule::SlowCalls(..) => Cause::SlowCallRate { rate },
            Rule::Consecutive(_) | Rule::Failures(..) | Rule::Custom(..) => {
                Cause::ProbesFailed { failed: bad }
            }
        }
    }
}

/// A probe that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    pub(crate) failed: bool,
    pub(crate) took: Duration,
}

/// The least number of `of` calls that is at least this part of them; never none.
fn least(part: f64, of: u32) -> u32 {
    (1..=of)
        .find(|bad| f64::from(*bad) / f64::from(of) >= part)
        .unwrap_or(of)
}
