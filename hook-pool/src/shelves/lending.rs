//! Connections on their way out and back: what nearly always happens, and what may be the matter with one.

use std::{
    panic::Location,
    task::Waker,
    time::{Duration, Instant},
};

use super::{Held, Labelled, Shelves};
use crate::{
    aftermath::Aftermath,
    connector::Key,
    entry::{Closing, Entry},
    shelf::Grant,
};

/// Checkouts that follow each other more closely than this are so many that timing one in sixteen tells as much.
const HOT: Duration = Duration::from_micros(2);
const ONE_IN: u32 = 16;
/// The first so many are timed in any case.
const FIRST: u64 = 64;

impl<K, C, E> Shelves<K, C, E> {
    /// What nearly always happens: an idle connection that is good as it is.
    #[inline]
    pub(crate) fn take(
        &mut self,
        key: &K,
        now: Instant,
        place: Option<&'static Location<'static>>,
    ) -> Option<Box<Entry<C>>>
    where
        K: Key,
    {
        let id = self.find(key)?;
        let labelled = self.shelves.get_mut(id)?;
        let shelf = &mut labelled.shelf;
        let entry = shelf.idle.back()?;
        // Below the minimum there is somebody to be called for more, if there may be more.
        let short = shelf.idle.len() <= self.limits.min_idle
            && shelf.size() < self.limits.max
            && self.total < self.limits.max_total;
        if !entry.is_fresh(now) || short {
            return None;
        }
        let mut entry = shelf.idle.pop_back()?;
        shelf.used += 1;
        self.asks += 1;
        shelf.last_asked = self.asks;
        self.lend(&mut entry, now, place);
        Some(entry)
    }

    /// Notes that a connection is handed out.
    #[inline]
    pub(super) fn lend(
        &mut self,
        entry: &mut Entry<C>,
        now: Instant,
        place: Option<&'static Location<'static>>,
    ) {
        self.counts.checkouts += 1;
        let hot = now < self.hot_until;
        self.hot_until = now + HOT;
        self.latest = self.latest.max(now);
        entry.uses += 1;
        entry.taken_at = now;
        entry.place = place;
        entry.weight = if self.precise || !hot || self.counts.checkouts <= FIRST {
            1
        } else if self.counts.checkouts.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 == 0 {
            ONE_IN
        } else {
            0
        };
        if self.limits.leak_after.is_some() {
            entry.watched = Some(self.held.insert(Held {
                since: now,
                place,
                told: false,
            }));
        }
    }

    /// What nearly always happens: a used connection comes back and nobody waits for it.
    #[inline]
    pub(crate) fn rest(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Option<Instant>,
    ) -> Result<(), Box<Entry<C>>> {
        let since = self.latest.max(now.unwrap_or(entry.taken_at));
        if self.is_odd(&entry, since) {
            return Err(entry);
        }
        let Some(Labelled { shelf, .. }) = self.shelves.get_mut(entry.shelf) else {
            return Err(entry);
        };
        if shelf.waiting() > 0 || shelf.size() > self.limits.max {
            return Err(entry);
        }
        self.latest = since;
        entry.idle_since = since;
        entry.good_at = since;
        entry.fresh_until = fresh_until(since, self.fresh_for, &entry);
        shelf.used -= 1;
        shelf.idle.push_back(entry);
        Ok(())
    }

    /// The same where somebody waits for it, and nothing may be opened beside: whom to wake, and whether that was the
    /// last in line.
    #[inline]
    pub(crate) fn hand_on(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Option<Instant>,
    ) -> Result<(Option<Waker>, bool), Box<Entry<C>>> {
        let since = self.latest.max(now.unwrap_or(entry.taken_at));
        if self.is_odd(&entry, since) {
            return Err(entry);
        }
        let max = self.limits.max;
        let full = |labelled: &&mut Labelled<K, C, E>| labelled.shelf.size() == max;
        let Some(Labelled { shelf, .. }) = self.shelves.get_mut(entry.shelf).filter(full) else {
            return Err(entry);
        };
        entry.idle_since = since;
        entry.good_at = since;
        let waker = shelf.hand_to_first(entry)?;
        self.latest = since;
        Ok((waker, shelf.waiting() == 0))
    }

    /// Whether there is more to a connection that comes back than where it goes.
    #[inline]
    fn is_odd(&self, entry: &Entry<C>, now: Instant) -> bool {
        self.closed
            || self.starved
            || entry.generation != self.generation
            || entry.watched.is_some()
            || entry.uses >= self.limits.max_uses
            || self.total > self.limits.max_total
            || entry.is_retired(now)
    }

