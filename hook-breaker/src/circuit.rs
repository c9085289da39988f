//! The state machine: no clock, no lock, no atomics.

use std::{
    mem,
    time::{Duration, Instant},
};

use hook_monitor::Outcome;

use crate::{
    config::{AfterWait, Settings, State},
    event::{Event, Transition},
    open_for::Dice,
    policy::{Judge, Tally, TripPolicy},
    refusal::Refusal,
    word::{Bits, Word},
};

mod calls;
mod cause;
mod lapse;
mod meter;
mod probes;
#[cfg(feature = "serde")]
mod saving;
#[cfg(all(test, not(loom)))]
mod table;

pub use cause::Cause;
pub(crate) use meter::{Memory, Meter};
use probes::Probes;

/// One circuit. Each event takes its [`Word`] and gives the next one; what the world should hear of is left in
/// [`events`](Circuit::events).
#[derive(Debug)]
pub(crate) struct Circuit {
    settings: Settings,
    meters: Vec<Meter>,
    /// Failures since the last success, while closed.
    row: u32,
    /// Metrics-only: the policy says open, and has been heard.
    exceeded: bool,
    /// End of the break, while open.
    until: Instant,
    opened_at: Option<Instant>,
    /// Breaks in a row, without health in between.
    breaks: u32,
    probes: Probes,
    last_failure: Option<Instant>,
    /// Custom rules are being asked.
    is_asking: bool,
    dice: Dice,
    transitions: Transitions,
    /// How long it has been in each state, by [`State::ALL`], up to `since`.
    spent: [Duration; State::ALL.len()],
    since: Instant,
    pub(crate) events: Vec<Event>,
}

/// How often the circuit went from one state to another, by [`State::ALL`].
pub(crate) type Transitions = [[u64; State::ALL.len()]; State::ALL.len()];

/// Proof of admission: whose result may count, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) generation: u32,
    /// Index among the probes, or one of the two below.
    slot: u32,
}

/// The slot of a call that is no probe.
const NO_PROBE: u32 = u32::MAX;
/// The slot of a call that nobody counts.
const UNCOUNTED: u32 = u32::MAX - 1;

impl Ticket {
    /// Of a circuit that lets every call in.
    pub(crate) const fn free(word: Word) -> Self {
        Self::of(word.generation, matches!(word.state, State::Disabled))
    }

    #[inline]
    pub(crate) const fn of(generation: u32, is_uncounted: bool) -> Self {
        let slot = if is_uncounted { UNCOUNTED } else { NO_PROBE };
        Self { generation, slot }
    }

    #[inline]
    pub(crate) const fn is_of(self, word: Word) -> bool {
        self.generation == word.generation
    }

    /// Whether it is of that generation, and of no probe, and counted.
    #[inline]
    pub(crate) const fn is_plain(self, bits: Bits) -> bool {
        self.slot == NO_PROBE && self.generation == bits.generation()
    }

    #[inline]
    pub(crate) const fn is_counted(self) -> bool {
        self.slot != UNCOUNTED
    }
}

