use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    config::{BuildError, Config},
    declared::Hook,
    manager::HookManager,
    source::{self, Sources},
};

/// Builds a [`HookManager`]: figures, sources of hooks, and hooks of this process.
///
/// Hooks keep the order in which they are declared: those given to the builder first, then the
/// settings files, then the hooks directory. Merging follows that order.
#[derive(Debug, Default)]
#[must_use]
pub struct HookManagerBuilder {
    config: Config,
    sources: Sources,
    hooks: Vec<Hook>,
}

impl HookManagerBuilder {
    /// Reads the hooks of a project: `.claude/settings.json` and `.claude/settings.local.json` in
    /// `dir`, where they exist. Hooks run in the project's directory unless the event names another.
    pub fn project(mut self, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        self.sources.project = Some(dir.clone());
        self.config.project = Some(dir);
        self
    }

    /// Reads another settings file. May be called several times.
    pub fn settings(mut self, file: impl Into<PathBuf>) -> Self {
        self.sources.settings.push(file.into());
        self
    }

    /// Finds hooks in a directory by their file names, such as `pre_tool__guard.py`.
    pub fn hooks_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.sources.hooks_dir = Some(dir.into());
        self
    }

    /// Adds a hook.
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// How many hooks run at once, over all events: 1 to 1,000, by default 5.
    pub fn max_concurrent_hooks(mut self, n: usize) -> Self {
        self.config.max_concurrent_hooks = n;
        self
    }

    /// The wall-clock time one event may take, queue and retries included. By default 15 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// How long an answer is kept of hooks that may be cached and do not say. By default 300 s.
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.config.cache_ttl = ttl;
        self
    }

    /// How many answers are kept of each hook that may be cached. By default 1,000.
    pub fn cache_capacity(mut self, entries: usize) -> Self {
        self.config.cache_capacity = entries;
        self
    }

    /// After how many failures in a row a hook is left alone: by default 3.
    pub fn breaker_threshold(mut self, failures: u32) -> Self {
        self.config.breaker_threshold = failures;
        self
    }

    /// For how long it is left alone. By default 60 s.
    pub fn breaker_open_for(mut self, duration: Duration) -> Self {
        self.config.breaker_open_for = duration;
        self
    }

    /// How often a hook that is declared idempotent is tried again: up to 100, by default 3.
    pub fn retries(mut self, n: u32) -> Self {
        self.config.retries = n;
        self
    }

    /// How many bytes of standard output, and of standard error, are kept: by default 1 MiB. The
    /// rest is read, counted and thrown away.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.config.output_limit = bytes;
        self
    }

    /// The time between SIGTERM and SIGKILL for a hook that is out of time. By default 2 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// Reads the sources and builds the manager.
    ///
    /// What is wrong *in* a source is no error here: everything that can be used is, and the rest is
    /// found in [`HookManager::problems`].
    ///
    /// # Errors
    ///
    /// If a figure is out of its range, or a hook given to the builder cannot be used. The error names
    /// the field or the hook, what was found, and what was expected.
    pub fn build(self) -> Result<HookManager, BuildError> {
        self.config.check()?;
        let mut declared = Vec::new();
        for hook in self.hooks {
            let (spec, service) = hook.into_spec()?;
            if declared
                .iter()
                .any(|(other, _): &(crate::HookSpec, _)| other.event == spec.event && other.name == spec.name)
            {
                return Err(BuildError::SameName {
                    hook: spec.name.to_string(),
                });
            }
            declared.push((spec, service));
        }
        let loaded = source::load(&self.sources);
        Ok(HookManager::new(Arc::new(self.config), declared, loaded))
    }
}
