use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::{event::HookEvent, result::EventReport};

/// What happened at the events of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFigures {
    /// Events.
    pub count: u64,
    /// Results of hooks, of all kinds.
    pub results: u64,
    /// Results that are failures.
    pub failures: u64,
    /// Results that are skipped hooks.
    pub skipped: u64,
    /// Events that were blocked.
    pub blocked: u64,
    /// Wall-clock time of all of them.
    pub time: Duration,
}

/// More names of events than any host has; what happens under others is not counted by name.
const EVENTS: usize = 256;

/// What happened, by the names of events.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    live: Mutex<HashMap<HookEvent, EventFigures>>,
    /// What a saved state tells of.
    past: OnceLock<HashMap<HookEvent, EventFigures>>,
}

impl EventFigures {
    /// What came on top of `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        self.both(before, u64::saturating_sub, Duration::saturating_sub)
    }

    fn and(self, other: Self) -> Self {
        self.both(other, u64::saturating_add, Duration::saturating_add)
    }

    fn both(self, other: Self, with: fn(u64, u64) -> u64, time: fn(Duration, Duration) -> Duration) -> Self {
        Self {
            count: with(self.count, other.count),
            results: with(self.results, other.results),
            failures: with(self.failures, other.failures),
            skipped: with(self.skipped, other.skipped),
            blocked: with(self.blocked, other.blocked),
            time: time(self.time, other.time),
        }
    }
}

impl Tallies {
    pub(crate) fn add(&self, report: &EventReport) {
        if report.results.is_empty() {
            return;
        }
        let failures = report.failures().count() as u64;
        let skipped = report
            .results
            .iter()
            .filter(|result| matches!(result.ended, crate::Ended::Skipped(_)))
            .count() as u64;
        let mut events = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if !events.contains_key(&report.event) && events.len() < EVENTS {
            events.insert(report.event.clone(), EventFigures::default());
        }
        let Some(figures) = events.get_mut(&report.event) else {
            return;
        };
        figures.count += 1;
        figures.results += report.results.len() as u64;
        figures.failures += failures;
        figures.skipped += skipped;
        figures.blocked += u64::from(report.is_blocked());
        figures.time += report.took;
    }

    /// Since this manager was made.
    pub(crate) fn live(&self) -> HashMap<HookEvent, EventFigures> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on from what a saved state tells of.
    pub(crate) fn restore(&self, past: impl Iterator<Item = (HookEvent, EventFigures)>) {
        // A manager has just been made: nobody has set it before.
        let _ = self.past.set(past.take(EVENTS).collect());
    }

    pub(super) fn read(&self) -> Vec<(HookEvent, EventFigures)> {
        let mut events = self.live();
        for (event, past) in self.past.get().into_iter().flatten() {
            let all = events.entry(event.clone()).or_default();
            *all = all.and(*past);
        }
        let mut events: Vec<_> = events.into_iter().collect();
        events.sort_by(|one, other| one.0.cmp(&other.0));
        events
    }
}
