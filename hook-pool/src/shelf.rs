//! The connections to one place, and who waits for them.
//!
//! Pure transitions: no clock, no lock, no waker called, no connection dropped in here. What has to
//! happen once the lock is gone is left in an [`Aftermath`].
//!
//! Invariants, at every return:
//!
//! - `idle + used + connecting <= max`
//! - while somebody stands in line, nothing is idle and no slot is free: whatever comes free is handed
//!   to the first in line in the same step. So nobody can be overtaken and no wake-up can be lost.
//! - what was handed to a waiter counts as used (a connection) or connecting (a slot) from then on,
//!   whether the waiter has come for it or not.

use std::{
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use crate::{config::Limits, line::Line};

/// An open connection, and what is known about it.
#[derive(Debug)]
pub(crate) struct Connection<C> {
    pub(crate) inner: C,
    pub(crate) born: Instant,
    pub(crate) uses: u64,
}

#[derive(Debug)]
struct Idle<C> {
    connection: Connection<C>,
    since: Instant,
}

/// What a waiter is given.
#[derive(Debug)]
pub(crate) enum Grant<C> {
    Connection(Connection<C>),
    /// The right to open a connection.
    Slot,
    Closed,
}

/// What somebody who asks gets at once.
#[derive(Debug)]
pub(crate) enum Turn<C> {
    Connection(Connection<C>),
    Slot,
    /// A place in line, by its number.
    Wait(usize),
    Full {
        waiting: usize,
    },
}

/// How much there is on a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Something is used or being opened, or somebody waits.
    Busy,
    /// Idle connections and nothing else.
    Resting,
    Bare,
}

#[derive(Debug)]
struct Waiter<C> {
    waker: Option<Waker>,
    grant: Option<Grant<C>>,
}

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Shelf<C> {
    /// In the order they came back: taken from the back, expired from the front.
    idle: VecDeque<Idle<C>>,
    used: usize,
    connecting: usize,
    /// Those in line, and those who were served and have not come for it yet.
    waiters: Line<Waiter<C>>,
}

impl<C> Shelf<C> {
    pub(crate) fn new() -> Self {
        Self {
            idle: VecDeque::new(),
            used: 0,
            connecting: 0,
            waiters: Line::new(),
        }
    }

    /// Somebody asks for a connection.
    #[inline]
    pub(crate) fn ask(&mut self, limits: &Limits) -> Turn<C> {
        let waiting = self.waiters.standing();
        if waiting == 0 {
            if let Some(idle) = self.idle.pop_back() {
                self.used += 1;
                return Turn::Connection(idle.connection);
            }
            if self.size() < limits.max {
                self.connecting += 1;
                return Turn::Slot;
            }
        }
        if waiting >= limits.max_waiting {
            return Turn::Full { waiting };
        }
        let place = self.waiters.insert(Waiter {
            waker: None,
            grant: None,
        });
        self.waiters.join(place);
        Turn::Wait(place)
    }

    /// A used connection comes back, fit for use.
    #[inline]
    pub(crate) fn give_back<K>(
        &mut self,
        connection: Connection<C>,
        now: Instant,
        after: &mut Aftermath<K, C>,
    ) {
        if self.waiters.standing() > 0 {
            return self.serve(Grant::Connection(connection), after);
        }
        self.used -= 1;
        self.idle.push_back(Idle {
            connection,
            since: now,
        });
    }

    /// A used connection is gone, or belongs to somebody else now.
    pub(crate) fn forget_used<K>(&mut self, limits: &Limits, after: &mut Aftermath<K, C>) {
        self.used -= 1;
        self.hand_on_slot(limits, after);
    }

    /// A slot comes back without a connection.
    pub(crate) fn free_slot<K>(&mut self, limits: &Limits, after: &mut Aftermath<K, C>) {
        self.connecting -= 1;
        self.hand_on_slot(limits, after);
    }

    /// A slot has become a connection, which is used at once.
    pub(crate) fn fill_slot(&mut self) {
        self.connecting -= 1;
        self.used += 1;
    }

    /// A waiter looks whether it was served, and leaves its waker (taking the old one) if not.
    pub(crate) fn pick_up(&mut self, place: usize, waker: &mut Option<Waker>) -> Option<Grant<C>> {
        let waiter = self.waiters.get_mut(place)?;
        if waiter.grant.is_none() {
            mem::swap(&mut waiter.waker, waker);
            return None;
        }
        // Its waker went when it was served. The one brought along is for the caller to drop.
        self.leave(place, &mut None)
    }

