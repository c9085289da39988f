//! Who opens connections, when, and what becomes of them.

use std::time::{Duration, Instant};

use super::Shelves;
use crate::{
    aftermath::Aftermath,
    entry::{Closing, Entry},
    shelf::{Cause, Grant},
};

/// Connects to be begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) shelf: usize,
    pub(crate) generation: u64,
    pub(crate) work: Work,
    /// Nobody looks after the pool in the background yet.
    pub(crate) needs_keeper: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// These connects.
    Dials(Vec<usize>),
    /// One, when it is time to try again.
    Probe { at: Instant },
}

/// What a task that has opened a connection, or failed to, does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Dial { dial: usize, generation: u64 },
    Probe { at: Instant },
}

impl<K, C, E> Shelves<K, C, E> {
    /// Begins the connects for shelf `id` that are of use now: whoever asked carries them out.
    pub(crate) fn start(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) -> Option<Start> {
        if self.closed {
            return None;
        }
        self.latest = self.latest.max(now);
        let work = self.begin(id, now, after);
        // Whoever was woken for room that it does not need, or has no right to yet, passes that on.
        self.relieve(after);
        Some(Start {
            shelf: id,
            generation: self.generation,
            work: work?,
            needs_keeper: self.needs_keeper(),
        })
    }

    fn begin(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) -> Option<Work> {
        let limits = self.limits;
        let wanted = self.shelf(id).wanted(&limits);
        if wanted == 0 {
            return None;
        }
        // First: nobody gives way for what is not even tried.
        if let Some(at) = self.shelf(id).back_off(now) {
            return self.wait_for(id).then_some(Work::Probe { at });
        }
        let room = self.room_for(id, wanted, after);
        if room == 0 {
            return None;
        }
        let shelf = self.shelf(id);
        let dials = (0..room).map(|_| shelf.dials.insert(None)).collect::<Vec<_>>();
        self.total += dials.len();
        Some(Work::Dials(dials))
    }

    /// Whether somebody is to wait until shelf `id` may try again: one for all.
    fn wait_for(&mut self, id: usize) -> bool {
        let shelf = self.shelf(id);
        let first = shelf.prober.is_none() && shelf.waiting() > 0;
        if first {
            shelf.prober = Some(None);
        }
        first
    }

