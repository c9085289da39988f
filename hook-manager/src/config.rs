use std::{fmt, path::PathBuf, time::Duration};

use crate::source::Problem;

/// The figures a manager works with; all of them have setters on [`HookManagerBuilder`].
///
/// [`HookManagerBuilder`]: crate::HookManagerBuilder
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The project: hooks run in it, and its settings files are read. None by default.
    pub project: Option<PathBuf>,
    /// How many hooks run at once, over all events. 5 by default.
    pub max_concurrent_hooks: usize,
    /// The wall-clock time one event may take, queue, attempts and pauses included. 15 s by default.
    pub deadline: Duration,
    /// How long an answer is kept of hooks that may be cached and say nothing else. 300 s by default.
    pub cache_ttl: Duration,
    /// How many answers are kept of each such hook. 1,000 by default.
    pub cache_capacity: usize,
    /// After how many failures in a row a hook is left alone. 3 by default.
    pub breaker_threshold: u32,
    /// For how long it is left alone. 60 s by default.
    pub breaker_open_for: Duration,
    /// How often an idempotent hook is tried again. 3 by default.
    pub retries: u32,
    /// How much of standard output and of standard error is kept, each. 1 MiB by default.
    pub output_limit: usize,
    /// The time between SIGTERM and SIGKILL for a hook that is out of time. 2 s by default.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            project: None,
            max_concurrent_hooks: 5,
            deadline: Duration::from_secs(15),
            cache_ttl: Duration::from_secs(300),
            cache_capacity: 1_000,
            breaker_threshold: 3,
            breaker_open_for: Duration::from_secs(60),
            retries: 3,
            output_limit: 1024 * 1024,
            grace: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// Finds the first figure that makes no sense.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let whole = |field, value: usize, range: std::ops::RangeInclusive<usize>| match range.contains(&value)
        {
            true => Ok(()),
            false => Err(BuildError::Value {
                field,
                value: value.to_string(),
                expected: format!("{} to {}", range.start(), range.end()),
            }),
        };
        let time = |field, value: Duration, least: Duration| match (least..=DAY).contains(&value) {
            true => Ok(()),
            false => Err(BuildError::Value {
                field,
                value: format!("{value:?}"),
                expected: format!("{least:?} to 24 hours"),
            }),
        };
        let millisecond = Duration::from_millis(1);
        whole("max_concurrent_hooks", self.max_concurrent_hooks, 1..=1_000)?;
        whole("cache_capacity", self.cache_capacity, 0..=10_000_000)?;
        whole(
            "breaker_threshold",
            self.breaker_threshold as usize,
            1..=1_000_000,
        )?;
        whole("retries", self.retries as usize, 0..=100)?;
        whole("output_limit", self.output_limit, 1_024..=1024 * 1024 * 1024)?;
        time("deadline", self.deadline, millisecond)?;
        time("cache_ttl", self.cache_ttl, millisecond)?;
        time("breaker_open_for", self.breaker_open_for, millisecond)?;
        time("grace", self.grace, Duration::ZERO)?;
        match &self.project {
            Some(project) if !project.is_dir() => Err(BuildError::Value {
                field: "project",
                value: project.display().to_string(),
                expected: "a directory".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// A manager cannot be built as asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A figure is out of its range.
    Value {
        /// The setter.
        field: &'static str,
        /// What it was given.
        value: String,
        /// The range it takes.
        expected: String,
    },
    /// A hook given to the builder cannot be used.
    Hook {
        /// The hook's name.
        hook: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two hooks given to the builder for the same event have one name.
    SameName {
        /// The name.
        hook: String,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                field,
                value,
                expected,
            } => write!(f, "{field}: expected {expected}, found {value}"),
            Self::Hook { hook, problem } => write!(f, "hook {hook}: {problem}"),
            Self::SameName { hook } => write!(f, "hook {hook}: another hook of the same event has this name"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Everything about the sources that a person should know, worst first.
pub(crate) fn worst_first(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    problems
}
