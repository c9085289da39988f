//! What outlives the process: figures, circuits, estimates, and answers if asked to. Never fatal: what cannot be
//! read is set aside, what cannot be written is a degraded [`health`](crate::HookManager::health).

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use hook_breaker::SavedCircuit;
use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    estimate,
    hook::{HookSpec, Origin},
    manage::Totals,
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

use file::{File, MINUTE, Saved, parse};
use folder::Folder;

/// What a manager keeps in its folder.
pub(crate) struct Store {
    /// Held while files are written, which may take a while: only by those who may block.
    writer: Mutex<Writer>,
    /// Lines for the log, and what went wrong; held for moments.
    log: Mutex<log::Log>,
    last_error: Mutex<Option<String>>,
    /// Whether a task saves every now and then.
    kept: AtomicBool,
}

struct Writer {
    folder: Folder,
    /// By hook: what of it is in the file already.
    written: HashMap<String, Written>,
}

/// What of one hook is in the file.
#[derive(Clone, Default)]
struct Written {
    live: Totals,
    runs: u64,
    circuit: Option<serde_json::Value>,
}

impl Store {
    /// Opens the folder and has every hook go on where it left off.
    pub(crate) fn open(
        dir: &Path,
        entries: &[Entry],
        runaway: &Runaway,
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
        let file = match folder
            .read()
            .and_then(|text| text.map(|text| parse(&text)).transpose())
        {
            Ok(file) => file.unwrap_or_else(File::new),
            Err(err) => {
                let aside = folder.set_aside().map_or_else(
                    |err| format!("could not be set aside: {err}"),
                    |aside| format!("is set aside as {}", aside.display()),
                );
                say(
                    &folder.state(),
                    format!("is no state of ours ({err}), and {aside}"),
                );
                File::new()
            }
        };
        for (entry, own) in runnable(entries) {
            let key = key(entry);
            if let (Some(saved), Some(spec)) = (file.hooks.get(&key), entry.spec()) {
                if saved.identity == identity(spec) {
                    restore(own, saved);
                    let now = Written {
                        live: Totals::default(),
                        runs: own.estimate.runs(),
                        circuit: own.breaker.as_ref().map(|breaker| comparable(&breaker.save())),
                    };
                    written.insert(key, now);
                }
            }
        }
        file.restore_runs(entries, runaway);
        Self {
            writer: Mutex::new(Writer { folder, written }),
            log: Mutex::new(log::Log::new(config.performance_log)),
            last_error: Mutex::default(),
            kept: AtomicBool::new(false),
        }
    }
}

impl Writer {
    /// Writes what is new since the last time, on top of what others have written meanwhile.
    fn save(&mut self, inner: &Inner, log: &Mutex<log::Log>) -> io::Result<()> {
        let lines = lock(log).take();
        if let Err(err) = log::write(&lines, &self.folder) {
            lock(log).put_back(lines);
            return Err(err);
        }
        let lock = self.folder.lock()?;
        let mut file = match self.folder.read() {
            Ok(Some(text)) => parse(&text).unwrap_or_else(|_| File::new()),
            Ok(None) => File::new(),
            Err(err) => return Err(err),
        };
        let mut written = HashMap::new();
        for (number, entry) in inner.entries.iter().enumerate() {
            let (Some(own), Some(spec)) = (entry.own(), entry.spec()) else {
                continue;
            };
            let (key, identity) = (key(entry), identity(spec));
            let before = self.written.get(&key).cloned().unwrap_or_default();
            let theirs = file.hooks.remove(&key).filter(|saved| saved.identity == identity);
            let (live, runs) = (own.live(), own.estimate.runs());
            let circuit = own.breaker.as_ref().map(hook_breaker::CircuitBreaker::save);
            let now_circuit = circuit.as_ref().map(comparable);
            let mut saved = theirs.unwrap_or_else(|| Saved {
                saved_at: 0,
                identity,
                totals: Totals::default(),
                estimate: own.estimate.save(),
                circuit: circuit.clone(),
                told: false,
                minutes: BTreeMap::new(),
                answers: Vec::new(),
            });
            saved.saved_at = millis(SystemTime::now());
            saved.totals = saved.totals + live.since(before.live);
            // Who ran the hook since, knows better; who did not, has nothing to say.
            if runs != before.runs {
                let others = saved.estimate.runs.max(before.runs);
                saved.estimate = estimate::Saved {
                    runs: others + (runs - before.runs),
                    ..own.estimate.save()
                };
            }
            let changed = now_circuit != before.circuit;
            if changed {
                saved.circuit = circuit;
            }
            // Once somebody was told of a break, nobody else is.
            saved.told = own.is_told() || (saved.told && !changed);
            let minute = millis(SystemTime::now()) / MINUTE;
            saved.minutes.retain(|one, _| *one + 1 >= minute);
            let in_minute = saved.minutes.entry(minute).or_default();
            *in_minute = in_minute.saturating_add(inner.runaway.fresh_runs(number));
            if inner.config.save_results {
                saved.answers = answers::save(own);
            }
            file.hooks.insert(key.clone(), saved);
            written.insert(
                key,
                Written {
                    live,
                    runs,
                    circuit: now_circuit,
                },
            );
        }
        file.add_sessions(inner);
        file.forget();
        file.saved_at = millis(SystemTime::now());
        let text = serde_json::to_vec(&file).map_err(io::Error::other)?;
        self.folder.write(&text, &lock)?;
        self.written = written;
        Ok(())
    }
}

fn restore(own: &Own, saved: &Saved) {
    // A manager has just been made: nobody has set it before.
    let _ = own.past.set(saved.totals);
    own.estimate.restore(&saved.estimate);
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
    format!("{}/{}", entry.event(), entry.name())
}

/// A digest of what the hook is and of how it is cached.
pub(crate) fn identity(spec: &HookSpec) -> String {
    let rule = spec.cache.as_ref().map(|rule| (&rule.key, &rule.files));
    let condition = spec.condition.as_ref().map(crate::rule::Rule::as_str);
    let text = format!(
        "{:?}\0{}\0{condition:?}\0{rule:?}",
        spec.handler,
        spec.matcher.text()
    );
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
    fn is_told(&self) -> bool {
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

    /// Why the last attempt to save went wrong, if it did.
    pub(crate) fn state_error(&self) -> Option<String> {
        lock(&self.0.store.as_ref()?.last_error).clone()
    }
}

fn save(inner: &Inner) -> io::Result<()> {
    let Some(store) = &inner.store else { return Ok(()) };
    let saved = lock(&store.writer).save(inner, &store.log);
    *lock(&store.last_error) = saved.as_ref().err().map(ToString::to_string);
    saved
}

/// Begins to save every now and then, with the first event that is run.
pub(crate) fn keep(manager: &HookManager) {
    let Some(store) = &manager.0.store else { return };
    if store.kept.load(Relaxed) || store.kept.swap(true, Relaxed) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        store.kept.store(false, Relaxed);
        return;
    };
    let (manager, period) = (Arc::downgrade(&manager.0), manager.0.config.save_every);
    runtime.spawn(save_every(manager, period));
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
