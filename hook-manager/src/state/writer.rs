//! What of a manager is in the file already, and how the rest gets there.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Mutex,
    time::SystemTime,
};

use hook_monitor::HistogramSnapshot;

use super::{
    answers, comparable,
    file::{Latency, MINUTE, Saved},
    folder::Folder,
    identity, key, lock, log, millis, read_or_set_aside,
};
use crate::{
    estimate,
    event::HookEvent,
    manage::{EventFigures, Totals},
    manager::Inner,
    plan::Entry,
};

pub(super) struct Writer {
    pub(super) folder: Folder,
    /// By hook: what of it is in the file already.
    pub(super) written: HashMap<String, Written>,
    /// What happened at events, likewise.
    pub(super) events: HashMap<HookEvent, EventFigures>,
}

/// What of one hook is in the file.
#[derive(Clone, Default)]
pub(super) struct Written {
    pub(super) live: Totals,
    pub(super) runs: u64,
    pub(super) circuit: Option<serde_json::Value>,
    pub(super) latency: Option<HistogramSnapshot>,
}

impl Writer {
    /// Writes the lines of the log that wait.
    pub(super) fn save_log(&self, log: &Mutex<log::Log>) -> io::Result<()> {
        let lines = lock(log).take();
        log::write(&lines, &self.folder).inspect_err(|_| lock(log).put_back(lines))
    }

    /// Writes what is new since the last time, on top of what others have written meanwhile. Says if something was
    /// in the way.
    pub(super) fn save(&mut self, inner: &Inner) -> io::Result<Option<String>> {
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
