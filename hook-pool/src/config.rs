mod age;
mod sizes;
mod times;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use hook_monitor::Clock;

use crate::handle::Leak;

/// A health check: whether this connection is still good.
pub(crate) type Check<C> =
    Arc<dyn Fn(&mut C) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> + Send + Sync>;

/// What is told about a connection that was held for too long.
pub(crate) type OnLeak = Arc<dyn Fn(&Leak) + Send + Sync>;

/// What belongs to the pool as a whole, whoever asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections per key, idle, used and being opened.
    pub(crate) max: usize,
    /// The same over all keys.
    pub(crate) max_total: usize,
    /// Connects under way, per key.
    pub(crate) max_connecting: usize,
    /// Callers in line for whom no connect is under way, per key.
    pub(crate) max_waiting: usize,
    pub(crate) max_keys: usize,
    pub(crate) min_idle: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    /// The share of the lifetime that chance may take off.
    pub(crate) lifetime_jitter: f64,
    pub(crate) max_uses: u64,
    pub(crate) check_after: Duration,
    pub(crate) check_timeout: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) leak_after: Option<Duration>,
}

impl Limits {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            max_total: usize::MAX,
            // HikariCP has one thread that opens connections, and it is enough: in the 150 ms a connect takes,
            // one connection serves dozens of short calls. Three fill a pool of ten in four rounds.
            max_connecting: 3,
            // A caller in line costs its task and about 60 bytes here. More of them than this wait for
            // connections that cannot come soon: 10 connections and calls of 10 ms clear 1,024 in a second.
            max_waiting: 1_024,
            max_keys: 1_024,
            min_idle: 0,
            // Under the 100 s and more after which load balancers and servers commonly hang up.
            idle_timeout: Some(Duration::from_secs(90)),
            max_lifetime: None,
            lifetime_jitter: 0.1,
            max_uses: u64::MAX,
            check_after: Duration::from_secs(1),
            check_timeout: Duration::from_secs(1),
            keep_alive: None,
            backoff: (Duration::from_millis(50), Duration::from_secs(5)),
            leak_after: None,
        }
    }
}

/// What belongs to whoever asks: each clone may have its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) wait_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) clock: Clock,
}

impl Config {
    pub(crate) const fn new() -> Self {
        Self {
            wait_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            clock: Clock::tokio(),
        }
    }
}

/// What is done by whom, where it is given: none of it prints.
pub(crate) struct Hooks<C> {
    pub(crate) check: Option<Check<C>>,
    pub(crate) on_leak: Option<OnLeak>,
}

impl<C> fmt::Debug for Hooks<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("check", &self.check.is_some())
            .field("on_leak", &self.on_leak.is_some())
            .finish()
    }
}

/// The setters that the pool and its layer have in common; both keep a `Core` in `self.core`, over connections
/// of the type given here.
macro_rules! knobs {
    ($conn:ty) => {
        crate::config::sizes!($conn);
        crate::config::times!($conn);
        crate::config::age!($conn);
    };
}

pub(crate) use age::age;
pub(crate) use knobs;
pub(crate) use sizes::sizes;
pub(crate) use times::times;
