use std::{fmt, future::Future, panic::Location, sync::Arc, task::Context, time::Duration};

use hook_monitor::{Gather, Source, Status};

use crate::{
    drain::{self, DrainReport},
    shared::Shared,
    shelves::Shelves,
    stats::{ClosedStats, PoolStats},
};

/// Looks into a pool from outside, resizes, resets and closes it.
///
/// Cheap to clone. It does not keep the pool open.
#[derive(Clone)]
pub struct PoolHandle {
    name: Arc<str>,
    pool: Arc<dyn Inspect>,
}

/// A connection that was held for longer than [`leak_warning`](crate::ConnectionPool::leak_warning) allows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// How long it has been held by now.
    pub held_for: Duration,
    /// Where it was checked out, if that was by [`get`](crate::ConnectionPool::get).
    pub place: Option<&'static Location<'static>>,
}

/// A pool, whatever its keys, connections and errors.
pub(crate) trait Inspect: Send + Sync {
    fn stats(&self) -> PoolStats;
    fn close(&self);
    fn is_closed(&self) -> bool;
    fn is_crowded(&self) -> bool;
    fn reset(&self);
    fn resize(&self, max: Option<usize>, max_total: Option<usize>);
    /// How many connections are out; leaves a waker at `place` for when that changes.
    fn watch_used(&self, place: &mut Option<usize>, cx: &Context<'_>) -> usize;
    fn unwatch(&self, place: usize);
}

impl PoolHandle {
    pub(crate) fn new<K, C, E>(shared: Arc<Shared<K, C, E>>) -> Self
    where
        K: Send + Sync + 'static,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        let name = shared.with(|shelves, _| shelves.name.clone());
        Self { name, pool: shared }
    }

    /// The figures of this moment. The counts and levels fit together: they are read in one step.
    ///
    /// Takes the pool's lock for as long as it takes to look at each key once.
    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Changes how many connections there may be per key, at once and for all clones.
    ///
    /// When that is less than there are, idle ones are closed before this returns, and those in use when they come
    /// back. When it is more, connects begin for whoever is in line. A closed pool stays as it is.
    ///
    /// # Panics
    ///
    /// If `max_per_key` is zero.
    #[track_caller]
    pub fn resize(&self, max_per_key: usize) {
        assert!(
            max_per_key > 0,
            "a pool of no connections serves nobody: max_per_key must be 1 or more, not 0"
        );
        self.pool.resize(Some(max_per_key), None);
    }

    /// The same for how many there may be over all keys.
    ///
    /// # Panics
    ///
    /// If `max_total` is zero.
    #[track_caller]
    pub fn resize_total(&self, max_total: usize) {
        assert!(
            max_total > 0,
            "a pool of no connections serves nobody: max_total must be 1 or more, not 0"
        );
        self.pool.resize(None, Some(max_total));
    }

    /// Lends nothing any more that was opened before now, as when credentials were changed: idle connections are
    /// closed before this returns, those in use when they come back; those being opened are given up, and opened anew
    /// for whoever waits. The pool stays open.
    pub fn reset(&self) {
        self.pool.reset();
    }

    /// Closes the pool for good, as [`ConnectionPool::close`](crate::ConnectionPool::close).
    pub fn close(&self) {
        self.pool.close();
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Closes the pool, and waits until what is in use has come back, or for `deadline`.
    ///
    /// [`close`](Self::close) happens before this returns a future; whoever drops that only stops waiting.
    ///
    /// # Panics
    ///
    /// When the future is polled outside a tokio runtime with its timer on, unless `deadline` is
    /// [`Duration::MAX`].
    pub fn drain(&self, deadline: Duration) -> impl Future<Output = DrainReport> + Send + use<> {
        drain::drain(self.pool.clone(), deadline)
    }
}

impl<K, C, E> Inspect for Shared<K, C, E>
where
    K: Send + Sync,
    C: Send,
    E: Send + Sync,
{
    fn stats(&self) -> PoolStats {
        let (limits, counts, levels) =
            self.with(|shelves, _| (shelves.limits, shelves.counts, shelves.levels()));
        PoolStats {
            available: levels.idle,
            active: levels.used,
            total: levels.idle + levels.used,
            connecting: levels.connecting,
            waiting: levels.waiting,
            keys: levels.keys,
            max_per_key: limits.max,
            checkouts: counts.checkouts,
            created: counts.created,
            closed: ClosedStats::new(counts.closed),
            detached: counts.detached,
            connect_errors: counts.connect_errors,
            connect_timeouts: counts.connect_timeouts,
            timeouts: counts.timeouts,
            failed: counts.failed,
            queue_full: counts.queue_full,
            too_many_keys: counts.too_many_keys,
            leaks: counts.leaks,
            wait: self.waits.snapshot(),
            held: self.uses.snapshot(),
            connect: self.connects.snapshot(),
        }
    }

    fn close(&self) {
        Self::close(self);
    }

    fn is_closed(&self) -> bool {
        self.with(|shelves, _| shelves.is_closed())
    }

    fn is_crowded(&self) -> bool {
        self.with(|shelves, _| shelves.levels().parked > 0)
    }

    fn reset(&self) {
        self.with(Shelves::reset);
    }

    fn resize(&self, max: Option<usize>, max_total: Option<usize>) {
        self.with(|shelves, after| shelves.resize(max, max_total, after));
    }

    fn watch_used(&self, place: &mut Option<usize>, cx: &Context<'_>) -> usize {
        let mut waker = Some(cx.waker().clone());
        self.with(|shelves, _| {
            shelves.watch(place, &mut waker);
            shelves.levels().used
        })
    }

    fn unwatch(&self, place: usize) {
        let waker = self.with(|shelves, _| shelves.unwatch(place));
        drop(waker);
    }
}

impl Source for PoolHandle {
    fn layer(&self) -> &'static str {
        "pool"
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Degraded while somebody is in line without a connect under way for it, unhealthy once closed.
    fn status(&self) -> Status {
        if self.is_closed() {
            Status::Unhealthy
        } else if self.pool.is_crowded() {
            Status::Degraded
        } else {
            Status::Healthy
        }
    }

    fn read(&self, into: &mut dyn Gather) {
        self.stats().read(into);
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle")
            .field("name", &self.name)
            .field("stats", &self.stats())
            .finish()
    }
}
