use std::{fmt, sync::Arc, time::Duration};

use hook_monitor::Clock;

use crate::store::Limits;

/// What a cache is told once and for all. Cheap to clone.
pub(crate) struct Config<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) weigh: Option<Judge<K, V, u64>>,
    pub(crate) expiry: Expiry,
    pub(crate) ttl_by: Option<Judge<K, V, Duration>>,
    pub(crate) tags_by: Option<Judge<K, V, Vec<Box<str>>>>,
    pub(crate) flight: Flight,
    pub(crate) clock: Clock,
}

/// A judgement about an entry, passed when it is stored. In a box, as a caller has just waited for the value.
pub(crate) type Judge<K, V, R> = Arc<dyn Fn(&K, &V) -> R + Send + Sync>;

/// Until when an entry is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    pub(crate) ttl: Duration,
    pub(crate) idle: Option<Duration>,
    /// The largest share of the `ttl` that may be cut off, 0 to 1.
    pub(crate) jitter: f64,
    /// For how long an entry is served after its `ttl` while it is loaded anew.
    pub(crate) revalidate: Duration,
    /// For how long after its `ttl` an entry is served in the place of an error.
    pub(crate) if_error: Duration,
    /// For how long after its `ttl` an entry is kept to be asked about, and not served.
    pub(crate) keep: Duration,
    /// For how long errors are remembered.
    pub(crate) negative: Duration,
    /// How long after a failure a stale entry is not loaded again.
    pub(crate) backoff: Duration,
}

/// How calls wait for each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) waiters: usize,
    pub(crate) patience: Option<Duration>,
}

impl<K, V> Default for Config<K, V> {
    fn default() -> Self {
        Self {
            name: "cache".into(),
            limits: Limits::entries(1_000),
            weigh: None,
            expiry: Expiry {
                ttl: Duration::from_secs(300),
                idle: None,
                jitter: 0.0,
                revalidate: Duration::ZERO,
                if_error: Duration::ZERO,
                keep: Duration::ZERO,
                negative: Duration::ZERO,
                backoff: Duration::from_secs(1),
            },
            ttl_by: None,
            tags_by: None,
            flight: Flight {
                waiters: 65_536,
                patience: None,
            },
            clock: Clock::tokio(),
        }
    }
}

// By hand: what is cached need not be `Clone` for this.
impl<K, V> Clone for Config<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            limits: self.limits,
            weigh: self.weigh.clone(),
            expiry: self.expiry,
            ttl_by: self.ttl_by.clone(),
            tags_by: self.tags_by.clone(),
            flight: self.flight,
            clock: self.clock,
        }
    }
}

// By hand: closures are not `Debug`.
impl<K, V> fmt::Debug for Config<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .field("expiry", &self.expiry)
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
