//! What outlives the process: figures, circuits, estimates, and answers if asked to. Never fatal: what cannot be
//! read is set aside, what cannot be written is a degraded [`health`](crate::HookManager::health).

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use hook_breaker::SavedCircuit;
use hook_monitor::HistogramSnapshot;
use sha2::{Digest, Sha256};

use crate::{
    background::Background,
    config::Config,
    estimate,
    event::HookEvent,
    hook::{HookSpec, Origin},
    manage::{EventFigures, Tallies, Totals},
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

use file::{File, Latency, MINUTE, Saved, parse};
use folder::{Folder, Lock};

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

struct Writer {
    folder: Folder,
    /// By hook: what of it is in the file already.
    written: HashMap<String, Written>,
    /// What happened at events, likewise.
    events: HashMap<HookEvent, EventFigures>,
}

/// What of one hook is in the file.
#[derive(Clone, Default)]
struct Written {
    live: Totals,
    runs: u64,
    circuit: Option<serde_json::Value>,
    latency: Option<HistogramSnapshot>,
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

impl Writer {
    /// Writes the lines of the log that wait.
    fn save_log(&self, log: &Mutex<log::Log>) -> io::Result<()> {
        let lines = lock(log).take();
        log::write(&lines, &self.folder).inspect_err(|_| lock(log).put_back(lines))
    }

    /// Writes what is new since the last time, on top of what others have written meanwhile. Says if something was
    /// in the way.
    fn save(&mut self, inner: &Inner) -> io::Result<Option<String>> {
        let lock = self.folder.lock()?;
        let (mut file, what) = read_or_set_aside(&self.folder, &lock)?;
        let mut fresh_runs = Vec::new();
        let cached = inner.entries.iter().filter_map(Entry::own);
        let cached = cached.filter(|own| own.cache.is_some()).count();
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
                latency: Latency::default(),
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
                    runs: others.saturating_add(runs.saturating_sub(before.runs)),
                    ..own.estimate.save()
                };
            }
            let latency = own.watched.as_ref().map(|runs| runs.live());
            if let Some(latency) = &latency {
                saved.latency.add(latency, before.latency.as_ref());
            }
            let changed = now_circuit != before.circuit;
            if changed {
                saved.circuit = circuit;
            }
            // Once somebody was told of a break, nobody else is.
            saved.told = own.is_told() || (saved.told && !changed);
            let minute = millis(SystemTime::now()) / MINUTE;
            let still = minute.saturating_sub(1)..=minute;
            saved.minutes.retain(|one, _| still.contains(one));
            let in_minute = saved.minutes.entry(minute).or_default();
            let fresh = inner.runaway.fresh_runs(number);
            *in_minute = in_minute.saturating_add(fresh);
            fresh_runs.push((number, fresh));
            if inner.config.save_results {
                saved.answers = answers::save(own, cached);
            }
            file.hooks.insert(key.clone(), saved);
            written.insert(
                key,
                Written {
                    live,
                    runs,
                    circuit: now_circuit,
                    latency,
                },
            );
        }
        let events = inner.tallies.live();
        for (event, now) in &events {
            let before = self.events.get(event).copied().unwrap_or_default();
            let all = file.events.entry(event.as_str().to_owned()).or_default();
            all.add(&now.since(before));
        }
        let fresh_sessions = inner.runaway.fresh_sessions();
        file.add_sessions(inner, &fresh_sessions);
        file.forget();
        file.saved_at = millis(SystemTime::now());
        let text = file.text()?;
        self.folder.write(&text, &lock)?;
        self.written = written;
        self.events = events;
        inner.runaway.saved(&fresh_runs, fresh_sessions);
        Ok(what)
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