    /// A used connection comes back, fit for use, at `now` if that was looked up. What comes out again is to be
    /// closed, and its slot then given back by [`forget_used`](Self::forget_used).
    pub(crate) fn give_back(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Option<Instant>,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        let now = match now {
            Some(now) => self.latest.max(now),
            None => self.latest.max(entry.taken_at),
        };
        self.latest = now;
        if let Some(watched) = entry.watched.take() {
            self.held.remove(watched);
        }
        entry.idle_since = now;
        entry.good_at = now;
        self.put_back(entry, now, after)
    }

    /// The same for one that was not used meanwhile: it has been idle for as long as before.
    pub(crate) fn put_back(
        &mut self,
        entry: Box<Entry<C>>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        let id = entry.shelf;
        if let Some(closing) = self.unfit(&entry, now) {
            return Some((entry, closing));
        }
        if self.shelf(id).waiting() > 0 {
            if self.starved && self.owes_another(id) {
                return Some((entry, Closing::Evicted));
            }
            let _served = self.shelf(id).serve(Grant::Connection(entry), after);
            self.relieve(after);
            self.pass_on(id, after);
            return None;
        }
        let shelf = self.shelf(id);
        shelf.used -= 1;
        self.lay(entry);
        if self.starved {
            self.relieve(after);
        }
        None
    }

    /// Lays a connection onto its shelf.
    pub(super) fn lay(&mut self, mut entry: Box<Entry<C>>) {
        entry.rested = true;
        entry.fresh_until = fresh_until(entry.good_at.min(entry.idle_since), self.fresh_for, &entry);
        self.shelf(entry.shelf).rest(entry);
    }

    /// A connection has passed its check, and is handed out, unless something has happened to the pool meanwhile.
    pub(crate) fn pass(
        &mut self,
        entry: &mut Entry<C>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Result<(), Closing> {
        match self.unfit(entry, now) {
            // Somebody may have this one as well as whoever has one already.
            None | Some(Closing::Surplus) => {
                self.lend(entry, now, from);
                Ok(())
            }
            Some(closing) => Err(closing),
        }
    }

    /// A connection has passed its check in the background, and is as idle as it was.
    pub(crate) fn pass_idle(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        entry.good_at = now;
        self.put_back(entry, now, after)
    }

    /// Why a connection that comes back is not kept.
    #[inline]
    fn unfit(&mut self, entry: &Entry<C>, now: Instant) -> Option<Closing> {
        let limits = &self.limits;
        let (max, max_uses, crowded) = (limits.max, limits.max_uses, self.total > limits.max_total);
        if self.closed {
            Some(Closing::Shutdown)
        } else if entry.generation != self.generation {
            Some(Closing::Reset)
        } else if entry.is_retired(now) {
            Some(Closing::Lifetime)
        } else if entry.uses >= max_uses {
            Some(Closing::Uses)
        } else if crowded || self.shelf(entry.shelf).size() > max {
            Some(Closing::Surplus)
        } else {
            None
        }
    }

    /// A used connection is gone, or belongs to somebody else now if there is no reason for closing it.
    pub(crate) fn forget_used(
        &mut self,
        id: usize,
        watched: Option<usize>,
        closing: Option<Closing>,
        after: &mut Aftermath<K, C, E>,
    ) {
        match closing {
            Some(closing) => self.counts.closed[closing as usize] += 1,
            None => self.counts.detached += 1,
        }
        if let Some(watched) = watched {
            self.held.remove(watched);
        }
        self.total -= 1;
        let latest = self.latest;
        let shelf = self.shelf(id);
        shelf.used -= 1;
        if let Some((cause, left)) = shelf.refuses(latest) {
            // What they hoped for is gone.
            self.fail_all(id, &cause, left, after);
            after.discard_cause(Some(cause));
        }
        self.freed(id, after);
    }
}

/// Until when a connection that has been idle `since` is handed out without a second look.
#[inline]
pub(super) fn fresh_until<C>(since: Instant, fresh_for: Duration, entry: &Entry<C>) -> Option<Instant> {
    match (since.checked_add(fresh_for), entry.retire_at) {
        (Some(fresh), Some(retire)) => Some(fresh.min(retire)),
        (fresh, retire) => fresh.or(retire),
    }
}
