//! The state as it is in its file, and how what several processes know comes together in it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    time::{Duration, SystemTime},
};

use hook_breaker::SavedCircuit;
use hook_monitor::{Histogram, HistogramSnapshot};
use serde::{Deserialize, Serialize};

use super::{answers, folder::LIMIT, key, millis};
use crate::{
    estimate,
    manage::{EventFigures, Totals},
    manager::Inner,
    most,
    plan::Entry,
    runaway::{Counts, Runaway},
};

/// The form of the file. Another number is another program's, or another version's.
const VERSION: u32 = 1;
/// Hooks that are remembered; of more, those that were not seen for the longest are forgotten.
const HOOKS: usize = 4_096;
/// Names of events that are remembered; of more, the rarest are forgotten.
const EVENTS: usize = 256;
/// Sessions that are remembered, likewise.
const SESSIONS: usize = 64;
/// In milliseconds.
pub(super) const MINUTE: u64 = 60_000;

#[derive(Serialize, Deserialize)]
pub(super) struct File {
    pub(super) version: u32,
    /// Of the program that wrote it, for people.
    pub(super) written_by: String,
    /// Milliseconds after 1970.
    pub(super) saved_at: u64,
    /// By event and name.
    pub(super) hooks: BTreeMap<String, Saved>,
    /// By their names.
    #[serde(default)]
    pub(super) events: BTreeMap<String, Event>,
    /// By the host's names for them.
    #[serde(default)]
    pub(super) sessions: BTreeMap<String, Session>,
}

/// What happened in one session.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) seen_at: u64,
    /// By event and name.
    pub(super) runs: BTreeMap<String, u32>,
    pub(super) context: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) saved_at: u64,
    /// A digest of what the hook is: what is known about another one of the same name is nothing.
    pub(super) identity: String,
    pub(super) totals: Totals,
    pub(super) estimate: estimate::Saved,
    /// How long its runs took: so many up to so many nanoseconds.
    #[serde(default)]
    pub(super) latency: Latency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) circuit: Option<SavedCircuit>,
    /// Whether the user was told that the circuit is open.
    #[serde(default)]
    pub(super) told: bool,
    /// Runs by the minute after 1970 they were in: those of this one and the one before.
    #[serde(default)]
    pub(super) minutes: BTreeMap<u64, u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) answers: Vec<answers::Saved>,
}

/// What happened at the events of one name.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    count: u64,
    results: u64,
    failures: u64,
    skipped: u64,
    blocked: u64,
    micros: u64,
}

impl Event {
    pub(super) fn add(&mut self, fresh: &EventFigures) {
        for (all, more) in [
            (&mut self.count, fresh.count),
            (&mut self.results, fresh.results),
            (&mut self.failures, fresh.failures),
            (&mut self.skipped, fresh.skipped),
            (&mut self.blocked, fresh.blocked),
            (
                &mut self.micros,
                u64::try_from(fresh.time.as_micros()).unwrap_or(u64::MAX),
            ),
        ] {
            *all = all.saturating_add(more);
        }
    }

    pub(super) fn read(&self) -> EventFigures {
        EventFigures {
            count: self.count,
            results: self.results,
            failures: self.failures,
            skipped: self.skipped,
            blocked: self.blocked,
            time: Duration::from_micros(self.micros),
        }
    }
}

/// A histogram, by the upper edges of its buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Latency(BTreeMap<u64, u64>);

impl Latency {
    /// Adds what came on top of `before`.
    pub(super) fn add(&mut self, now: &HistogramSnapshot, before: Option<&HistogramSnapshot>) {
        let fresh = match before {
            Some(before) => now.since(before),
            None => now.clone(),
        };
        for (edge, runs) in fresh.buckets() {
            let edge = u64::try_from(edge.as_nanos()).unwrap_or(u64::MAX);
            let all = self.0.entry(edge).or_default();
            *all = all.saturating_add(runs);
        }
    }

    /// As a histogram, in which every run took as long as the longest of its bucket.
    pub(super) fn read(&self) -> HistogramSnapshot {
        let histogram = Histogram::new();
        for (edge, runs) in &self.0 {
            let runs = u32::try_from(*runs).unwrap_or(u32::MAX);
            histogram.record_n(Duration::from_nanos(*edge), runs);
        }
        histogram.snapshot()
    }
}

impl File {
    /// The file's text, which is one that can be read again: what is too much for it is left out, the answers first.
    pub(super) fn text(&mut self) -> io::Result<Vec<u8>> {
        const MOST: usize = LIMIT as usize;
        let text = serde_json::to_vec(self)?;
        if text.len() <= MOST {
            return Ok(text);
        }
        self.hooks.values_mut().for_each(|hook| hook.answers.clear());
        let text = serde_json::to_vec(self)?;
        if text.len() <= MOST {
            return Ok(text);
        }
        self.hooks
            .values_mut()
            .for_each(|hook| hook.latency = Latency::default());
        let text = serde_json::to_vec(self)?;
        match text.len() <= MOST {
            true => Ok(text),
            false => Err(io::Error::other("it would be over 64 MiB")),
        }
    }

    pub(super) fn new() -> Self {
        Self {
            version: VERSION,
            written_by: concat!("hook-manager ", env!("CARGO_PKG_VERSION")).into(),
            saved_at: 0,
            hooks: BTreeMap::new(),
            events: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// What happened in the sessions since the last time, on top of what others say.
    pub(super) fn add_sessions(&mut self, inner: &Inner, fresh: &[(String, Counts)]) {
        for (name, fresh) in fresh {
            let session = self.sessions.entry(name.clone()).or_default();
            session.seen_at = millis(SystemTime::now());
            session.context = session.context.saturating_add(fresh.context);
            for (number, runs) in fresh.runs.iter().enumerate().filter(|(_, runs)| **runs > 0) {
                let all = session.runs.entry(key(&inner.entries[number])).or_default();
                *all = all.saturating_add(*runs);
            }
        }
    }

    /// Has the limits on runs count what other processes ran.
    pub(super) fn restore_runs(&self, entries: &[Entry], runaway: &Runaway) {
        let numbers: HashMap<String, usize> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (key(entry), at))
            .collect();
        let now = millis(SystemTime::now());
        let minute = now / MINUTE;
        for (key, saved) in &self.hooks {
            let runs = |minute: u64| saved.minutes.get(&minute).copied().unwrap_or(0);
            if let Some(number) = numbers.get(key) {
                let gone = Duration::from_millis(now % MINUTE);
                runaway.restore_minute(*number, gone, runs(minute.saturating_sub(1)), runs(minute));
            }
        }
        for (name, session) in &self.sessions {
            let mut counts = Counts {
                runs: vec![0; entries.len()],
                context: session.context,
            };
            for (key, runs) in &session.runs {
                if let Some(number) = numbers.get(key) {
                    counts.runs[*number] = *runs;
                }
            }
            runaway.restore_session(name, counts);
        }
    }

    pub(super) fn forget(&mut self) {
        most::keep(EVENTS, &mut self.events, |event| event.count);
        most::keep(SESSIONS, &mut self.sessions, |session| session.seen_at);
        most::keep(HOOKS, &mut self.hooks, |saved| saved.saved_at);
    }
}

pub(super) fn parse(text: &[u8]) -> io::Result<File> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let invalid = |err: serde_json::Error| io::Error::new(io::ErrorKind::InvalidData, err);
    let Version { version } = serde_json::from_slice(text).map_err(invalid)?;
    if version != VERSION {
        let why = format!("version {version}, expected {VERSION}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut file: File = serde_json::from_slice(text).map_err(invalid)?;
    file.forget();
    Ok(file)
}
