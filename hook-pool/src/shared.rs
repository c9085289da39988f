use std::{fmt, hash::Hash, sync::Arc};

use hook_monitor::{Clock, Histogram, Reason, Rejected};

use crate::{
    config::{Config, Limits},
    lease::{Home, Place, Pooled, Slot},
    shelf::{Aftermath, Turn},
    shelves::Shelves,
    sync::Mutex,
};

/// What the clones of a pool, its handles and its connections have in common.
pub(crate) struct Shared<K, C> {
    shelves: Mutex<Shelves<K, C>>,
    pub(crate) waits: Histogram,
    pub(crate) connects: Histogram,
}

impl<K, C> Shared<K, C> {
    fn new(max: usize) -> Self
    where
        K: Hash + Eq,
    {
        Self {
            shelves: Mutex::new(Shelves::new(Limits::new(max))),
            waits: Histogram::new(),
            connects: Histogram::new(),
        }
    }

    /// Does `step` under the lock. What follows from it is left to the caller, who puts into its guard what
    /// `step` took first: the aftermath runs somebody else's code, which may panic.
    #[inline]
    pub(crate) fn step<R>(
        &self,
        step: impl FnOnce(&mut Shelves<K, C>, &mut Aftermath<K, C>) -> R,
    ) -> (R, Aftermath<K, C>) {
        let mut after = Aftermath::new();
        let result = step(&mut self.shelves.lock(), &mut after);
        (result, after)
    }

    /// Does `step`, which takes nothing, under the lock, and what follows from it after the lock.
    #[inline]
    pub(crate) fn with<R>(&self, step: impl FnOnce(&mut Shelves<K, C>, &mut Aftermath<K, C>) -> R) -> R {
        let (result, after) = self.step(step);
        after.happen();
        result
    }

    pub(crate) fn close(&self) {
        self.with(Shelves::close);
    }
}

/// Closes the pool when the last one who could ask it for a connection is gone.
struct Owner<K, C>(Arc<Shared<K, C>>);

impl<K, C> Drop for Owner<K, C> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A pool but for its connector: what a layer and a pool both hold.
pub(crate) struct Core<K, C> {
    owner: Arc<Owner<K, C>>,
    pub(crate) config: Config,
}

/// What somebody who asked has got.
pub(crate) enum Served<K, C> {
    Connection(Pooled<C, K>),
    Slot(Slot<K, C>),
    Place(Place<K, C>),
}

impl<K, C> Core<K, C> {
    pub(crate) fn new(max: usize) -> Self
    where
        K: Hash + Eq,
    {
        Self {
            owner: Arc::new(Owner(Arc::new(Shared::new(max)))),
            config: Config::new(),
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared<K, C>> {
        &self.owner.0
    }

    #[inline]
    pub(crate) fn clock(&self) -> &Clock {
        &self.config.clock
    }

    /// Asks for a connection for `key`. Whatever is got gives itself back when dropped.
    #[inline]
    pub(crate) fn ask(&self, key: &K) -> Result<Served<K, C>, Rejected>
    where
        K: Hash + Eq + Clone,
    {
        let now = self.config.clock.now();
        let (known, after) = self.shared().step(|shelves, after| {
            if shelves.is_closed() {
                return Some(Err(Rejected::new(Reason::PoolClosed)));
            }
            let id = shelves.find(key)?;
            Some(shelves.ask(id, now, after).map(|turn| (id, turn)))
        });
        if let Some(asked) = known {
            let served = asked.and_then(|(id, turn)| self.serve(id, turn));
            after.happen();
            return served;
        }
        // Cloning a key is the user's code: not under the lock.
        let key = Arc::new(key.clone());
        let (asked, after) = self.shared().step(|shelves, after| {
            // It may have been closed in between.
            if shelves.is_closed() {
                return Err(Rejected::new(Reason::PoolClosed));
            }
            let id = shelves.find_or_add(&key, after)?;
            shelves.ask(id, now, after).map(|turn| (id, turn))
        });
        let served = asked.and_then(|(id, turn)| self.serve(id, turn));
        after.happen();
        // Somebody else may have brought the same key meanwhile; then this drops it.
        drop(key);
        served
    }

    /// Puts what shelf `id` gave into the guard that gives it back.
    #[inline]
    fn serve(&self, id: usize, turn: Turn<C>) -> Result<Served<K, C>, Rejected> {
        let home = Home {
            shared: self.shared().clone(),
            shelf: id,
            clock: self.config.clock,
        };
        match turn {
            Turn::Connection(connection) => Ok(Served::Connection(Pooled::new(home, connection))),
            Turn::Slot => Ok(Served::Slot(Slot::new(home))),
            Turn::Wait(place) => Ok(Served::Place(Place::new(home, place))),
            Turn::Full { waiting } => Err(Rejected::new(Reason::PoolQueueFull { waiting })),
        }
    }
}

// By hand: none of these needs `K: Clone` or `C: Debug`.
impl<K, C> Clone for Core<K, C> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            config: self.config,
        }
    }
}

impl<K, C> fmt::Debug for Core<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limits, levels) = self
            .shared()
            .with(|shelves, _| (shelves.limits, shelves.levels()));
        f.debug_struct("Core")
            .field("config", &self.config)
            .field("limits", &limits)
            .field("levels", &levels)
            .finish()
    }
}
