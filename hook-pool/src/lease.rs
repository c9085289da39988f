//! What is given back on drop: a connection, in use or in a check.

use std::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    panic::Location,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::{
    aftermath::Aftermath,
    config::Check,
    entry::{Closing, Entry},
    shared::Shared,
    shelves::Shelves,
};

/// A connection that is yours until you drop it.
///
/// Dropping it gives it back: to the first in line if anybody waits, onto the shelf otherwise. That is
/// synchronous, spawns nothing and pings nothing. If the pool was closed or reset meanwhile, or the connection has
/// reached its age, it is closed instead.
///
/// `Pooled` does not keep the pool open: once the pool and all its clones are gone, the connection
/// still works and is closed when it comes back.
pub struct Pooled<C> {
    /// There until it is detached or dropped, with its home in it.
    entry: Option<Box<Entry<C>>>,
}

impl<C> Pooled<C> {
    #[inline]
    pub(crate) fn new<K, E>(home: Arc<Shared<K, C, E>>, mut entry: Box<Entry<C>>) -> Self
    where
        K: Send + Sync + 'static,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        entry.home = Some(home);
        Self { entry: Some(entry) }
    }

    /// Sees to it that this connection is never handed out again.
    ///
    /// It stays usable for you, and keeps its slot until you drop it: then it is closed, and after that
    /// another may be opened for the first in line.
    #[inline]
    pub fn mark_broken(&mut self) {
        self.set_broken(true);
    }

    #[inline]
    fn set_broken(&mut self, broken: bool) {
        if let Some(entry) = &mut self.entry {
            entry.broken = broken;
        }
    }

    /// Whether the connection was marked as broken.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.get().broken
    }

    /// Takes the connection out of the pool for good. Its slot is free at once.
    pub fn detach(mut self) -> C {
        let entry = self.entry.take().expect("taken by detach and drop only");
        if let Some(home) = &entry.home {
            home.forget(entry.shelf, entry.watched);
        }
        entry.inner
    }

    /// How often this connection has been handed out, this time included: 1 for a new one.
    #[inline]
    pub fn uses(&self) -> u64 {
        self.get().uses
    }

    /// How long ago the connection was opened.
    pub fn age(&self) -> Duration {
        let entry = self.get();
        entry.clock.now().saturating_duration_since(entry.born)
    }

    /// How long the connection had been idle when it was handed out this time.
    pub fn idle(&self) -> Duration {
        let entry = self.get();
        entry.taken_at.saturating_duration_since(entry.idle_since)
    }

    /// How long ago it was handed out.
    pub fn held(&self) -> Duration {
        let entry = self.get();
        entry.clock.now().saturating_duration_since(entry.taken_at)
    }

    #[inline]
    fn get(&self) -> &Entry<C> {
        self.entry.as_ref().expect("taken by detach and drop only")
    }
}

impl<C> Deref for Pooled<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.get().inner
    }
}

impl<C> DerefMut for Pooled<C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut C {
        let entry = self.entry.as_mut();
        &mut entry.expect("taken by detach and drop only").inner
    }
}

impl<C> Drop for Pooled<C> {
    #[inline]
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        let Some(home) = entry.home.take() else {
            unreachable!("what is lent has a home")
        };
        if entry.broken {
            home.close(entry, Closing::Broken);
        } else {
            home.give_back(entry);
        }
    }
}

impl<C: fmt::Debug> fmt::Debug for Pooled<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled")
            .field("connection", &self.get().inner)
            .field("uses", &self.uses())
            .field("broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

/// A connection for a call: once that has begun, and unless it ends, nobody knows what state it is in.
#[derive(Debug)]
pub(crate) struct InDoubt<C>(Pooled<C>);

impl<C> InDoubt<C> {
    #[inline]
    pub(crate) const fn new(pooled: Pooled<C>) -> Self {
        Self(pooled)
    }

    /// From now on nobody knows.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.0.set_broken(true);
    }

    #[inline]
    pub(crate) fn connection(&mut self) -> &mut C {
        &mut self.0
    }

    /// Whether it may have gone stale: it was used before, or lay idle, opened before `since`.
    pub(crate) fn has_rested(&self, since: Option<Instant>) -> bool {
        let entry = self.0.get();
        entry.uses > 1 || (entry.rested && since.is_none_or(|since| entry.born <= since))
    }

    /// Takes it out of both guards.
    pub(crate) fn into_entry(mut self) -> Box<Entry<C>> {
        let mut entry = self.0.entry.take().expect("taken by detach and drop only");
        entry.home = None;
        entry
    }

    /// The call has ended; the connection goes back if it is fit for that.
    #[inline]
    pub(crate) fn settle(mut self, fit: bool) {
        self.0.set_broken(!fit);
    }
}

