//! What closes connections by the way: the end of the pool, a reset, lower limits and age.

use std::time::Instant;

use super::{Labelled, Shelves};
use crate::{
    aftermath::Aftermath,
    entry::{Closing, Entry},
    shelf::Grant,
};

impl<K, C, E> Shelves<K, C, E> {
    /// Closes the pool: nothing idle, nobody waiting, nothing under way, from now on.
    pub(crate) fn close(&mut self, after: &mut Aftermath<K, C, E>) {
        self.closed = true;
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_none() {
                continue;
            }
            self.close_idle(id, 0, |_| true, Closing::Shutdown, after);
            self.revoke(id, Closing::Shutdown, after);
            let shelf = self.shelf(id);
            shelf.turn_away(|| Grant::Closed, after);
            shelf.floor = 0;
            if let Some(prober) = &mut shelf.prober {
                after.wake(prober.take());
            }
            shelf.wake_dials(after);
        }
        self.call_keeper(after);
        self.changed(after);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What is idle goes now, and what is under way; what is in use when it comes back.
    pub(crate) fn reset(&mut self, after: &mut Aftermath<K, C, E>) {
        self.generation += 1;
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_some() {
                self.close_idle(id, 0, |_| true, Closing::Reset, after);
                self.revoke(id, Closing::Reset, after);
                // Whatever was wrong may have been the credentials.
                self.shelf(id).forget_trouble(after);
                self.shelf(id).wake_dials(after);
                self.freed(id, after);
            }
        }
        self.call_keeper(after);
    }

    /// Follows new limits: closes what is idle and too many, and begins what may be begun.
    pub(crate) fn resize(
        &mut self,
        max: Option<usize>,
        max_total: Option<usize>,
        after: &mut Aftermath<K, C, E>,
    ) {
        if self.closed {
            return;
        }
        self.limits.max = max.unwrap_or(self.limits.max);
        self.limits.max_total = max_total.unwrap_or(self.limits.max_total);
        let max = self.limits.max;
        for id in self.shelves.numbers() {
            if let Some(Labelled { shelf, .. }) = self.shelves.get(id) {
                let keep = shelf.idle.len().saturating_sub(shelf.size().saturating_sub(max));
                self.close_idle(id, keep, |_| true, Closing::Surplus, after);
            }
        }
        while self.total > self.limits.max_total && self.evict_one(None, Closing::Surplus, after) {}
        self.follow(after);
    }

    /// Limits have changed: sees to it that what may be begun now is begun. Whether there is anybody it is for.
    pub(crate) fn follow(&mut self, after: &mut Aftermath<K, C, E>) -> bool {
        if self.closed || self.shelves.occupied() == 0 {
            return false;
        }
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_some() {
                self.pass_on(id, after);
            }
        }
        self.call_keeper(after);
        true
    }

    /// Takes back what was handed to those who have not come for it yet. They were first in line, and are again.
    fn revoke(&mut self, id: usize, closing: Closing, after: &mut Aftermath<K, C, E>) {
        let revoked = self
            .shelf(id)
            .revoke(|entry| after.more().connections.push(entry));
        self.counts.closed[closing as usize] += revoked as u64;
        self.total -= revoked;
    }

    /// Closes what is idle on a shelf and `gone`, keeping `at_least` so many.
    pub(super) fn close_idle(
        &mut self,
        id: usize,
        at_least: usize,
        gone: impl FnMut(&Entry<C>) -> bool,
        closing: Closing,
        after: &mut Aftermath<K, C, E>,
    ) -> usize {
        let closed = self
            .shelf(id)
            .remove_idle(at_least, gone, |entry| after.more().connections.push(entry));
        self.counts.closed[closing as usize] += closed as u64;
        self.total -= closed;
        closed
    }

    /// Closes what has been idle for too long, or has reached its age.
    pub(super) fn close_expired(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) {
        let min_idle = self.limits.min_idle;
        let idle_timeout = self.limits.idle_timeout;
        self.close_idle(id, 0, |entry| entry.is_retired(now), Closing::Lifetime, after);
        if let Some(timeout) = idle_timeout {
            let expired = |entry: &Entry<C>| now.saturating_duration_since(entry.idle_since) >= timeout;
            self.close_idle(id, min_idle, expired, Closing::Idle, after);
        }
    }
}