    /// A connection has been opened. What comes out of it first is to be closed; then, what to do next.
    pub(crate) fn filled(
        &mut self,
        dial: usize,
        mut entry: Box<Entry<C>>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> (Option<Box<Entry<C>>>, Option<Next>) {
        let id = entry.shelf;
        let waker = self.shelf(id).dials.remove(dial).flatten();
        after.discard(waker);
        self.counts.created += 1;
        self.latest = self.latest.max(now);
        entry.idle_since = self.latest;
        entry.good_at = self.latest;
        let limits = self.limits;
        entry.retire_at = limits
            .max_lifetime
            .map(|lifetime| self.random.shorten(lifetime, limits.lifetime_jitter))
            .and_then(|lifetime| entry.born.checked_add(lifetime));
        let closing = if self.closed {
            Some(Closing::Shutdown)
        } else if entry.generation != self.generation {
            Some(Closing::Reset)
        } else if self.shelf(id).size() >= limits.max || self.total > limits.max_total {
            Some(Closing::Surplus)
        } else {
            None
        };
        if let Some(closing) = closing {
            self.counts.closed[closing as usize] += 1;
            self.total -= 1;
            self.changed(after);
            self.relieve(after);
            return (Some(entry), self.next(id, now, after));
        }
        let shelf = self.shelf(id);
        shelf.recover(after);
        shelf.used += 1;
        if let Some(Grant::Connection(entry)) = shelf.serve(Grant::Connection(entry), after) {
            shelf.used -= 1;
            self.lay(entry);
            if self.shelf(id).replacing > 0 {
                self.retire_one(id, now, after);
            }
        }
        self.changed(after);
        if self.starved {
            self.relieve(after);
        }
        (None, self.next(id, now, after))
    }

    /// A connect of that generation has failed. What comes out is what to do next.
    pub(crate) fn failed(
        &mut self,
        id: usize,
        (dial, generation): (usize, u64),
        cause: Cause<E>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<Next> {
        self.suffer(id, (dial, generation), cause, now, after);
        self.next(id, now, after)
    }

    /// A connect has failed in a panic, which ends its task.
    pub(crate) fn panicked(
        &mut self,
        id: usize,
        (dial, generation): (usize, u64),
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) {
        self.suffer(id, (dial, generation), Cause::Panicked, now, after);
        self.pass_on(id, after);
    }

    fn suffer(
        &mut self,
        id: usize,
        (dial, generation): (usize, u64),
        cause: Cause<E>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) {
        self.undial(id, dial, after);
        self.latest = self.latest.max(now);
        match &cause {
            Cause::TimedOut { .. } => self.counts.connect_timeouts += 1,
            Cause::Error(_) | Cause::Panicked => self.counts.connect_errors += 1,
        }
        if generation != self.generation {
            // It says nothing about what a connect would come to now.
            after.discard_cause(Some(cause));
            self.changed(after);
            self.relieve(after);
            self.call_keeper(after);
            return;
        }
        let (first, max) = self.limits.backoff;
        let random = &mut self.random;
        let delay = |failures: u32| {
            let doubled = 2_u32
                .checked_pow(failures - 1)
                .and_then(|times| first.checked_mul(times));
            random.shorten(doubled.map_or(max, |delay| delay.min(max)), 0.5)
        };
        let labelled = self.shelves.get_mut(id).expect("a shelf in use stays up");
        labelled.shelf.suffer(cause.clone(), now, delay, after);
        let stranded = labelled.shelf.is_stranded();
        if stranded {
            let left = labelled
                .shelf
                .refuses(now)
                .map_or(Duration::ZERO, |(_, left)| left);
            self.fail_all(id, &cause, left, after);
        }
        after.discard_cause(Some(cause));
        self.changed(after);
        self.relieve(after);
        self.call_keeper(after);
    }

    /// A connect that is under way was dropped: that says nothing about what it was to connect to.
    pub(crate) fn dropped(&mut self, id: usize, dial: usize, after: &mut Aftermath<K, C, E>) {
        self.undial(id, dial, after);
        self.changed(after);
        self.freed(id, after);
    }

    /// The task that waited to try again has done so, or was dropped.
    pub(crate) fn probe(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) -> Option<Next> {
        let waker = self.shelf(id).prober.take().flatten();
        after.discard(waker);
        self.latest = self.latest.max(now);
        let next = self.next(id, now, after);
        self.relieve(after);
        next
    }

    pub(crate) fn probe_dropped(&mut self, id: usize, after: &mut Aftermath<K, C, E>) {
        let waker = self.shelf(id).prober.take().flatten();
        after.discard(waker);
        self.pass_on(id, after);
    }

    /// The next connect for a task that has done with one. If more than one is wanted, somebody is woken for those.
    fn next(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) -> Option<Next> {
        if self.closed {
            return None;
        }
        let limits = self.limits;
        let wanted = self.shelf(id).wanted(&limits);
        if wanted == 0 {
            return None;
        }
        if let Some(at) = self.shelf(id).back_off(now) {
            return self.wait_for(id).then_some(Next::Probe { at });
        }
        if self.room_for(id, wanted, after) == 0 {
            return None;
        }
        let dial = self.shelf(id).dials.insert(None);
        self.total += 1;
        self.pass_on(id, after);
        Some(Next::Dial {
            dial,
            generation: self.generation,
        })
    }

    fn undial(&mut self, id: usize, dial: usize, after: &mut Aftermath<K, C, E>) {
        let waker = self.shelf(id).dials.remove(dial).flatten();
        after.discard(waker);
        self.total -= 1;
    }

    /// Nothing can serve those in line: they are told why.
    pub(super) fn fail_all(
        &mut self,
        id: usize,
        cause: &Cause<E>,
        left: Duration,
        after: &mut Aftermath<K, C, E>,
    ) {
        let shelf = self.shelf(id);
        let told = shelf.waiting() as u64;
        shelf.turn_away(|| Grant::Failed(Box::new((cause.clone(), left))), after);
        self.counts.failed += told;
    }

    /// Something has gone from shelf `id`, so there may be room for something new, there or elsewhere.
    pub(super) fn freed(&mut self, id: usize, after: &mut Aftermath<K, C, E>) {
        self.changed(after);
        self.relieve(after);
        self.pass_on(id, after);
    }

    /// Sees to it that somebody begins the connects that are wanted for shelf `id`.
    pub(super) fn pass_on(&mut self, id: usize, after: &mut Aftermath<K, C, E>) {
        let limits = self.limits;
        if self.closed {
            return;
        }
        let (full, latest) = (self.total >= limits.max_total, self.latest);
        let shelf = self.shelf(id);
        if shelf.prober.is_some() || shelf.wanted(&limits) == 0 {
            return;
        }
        if full && shelf.back_off(latest).is_none() {
            if shelf.is_hungry(&limits, latest) {
                self.starved = true;
                self.relieve(after);
            }
            return;
        }
        if !shelf.nudge(after) && shelf.waiting() == 0 {
            self.call_keeper(after);
        }
    }
}
