//! Asking for a connection, and the line of those who have to wait for one.

use std::{
    panic::Location,
    task::Waker,
    time::{Duration, Instant},
};

use super::{Shelves, Start};
use crate::{
    aftermath::Aftermath,
    alarm::Alarm,
    config::Limits,
    connector::Key,
    entry::{Closing, Entry},
    patience::Deadline,
    shelf::{Cause, Grant},
};

/// What somebody who asks gets at once.
#[derive(Debug)]
pub(crate) enum Turn<C, E> {
    Connection(Box<Entry<C>>),
    /// Good if it passes the check.
    Unchecked(Box<Entry<C>>),
    /// A place in line, by its number.
    Wait(usize),
    Failed(Cause<E>, Duration),
    Full {
        waiting: usize,
    },
    TooManyKeys {
        keys: usize,
    },
    Closed,
}

/// What there was when somebody gave up.
#[derive(Debug)]
pub(crate) struct GaveUp<E> {
    pub(crate) used: usize,
    pub(crate) idle: usize,
    pub(crate) connecting: usize,
    pub(crate) waiting: usize,
    pub(crate) cause: Option<Cause<E>>,
}

impl<K, C, E> Shelves<K, C, E> {
    /// What nearly always happens where there is a line: nothing is idle, nothing may be opened, and whoever asks
    /// steps to the end, with a timer if somebody has left one. The numbers are those of the shelf and of the place.
    #[inline]
    pub(crate) fn queue_up(
        &mut self,
        key: &K,
        now: Instant,
        waker: Waker,
    ) -> Result<(usize, usize, Option<Alarm>), Waker>
    where
        K: Key,
    {
        let Some(id) = self.find(key).filter(|_| !self.closed && !self.starved) else {
            return Err(waker);
        };
        let Limits { max, max_waiting, .. } = self.limits;
        let shelf = self.shelf(id);
        if !shelf.idle.is_empty() || shelf.size() < max || shelf.waiting() >= max_waiting {
            return Err(waker);
        }
        let alarm = shelf.spare_alarm();
        self.asks += 1;
        self.tickets += 1;
        self.latest = self.latest.max(now);
        let (asks, ticket) = (self.asks, self.tickets);
        let shelf = self.shelf(id);
        shelf.last_asked = asks;
        Ok((id, shelf.join(Some(waker), ticket, false), alarm))
    }

    /// Somebody asks for a connection from shelf `id`; from the front of the line, if it had been there before.
    pub(crate) fn ask(
        &mut self,
        id: usize,
        now: Instant,
        from: Option<&'static Location<'static>>,
        front: bool,
        waker: &mut Option<Waker>,
        after: &mut Aftermath<K, C, E>,
    ) -> Turn<C, E> {
        if self.closed {
            return Turn::Closed;
        }
        self.close_expired(id, now, after);
        let limits = self.limits;
        let check_after = self.hooks.check.is_some().then_some(limits.check_after);
        self.asks += 1;
        let asks = self.asks;
        let shelf = self.shelf(id);
        shelf.last_asked = asks;
        if shelf.waiting() == 0 {
            if let Some(mut entry) = shelf.idle.pop_back() {
                shelf.used += 1;
                if shelf.idle.len() < limits.min_idle {
                    self.call_keeper(after);
                }
                let good_for = now.saturating_duration_since(entry.good_at);
                if check_after.is_some_and(|idle| good_for >= idle) {
                    return Turn::Unchecked(entry);
                }
                self.lend(&mut entry, now, from);
                return Turn::Connection(entry);
            }
        }
        let shelf = self.shelf(id);
        if let Some((cause, left)) = shelf.refuses(now) {
            self.counts.failed += 1;
            return Turn::Failed(cause, left);
        }
        let waiting = shelf.parked();
        if waiting >= limits.max_waiting && !front && !self.may_connect(id, now) {
            self.counts.queue_full += 1;
            return Turn::Full { waiting };
        }
        let ticket = if front { 0 } else { self.tickets + 1 };
        self.tickets += 1;
        Turn::Wait(self.shelf(id).join(waker.take(), ticket, front))
    }

    /// What somebody who was given a place in line is to begin.
    pub(crate) fn start_for(
        &mut self,
        turn: &Turn<C, E>,
        id: usize,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<Start> {
        match turn {
            Turn::Wait(_) => self.start(id, now, after),
            _ => None,
        }
    }

    /// A waiter looks whether it was served, at `now`.
    pub(crate) fn pick_up(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Option<Grant<C, E>> {
        let mut grant = self.shelf(id).pick_up(place, waker)?;
        self.take_along(&mut grant, now, from);
        Some(grant)
    }

    /// The same for one whose waker is in the line.
    #[inline]
    pub(crate) fn take_turn(
        &mut self,
        id: usize,
        place: usize,
        now: Instant,
        from: Option<&'static Location<'static>>,
        deadline: &mut Deadline,
    ) -> Option<Grant<C, E>> {
        let mut grant = self.shelf(id).take_turn(place, deadline)?;
        self.take_along(&mut grant, now, from);
        Some(grant)
    }

    fn take_along(
        &mut self,
        grant: &mut Grant<C, E>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) {
        if let Grant::Connection(entry) = grant {
            self.lend(entry, now, from);
        }
    }

    /// A waiter has no more time; what it was given meanwhile it may take along.
    pub(crate) fn give_up(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        now: Instant,
        from: Option<&'static Location<'static>>,
        after: &mut Aftermath<K, C, E>,
    ) -> Result<Grant<C, E>, GaveUp<E>> {
        if let Some(mut grant) = self.shelf(id).leave(place, waker) {
            self.take_along(&mut grant, now, from);
            return Ok(grant);
        }
        self.counts.timeouts += 1;
        self.shelf(id).trim_alarms(after);
        self.relieve(after);
        self.pass_on(id, after);
        Err(self.gave_up(id))
    }

    /// What there is, for somebody who has waited for it in vain.
    pub(crate) fn gave_up(&mut self, id: usize) -> GaveUp<E> {
        let shelf = self.shelf(id);
        GaveUp {
            used: shelf.used,
            idle: shelf.idle.len(),
            connecting: shelf.connecting(),
            waiting: shelf.waiting(),
            cause: shelf.trouble.as_ref().map(|trouble| trouble.cause.clone()),
        }
    }

    /// A waiter is gone; what it was given goes to the next, or comes out to be closed.
    pub(crate) fn abandon(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        match self.shelf(id).leave(place, waker) {
            Some(Grant::Connection(entry)) => {
                let now = self.latest;
                self.put_back(entry, now, after)
            }
            Some(Grant::Failed(failed)) => {
                after.discard_cause(Some(failed.0));
                None
            }
            Some(Grant::Closed) => None,
            None => {
                self.shelf(id).trim_alarms(after);
                self.relieve(after);
                self.pass_on(id, after);
                None
            }
        }
    }
}