/// A connection that is being checked, and counts as used. Unless it passes it is closed.
pub(crate) struct InCheck<K, C, E> {
    shared: Arc<Shared<K, C, E>>,
    /// There until it has passed or is closed.
    entry: Option<Box<Entry<C>>>,
}

/// What a check ends with.
pub(crate) type Checked<K, C, E> = Pin<Box<dyn Future<Output = (InCheck<K, C, E>, bool)> + Send>>;

impl<K, C, E> InCheck<K, C, E> {
    pub(crate) const fn new(shared: Arc<Shared<K, C, E>>, entry: Box<Entry<C>>) -> Self {
        Self {
            shared,
            entry: Some(entry),
        }
    }

    /// Runs the check, if there is one.
    pub(crate) fn run(mut self, check: Option<Check<C>>, limit: Duration) -> Checked<K, C, E>
    where
        K: Send + Sync + 'static,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        // In a box: a connection that has been idle this long is worth one.
        Box::pin(async move {
            let good = match (&check, &mut self.entry) {
                (Some(check), Some(entry)) => {
                    let result = check(&mut entry.inner);
                    match limit {
                        Duration::MAX => result.await,
                        limit => timeout(limit, result).await.unwrap_or(false),
                    }
                }
                _ => true,
            };
            (self, good)
        })
    }

    /// Is handed out, unless it is of no use any more, for the reason that comes with it then.
    pub(crate) fn pass(
        mut self,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Result<Pooled<C>, (Self, Closing)>
    where
        K: Send + Sync + 'static,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        let mut entry = self.entry.take().expect("it passes once");
        match self.shared.with(|shelves, _| shelves.pass(&mut entry, now, from)) {
            Ok(()) => Ok(Pooled::new(self.shared.clone(), entry)),
            Err(why) => {
                self.entry = Some(entry);
                Err((self, why))
            }
        }
    }

    /// Goes back to where it was.
    pub(crate) fn pass_idle(mut self, now: Instant) {
        if let Some(entry) = self.entry.take() {
            let closing = self
                .shared
                .with(|shelves, after| shelves.pass_idle(entry, now, after));
            if let Some((entry, why)) = closing {
                self.shared.close_used(entry, why);
            }
        }
    }

    /// Closes the connection, and keeps its slot for a moment.
    pub(crate) fn empty(mut self, why: Closing) -> EmptySlot<K, C, E> {
        let entry = self.entry.take().expect("it is closed once");
        EmptySlot::of(self.shared.clone(), entry, why)
    }

    /// The number of the shelf it is from.
    pub(crate) fn shelf(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.shelf)
    }
}

impl<K, C, E> Drop for InCheck<K, C, E> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.shared.close_used(entry, Closing::Unfit);
        }
    }
}

/// The slot of a connection that failed its check, or was of no use after it.
pub(crate) struct EmptySlot<K, C, E> {
    shared: Arc<Shared<K, C, E>>,
    shelf: usize,
    watched: Option<usize>,
    why: Closing,
    given_back: bool,
}

impl<K, C, E> EmptySlot<K, C, E> {
    /// Closes a connection that counts as used.
    pub(crate) fn of(shared: Arc<Shared<K, C, E>>, entry: Box<Entry<C>>, why: Closing) -> Self {
        let slot = Self {
            shared,
            shelf: entry.shelf,
            watched: entry.watched,
            why,
            given_back: false,
        };
        drop(entry);
        slot
    }

    pub(crate) const fn shelf(&self) -> usize {
        self.shelf
    }

    pub(crate) fn give_back(mut self, shelves: &mut Shelves<K, C, E>, after: &mut Aftermath<K, C, E>) {
        self.given_back = true;
        shelves.forget_used(self.shelf, self.watched, Some(self.why), after);
    }
}

impl<K, C, E> Drop for EmptySlot<K, C, E> {
    fn drop(&mut self) {
        if !self.given_back {
            self.shared.with(|shelves, after| {
                shelves.forget_used(self.shelf, self.watched, Some(self.why), after);
            });
        }
    }
}
