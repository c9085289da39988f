use std::{fmt, time::Duration};

use super::Config;

/// Figures that go together, from the Python original's tuning guide. A preset sets the figures below and
/// leaves the others as they are; what is set after it wins.
///
/// | preset | cache TTL | breaker threshold | retries | pool size | concurrent hooks | monitoring |
/// |---|---|---|---|---|---|---|
/// | defaults | 300 s | 3 | 3 | 10 | 5 | on |
/// | `production` | 1800 s | 2 | 5 | 50 | 10 | on |
/// | `high_throughput` | 1800 s | | | 50 | 15 | |
/// | `low_latency` | 300 s | 2 | 1 | | | |
/// | `resource_constrained` | 120 s | | | 5 | 3 | |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Long-lived answers, a breaker that is quick to open, many retries, room for load.
    Production,
    /// As much at once as there is room for.
    HighThroughput,
    /// Gives up early rather than waiting.
    LowLatency,
    /// Little of everything.
    ResourceConstrained,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Production,
        Self::HighThroughput,
        Self::LowLatency,
        Self::ResourceConstrained,
    ];

    /// The word for it in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::HighThroughput => "high_throughput",
            Self::LowLatency => "low_latency",
            Self::ResourceConstrained => "resource_constrained",
        }
    }

    /// The preset a word means, if it is one of the four.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == word)
    }

    pub(crate) fn apply(self, config: &mut Config) {
        let seconds = Duration::from_secs;
        match self {
            Self::Production => {
                config.cache_ttl = seconds(1_800);
                config.breaker_threshold = 2;
                config.retries = 5;
                config.pool_size = 50;
                config.max_concurrent_hooks = 10;
                config.monitoring = true;
            }
            Self::HighThroughput => {
                config.cache_ttl = seconds(1_800);
                config.pool_size = 50;
                config.max_concurrent_hooks = 15;
            }
            Self::LowLatency => {
                config.cache_ttl = seconds(300);
                config.breaker_threshold = 2;
                config.retries = 1;
            }
            Self::ResourceConstrained => {
                config.cache_ttl = seconds(120);
                config.pool_size = 5;
                config.max_concurrent_hooks = 3;
            }
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
