use std::{fmt, sync::Arc};

use hook_monitor::{Gather, HistogramSnapshot, Source, Status};

use crate::shared::Shared;

/// Looks into a pool from outside, and closes it.
///
/// Cheap to clone. It does not keep the pool open.
pub struct PoolHandle<K, C> {
    name: Arc<str>,
    shared: Arc<Shared<K, C>>,
}

impl<K, C> PoolHandle<K, C> {
    pub(crate) fn new(shared: Arc<Shared<K, C>>) -> Self {
        let name = shared.with(|shelves, _| shelves.name.clone());
        Self { name, shared }
    }

    /// The figures of this moment. The counts and levels fit together: they are read in one step.
    ///
    /// Takes the pool's lock for as long as it takes to look at each key once.
    pub fn stats(&self) -> PoolStats {
        let (limits, counts, levels) = self
            .shared
            .with(|shelves, _| (shelves.limits, shelves.counts, shelves.levels()));
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
            closed: ClosedStats {
                broken: counts.broken,
                idle: counts.expired,
                evicted: counts.evicted,
                shutdown: counts.shut_down,
            },
            detached: counts.detached,
            connect_errors: counts.connect_errors,
            connect_timeouts: counts.connect_timeouts,
            timeouts: counts.timeouts,
            queue_full: counts.queue_full,
            too_many_keys: counts.too_many_keys,
            wait: self.shared.waits.snapshot(),
            connect: self.shared.connects.snapshot(),
        }
    }

    /// Closes the pool for good, as [`ConnectionPool::close`](crate::ConnectionPool::close).
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.with(|shelves, _| shelves.is_closed())
    }
}

impl<K, C> Source for PoolHandle<K, C>
where
    K: Send + Sync,
    C: Send,
{
    fn layer(&self) -> &'static str {
        "pool"
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Degraded while somebody waits in line, unhealthy once closed.
    fn status(&self) -> Status {
        let (closed, levels) = self
            .shared
            .with(|shelves, _| (shelves.is_closed(), shelves.levels()));
        match (closed, levels.waiting) {
            (true, _) => Status::Unhealthy,
            (false, 0) => Status::Healthy,
            (false, _) => Status::Degraded,
        }
    }

    fn read(&self, into: &mut dyn Gather) {
        let stats = self.stats();
        into.gauge(
            "hook_pool_connections",
            &[("state", "idle")],
            stats.available as f64,
        );
        into.gauge("hook_pool_connections", &[("state", "used")], stats.active as f64);
        into.gauge("hook_pool_connections_max", &[], stats.max_per_key as f64);
        into.gauge("hook_pool_pending", &[], stats.waiting as f64);
        into.counter("hook_pool_timeouts_total", &[], stats.timeouts);
        into.histogram("hook_pool_wait_seconds", &[], &stats.wait);
        into.histogram("hook_pool_create_seconds", &[], &stats.connect);
    }
}

// By hand: neither keys nor connections need be `Clone`.
impl<K, C> Clone for PoolHandle<K, C> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<K, C> fmt::Debug for PoolHandle<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle")
            .field("name", &self.name)
            .field("stats", &self.stats())
            .finish()
    }
}

/// The figures of a pool, over all its keys.
///
/// `created == total + detached + closed.total()`, at any moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that are idle.
    pub available: usize,
    /// Connections that are in use, or on their way to a caller.
    pub active: usize,
    /// Open connections: `available + active`.
    pub total: usize,
    /// Connections that are being opened, or that a caller is about to open.
    pub connecting: usize,
    /// Callers in line.
    pub waiting: usize,
    /// Keys that have any of these.
    pub keys: usize,
    /// The most that `total + connecting` can be for one key.
    pub max_per_key: usize,
    /// Connections handed out so far.
    pub checkouts: u64,
    /// Connections opened so far.
    pub created: u64,
    /// Connections closed so far, by reason.
    pub closed: ClosedStats,
    /// Connections taken out of the pool so far.
    pub detached: u64,
    /// Errors of the connector so far.
    pub connect_errors: u64,
    /// Connects so far that took longer than they may.
    pub connect_timeouts: u64,
    /// Callers so far that waited in line as long as they may, in vain.
    pub timeouts: u64,
    /// Callers so far that were refused because the line was full.
    pub queue_full: u64,
    /// Callers so far that were refused because there was no room for their key.
    pub too_many_keys: u64,
    /// How long those waited who had to, however it ended. Who was served at once is not in here.
    pub wait: HistogramSnapshot,
    /// How long it took to open the connections that were opened.
    pub connect: HistogramSnapshot,
}

/// How many connections were closed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedStats {
    /// Marked as broken, or thrown away after a call.
    pub broken: u64,
    /// Idle for too long.
    pub idle: u64,
    /// Idle, and in the way of another key.
    pub evicted: u64,
    /// Because the pool was closed.
    pub shutdown: u64,
}

impl ClosedStats {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.broken + self.idle + self.evicted + self.shutdown
    }
}
