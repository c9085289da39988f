//! All shelves of a pool, by key; pure, like the shelf.
//!
//! A key is here as long as anything is on its shelf or anybody waits for it. Connections and waiters
//! name their shelf by number, so that only asking looks a key up.

use std::{collections::HashMap, hash::Hash, sync::Arc, task::Waker, time::Instant};

use hook_monitor::{Reason, Rejected};

use crate::{
    config::Limits,
    line::Line,
    shelf::{Aftermath, Connection, Grant, Hold, Shelf, Turn},
};

type Index<K> = HashMap<Arc<K>, usize>;

pub(crate) struct Shelves<K, C> {
    pub(crate) limits: Limits,
    pub(crate) name: Arc<str>,
    pub(crate) counts: Counts,
    index: Index<K>,
    /// In line stand the shelves that only have idle connections, the longest rested first.
    shelves: Line<Labelled<K, C>>,
    /// `HashMap::remove`, taken along from where `K: Hash + Eq` was known: a connection that is dropped
    /// does not know it.
    unlist: fn(&mut Index<K>, &K) -> Option<usize>,
    closed: bool,
}

struct Labelled<K, C> {
    key: Arc<K>,
    shelf: Shelf<C>,
}

/// What has happened so far. Counted under the lock that is held anyway.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) checkouts: u64,
    pub(crate) created: u64,
    pub(crate) broken: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) shut_down: u64,
    pub(crate) detached: u64,
    pub(crate) connect_errors: u64,
    pub(crate) connect_timeouts: u64,
    pub(crate) timeouts: u64,
    pub(crate) queue_full: u64,
    pub(crate) too_many_keys: u64,
}

/// What there is right now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) keys: usize,
    pub(crate) idle: usize,
    pub(crate) used: usize,
    pub(crate) connecting: usize,
    pub(crate) waiting: usize,
}

impl<K, C> Shelves<K, C> {
    pub(crate) fn new(limits: Limits) -> Self
    where
        K: Hash + Eq,
    {
        Self {
            limits,
            name: Arc::from("pool"),
            counts: Counts::default(),
            index: HashMap::new(),
            shelves: Line::new(),
            unlist: |index, key| index.remove(key),
            closed: false,
        }
    }

    /// The number of the shelf for `key`, if it has one.
    #[inline]
    pub(crate) fn find(&self, key: &K) -> Option<usize>
    where
        K: Hash + Eq,
    {
        self.index.get(key).copied()
    }

    /// The number of the shelf for `key`, which is put up if there is none and room for one.
    pub(crate) fn find_or_add(&mut self, key: &Arc<K>, after: &mut Aftermath<K, C>) -> Result<usize, Rejected>
    where
        K: Hash + Eq,
    {
        if let Some(id) = self.find(key) {
            return Ok(id);
        }
        while self.index.len() >= self.limits.max_keys {
            let Some(rested) = self.shelves.first() else {
                self.counts.too_many_keys += 1;
                let keys = self.index.len();
                return Err(Rejected::new(Reason::TooManyKeys { keys }));
            };
            if let Some(labelled) = self.shelves.get_mut(rested) {
                self.counts.evicted += labelled.shelf.clear(after) as u64;
            }
            self.tidy(rested, after);
        }
        let id = self.shelves.insert(Labelled {
            key: key.clone(),
            shelf: Shelf::new(),
        });
        self.index.insert(key.clone(), id);
        Ok(id)
    }

