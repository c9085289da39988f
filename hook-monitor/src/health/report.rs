use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::check::short;
use crate::Status;

/// What is known of a process and of everything that is checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The worst of the checks; optional ones count as degraded at worst.
    pub status: Status,
    /// When the report was made: at the last result.
    pub timestamp: SystemTime,
    /// Every check, by name.
    pub checks: Vec<CheckReport>,
}

/// What a process is, in the words of `application/health+json`.
///
/// Shown only to those who may see details: a version tells an attacker what to look up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub(super) fields: BTreeMap<&'static str, String>,
}

impl About {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `version`: that of the interface.
    pub fn version(self, version: impl Display) -> Self {
        self.with("version", version)
    }

    /// `releaseId`: that of the implementation.
    pub fn release_id(self, release: impl Display) -> Self {
        self.with("releaseId", release)
    }

    /// `serviceId`: which of the replicas this is.
    pub fn service_id(self, id: impl Display) -> Self {
        self.with("serviceId", id)
    }

    /// `description`, for people.
    pub fn description(self, description: impl Display) -> Self {
        self.with("description", description)
    }

    fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.fields.insert(key, short(value));
        self
    }
}

/// What is known of one check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckReport {
    /// Its name.
    pub name: Arc<str>,
    /// Its status, after hysteresis and staleness; of an optional check degraded at worst.
    pub status: Status,
    /// Whether the process depends on it.
    pub required: bool,
    /// `componentType` of `application/health+json`.
    pub component: Option<&'static str>,
    /// Why it is not healthy.
    pub output: Option<String>,
    /// Why the last run failed, or that there was none for too long.
    pub reason: Option<FailureReason>,
    /// How long the last run took.
    pub took: Option<Duration>,
    /// When the last run ended.
    pub time: Option<SystemTime>,
    /// When a run last passed.
    pub last_success: Option<SystemTime>,
    /// How many runs have failed in a row.
    pub consecutive_failures: u32,
}

/// Why a check is not healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureReason {
    /// It said so.
    Error,
    /// It took too long.
    Timeout,
    /// It panicked.
    Panic,
    /// Its last result is older than three intervals.
    Stale,
    /// It has not run yet.
    Pending,
}

impl FailureReason {
    /// `error`, `timeout`, `panic`, `stale` or `pending`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::Stale => "stale",
            Self::Pending => "pending",
        }
    }
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `{"status":"healthy","timestamp":"..","checks":{"db":{"status":"healthy"}}}`
    #[default]
    Json,
    /// `application/health+json`: `pass`, `warn` and `fail`, and a list for each check.
    HealthJson,
}
