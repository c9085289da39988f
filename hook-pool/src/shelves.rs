//! All shelves of a pool, by key; pure, like the shelf.
//!
//! A key is here as long as anything is on its shelf or anybody waits for it. Connections and waiters
//! name their shelf by number, so that only asking looks a key up.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

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
    /// Takes a key out of the index if it leads to that shelf. Taken along from where `K: Hash + Eq` was
    /// known: a connection that is dropped does not know it.
    unlist: fn(&mut Index<K>, &K, usize),
    /// When all shelves were last looked through for what has been idle for too long.
    swept: Option<Instant>,
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
            unlist: |index, key, id| {
                if index.get(key) == Some(&id) {
                    index.remove(key);
                }
            },
            swept: None,
            closed: false,
        }
    }

    /// The number of the shelf for `key`, if it has one.
    #[inline]
    pub(crate) fn find(&self, key: &K) -> Option<usize>
    where
        K: Hash + Eq,
    {
        let id = *self.index.get(key)?;
        // A key whose `Hash` is not always the same may have stayed in the index when its shelf went.
        // Whatever else it gets for that: not the connections of another key.
        let labelled = self.shelves.get(id)?;
        (*labelled.key == *key).then_some(id)
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
        // In line, a shelf that gets no entry because `Hash` panics is taken away like any other.
        self.shelves.join(id);
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
        // Before anything is taken: the keys of others may go, which runs their `Hash`.
        self.expire_others(id, now, after);
        let limits = self.limits;
        if let Some(timeout) = limits.idle_timeout {
            self.expire(id, timeout, now, after);
        }
        let turn = self.shelf(id).ask(&limits);
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
        // The shelf is gone if whoever stood there was turned away, and `Hash` panicked as it left.
        let Some(Labelled { shelf, .. }) = self.shelves.get_mut(id) else {
            return;
        };
        match shelf.leave(place, waker) {
            Some(Grant::Connection(connection)) => self.give_back(id, connection, now, after),
            Some(Grant::Slot) => self.free_slot(id, after),
            Some(Grant::Closed) | None => self.tidy(id, after),
        }
    }

    /// Closes the pool: nothing idle, nobody waiting, from now on.
    pub(crate) fn close(&mut self, after: &mut Aftermath<K, C>) {
        self.closed = true;
        for id in self.shelves.numbers() {
            if let Some(Labelled { shelf, .. }) = self.shelves.get_mut(id) {
                self.counts.shut_down += shelf.clear(after) as u64;
                shelf.turn_away(after);
            }
        }
        // After that, as it may run `Hash`, which may panic.
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_some() {
                self.tidy(id, after);
            }
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

    /// Closes what has been idle for too long on other shelves than the one that is asked.
    #[inline]
    fn expire_others(&mut self, asked: usize, now: Instant, after: &mut Aftermath<K, C>) {
        let Some(timeout) = self.limits.idle_timeout else {
            return;
        };
        // To the end of the line: those before it are the others. It leaves once something is taken.
        self.shelves.leave(asked);
        self.shelves.join(asked);
        let swept = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(swept) >= timeout {
            self.swept = Some(now);
            return self.sweep(asked, timeout, now, after);
        }
        // The first in line came to rest first: if it holds on to something, those behind it hold on to
        // what they used last. What they have that is older, and what is idle beside others that are in
        // use, is left to the sweep.
        while let Some(id) = self.shelves.first() {
            if id == asked || self.expire(id, timeout, now, after) > 0 {
                return;
            }
            self.tidy(id, after);
        }
    }

    /// Looks through all shelves, which is done once per idle timeout.
    #[cold]
    fn sweep(&mut self, asked: usize, timeout: Duration, now: Instant, after: &mut Aftermath<K, C>) {
        for id in self.shelves.numbers() {
            if id != asked && self.shelves.get(id).is_some() {
                self.expire(id, timeout, now, after);
                self.tidy(id, after);
            }
        }
    }

    /// Takes what has been idle for too long off a shelf, and says how many are left idle.
    #[inline]
    fn expire(&mut self, id: usize, timeout: Duration, now: Instant, after: &mut Aftermath<K, C>) -> usize {
        let shelf = self.shelf(id);
        let expired = shelf.expire(timeout, now, after);
        let left = shelf.idle();
        self.counts.expired += expired as u64;
        left
    }

    /// Puts a shelf where it belongs after a change: away, if there is nothing left on it.
    #[inline]
    fn tidy(&mut self, id: usize, after: &mut Aftermath<K, C>) {
        match self.shelf(id).hold() {
            Hold::Busy => self.shelves.leave(id),
            Hold::Resting => self.shelves.join(id),
            Hold::Bare => self.take_down(id, after),
        }
    }

    /// Takes a bare shelf away.
    fn take_down(&mut self, id: usize, after: &mut Aftermath<K, C>) {
        // First out of the index, which runs `Hash` and `Eq`: should they panic, the shelf is still up,
        // and in line to be taken away later. A number in the index never is another key's shelf.
        self.shelves.join(id);
        if let Some(bare) = self.shelves.get(id) {
            (self.unlist)(&mut self.index, &bare.key, id);
        }
        after.keys.extend(self.shelves.remove(id).map(|bare| bare.key));
    }

    /// # Panics
    ///
    /// If there is no such shelf: whoever holds a number has something on that shelf, so it stays up.
    #[inline]
    fn shelf(&mut self, id: usize) -> &mut Shelf<C> {
        &mut self.shelves.get_mut(id).expect("a shelf in use stays up").shelf
    }
}
