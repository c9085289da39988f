use hook_monitor::{Gather, HistogramSnapshot};

use crate::entry::Closing;

/// The figures of a pool, over all its keys.
///
/// `created == total + detached + closed.total()`, at any moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that are idle.
    pub available: usize,
    /// Connections that are in use, being checked, or on their way to a caller.
    pub active: usize,
    /// Open connections: `available + active`.
    pub total: usize,
    /// Connections that are being opened.
    pub connecting: usize,
    /// Callers in line, whether a connect is under way for them or not.
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
    /// Errors (and panics) of the connector so far.
    pub connect_errors: u64,
    /// Connects so far that took longer than they may.
    pub connect_timeouts: u64,
    /// Callers so far that waited in line as long as they may, in vain.
    pub timeouts: u64,
    /// Callers so far that were told at once why no connection could be opened.
    pub failed: u64,
    /// Callers so far that were refused because the line was full.
    pub queue_full: u64,
    /// Callers so far that were refused because there was no room for their key.
    pub too_many_keys: u64,
    /// Connections so far that were held for longer than the leak warning allows.
    pub leaks: u64,
    /// How long those waited who had to, whether they were served, refused or timed out. Who was served at once is not in
    /// here, nor who went away before.
    pub wait: HistogramSnapshot,
    /// How long connections were held. Where checkouts follow each other within two microseconds, one in sixteen
    /// is timed and counts for all.
    pub held: HistogramSnapshot,
    /// How long it took to open the connections that were opened.
    pub connect: HistogramSnapshot,
}

/// How many connections were closed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedStats {
    /// Marked as broken, or thrown away after a call.
    pub broken: u64,
    /// Failed their check, or were left half-way through it.
    pub unfit: u64,
    /// Idle for too long.
    pub idle: u64,
    /// Too old.
    pub lifetime: u64,
    /// Used as often as they may be.
    pub uses: u64,
    /// In the way of another key.
    pub evicted: u64,
    /// Too many, since a limit was lowered.
    pub surplus: u64,
    /// Opened before the pool was reset.
    pub reset: u64,
    /// Because the pool was closed.
    pub shutdown: u64,
}

impl ClosedStats {
    pub(crate) const fn new(closed: [u64; Closing::KINDS]) -> Self {
        Self {
            broken: closed[Closing::Broken as usize],
            unfit: closed[Closing::Unfit as usize],
            idle: closed[Closing::Idle as usize],
            lifetime: closed[Closing::Lifetime as usize],
            uses: closed[Closing::Uses as usize],
            evicted: closed[Closing::Evicted as usize],
            surplus: closed[Closing::Surplus as usize],
            reset: closed[Closing::Reset as usize],
            shutdown: closed[Closing::Shutdown as usize],
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.reasons().iter().map(|(_, n)| n).sum()
    }

    fn reasons(&self) -> [(&'static str, u64); Closing::KINDS] {
        [
            ("broken", self.broken),
            ("unfit", self.unfit),
            ("idle", self.idle),
            ("lifetime", self.lifetime),
            ("uses", self.uses),
            ("evicted", self.evicted),
            ("surplus", self.surplus),
            ("reset", self.reset),
            ("shutdown", self.shutdown),
        ]
    }
}

impl PoolStats {
    pub(crate) fn read(&self, into: &mut dyn Gather) {
        let levels = [
            ("idle", self.available),
            ("used", self.active),
            ("connecting", self.connecting),
        ];
        for (state, level) in levels {
            into.gauge("hook_pool_connections", &[("state", state)], level as f64);
        }
        into.gauge("hook_pool_connections_max", &[], self.max_per_key as f64);
        into.gauge("hook_pool_pending", &[], self.waiting as f64);
        into.counter("hook_pool_created_total", &[], self.created);
        for (reason, closed) in self.closed.reasons() {
            into.counter("hook_pool_closed_total", &[("reason", reason)], closed);
        }
        into.counter(
            "hook_pool_connect_errors_total",
            &[],
            self.connect_errors + self.connect_timeouts,
        );
        into.counter("hook_pool_timeouts_total", &[], self.timeouts);
        into.histogram("hook_pool_wait_seconds", &[], &self.wait);
        into.histogram("hook_pool_use_seconds", &[], &self.held);
        into.histogram("hook_pool_create_seconds", &[], &self.connect);
    }
}
