use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::{self, BuildError, Config, Preset},
    declared::Hook,
    manager::HookManager,
    ownership::FileCheck,
    source::{self, Sources},
    trust::Trust,
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
    trust: Option<Trust>,
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

    /// The figures so far.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Adds a hook.
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Takes over the figures of a preset. What is set after it wins.
    pub fn preset(mut self, preset: Preset) -> Self {
        preset.apply(&mut self.config);
        self
    }

    /// Takes over the figures in a TOML file, usually `hook-manager.toml`: one key for each setter of a figure, times
    /// in seconds, and `preset`.
    ///
    /// ```toml
    /// preset = "low_latency"
    /// deadline = 5
    /// cache_ttl = 0.5
    /// state_dir = "/var/lib/hooks"
    /// ```
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no TOML, has a key that is not known, or a value that is absurd. The error
    /// names the file, the line, the key, what was found, and what was expected.
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Result<Self, BuildError> {
        config::read_file(&mut self.config, path.as_ref())?;
        Ok(self)
    }

    /// Takes over the figures in the variables `HOOK_MANAGER_*` of this process: `HOOK_MANAGER_CACHE_TTL=60` is
    /// [`cache_ttl`](Self::cache_ttl). Variables that are no Unicode are not looked at.
    ///
    /// # Errors
    ///
    /// As for [`config_file`](Self::config_file): also a misspelt variable is an error, which names the nearest one
    /// that is known.
    pub fn env(self) -> Result<Self, BuildError> {
        let vars = std::env::vars_os();
        self.env_from(
            vars.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The same with variables from elsewhere.
    ///
    /// # Errors
    ///
    /// As for [`env`](Self::env).
    pub fn env_from(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, BuildError> {
        config::read_env(&mut self.config, vars)?;
        Ok(self)
    }

    /// How many hooks of each event's name run at once, over all sessions: 1 to 1,000, by default 5. Each event's
    /// name has places of its own, and one of them is kept for guards, where there are guards and more places
    /// than one; so that neither slow `PostToolUse` hooks nor slow observers can hold up a guard.
    pub fn max_concurrent_hooks(mut self, n: usize) -> Self {
        self.config.max_concurrent_hooks = n;
        self
    }

    /// The wall-clock time one event may take, queue and retries included. By default 15 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Whether answers of hooks that may be cached are. By default they are.
    pub fn cache(mut self, on: bool) -> Self {
        self.config.cache = on;
        self
    }

    /// How long an answer is kept of hooks that may be cached, do not say, and have no name that does. By default 300 s.
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.config.cache_ttl = ttl;
        self
    }

    /// How many answers are kept of each hook that may be cached. By default 1,000.
    pub fn cache_capacity(mut self, entries: usize) -> Self {
        self.config.cache_capacity = entries;
        self
    }

    /// Whether a hook that keeps failing is left alone for a while. By default it is.
    pub fn breaker(mut self, on: bool) -> Self {
        self.config.breaker = on;
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

    /// How many connections an `http` hook has at most, and processes a `worker` hook, whatever it asks for: 1 to
    /// 10,000, by default 10.
    pub fn pool_size(mut self, n: usize) -> Self {
        self.config.pool_size = n;
        self
    }

    /// Whether calls are counted and timed. By default they are; without it [`HookManager::metrics`] knows only what
    /// the other layers count.
    pub fn monitoring(mut self, on: bool) -> Self {
        self.config.monitoring = on;
        self
    }

    /// How often one hook may run in a minute, retries included and cached answers not: by default 6,000. One
    /// run more is a [`Runaway`](crate::HookError::Runaway), and the hook's policy says what that means.
    pub fn max_runs_per_minute(mut self, n: u32) -> Self {
        self.config.max_runs_per_minute = n;
        self
    }

    /// How often one hook may run in one session, as the input's `session_id` tells them apart: by default 100,000.
    pub fn max_runs_per_session(mut self, n: u32) -> Self {
        self.config.max_runs_per_session = n;
        self
    }

    /// How many bytes of context all hooks together may give one session: by default 4 MiB. What comes after is left
    /// out, and the user is told.
    pub fn max_context_per_session(mut self, bytes: u64) -> Self {
        self.config.max_context_per_session = bytes;
        self
    }

    /// How many managers deep, each in a hook of the one before, hooks are still run: by default 8.
    pub fn max_depth(mut self, levels: u32) -> Self {
        self.config.max_depth = levels;
        self
    }

    /// The folder in which figures, circuits and estimates outlive the process: read by [`build`](Self::build), written
    /// every minute and at [shutdown](HookManager::shutdown). By default there is none.
    ///
    /// It is made if need be, for its owner alone. Managers of several processes may share it.
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.state_dir = Some(dir.into());
        self
    }

    /// How often the state is saved, besides at the end: 1 s to a day, by default every minute.
    pub fn save_every(mut self, period: Duration) -> Self {
        self.config.save_every = period;
        self
    }

    /// Whether cached answers are saved with the state. By default they are not: they may hold what a file must not.
    pub fn save_results(mut self, on: bool) -> Self {
        self.config.save_results = on;
        self
    }

    /// Whether each event is logged in `performance.jsonl` in the [state's folder](Self::state_dir). By default it is
    /// not. At 4 MiB a file is put aside and a new one begun; three are kept.
    pub fn performance_log(mut self, on: bool) -> Self {
        self.config.performance_log = on;
        self
    }

    /// What is asked of the files that decide what runs. By default that others cannot change them.
    ///
    /// ```
    /// use hook_manager::{FileCheck, HookManager};
    ///
    /// let manager = HookManager::builder().file_check(FileCheck::Strict).build()?;
    /// # Ok::<(), hook_manager::BuildError>(())
    /// ```
    pub fn file_check(mut self, check: FileCheck) -> Self {
        self.config.file_check = check;
        self
    }

    /// Whether only hooks from files are run that their user has recorded as trusted, as they are now. Off by default: it is the
    /// host's to ask. Hooks of the builder's own are not meant.
    ///
    /// See [`trust`](crate::trust).
    pub fn require_trust(mut self, on: bool) -> Self {
        self.config.require_trust = on;
        self
    }

    /// Where it is recorded whose hooks are trusted. By default in [the user's own record](Trust::of_user).
    pub fn trust(mut self, record: Trust) -> Self {
        self.trust = Some(record);
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
    /// the field or the hook, what was found, and what was expected. If the hooks are not trusted and have to be.
    pub fn build(mut self) -> Result<HookManager, BuildError> {
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
        let names = declared
            .iter()
            .map(|(spec, _): &(crate::HookSpec, _)| (spec.event.clone(), Arc::clone(&spec.name)));
        let loaded = source::load_beside(&self.sources, names.collect(), self.config.file_check);
        // Afterwards: what was changed while it was read is not trusted.
        if self.config.require_trust {
            let record = self.trust.or_else(Trust::of_user);
            // Without a home nothing was ever recorded.
            let record = record.unwrap_or_else(|| Trust::at("/nonexistent/trusted.json"));
            let content = record.content(&self.sources).map_err(BuildError::Untrusted)?;
            self.config.trusted = Some(content.files().into());
        }
        HookManager::new(Arc::new(self.config), declared, loaded)
    }
}
