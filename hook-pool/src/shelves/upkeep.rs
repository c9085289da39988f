//! What is done in the background.

use std::time::{Duration, Instant};

use super::{Shelves, Start};
use crate::{
    aftermath::Aftermath,
    connector::Key,
    entry::{Closing, Entry},
    handle::Leak,
};

/// What there is to do now, and when to look again.
pub(crate) struct Chores<C> {
    pub(crate) starts: Vec<Start>,
    pub(crate) checks: Vec<Box<Entry<C>>>,
    pub(crate) leaks: Vec<Leak>,
    pub(crate) next: Option<Instant>,
}

/// A replacement is begun this share of a lifetime before it is needed, and no more than this long before.
const LEAD: (u32, Duration) = (20, Duration::from_secs(10));

impl<K, C, E> Shelves<K, C, E> {
    /// Does what can be done on the spot, and says what is to be done without the lock. `None` if the pool is closed
    /// or there is nothing to look after.
    pub(crate) fn chores(&mut self, now: Instant, after: &mut Aftermath<K, C, E>) -> Option<Chores<C>>
    where
        K: Key,
    {
        self.keeper.called = false;
        if self.closed {
            self.keeper.runs = false;
            return None;
        }
        self.latest = self.latest.max(now);
        // First, with nothing in hand yet: `Hash` of a key may panic.
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_none() {
                continue;
            }
            self.close_expired(id, now, after);
            if self.shelf(id).is_bare() && self.back_off_over(id, now) && self.limits.min_idle == 0 {
                self.take_down(id, after);
            }
        }
        if self.shelves.occupied() == 0 {
            // Whoever comes next calls another.
            self.keeper.runs = false;
            return None;
        }
        self.relieve(after);
        let mut chores = Chores {
            starts: Vec::new(),
            checks: Vec::new(),
            leaks: self.leaks(now),
            next: self.period().and_then(|period| now.checked_add(period)),
        };
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_none() {
                continue;
            }
            self.replace_retiring(id, now, &mut chores.next);
            self.check_idle(id, now, &mut chores);
            // Who waits for room is found once for all of them, below: each look goes through all keys.
            if !self.starved || self.shelf(id).back_off(now).is_some() {
                chores.starts.extend(self.start(id, now, after));
            }
            self.note_due(id, now, &mut chores.next);
        }
        if self.starved {
            match self.hungriest() {
                Some(id) => chores.starts.extend(self.start(id, now, after)),
                None => self.relieve(after),
            }
        }
        Some(chores)
    }

    pub(crate) fn needs_keeper(&self) -> bool {
        !self.closed && !self.keeper.runs && (self.limits.min_idle > 0 || self.period().is_some())
    }

    pub(crate) fn call_keeper(&mut self, after: &mut Aftermath<K, C, E>) {
        self.keeper.called = true;
        after.wake(self.keeper.waker.take());
    }

    /// How often to look, whatever there is.
    fn period(&self) -> Option<Duration> {
        let limits = &self.limits;
        let parts = [
            limits.idle_timeout.map(|time| time / 8),
            limits.max_lifetime.map(|time| time / LEAD.0),
            limits
                .keep_alive
                .filter(|_| self.hooks.check.is_some())
                .map(|time| time / 8),
            limits.leak_after.map(|time| time / 8),
        ];
        let shortest = parts.into_iter().flatten().min()?;
        // The timer has ticks of a millisecond.
        Some(shortest.max(Duration::from_millis(1)))
    }

    /// Wants a replacement for each idle connection that will have to go before the next look.
    fn replace_retiring(&mut self, id: usize, now: Instant, next: &mut Option<Instant>) {
        let Some(lifetime) = self.limits.max_lifetime else {
            return;
        };
        let lead = (lifetime / LEAD.0).min(LEAD.1);
        let max = self.limits.max;
        let shelf = self.shelf(id);
        let retire_at = shelf.idle.iter().filter_map(|entry| entry.retire_at);
        let due = retire_at
            .filter(|at| at.saturating_duration_since(now) <= lead)
            .count();
        if shelf.trouble.is_none() {
            shelf.replacing = due.min(max.saturating_sub(shelf.idle.len() + shelf.used));
        }
        let begins = shelf
            .idle
            .iter()
            .filter_map(|entry| entry.retire_at?.checked_sub(lead));
        if let Some(first) = begins.filter(|at| *at > now).min() {
            sooner(next, first);
        }
    }

    /// A replacement is there: the one it is for goes.
    pub(super) fn retire_one(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) {
        let Some(lifetime) = self.limits.max_lifetime else {
            return;
        };
        let lead = (lifetime / LEAD.0).min(LEAD.1);
        let shelf = self.shelf(id);
        shelf.replacing -= 1;
        let retiring = shelf
            .idle
            .iter()
            .filter_map(|entry| Some((entry.retire_at?, entry.idle_since)));
        let due = retiring
            .filter(|(at, _)| at.saturating_duration_since(now) <= lead)
            .min();
        let Some((at, since)) = due else {
            return;
        };
        // The new one has not been asked for any more recently than the old one.
        if let Some(mut new) = shelf.idle.pop_back() {
            new.idle_since = since;
            self.lay(new);
        }
        let mut left = 1;
        let gone = |entry: &Entry<C>| {
            let gone = left > 0 && entry.retire_at == Some(at);
            left -= usize::from(gone);
            gone
        };
        self.close_idle(id, 0, gone, Closing::Lifetime, after);
    }

    /// Takes out what has to be checked so that nobody on the way forgets it.
    fn check_idle(&mut self, id: usize, now: Instant, chores: &mut Chores<C>) {
        let (Some(interval), true) = (self.limits.keep_alive, self.hooks.check.is_some()) else {
            return;
        };
        let shelf = self.shelf(id);
        let quiet = |entry: &Entry<C>| now.saturating_duration_since(entry.good_at) >= interval;
        // The rest stays for those who ask, and is checked at one of the next looks.
        let stays = shelf.idle.len() / 2;
        shelf.used += shelf.remove_idle(stays, quiet, |entry| chores.checks.push(entry));
        if let Some(first) = shelf
            .idle
            .iter()
            .filter_map(|entry| entry.good_at.checked_add(interval))
            .filter(|at| *at > now)
            .min()
        {
            sooner(&mut chores.next, first);
        }
    }

    /// When something on this shelf has to be seen to.
    fn note_due(&mut self, id: usize, now: Instant, next: &mut Option<Instant>) {
        let idle_timeout = self.limits.idle_timeout;
        let min_idle = self.limits.min_idle;
        let shelf = self.shelf(id);
        if let (Some(timeout), true) = (idle_timeout, shelf.idle.len() > min_idle) {
            let expires = shelf
                .idle
                .front()
                .and_then(|oldest| oldest.idle_since.checked_add(timeout));
            expires.into_iter().for_each(|at| sooner(next, at));
        }
        let retires = shelf.idle.iter().filter_map(|entry| entry.retire_at).min();
        retires.into_iter().for_each(|at| sooner(next, at));
        // What should be kept idle is tried for again then.
        let retry = shelf.trouble.as_ref().map(|trouble| trouble.retry_at);
        retry
            .filter(|at| *at > now)
            .into_iter()
            .for_each(|at| sooner(next, at));
    }

    /// Whether a shelf with nothing on it has nothing to remember either.
    fn back_off_over(&mut self, id: usize, now: Instant) -> bool {
        let (_, max) = self.limits.backoff;
        let trouble = self.shelf(id).trouble.as_ref();
        trouble.is_none_or(|trouble| now.saturating_duration_since(trouble.retry_at) >= max)
    }

    /// Those that have been held for too long, each once.
    fn leaks(&mut self, now: Instant) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let Some(limit) = self.limits.leak_after else {
            return leaks;
        };
        for slot in self.held.numbers() {
            let Some(held) = self.held.get_mut(slot) else {
                continue;
            };
            let held_for = now.saturating_duration_since(held.since);
            if held_for >= limit && !held.told {
                held.told = true;
                leaks.push(Leak {
                    held_for,
                    place: held.place,
                });
            }
        }
        self.counts.leaks += leaks.len() as u64;
        leaks
    }

    /// A shelf with this key, for whoever wants to warm it up.
    pub(crate) fn warm(&mut self, id: usize, floor: usize) {
        let max = self.limits.max;
        let shelf = self.shelf(id);
        shelf.warmers += 1;
        shelf.floor = shelf.floor.max(floor.min(max));
    }

    /// How many connections shelf `id` may have without another giving way.
    pub(crate) fn room_at(&mut self, id: usize) -> usize {
        let (limits, total) = (self.limits, self.total);
        let elsewhere = total - self.shelf(id).size();
        limits.max.min(limits.max_total.saturating_sub(elsewhere))
    }

    pub(crate) fn cool(&mut self, id: usize) {
        let shelf = self.shelf(id);
        shelf.warmers -= 1;
        if shelf.warmers == 0 {
            shelf.floor = 0;
        }
    }
}

fn sooner(next: &mut Option<Instant>, at: Instant) {
    *next = Some(next.map_or(at, |next| next.min(at)));
}
