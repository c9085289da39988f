//! What outlives the process: figures, circuits, estimates, and answers if asked to. Never fatal: what cannot be
//! read is set aside, what cannot be written is a degraded [`health`](crate::HookManager::health).

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use hook_breaker::SavedCircuit;
use sha2::{Digest, Sha256};

use crate::{
    background::Background,
    config::Config,
    event::HookEvent,
    hook::{HookSpec, Origin},
    manage::{Tallies, Totals},
    manager::{HookManager, Inner},
    plan::Entry,
    result::EventReport,
    runaway::Runaway,
    source::{Problem, Severity},
    stack::own::Own,
};

mod answers;
mod file;
mod folder;
mod log;
mod writer;

use file::{File, Saved, parse};
use folder::{Folder, Lock};
use writer::{Writer, Written};

/// What a manager keeps in its folder.
pub(crate) struct Store {
    /// Held while files are written, which may take a while: only by those who may block.
    writer: Mutex<Writer>,
    /// Lines for the log, and what went wrong; held for moments.
    log: Mutex<log::Log>,
    last_error: Mutex<Option<String>>,
    /// The task that saves every now and then.
    saving: Background,
}

impl Store {
    /// Opens the folder and has every hook go on where it left off.
    pub(crate) fn open(
        dir: &Path,
        entries: &[Entry],
        runaway: &Runaway,
        tallies: &Tallies,
        config: &Config,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut say = |file: &Path, what: String| {
            problems.push(Problem {
                severity: Severity::Warning,
                origin: Origin::settings(file),
                what,
                expected: None,
            });
        };
        let folder = Folder::open(dir).unwrap_or_else(|(folder, err)| {
            say(dir, format!("the state cannot be kept here: {err}"));
            folder
        });
        let mut written = HashMap::new();
        let file = read(&folder).unwrap_or_else(|_| {
            // Another process may have mended it meanwhile, or be about to.
            let file = folder.lock().and_then(|lock| read_or_set_aside(&folder, &lock));
            let (file, what) =
                file.unwrap_or_else(|err| (File::new(), Some(format!("cannot be read: {err}"))));
            if let Some(what) = what {
                say(&folder.state(), what);
            }
            file
        });
        for (entry, own) in runnable(entries) {
            let key = key(entry);
            if let (Some(saved), Some(spec)) = (file.hooks.get(&key), entry.spec()) {
                if saved.identity == identity(spec) {
                    restore(own, saved);
                    let now = Written {
                        live: Totals::default(),
                        runs: own.estimate.runs(),
                        circuit: own.breaker.as_ref().map(|breaker| comparable(&breaker.save())),
                        latency: None,
                    };
                    written.insert(key, now);
                }
            }
        }
        file.restore_runs(entries, runaway);
        let events = file.events.iter();
        tallies.restore(events.map(|(name, event)| (HookEvent::from(name.as_str()), event.read())));
        Self {
            writer: Mutex::new(Writer {
                folder,
                written,
                events: HashMap::new(),
            }),
            log: Mutex::new(log::Log::new(config.performance_log)),
            last_error: Mutex::default(),
            saving: Background::default(),
        }
    }
}

/// What is in the file; nothing where there is none.
fn read(folder: &Folder) -> io::Result<File> {
    let text = folder.read()?;
    text.map_or_else(|| Ok(File::new()), |text| parse(&text))
}

/// The same, but that what is no state of ours is put out of the way, and how is said.
fn read_or_set_aside(folder: &Folder, lock: &Lock) -> io::Result<(File, Option<String>)> {
    match read(folder) {
        Ok(file) => Ok((file, None)),
        Err(err) if err.kind() == io::ErrorKind::InvalidData => {
            let aside = folder.set_aside(lock)?;
            let what = format!(
                "is no state of ours ({err}), and is set aside as {}",
                aside.display()
            );
            Ok((File::new(), Some(what)))
        }
        Err(err) => Err(err),
    }
}

fn restore(own: &Own, saved: &Saved) {
    // A manager has just been made: nobody has set it before.
    let _ = own.past.set(saved.totals);
    own.estimate.restore(&saved.estimate);
    if let Some(runs) = &own.watched {
        runs.restore(saved.latency.read());
    }
    if let (Some(breaker), Some(circuit)) = (&own.breaker, &saved.circuit) {
        breaker.restore(circuit);
        if saved.told {
            own.tell_once();
        }
    }
    answers::restore(own, &saved.answers);
}

