//! What is given back on drop: a connection, the right to open one, a place in line.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hook_monitor::{Clock, Reason, Rejected};

use crate::{
    shared::{Served, Shared},
    shelf::{Connection, Grant},
};

/// A connection that is yours until you drop it.
///
/// Dropping it gives it back: to the first in line if anybody waits, onto the shelf otherwise. That is
/// synchronous, spawns nothing and pings nothing. If the pool was closed meanwhile, the connection is
/// closed instead.
///
/// `Pooled` does not keep the pool open: once the pool and all its clones are gone, the connection
/// still works and is closed when it comes back.
pub struct Pooled<C, K = ()> {
    /// There until it is detached or dropped.
    connection: Option<Connection<C>>,
    broken: bool,
    home: Home<K, C>,
}

impl<C, K> Pooled<C, K> {
    #[inline]
    pub(crate) fn new(home: Home<K, C>, mut connection: Connection<C>) -> Self {
        connection.uses += 1;
        Self {
            connection: Some(connection),
            broken: false,
            home,
        }
    }

    /// Sees to it that this connection is never handed out again.
    ///
    /// It stays usable for you, and keeps its slot until you drop it: then it is closed, and after that
    /// the first in line may open another.
    #[inline]
    pub fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Whether the connection was marked as broken.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes the connection out of the pool for good. Its slot is free at once.
    pub fn detach(mut self) -> C {
        let connection = self.take();
        self.home.shared.with(|shelves, after| {
            shelves.counts.detached += 1;
            shelves.forget_used(self.home.shelf, after);
        });
        connection.inner
    }

    /// How often this connection has been handed out, this time included: 1 for a new one.
    #[inline]
    pub fn uses(&self) -> u64 {
        self.get().uses
    }

    /// How long ago the connection was opened.
    pub fn age(&self) -> Duration {
        self.home.clock.now().saturating_duration_since(self.get().born)
    }

    #[inline]
    fn get(&self) -> &Connection<C> {
        self.connection.as_ref().expect("taken by detach and drop only")
    }

    #[inline]
    fn take(&mut self) -> Connection<C> {
        self.connection.take().expect("taken by detach and drop only")
    }
}

impl<C, K> Deref for Pooled<C, K> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.get().inner
    }
}

impl<C, K> DerefMut for Pooled<C, K> {
    #[inline]
    fn deref_mut(&mut self) -> &mut C {
        let connection = self.connection.as_mut();
        &mut connection.expect("taken by detach and drop only").inner
    }
}

impl<C, K> Drop for Pooled<C, K> {
    #[inline]
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let home = &self.home;
        if self.broken {
            // First the connection, then the slot: a server that counts never sees one too many. The
            // slot is a guard, so that it comes back even if dropping the connection panics.
            let _slot = BrokenSlot(home);
            drop(connection);
        } else {
            let now = home.clock.now();
            home.shared
                .with(|shelves, after| shelves.give_back(home.shelf, connection, now, after));
        }
    }
}

// By hand: a key need not be `Debug`.
impl<C: fmt::Debug, K> fmt::Debug for Pooled<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled")
            .field("connection", &self.get().inner)
            .field("uses", &self.uses())
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

struct BrokenSlot<'a, K, C>(&'a Home<K, C>);

impl<K, C> Drop for BrokenSlot<'_, K, C> {
    fn drop(&mut self) {
        self.0.shared.with(|shelves, after| {
            shelves.counts.broken += 1;
            shelves.forget_used(self.0.shelf, after);
        });
    }
}

/// A connection in the middle of a call: unless the call ends, nobody knows what state it is in.
#[derive(Debug)]
pub(crate) struct InDoubt<K, C>(Pooled<C, K>);

impl<K, C> InDoubt<K, C> {
    #[inline]
    pub(crate) fn new(mut pooled: Pooled<C, K>) -> Self {
        pooled.broken = true;
        Self(pooled)
    }

