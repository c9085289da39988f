use std::{
    mem,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
    time::{Duration, Instant},
};

use hook_monitor::{Clock, Outcome, Room};

use crate::{
    circuit::{Circuit, Ticket},
    config::{Settings, State},
    feed::Feed,
    lanes::{self, Lanes},
    ledger::{self, Collected},
    queue::Queue,
    refusal::Refusal,
    sync::{AtomicU64, Mutex},
    word::{Bits, Word},
};

mod kinds;
mod knobs;
mod locked;
#[cfg(all(test, loom))]
mod loom_tests;
mod questions;
mod turn;

pub(crate) use kinds::Kinds;
pub(crate) use knobs::Moment;
use knobs::{Knobs, nanos};
pub(crate) use locked::{Locked, wake_all};
pub(crate) use turn::Turn;

/// The circuit as many threads share it.
///
/// The word is written by the holder of the lock only, after what it speaks of. Whoever has no lock reads it, and
/// that is all it takes to let a call in and to note down its success while all is well; see [`ledger`].
#[derive(Debug)]
pub(crate) struct Gate {
    /// A [`Word`]. Publishes `until` and `tick_end`, which are written before it.
    word: AtomicU64,
    /// End of the break, as [`nanos`], for refusals that need no lock. A reader may find the end of a later break
    /// than the one its word speaks of; it is then refused for longer, and rightly.
    until: AtomicU64,
    /// End of the tick, as [`nanos`]; a reader may find that of a later one, and count what falls between as the
    /// earlier one's.
    tick_end: AtomicU64,
    knobs: Knobs,
    lanes: Lanes,
    locked: Mutex<Locked>,
}