    /// A waiter goes, with what it was given if it was served; its waker goes with it.
    pub(crate) fn leave(&mut self, place: usize, waker: &mut Option<Waker>) -> Option<Grant<C>> {
        let waiter = self.waiters.remove(place)?;
        *waker = waiter.waker;
        waiter.grant
    }

    /// Takes out whatever has been idle for `timeout` or longer, and says how many that were.
    #[inline]
    pub(crate) fn expire<K>(
        &mut self,
        timeout: Duration,
        now: Instant,
        after: &mut Aftermath<K, C>,
    ) -> usize {
        let mut expired = 0;
        while let Some(oldest) = self.idle.front() {
            if now.saturating_duration_since(oldest.since) < timeout {
                break;
            }
            after
                .connections
                .extend(self.idle.pop_front().map(|idle| idle.connection));
            expired += 1;
        }
        expired
    }

    /// Takes out everything idle, and says how many that were.
    pub(crate) fn clear<K>(&mut self, after: &mut Aftermath<K, C>) -> usize {
        let idle = mem::take(&mut self.idle);
        let cleared = idle.len();
        after
            .connections
            .extend(idle.into_iter().map(|idle| idle.connection));
        cleared
    }

    /// Tells everybody in line that it was in vain.
    pub(crate) fn turn_away<K>(&mut self, after: &mut Aftermath<K, C>) {
        while self.waiters.standing() > 0 {
            self.serve(Grant::Closed, after);
        }
    }

    #[inline]
    pub(crate) fn hold(&self) -> Hold {
        if self.used + self.connecting > 0 || !self.waiters.is_vacant() {
            Hold::Busy
        } else if self.idle.is_empty() {
            Hold::Bare
        } else {
            Hold::Resting
        }
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn connecting(&self) -> usize {
        self.connecting
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.standing()
    }

    fn size(&self) -> usize {
        self.idle.len() + self.used + self.connecting
    }

    fn hand_on_slot<K>(&mut self, limits: &Limits, after: &mut Aftermath<K, C>) {
        if self.waiters.standing() > 0 && self.size() < limits.max {
            self.connecting += 1;
            self.serve(Grant::Slot, after);
        }
    }

    /// Gives `grant` to the first in line.
    fn serve<K>(&mut self, grant: Grant<C>, after: &mut Aftermath<K, C>) {
        let Some(place) = self.waiters.first() else {
            return;
        };
        self.waiters.leave(place);
        if let Some(waiter) = self.waiters.get_mut(place) {
            waiter.grant = Some(grant);
            after.wake(waiter.waker.take());
        }
    }
}

/// What is left to do once the lock is gone: it all runs somebody else's code.
///
/// It happens at the latest when this is dropped, so that a panic costs nobody the wake-up.
#[derive(Debug)]
#[must_use = "what is taken has to be guarded before this happens"]
pub(crate) struct Aftermath<K, C> {
    // Nearly always there is one to wake or none: that costs no vector.
    waker: Option<Waker>,
    wakers: Vec<Waker>,
    pub(crate) connections: Vec<Connection<C>>,
    pub(crate) keys: Vec<Arc<K>>,
}

impl<K, C> Aftermath<K, C> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            waker: None,
            wakers: Vec::new(),
            connections: Vec::new(),
            keys: Vec::new(),
        }
    }

    fn wake(&mut self, waker: Option<Waker>) {
        match self.waker {
            None => self.waker = waker,
            Some(_) => self.wakers.extend(waker),
        }
    }

    /// Wakes who is to be woken, in order, and drops what is to be dropped.
    #[inline]
    pub(crate) fn happen(self) {
        drop(self);
    }

    /// Wakes all, also those behind a waker that panics; passes the first panic on after that.
    fn wake_all(&mut self, first: Waker) {
        let mut panicked = None;
        for waker in std::iter::once(first).chain(mem::take(&mut self.wakers)) {
            // Nobody looks at a waker again after it was called.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panicked.get_or_insert(panic);
            }
        }
        // A second panic would end the process.
        if let Some(panic) = panicked.filter(|_| !thread::panicking()) {
            resume_unwind(panic);
        }
    }
}

impl<K, C> Drop for Aftermath<K, C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(first) = self.waker.take() {
            self.wake_all(first);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