pub(crate) fn runnable(entries: &[Entry]) -> impl Iterator<Item = (&Entry, &Own)> {
    entries.iter().filter_map(|entry| Some((entry, entry.own()?)))
}

pub(crate) fn key(entry: &Entry) -> String {
    entry.full_name()
}

/// A digest of what the hook is and of how it is cached.
pub(crate) fn identity(spec: &HookSpec) -> String {
    let rule = spec.cache.as_ref().map(|rule| (&rule.key, &rule.files));
    let condition = spec.condition.as_ref().map(crate::rule::Rule::as_str);
    let mut text = format!(
        "{:?}\0{}\0{condition:?}\0{rule:?}",
        spec.handler,
        spec.matcher.text()
    );
    if let Some(allow) = &spec.env_allow {
        text.push_str(&format!("\0{allow:?}"));
    }
    hex(&Sha256::digest(text.as_bytes())[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A circuit without the time at which it was looked at.
fn comparable(circuit: &SavedCircuit) -> serde_json::Value {
    let mut value = serde_json::to_value(circuit).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        for passing in ["saved_at", "rest", "windows"] {
            fields.remove(passing);
        }
    }
    value
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Own {
    /// Whether the user was told of the break there is.
    pub(crate) fn is_told(&self) -> bool {
        let Some(breaker) = &self.breaker else {
            return false;
        };
        self.told.load(Relaxed) == u64::from(breaker.snapshot().generation) + 1
    }
}

// ===== the manager's side =====

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HookManager {
    /// Saves figures, circuits and estimates in the [state's folder](crate::HookManagerBuilder::state_dir), on top of
    /// what other processes have saved there; nothing without one. Blocks its thread while it writes.
    ///
    /// This happens by itself every minute and at [shutdown](Self::shutdown).
    ///
    /// # Errors
    ///
    /// If the folder cannot be written, or another process holds its lock for more than two seconds.
    pub fn save(&self) -> io::Result<()> {
        save(&self.0)
    }

    /// What went wrong with the last attempt to save, or was in its way.
    pub(crate) fn state_error(&self) -> Option<String> {
        lock(&self.0.store.as_ref()?.last_error).clone()
    }
}

fn save(inner: &Inner) -> io::Result<()> {
    let Some(store) = &inner.store else { return Ok(()) };
    let mut writer = lock(&store.writer);
    // A log that cannot be written does not cost the state.
    let (saved, logged) = (writer.save(inner), writer.save_log(&store.log));
    let said = match (&saved, &logged) {
        (Err(err), _) | (_, Err(err)) => Some(format!("not saved: {err}")),
        (Ok(what), Ok(())) => what.as_ref().map(|what| format!("state.json {what}")),
    };
    *lock(&store.last_error) = said;
    saved.and(logged)
}

/// Begins to save every now and then, with the first event that is run.
pub(crate) fn keep(manager: &HookManager) {
    let Some(store) = &manager.0.store else { return };
    store
        .saving
        .begin(|| save_every(Arc::downgrade(&manager.0), manager.0.config.save_every));
}

async fn save_every(manager: Weak<Inner>, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(manager) = manager.upgrade() else { return };
        // What went wrong is in the health.
        let _ = tokio::task::spawn_blocking(move || save(&manager)).await;
    }
}

/// Notes an event for `performance.jsonl`, which is written with the state.
pub(crate) fn log(manager: &HookManager, report: &EventReport) {
    let Some(store) = &manager.0.store else { return };
    if manager.0.config.performance_log && !report.results.is_empty() {
        let line = log::line(report);
        lock(&store.log).add(line);
    }
}

/// The folder for a project's state: `$XDG_STATE_HOME/hook-manager/` (or `~/.local/state/hook-manager/`) and the project's
/// name with a digest of its path. Outside of the project, so that nobody can bring a state along with a repository.
/// `None` without a home.
pub fn default_state_dir(project: &Path) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let project = fs::canonicalize(project).unwrap_or_else(|_| project.to_owned());
    let digest = hex(&Sha256::digest(project.as_os_str().as_encoded_bytes())[..8]);
    let name = project.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .take(32)
        .collect();
    Some(base.join("hook-manager").join(format!("{name}-{digest}")))
}
