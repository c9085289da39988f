use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{ownership::FileCheck, source::Problem};

mod error;
mod file;
mod keys;
mod preset;

pub use error::{BuildError, Place};
pub(crate) use file::{read_env, read_file};
pub use preset::Preset;

/// The figures a manager works with; all of them have setters on [`HookManagerBuilder`], and most a key in
/// `hook-manager.toml` and a variable in the environment, see
/// [`HookManagerBuilder::config_file`] and [`HookManagerBuilder::env`].
///
/// [`HookManagerBuilder`]: crate::HookManagerBuilder
/// [`HookManagerBuilder::config_file`]: crate::HookManagerBuilder::config_file
/// [`HookManagerBuilder::env`]: crate::HookManagerBuilder::env
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The project: hooks run in it, and its settings files are read. None by default.
    pub project: Option<PathBuf>,
    /// How many hooks of an event's name run at once, over all sessions. 5 by default.
    pub max_concurrent_hooks: usize,
    /// The wall-clock time one event may take, queue, attempts and pauses included. 15 s by default.
    pub deadline: Duration,
    /// Whether answers of hooks that may be cached are. On by default.
    pub cache: bool,
    /// How long an answer is kept of hooks that may be cached, say nothing else, and have no name that does.
    /// 300 s by default.
    pub cache_ttl: Duration,
    /// How many answers are kept of each such hook. 1,000 by default.
    pub cache_capacity: usize,
    /// Whether a hook that keeps failing is left alone. On by default.
    pub breaker: bool,
    /// After how many failures in a row a hook is left alone. 3 by default.
    pub breaker_threshold: u32,
    /// For how long it is left alone. 60 s by default.
    pub breaker_open_for: Duration,
    /// How often an idempotent hook is tried again. 3 by default.
    pub retries: u32,
    /// How many connections an `http` hook has at most, and processes a `worker` hook. 10 by default.
    pub pool_size: usize,
    /// Whether calls are counted and timed, for [`metrics`](crate::HookManager::metrics). On by default.
    pub monitoring: bool,
    /// How much of standard output and of standard error is kept, each. 1 MiB by default.
    pub output_limit: usize,
    /// The time between SIGTERM and SIGKILL for a hook that is out of time. 2 s by default.
    pub grace: Duration,
    /// How often one hook may run in a minute, retries included. 6,000 by default.
    pub max_runs_per_minute: u32,
    /// How often one hook may run in one session, retries included. 100,000 by default.
    pub max_runs_per_session: u32,
    /// How many bytes of context all hooks together may give one session. 4 MiB by default.
    pub max_context_per_session: u64,
    /// How many managers deep, each in a hook of the one before, hooks are still run. 8 by default.
    pub max_depth: u32,
    /// The folder in which figures, circuits and estimates outlive the process. None by default.
    pub state_dir: Option<PathBuf>,
    /// How often they are saved there, besides at the end. 60 s by default.
    pub save_every: Duration,
    /// Whether cached answers are saved there too. Off by default: they may hold what a file must not.
    pub save_results: bool,
    /// Whether each event is logged there, in `performance.jsonl`. Off by default.
    pub performance_log: bool,
    /// What is asked of the files that decide what runs: that others cannot change them, by default.
    pub file_check: FileCheck,
    /// Whether only hooks are run that their user has [recorded](crate::trust) as trusted. Off by default.
    pub require_trust: bool,
    /// Where it is on, the files that were looked at.
    pub(crate) trusted: Option<Arc<[PathBuf]>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            project: None,
            max_concurrent_hooks: 5,
            deadline: Duration::from_secs(15),
            cache: true,
            cache_ttl: Duration::from_secs(300),
            cache_capacity: 1_000,
            breaker: true,
            breaker_threshold: 3,
            breaker_open_for: Duration::from_secs(60),
            retries: 3,
            pool_size: 10,
            monitoring: true,
            output_limit: 1024 * 1024,
            grace: Duration::from_secs(2),
            max_runs_per_minute: 6_000,
            max_runs_per_session: 100_000,
            max_context_per_session: 4 * 1024 * 1024,
            max_depth: 8,
            state_dir: None,
            save_every: Duration::from_secs(60),
            save_results: false,
            performance_log: false,
            file_check: FileCheck::default(),
            require_trust: false,
            trusted: None,
        }
    }
}

impl Config {
    /// Finds the first figure that makes no sense.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        keys::KEYS.iter().try_for_each(|key| key.check(self))?;
        for (field, on) in [
            ("performance_log", self.performance_log),
            ("save_results", self.save_results),
        ] {
            if on && self.state_dir.is_none() {
                return Err(BuildError::Value {
                    field,
                    value: "true, and no state_dir".into(),
                    expected: "a state_dir to write to".into(),
                });
            }
        }
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

/// Everything about the sources that a person should know, worst first.
pub(crate) fn worst_first(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    problems
}