    #[inline]
    pub(crate) fn connection(&mut self) -> &mut C {
        &mut self.0
    }

    /// The call has ended; the connection goes back if it is fit for that.
    #[inline]
    pub(crate) fn settle(mut self, fit: bool) {
        self.0.broken = !fit;
    }
}

/// The right to open one connection.
pub(crate) struct Slot<K, C> {
    /// There until the slot is filled.
    home: Option<Home<K, C>>,
}

impl<K, C> Slot<K, C> {
    pub(crate) const fn new(home: Home<K, C>) -> Self {
        Self { home: Some(home) }
    }

    /// The connection has been opened. If the pool was closed meanwhile, it is dropped.
    pub(crate) fn fill(mut self, inner: C) -> Result<Pooled<C, K>, Rejected> {
        let home = self.home.as_ref().expect("a slot is filled once");
        let born = home.clock.now();
        home.shared.with(|shelves, _| shelves.fill_slot(home.shelf))?;
        let home = self.home.take().expect("a slot is filled once");
        Ok(Pooled::new(home, Connection { inner, born, uses: 0 }))
    }
}

impl<K, C> Drop for Slot<K, C> {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.shared
                .with(|shelves, after| shelves.free_slot(home.shelf, after));
        }
    }
}

/// A place in line.
pub(crate) struct Place<K, C> {
    /// There until whoever stands here has been served or turned away.
    home: Option<Home<K, C>>,
    number: usize,
}

impl<K, C> Place<K, C> {
    pub(crate) const fn new(home: Home<K, C>, number: usize) -> Self {
        Self {
            home: Some(home),
            number,
        }
    }

    /// Ready once it is this one's turn.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Served<K, C>, Rejected>> {
        let home = self.home.as_ref().expect("nobody is served twice");
        // Cloned before and dropped after the lock: both run the executor's code.
        let mut waker = Some(cx.waker().clone());
        let (grant, after) = home
            .shared
            .step(|shelves, after| shelves.pick_up(home.shelf, self.number, &mut waker, after));
        let turn = match grant {
            Some(grant) => Poll::Ready(self.accept(grant)),
            None => Poll::Pending,
        };
        after.happen();
        drop(waker);
        turn
    }

    /// Leaves the line, unless it has been this one's turn since the last poll.
    pub(crate) fn give_up(mut self) -> Option<Result<Served<K, C>, Rejected>> {
        let home = self.home.as_ref().expect("nobody is served twice");
        let mut waker = None;
        let (grant, after) = home
            .shared
            .step(|shelves, after| shelves.give_up(home.shelf, self.number, &mut waker, after));
        let turn = match grant {
            Some(grant) => Some(self.accept(grant)),
            None => {
                // Out of the line already.
                self.home = None;
                None
            }
        };
        after.happen();
        drop(waker);
        turn
    }

    fn accept(&mut self, grant: Grant<C>) -> Result<Served<K, C>, Rejected> {
        let home = self.home.take().expect("nobody is served twice");
        match grant {
            Grant::Connection(connection) => Ok(Served::Connection(Pooled::new(home, connection))),
            Grant::Slot => Ok(Served::Slot(Slot::new(home))),
            Grant::Closed => Err(Rejected::new(Reason::PoolClosed)),
        }
    }
}

impl<K, C> Drop for Place<K, C> {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let now = home.clock.now();
            let mut waker = None;
            home.shared.with(|shelves, after| {
                shelves.abandon(home.shelf, self.number, &mut waker, now, after);
            });
        }
    }
}

/// Where something belongs.
pub(crate) struct Home<K, C> {
    pub(crate) shared: Arc<Shared<K, C>>,
    pub(crate) shelf: usize,
    pub(crate) clock: Clock,
}

impl<K, C> fmt::Debug for Home<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("shelf", &self.shelf)
            .finish_non_exhaustive()
    }
}
