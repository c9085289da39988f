//! All shelves of a pool, by key; pure, like the shelf.
//!
//! Connections, waiters and connects name their shelf by number, so that only asking looks a key up. A shelf stays
//! up until its key gives way to another, or the pool looks through its keys and finds it bare.

mod dialling;
mod ending;
mod keys;
mod lending;
mod sharing;
mod upkeep;
mod waiting;

use std::{
    collections::HashMap,
    panic::Location,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

pub(crate) use dialling::{Next, Start, Work};
use lending::fresh_until;
pub(crate) use waiting::{GaveUp, Turn};

use crate::{
    aftermath::Aftermath,
    config::{Hooks, Limits},
    entry::Closing,
    line::Line,
    random::Random,
    shelf::Shelf,
};

pub(crate) struct Shelves<K, C, E> {
    pub(crate) limits: Limits,
    pub(crate) hooks: Hooks<C>,
    pub(crate) name: Arc<str>,
    pub(crate) counts: Counts,
    /// Connections that were opened before this was raised are of no use any more.
    pub(crate) generation: u64,
    index: HashMap<Arc<K>, usize>,
    /// Nobody stands in this line.
    shelves: Line<Labelled<K, C, E>>,
    /// Who was asked last is asked next, more often than not.
    last: usize,
    /// Idle, used and connecting, over all shelves.
    total: usize,
    /// Somebody may be waiting for room in `max_total`.
    starved: bool,
    tickets: u64,
    /// How often anybody asked.
    asks: u64,
    /// The last reading of the clock that was brought here.
    latest: Instant,
    /// Whoever asks before this asks soon after the one before.
    hot_until: Instant,
    /// How long a connection may have been idle to be handed out as it is.
    fresh_for: Duration,
    /// Each return is timed.
    precise: bool,
    random: Random,
    closed: bool,
    /// Connections that are watched for being held too long.
    held: Line<Held>,
    /// Who waits for something to change: for the pool to be empty, or warm.
    watchers: Line<Option<Waker>>,
    pub(crate) keeper: Keeper,
}

pub(crate) struct Labelled<K, C, E> {
    pub(crate) key: Arc<K>,
    pub(crate) shelf: Shelf<C, E>,
}

struct Held {
    since: Instant,
    place: Option<&'static Location<'static>>,
    told: bool,
}

/// The task in the background.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) runs: bool,
    pub(crate) called: bool,
    pub(crate) waker: Option<Waker>,
}

/// What has happened so far. Counted under the lock that is held anyway.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) checkouts: u64,
    pub(crate) created: u64,
    pub(crate) closed: [u64; Closing::KINDS],
    pub(crate) detached: u64,
    pub(crate) connect_errors: u64,
    pub(crate) connect_timeouts: u64,
    pub(crate) timeouts: u64,
    pub(crate) queue_full: u64,
    pub(crate) too_many_keys: u64,
    pub(crate) failed: u64,
    pub(crate) leaks: u64,
}

/// What there is right now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) keys: usize,
    pub(crate) idle: usize,
    pub(crate) used: usize,
    pub(crate) connecting: usize,
    pub(crate) waiting: usize,
    pub(crate) parked: usize,
}

impl<K, C, E> Shelves<K, C, E> {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            hooks: Hooks {
                check: None,
                on_leak: None,
            },
            name: Arc::from("pool"),
            counts: Counts::default(),
            generation: 0,
            index: HashMap::new(),
            shelves: Line::new(),
            last: 0,
            total: 0,
            starved: false,
            tickets: 0,
            asks: 0,
            latest: now,
            hot_until: now,
            fresh_for: limits.idle_timeout.unwrap_or(Duration::MAX),
            precise: false,
            random: Random::new(),
            closed: false,
            held: Line::new(),
            watchers: Line::new(),
            keeper: Keeper::default(),
        }
    }

    /// After a change of the limits: what follows from them.
    pub(crate) fn settle(&mut self) {
        let limits = &self.limits;
        let fresh_for = limits.idle_timeout.unwrap_or(Duration::MAX);
        self.fresh_for = match self.hooks.check {
            Some(_) => fresh_for.min(limits.check_after),
            None => fresh_for,
        };
        let fresh_for = self.fresh_for;
        for id in self.shelves.numbers() {
            if let Some(Labelled { shelf, .. }) = self.shelves.get_mut(id) {
                for entry in &mut shelf.idle {
                    entry.fresh_until = fresh_until(entry.idle_since, fresh_for, entry);
                }
            }
        }
        self.precise =
            self.hooks.check.is_some() || limits.max_lifetime.is_some() || limits.leak_after.is_some();
    }

    pub(crate) fn levels(&self) -> Levels {
        self.shelves
            .slots()
            .fold(Levels::default(), |sum, (_, Labelled { shelf, .. })| Levels {
                keys: sum.keys + usize::from(shelf.size() + shelf.waiting() > 0),
                idle: sum.idle + shelf.idle.len(),
                used: sum.used + shelf.used,
                connecting: sum.connecting + shelf.connecting(),
                waiting: sum.waiting + shelf.waiting(),
                parked: sum.parked + shelf.parked(),
            })
    }

    /// Leaves a waker to be called when something changes, in a place that is made for it the first time.
    pub(crate) fn watch(&mut self, place: &mut Option<usize>, waker: &mut Option<Waker>) {
        let place = *place.get_or_insert_with(|| self.watchers.insert(None));
        if let Some(watcher) = self.watchers.get_mut(place) {
            std::mem::swap(watcher, waker);
        }
    }

    pub(crate) fn unwatch(&mut self, place: usize) -> Option<Waker> {
        self.watchers.remove(place).flatten()
    }

    /// Tells everybody who watches that something has changed.
    fn changed(&mut self, after: &mut Aftermath<K, C, E>) {
        for place in self.watchers.numbers() {
            if let Some(watcher) = self.watchers.get_mut(place) {
                after.wake(watcher.take());
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
