use std::{sync::Arc, time::Duration};

use hook_monitor::Clock;

/// What a cache is told once and for all. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: Arc<str>,
    pub(crate) capacity: usize,
    pub(crate) ttl: Duration,
    pub(crate) clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "cache".into(),
            capacity: 1_000,
            ttl: Duration::from_secs(300),
            clock: Clock::tokio(),
        }
    }
}
