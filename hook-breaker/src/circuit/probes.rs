//! A half-open circuit: who may probe, and what the probes say.

use std::time::{Duration, Instant};

use hook_monitor::Outcome;

use super::{Cause, Circuit, Ticket, meter::Probed};
use crate::{config::State, policy::Tally, word::Word};

/// The probes of one generation.
#[derive(Debug)]
pub(crate) struct Probes {
    /// When the circuit became half-open.
    since: Instant,
    slots: Vec<Slot>,
    /// Those that have ended with a result, in that order.
    seen: Vec<Probed>,
}

/// At the place that a ticket names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Its probe was ignored: it may be given out again.
    Free,
    /// Under way since then.
    Running(Instant),
    /// Its probe has ended, or is overdue; whoever still holds the ticket is too late.
    Spent,
}

impl Probes {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            slots: Vec::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn forget(&mut self, now: Instant) {
        self.since = now;
        self.slots.clear();
        self.seen.clear();
    }

    /// A slot for a probe that begins now.
    pub(crate) fn begin(&mut self, now: Instant) -> u32 {
        let running = Slot::Running(now);
        let slot = match self.slots.iter().position(|slot| *slot == Slot::Free) {
            Some(slot) => {
                self.slots[slot] = running;
                slot
            }
            None => {
                self.slots.push(running);
                self.slots.len() - 1
            }
        };
        slot as u32
    }

    fn running(&self) -> impl Iterator<Item = Instant> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Running(since) => Some(*since),
            Slot::Free | Slot::Spent => None,
        })
    }

    pub(crate) fn are_over(&self, probes: u32) -> bool {
        self.seen.len() as u32 >= probes
    }

    pub(crate) fn seen(&self) -> &[Probed] {
        &self.seen
    }

    pub(crate) fn tally(&self, is_slow: impl Fn(Duration) -> bool) -> Tally {
        let in_a_row = self.seen.iter().rev().take_while(|probe| probe.failed);
        Tally {
            calls: self.seen.len() as u64,
            failures: self.seen.iter().filter(|probe| probe.failed).count() as u64,
            slow_calls: self.seen.iter().filter(|probe| is_slow(probe.took)).count() as u64,
            consecutive_failures: in_a_row.count() as u32,
        }
    }

    /// A probe that ended in another life of this circuit.
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn saw(&mut self, failed: bool, took: Duration) {
        self.seen.push(Probed { failed, took });
    }
}

impl Circuit {
    pub(super) fn settle_probe(
        &mut self,
        word: Word,
        ticket: Ticket,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> Word {
        let slot = self.probes.slots.get_mut(ticket.slot as usize);
        let Some(slot) = slot.filter(|slot| matches!(slot, Slot::Running(_))) else {
            return word;
        };
        let failed = match outcome {
            Outcome::Ignored => {
                *slot = Slot::Free;
                let free = word.free + 1;
                return Word { free, ..word };
            }
            Outcome::Success => false,
            Outcome::Failure => true,
        };
        *slot = Slot::Spent;
        if failed {
            self.last_failure = Some(now);
        }
        self.probes.saw(failed, took);
        self.verdict_of_probes(word, None, now)
    }

    /// Opens as soon as enough probes are bad, closes as soon as that cannot come about any more.
    ///
    /// If it opens, that is because of `cause`, or else of what the rule says.
    pub(crate) fn verdict_of_probes(&mut self, word: Word, cause: Option<Cause>, now: Instant) -> Word {
        let probes = self.settings.probes;
        let seen = self.probes.seen();
        let rest = probes.saturating_sub(seen.len() as u32);
        let mut is_decided = true;
        let mut failed = None;
        for meter in &self.meters {
            match meter.probes(seen, probes) {
                Some((limit, bad)) if bad >= limit => {
                    failed = Some(cause.unwrap_or_else(|| meter.cause_of_probes(bad, probes)));
                    break;
                }
                Some((limit, bad)) => is_decided &= bad + rest < limit,
                // Whoever asks it, asks when all is known.
                None => is_decided = false,
            }
        }
        match failed {
            Some(cause) => self.open(word, cause, now),
            None if is_decided => self.close(word, Cause::ProbesSucceeded, now),
            None => word,
        }
    }

    /// Probes that have outstayed their lease have failed; nobody waits for them.
    pub(super) fn pass_time_half_open(&mut self, mut word: Word, now: Instant) -> Word {
        let lease = self.settings.probe_lease;
        let mut is_overdue = false;
        for slot in &mut self.probes.slots {
            if matches!(slot, Slot::Running(since) if now.saturating_duration_since(*since) >= lease) {
                *slot = Slot::Spent;
                is_overdue = true;
                self.probes.seen.push(Probed {
                    failed: true,
                    // Nobody knows how long it would have taken: too long.
                    took: Duration::MAX,
                });
            }
        }
        if is_overdue {
            self.last_failure = Some(now);
            word = self.verdict_of_probes(word, Some(Cause::ProbeOverdue), now);
            if word.state != State::HalfOpen {
                return word;
            }
        }
        let is_too_long = self.half_open_end().is_some_and(|end| now >= end);
        if is_too_long {
            self.after_wait(word, now)
        } else {
            word
        }
    }

    fn half_open_end(&self) -> Option<Instant> {
        let wait = self.settings.half_open_wait?;
        self.probes.since.checked_add(wait)
    }

    pub(super) fn next_change_half_open(&self) -> Option<Instant> {
        let lease = self.settings.probe_lease;
        let leases = self.probes.running().filter_map(|since| since.checked_add(lease));
        leases.chain(self.half_open_end()).min()
    }
}
