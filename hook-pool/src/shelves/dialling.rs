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
        let work = self.work(id, now, after);
        // Whoever was woken for the room there is, and has no use for it any more, leaves it to the next.
        if self.starved {
            self.relieve(after);
        }
        let work = work?;
        Some(Start {
            shelf: id,
            generation: self.generation,
            work,
            needs_keeper: self.needs_keeper(),
        })
    }

    /// What is of use for shelf `id` now, and may be done.
    fn work(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) -> Option<Work> {
        let limits = self.limits;
        let wanted = self.shelf(id).wanted(&limits);
        if wanted == 0 {
            return None;
        }
        // First: for a connect that is not begun nobody has to make room.
        if let Some(at) = self.back_off(id, now) {
            let shelf = self.shelf(id);
            if shelf.prober.is_some() || shelf.waiting() == 0 {
                return None;
            }
            shelf.prober = Some(None);
            return Some(Work::Probe { at });
        }
        let room = self.room_for(id, wanted, after);
        if room == 0 {
            return None;
        }
        let shelf = self.shelf(id);
        let dials: Vec<usize> = (0..wanted.min(room)).map(|_| shelf.dials.insert(None)).collect();
        self.total += dials.len();
        Some(Work::Dials(dials))
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

    /// A connect has failed. What comes out is what to do next.
    pub(crate) fn failed(
        &mut self,
        id: usize,
        dial: usize,
        generation: u64,
        cause: Cause<E>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<Next> {
        self.suffer(id, dial, generation, cause, now, after);
        self.next(id, now, after)
    }

    /// A connect has failed in a panic, which ends its task.
    pub(crate) fn panicked(
        &mut self,
        id: usize,
        dial: usize,
        generation: u64,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) {
        self.suffer(id, dial, generation, Cause::Panicked, now, after);
        self.pass_on(id, after);
    }

    fn suffer(
        &mut self,
        id: usize,
        dial: usize,
        generation: u64,
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
            // That it failed with what was reset since says nothing about now.
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
        self.next(id, now, after)
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
        if let Some(at) = self.back_off(id, now) {
            let shelf = self.shelf(id);
            if shelf.prober.is_some() || shelf.waiting() == 0 {
                return None;
            }
            shelf.prober = Some(None);
            return Some(Next::Probe { at });
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

    /// Until when nothing is tried, if that is not over.
    fn back_off(&mut self, id: usize, now: Instant) -> Option<Instant> {
        let trouble = self.shelf(id).trouble.as_ref()?;
        (now < trouble.retry_at).then_some(trouble.retry_at)
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
        shelf.turn_away(|| Grant::Failed(cause.clone(), left), after);
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
        if self.total >= limits.max_total {
            // What it hoped for from its own shelf has gone: from now on it lacks room in all.
            if self.shelf(id).is_hungry(&limits) {
                self.starved = true;
                self.relieve(after);
            }
            return;
        }
        let shelf = self.shelf(id);
        if shelf.prober.is_some() || shelf.wanted(&limits) == 0 {
            return;
        }
        if !shelf.nudge(after) && shelf.waiting() == 0 {
            self.call_keeper(after);
        }
    }
}