impl Circuit {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            meters: settings
                .trip
                .rules()
                .iter()
                .map(|rule| Meter::new(rule, now))
                .collect(),
            row: 0,
            exceeded: false,
            until: now,
            opened_at: None,
            breaks: 0,
            probes: Probes::new(now),
            last_failure: None,
            is_asking: false,
            dice: settings.open_for.dice(),
            transitions: Transitions::default(),
            spent: Default::default(),
            since: now,
            events: Vec::new(),
            settings,
        }
    }

    /// A call asks to be let in.
    pub(crate) fn acquire(&mut self, word: Word, now: Instant) -> (Word, Result<Ticket, Refusal>) {
        let word = self.pass_time(word, now);
        match word.state {
            State::Closed | State::Disabled | State::MetricsOnly => (word, Ok(Ticket::free(word))),
            State::ForcedOpen => (word, Err(Refusal::Isolated)),
            State::Open => match remaining(self.until, now) {
                Some(wait) => (word, Err(Refusal::Open(wait))),
                None => {
                    let word = self.half_open(word, now);
                    self.grant(word, now)
                }
            },
            State::HalfOpen if word.free == 0 => (word, Err(Refusal::ProbesTaken)),
            State::HalfOpen => self.grant(word, now),
        }
    }

    fn grant(&mut self, word: Word, now: Instant) -> (Word, Result<Ticket, Refusal>) {
        let ticket = Ticket {
            generation: word.generation,
            slot: self.probes.begin(now),
        };
        let free = word.free - 1;
        (Word { free, ..word }, Ok(ticket))
    }

    /// A call that was let in has ended after `took`. What an older generation let in changes nothing.
    pub(crate) fn settle(
        &mut self,
        word: Word,
        ticket: Ticket,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> Word {
        // Late is failed, whether or not a caller came by in the meantime and noticed.
        let word = self.pass_time(word, now);
        if !ticket.is_of(word) {
            return word;
        }
        match word.state {
            State::Closed | State::MetricsOnly => self.judge(word, outcome, took, now),
            State::HalfOpen => self.settle_probe(word, ticket, outcome, took, now),
            // Neither lets a call in that counts.
            State::Open | State::ForcedOpen | State::Disabled => word,
        }
    }

    /// A call that was let in is not made after all.
    pub(crate) fn give_back(&mut self, word: Word, ticket: Ticket, now: Instant) -> Word {
        self.settle(word, ticket, Outcome::Ignored, Duration::ZERO, now)
    }

    fn judge(&mut self, word: Word, outcome: Outcome, took: Duration, now: Instant) -> Word {
        let failed = match outcome {
            Outcome::Ignored => return word,
            Outcome::Success => false,
            Outcome::Failure => true,
        };
        self.row = if failed { self.row.saturating_add(1) } else { 0 };
        if failed {
            self.last_failure = Some(now);
        }
        for meter in &mut self.meters {
            meter.push(failed, took, now);
        }
        let cause = self.meters.iter().find_map(|meter| meter.verdict(self.row));
        self.found(word, cause, now)
    }

    /// The policy has looked, and found a cause to open or none.
    fn found(&mut self, word: Word, cause: Option<Cause>, now: Instant) -> Word {
        match (word.state, cause) {
            (State::Closed, Some(cause)) => self.open(word, cause, now),
            (State::MetricsOnly, Some(cause)) if !self.exceeded => {
                self.exceeded = true;
                let generation = word.generation;
                self.events.push(Event::WouldOpen {
                    cause,
                    generation,
                    at: now,
                });
                word
            }
            (State::MetricsOnly, None) => {
                // A custom rule may still think otherwise, and is heard after this one.
                self.exceeded &= self.is_in_question();
                word
            }
            _ => word,
        }
    }

    /// `n` successes of the time `at` that nobody has brought before the circuit yet, neither failed nor slow.
    pub(crate) fn successes(&mut self, word: Word, n: u64, at: Instant) {
        if word.state.judges() && n > 0 {
            self.row = 0;
            for meter in &mut self.meters {
                meter.push_successes(n, at);
            }
            // Should nothing be amiss in between, that is the time to see it.
            self.exceeded &=
                self.is_in_question() || self.meters.iter().any(|meter| meter.verdict(self.row).is_some());
        }
    }

    /// Time passes, and what depends on nothing else happens: buckets go, leases end, waits are over.
    pub(crate) fn pass_time(&mut self, word: Word, now: Instant) -> Word {
        match word.state {
            State::Closed | State::MetricsOnly => {
                for meter in &mut self.meters {
                    meter.prune(now);
                }
                word
            }
            State::HalfOpen => self.pass_time_half_open(word, now),
            State::Open | State::ForcedOpen | State::Disabled => word,
        }
    }

    /// What a custom rule has to be asked now, by somebody who holds no lock. The answer goes to
    /// [`answered`](Circuit::answered).
    pub(crate) fn questions(&self, word: Word) -> Vec<(Judge, Tally)> {
        match word.state {
            State::Closed | State::MetricsOnly => self
                .meters
                .iter()
                .filter_map(|meter| meter.question(self.row))
                .collect(),
            State::HalfOpen if self.probes.are_over(self.settings.probes) => {
                let tally = self
                    .probes
                    .tally(|took| self.meters.iter().any(|meter| meter.is_slow(took)));
                self.meters
                    .iter()
                    .filter_map(|meter| meter.question_of(tally))
                    .collect()
            }
            State::HalfOpen | State::Open | State::ForcedOpen | State::Disabled => Vec::new(),
        }
    }

    /// Takes out the rules, for they may hold what is the user's. Without them nothing opens the circuit.
    pub(crate) fn without_rules(&mut self) -> (Vec<Meter>, TripPolicy) {
        (mem::take(&mut self.meters), mem::take(&mut self.settings.trip))
    }

    /// Whether a custom rule has enough to judge by, and is about to be asked.
    fn is_in_question(&self) -> bool {
        self.meters.iter().any(|meter| meter.question(self.row).is_some())
    }

    /// Whether the caller may ask the custom rules: one at a time does, until [`answered`](Circuit::answered).
    pub(crate) fn begin_asking(&mut self) -> bool {
        !mem::replace(&mut self.is_asking, true)
    }

    pub(crate) fn has_questions(&self) -> bool {
        self.settings.trip.has_custom()
    }

    /// What custom rules said of the circuit as it was in `generation`.
    pub(crate) fn answered(&mut self, word: Word, generation: u32, opens: bool, now: Instant) -> Word {
        self.is_asking = false;
        if word.generation != generation {
            return word;
        }
        let cause = opens.then_some(Cause::Custom);
        match word.state {
            State::Closed | State::MetricsOnly if opens => self.found(word, cause, now),
            State::MetricsOnly => {
                self.exceeded &= self.meters.iter().any(|meter| meter.verdict(self.row).is_some());
                word
            }
            State::HalfOpen if self.probes.are_over(self.settings.probes) => match cause {
                Some(cause) => self.open(word, cause, now),
                None => self.close(word, Cause::ProbesSucceeded, now),
            },
            _ => word,
        }
    }

    /// By hand, into `state`. In-flight calls belong to the past from here on.
    pub(crate) fn put(&mut self, word: Word, state: State, now: Instant) -> Word {
        match state {
            State::Closed => self.close(word, Cause::ByHand, now),
            // The circuit finds its own way into these.
            State::Open | State::HalfOpen => word,
            State::ForcedOpen | State::Disabled | State::MetricsOnly => {
                self.breaks = 0;
                self.go(word, state, Cause::ByHand, None, now)
            }
        }
    }

    fn open(&mut self, word: Word, cause: Cause, now: Instant) -> Word {
        let length = self.settings.open_for.length(self.breaks, self.dice.throw());
        self.breaks = self.breaks.saturating_add(1);
        self.until = now + length;
        self.opened_at = Some(now);
        self.go(word, State::Open, cause, Some(length), now)
    }

    fn half_open(&mut self, word: Word, now: Instant) -> Word {
        let word = self.go(word, State::HalfOpen, Cause::BreakOver, None, now);
        let free = self.settings.probes as u16;
        Word { free, ..word }
    }

    fn close(&mut self, word: Word, cause: Cause, now: Instant) -> Word {
        self.breaks = 0;
        self.go(word, State::Closed, cause, None, now)
    }

    fn go(&mut self, word: Word, to: State, cause: Cause, open_for: Option<Duration>, now: Instant) -> Word {
        self.forget(word, now);
        if to.lets_in() {
            self.opened_at = None;
        }
        let next = word.next(to);
        self.transitions[word.state as usize][to as usize] += 1;
        self.events.push(Event::Transition(Transition {
            from: word.state,
            to,
            cause,
            generation: next.generation,
            at: now,
            open_for,
        }));
        next
    }

    /// A state ends, and what belongs to it.
    fn forget(&mut self, word: Word, now: Instant) {
        self.spent[word.state as usize] += now.saturating_duration_since(self.since);
        self.since = now;
        self.row = 0;
        self.exceeded = false;
        self.is_asking = false;
        self.probes.forget(now);
        for meter in &mut self.meters {
            meter.clear(now);
        }
    }

    /// `word` with what of the circuit the fast path has to know.
    pub(crate) fn marked(&self, word: Word) -> Word {
        let judges = word.state.judges();
        Word {
            // Of what would have opened, the very success that mends it has to be heard.
            watch: judges && (self.exceeded || self.meters.iter().any(Meter::watches_successes)),
            dated: judges
                && self
                    .meters
                    .iter()
                    .any(|meter| matches!(meter.memory(), Memory::Lapse(_))),
            ..word
        }
    }

    /// When the next bucket of any window begins.
    pub(crate) fn next_bucket(&self, now: Instant) -> Option<Instant> {
        self.meters
            .iter()
            .filter_map(|meter| meter.next_bucket(now))
            .min()
    }

    /// The next instant at which time alone changes what a caller would be told, where there is one.
    pub(crate) fn next_change(&self, word: Word) -> Option<Instant> {
        match word.state {
            State::Open => Some(self.until),
            State::HalfOpen => self.next_change_half_open(),
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly => None,
        }
    }

    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    pub(crate) const fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    pub(crate) const fn breaks(&self) -> u32 {
        self.breaks
    }

    pub(crate) const fn row(&self) -> u32 {
        self.row
    }

    pub(crate) const fn last_failure(&self) -> Option<Instant> {
        self.last_failure
    }

    pub(crate) const fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// How long the circuit has been in each state, by [`State::ALL`].
    pub(crate) fn spent(&self, word: Word, now: Instant) -> [Duration; State::ALL.len()] {
        let mut spent = self.spent;
        spent[word.state as usize] += now.saturating_duration_since(self.since);
        spent
    }

    pub(crate) fn meters(&self) -> &[Meter] {
        &self.meters
    }

    fn after_wait(&mut self, word: Word, now: Instant) -> Word {
        match self.settings.after_wait {
            AfterWait::Open => self.open(word, Cause::HalfOpenTooLong, now),
            AfterWait::Close => self.close(word, Cause::HalfOpenTooLong, now),
        }
    }
}

/// The time from `now` to `until`, if there is any.
#[inline]
pub(crate) fn remaining(until: Instant, now: Instant) -> Option<Duration> {
    until.checked_duration_since(now).filter(|wait| !wait.is_zero())
}