    /// Somebody asks for a connection from shelf `id`.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        id: usize,
        now: Instant,
        after: &mut Aftermath<K, C>,
    ) -> Result<Turn<C>, Rejected> {
        let limits = self.limits;
        let shelf = self.shelf(id);
        let expired = match limits.idle_timeout {
            Some(timeout) => shelf.expire(timeout, now, after),
            None => 0,
        };
        let turn = shelf.ask(&limits);
        self.counts.expired += expired as u64;
        let result = match turn {
            Turn::Full { waiting } => {
                self.counts.queue_full += 1;
                Err(Rejected::new(Reason::PoolQueueFull { waiting }))
            }
            turn => {
                self.counts.checkouts += u64::from(matches!(turn, Turn::Connection(_)));
                Ok(turn)
            }
        };
        self.tidy(id, after);
        self.expire_rested(now, after);
        result
    }

    /// A used connection comes back, fit for use.
    #[inline]
    pub(crate) fn give_back(
        &mut self,
        id: usize,
        connection: Connection<C>,
        now: Instant,
        after: &mut Aftermath<K, C>,
    ) {
        if self.closed {
            after.connections.push(connection);
            self.counts.shut_down += 1;
            return self.forget_used(id, after);
        }
        self.shelf(id).give_back(connection, now, after);
        self.tidy(id, after);
    }

    /// A used connection is gone, or belongs to somebody else now.
    pub(crate) fn forget_used(&mut self, id: usize, after: &mut Aftermath<K, C>) {
        let limits = self.limits;
        self.shelf(id).forget_used(&limits, after);
        self.tidy(id, after);
    }

    pub(crate) fn free_slot(&mut self, id: usize, after: &mut Aftermath<K, C>) {
        let limits = self.limits;
        self.shelf(id).free_slot(&limits, after);
        self.tidy(id, after);
    }

    /// A connection has been opened. In a closed pool that makes no difference: the slot stays one.
    pub(crate) fn fill_slot(&mut self, id: usize) -> Result<(), Rejected> {
        self.counts.created += 1;
        if self.closed {
            self.counts.shut_down += 1;
            return Err(Rejected::new(Reason::PoolClosed));
        }
        self.counts.checkouts += 1;
        self.shelf(id).fill_slot();
        Ok(())
    }

    /// A waiter looks whether it was served.
    pub(crate) fn pick_up(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        after: &mut Aftermath<K, C>,
    ) -> Option<Grant<C>> {
        let grant = self.shelf(id).pick_up(place, waker)?;
        Some(self.take_along(id, grant, after))
    }

    /// A waiter has no more time; what it was given meanwhile it may take along.
    pub(crate) fn give_up(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        after: &mut Aftermath<K, C>,
    ) -> Option<Grant<C>> {
        match self.shelf(id).leave(place, waker) {
            Some(grant) => Some(self.take_along(id, grant, after)),
            None => {
                self.counts.timeouts += 1;
                self.tidy(id, after);
                None
            }
        }
    }

    /// A waiter is gone; what it was given goes to the next.
    pub(crate) fn abandon(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        now: Instant,
        after: &mut Aftermath<K, C>,
    ) {
        match self.shelf(id).leave(place, waker) {
            Some(Grant::Connection(connection)) => self.give_back(id, connection, now, after),
            Some(Grant::Slot) => self.free_slot(id, after),
            Some(Grant::Closed) | None => self.tidy(id, after),
        }
    }

    /// Closes the pool: nothing idle, nobody waiting, from now on.
    pub(crate) fn close(&mut self, after: &mut Aftermath<K, C>) {
        self.closed = true;
        let ids: Vec<usize> = self.shelves.slots().map(|(id, _)| id).collect();
        for id in ids {
            let shelf = self.shelf(id);
            let cleared = shelf.clear(after);
            shelf.turn_away(after);
            self.counts.shut_down += cleared as u64;
            self.tidy(id, after);
        }
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn levels(&self) -> Levels {
        let none = Levels {
            keys: self.index.len(),
            ..Levels::default()
        };
        self.shelves
            .slots()
            .fold(none, |sum, (_, Labelled { shelf, .. })| Levels {
                idle: sum.idle + shelf.idle(),
                used: sum.used + shelf.used(),
                connecting: sum.connecting + shelf.connecting(),
                waiting: sum.waiting + shelf.waiting(),
                ..sum
            })
    }

    fn take_along(&mut self, id: usize, grant: Grant<C>, after: &mut Aftermath<K, C>) -> Grant<C> {
        match grant {
            // Opening a connection that would be closed at once helps nobody.
            Grant::Slot if self.closed => {
                self.free_slot(id, after);
                Grant::Closed
            }
            Grant::Closed => {
                self.tidy(id, after);
                Grant::Closed
            }
            Grant::Connection(connection) => {
                self.counts.checkouts += 1;
                Grant::Connection(connection)
            }
            Grant::Slot => Grant::Slot,
        }
    }

    /// Closes what has been idle for too long on shelves that nobody asks.
    #[inline]
    fn expire_rested(&mut self, now: Instant, after: &mut Aftermath<K, C>) {
        let Some(timeout) = self.limits.idle_timeout else {
            return;
        };
        // The first in line has rested longest: if it holds on to something, so do those behind it.
        while let Some(id) = self.shelves.first() {
            let shelf = self.shelf(id);
            let expired = shelf.expire(timeout, now, after);
            let left = shelf.idle();
            self.counts.expired += expired as u64;
            if left > 0 {
                return;
            }
            self.tidy(id, after);
        }
    }

    /// Puts a shelf where it belongs after a change: away, if there is nothing left on it.
    #[inline]
    fn tidy(&mut self, id: usize, after: &mut Aftermath<K, C>) {
        match self.shelf(id).hold() {
            Hold::Busy => self.shelves.leave(id),
            Hold::Resting => self.shelves.join(id),
            Hold::Bare => {
                if let Some(bare) = self.shelves.remove(id) {
                    (self.unlist)(&mut self.index, &bare.key);
                    after.keys.push(bare.key);
                }
            }
        }
    }

    /// # Panics
    ///
    /// If there is no such shelf: whoever holds a number has something on that shelf, so it stays up.
    #[inline]
    fn shelf(&mut self, id: usize) -> &mut Shelf<C> {
        &mut self.shelves.get_mut(id).expect("a shelf in use stays up").shelf
    }
}
