use std::time::Duration;

use hook_monitor::Clock;

use crate::{budget::Budget, random::Seeds};

/// The parts of a policy that are types of the user's. Each call takes them along by value, so that it needs neither
/// a reference count nor `'static` for them: what is in here should be cheap to clone, and mostly is nothing at all.
#[derive(Clone)]
pub(crate) struct Rules<B, C, R> {
    pub(crate) backoff: B,
    pub(crate) decide: C,
    pub(crate) requests: R,
}

/// The rest, which only a failed attempt looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) limits: Limits,
    /// Shared by all clones of a policy.
    pub(crate) budget: Option<Budget>,
    /// The same.
    pub(crate) seeds: Seeds,
}

/// The plain numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) retries: u32,
    pub(crate) max_retry_after: Duration,
    pub(crate) cut_retry_after: bool,
    pub(crate) max_elapsed: Option<Duration>,
    pub(crate) clock: Clock,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retries: 3,
            max_retry_after: Duration::from_secs(5),
            cut_retry_after: false,
            max_elapsed: None,
            clock: Clock::tokio(),
        }
    }
}