/// What a caller who asked now would be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    /// To come in, most likely.
    Admitting,
    /// To go away.
    Refusing(Refusal),
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (now, lanes) = (Instant::now(), Lanes::new());
        let locked = Locked {
            circuit: Circuit::new(Settings::default(), now),
            queue: Queue::default(),
            collected: Collected::none(&lanes, now),
            feed: Arc::default(),
            tick_end: None,
        };
        Self {
            word: AtomicU64::new(Word::new().pack()),
            until: AtomicU64::new(0),
            tick_end: AtomicU64::new(u64::MAX),
            knobs: Knobs::new(),
            lanes,
            locked: Mutex::new(locked),
        }
    }

    /// Begins a new circuit here, whatever there was before. Nobody else is using this gate.
    pub(crate) fn renew(&self, settings: &Settings, clock: Clock, feed: Arc<Feed>) {
        self.lanes.clear();
        self.knobs.set(settings, clock);
        let now = clock.now();
        let fresh = Locked {
            circuit: Circuit::new(settings.clone(), now),
            queue: Queue::default(),
            collected: Collected::none(&self.lanes, now),
            feed,
            tick_end: None,
        };
        let mut locked = self.lock();
        // What was there is dropped without the lock: a policy may hold a user's closure.
        let old = mem::replace(&mut *locked, fresh);
        self.publish(&mut locked, Word::new(), now);
        drop(locked);
        drop(old);
    }

    /// The circuit is gone, with the user's rules and whoever listened. What it was stays, for calls that have yet to
    /// ask; how those under way end matters to nobody.
    pub(crate) fn vacate(&self) {
        let mut locked = self.lock();
        let old = (
            locked.circuit.without_rules(),
            mem::take(&mut locked.feed),
            mem::take(&mut locked.queue),
        );
        drop(locked);
        drop(old);
    }

    /// Lets a call in, or refuses it. Reads the clock unless the circuit lets every call in.
    #[inline]
    pub(crate) fn acquire(&self) -> Result<Ticket, Refusal> {
        match self.acquire_free() {
            Some(ticket) => Ok(ticket),
            None => self.acquire_shut(),
        }
    }

    /// Lets a call in where every call is.
    #[inline]
    pub(crate) fn acquire_free(&self) -> Option<Ticket> {
        let bits = self.bits();
        let is_uncounted = bits.0 & 0b111 == State::DISABLED;
        bits.lets_in()
            .then(|| Ticket::of(bits.generation(), is_uncounted))
    }

    #[inline(never)]
    fn acquire_shut(&self) -> Result<Ticket, Refusal> {
        let word = self.word();
        let now = self.now();
        if let Some(refusal) = self.refusal(word, now) {
            return Err(refusal);
        }
        let mut locked = self.lock();
        let word = self.enter(&mut locked);
        let (word, answer) = locked.circuit.acquire(word, now);
        self.leave(locked, word, now);
        answer
    }

    /// Where a refusal is certain without the lock.
    #[inline]
    fn refusal(&self, word: Word, now: Instant) -> Option<Refusal> {
        match word.state {
            State::Open => {
                let until = self
                    .until
                    .load(Relaxed)
                    .checked_sub(nanos(now))
                    .filter(|wait| *wait > 0)?;
                Some(Refusal::Open(Duration::from_nanos(until)))
            }
            State::ForcedOpen => Some(Refusal::Isolated),
            State::Closed | State::HalfOpen | State::Disabled | State::MetricsOnly => None,
        }
    }

    /// Takes the success of a call of which nobody wants to know how long it took, and counts its visit as ended. If
    /// this says `false`, there is more to it, and nothing is done.
    #[inline(always)]
    pub(crate) fn settle_plainly(&self, ticket: Ticket) -> bool {
        let bits = self.bits();
        if !(bits.is_calm() && ticket.is_plain(bits) && self.is_of_tick(bits)) {
            return false;
        }
        let mine = self.lanes.mine();
        let is_noted = ledger::note(&mine, bits.era());
        if is_noted {
            lanes::end_as(&mine, Outcome::Success);
        }
        is_noted
    }

    #[inline]
    fn is_of_tick(&self, bits: Bits) -> bool {
        !bits.is_dated() || self.is_before_end_of_tick()
    }

    #[inline(never)]
    fn is_before_end_of_tick(&self) -> bool {
        nanos(self.now()) < self.tick_end.load(Relaxed)
    }

    /// Takes the result of a call that took so long, if anyone wanted to know; and counts its visit as ended.
    pub(crate) fn settle(&self, ticket: Ticket, outcome: Outcome, took: Option<Duration>) {
        let is_quick = took.is_none_or(|took| !self.knobs.is_slow(took));
        if outcome == Outcome::Success && is_quick && self.settle_plainly(ticket) {
            return;
        }
        self.settle_slowly(ticket, outcome, took.unwrap_or_default());
    }

    fn settle_slowly(&self, ticket: Ticket, outcome: Outcome, took: Duration) {
        // When all is done, by a panic of a user's rule too.
        let _end = End(self, ticket.is_counted().then_some(outcome));
        if !ticket.is_counted() {
            return;
        }
        if outcome != Outcome::Ignored && self.knobs.is_slow(took) {
            lanes::count(&self.lanes.mine(), Kinds::SLOW);
        }
        let word = self.word();
        let changes_nothing = outcome == Outcome::Ignored && word.state.judges();
        if ticket.is_of(word) && !changes_nothing {
            self.settle_locked(ticket, outcome, took);
        }
    }

    /// A call was dropped before it had a result.
    pub(crate) fn drop_call(&self, ticket: Ticket, started: Moment, waiting: Moment) {
        let outcome = self.knobs.dropped(waiting.until(|| self.now()));
        self.settle(ticket, outcome, started.until(|| self.now()));
    }

    pub(crate) fn count_refusal(&self) {
        lanes::count(&self.lanes.mine(), Kinds::NOT_PERMITTED);
    }

    /// How many calls there were of each kind.
    pub(crate) fn totals(&self) -> [u64; Kinds::LEN] {
        self.lanes.totals()
    }

    fn settle_locked(&self, ticket: Ticket, outcome: Outcome, took: Duration) {
        let (mut locked, now) = (self.lock(), self.now());
        let word = self.enter(&mut locked);
        let word = locked.circuit.settle(word, ticket, outcome, took, now);
        self.leave(locked, word, now);
    }

    /// Changes the circuit by hand.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Circuit, Word, Instant) -> Word) {
        let (mut locked, now) = (self.lock(), self.now());
        let word = self.enter(&mut locked);
        let word = change(&mut locked.circuit, word, now);
        self.leave(locked, word, now);
    }

    /// What [`acquire`](Gate::acquire) would say, without taking anything. Takes the lock only while
    /// half-open: whoever were told to come in would wait for an inner service that a hung probe may
    /// fill, and never ask.
    #[inline]
    pub(crate) fn peek(&self) -> Peek {
        if self.bits().lets_in() {
            return Peek::Admitting;
        }
        self.peek_shut()
    }

    #[inline(never)]
    fn peek_shut(&self) -> Peek {
        let word = self.word();
        let now = self.now();
        if let Some(refusal) = self.refusal(word, now) {
            return Peek::Refusing(refusal);
        }
        if word.state == State::Open {
            return Peek::Admitting;
        }
        // Leases and waits may be over.
        let mut locked = self.lock();
        let word = self.enter(&mut locked);
        let word = locked.circuit.pass_time(word, now);
        let word = self.leave(locked, word, now);
        match word.state {
            State::HalfOpen if word.free == 0 => Peek::Refusing(Refusal::ProbesTaken),
            _ => self.refusal(word, now).map_or(Peek::Admitting, Peek::Refusing),
        }
    }

    /// The circuit and its word of one instant, with everything that has ended by then.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Circuit, &Queue, Word, Instant) -> T) -> T {
        let (mut locked, now) = (self.lock(), self.now());
        let word = self.enter(&mut locked);
        if word.state.judges() {
            // Lets old buckets go, which is no transition.
            locked.circuit.pass_time(word, now);
        }
        look(&locked.circuit, &locked.queue, word, now)
    }

    pub(crate) fn word(&self) -> Word {
        Word::unpack(self.bits().0)
    }

    #[inline]
    pub(crate) fn bits(&self) -> Bits {
        Bits(self.word.load(Acquire))
    }

    #[inline]
    pub(crate) fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.knobs.clock().now()
    }

    /// Now, as calls remember it. Not part of the path of those that need not know.
    #[inline(never)]
    pub(crate) fn moment(&self) -> Moment {
        Moment::at(self.now())
    }
}

/// Ends a visit, with a result if there is one.
struct End<'a>(&'a Gate, Option<Outcome>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mine = self.0.lanes.mine();
        match self.1 {
            Some(outcome) => lanes::end_as(&mine, outcome),
            None => lanes::end(&mine),
        }
    }
}

impl Room for Gate {
    #[inline]
    fn begin(&self) {
        lanes::begin(&self.lanes.mine());
    }

    fn end(&self) {
        lanes::end(&self.lanes.mine());
    }

    fn visits(&self) -> u64 {
        self.lanes.visits()
    }
}
