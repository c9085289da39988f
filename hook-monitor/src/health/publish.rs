use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{
    About, Format, Report,
    entry::{Entry, Ran},
    render,
};
use crate::{Clock, Status};

/// What the endpoints read, and the one place where it is made.
pub(super) struct Board {
    inner: Mutex<Inner>,
    published: RwLock<Arc<Published>>,
}

pub(super) struct Inner {
    pub(super) checks: BTreeMap<Arc<str>, Entry>,
    pub(super) closed: bool,
    pub(super) next_id: u64,
    pub(super) about: About,
    pub(super) failures: [u64; 3],
    status: Status,
    outbox: VecDeque<Change>,
    is_sending: bool,
    changes: Option<broadcast::Sender<Change>>,
}

/// A report, written in every way in which it can be asked for.
pub(super) struct Published {
    pub(super) report: Arc<Report>,
    /// A required check has not run yet.
    pub(super) is_pending: bool,
    expires: Option<Instant>,
    bodies: [Bytes; 4],
}

/// Something that a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A status has changed.
    Status {
        /// The check whose it is; `None` is the process as a whole.
        check: Option<Arc<str>>,
        /// What it was.
        from: Status,
        /// What it is.
        to: Status,
    },
    /// So many changes were lost, because this subscriber was more than [`Changes::CAPACITY`]
    /// behind. Look at [`Health::report`](super::Health::report) for what is true now.
    Missed(u64),
}

/// The changes of health, in the order in which they happened.
///
/// Nobody waits for a subscriber: one that is too slow loses the oldest changes, and is told how
/// many by [`Change::Missed`].
pub struct Changes(Option<broadcast::Receiver<Change>>);

impl Changes {
    /// How far a subscriber may fall behind.
    pub const CAPACITY: usize = 256;

    /// The next change; `None` once the engine has been shut down.
    ///
    /// # Cancellation
    ///
    /// A change is lost by no cancellation.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.as_mut()?.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(missed)) => Some(Change::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl Published {
    pub(super) fn body(&self, format: Format, verbose: bool) -> &Bytes {
        &self.bodies[format as usize * 2 + usize::from(verbose)]
    }

    fn new(checks: &BTreeMap<Arc<str>, Entry>, about: &About, now: Instant) -> Self {
        let reports: Vec<_> = checks
            .iter()
            .map(|(name, entry)| entry.report(name, now))
            .collect();
        let report = Report {
            status: reports.iter().map(|check| check.status).max().unwrap_or_default(),
            timestamp: SystemTime::now(),
            checks: reports,
        };
        Self {
            is_pending: checks
                .values()
                .any(|entry| entry.is_required() && entry.is_pending()),
            expires: checks.values().map(|entry| entry.expires(now)).min(),
            bodies: [
                render::report(&report, about, Format::Json, false),
                render::report(&report, about, Format::Json, true),
                render::report(&report, about, Format::HealthJson, false),
                render::report(&report, about, Format::HealthJson, true),
            ],
            report: Arc::new(report),
        }
    }
}

impl Board {
    pub(super) fn new() -> Self {
        let checks = BTreeMap::new();
        let published = Published::new(&checks, &About::default(), Clock::tokio().now());
        Self {
            inner: Mutex::new(Inner {
                checks,
                closed: false,
                next_id: 0,
                about: About::default(),
                failures: [0; 3],
                status: Status::Healthy,
                outbox: VecDeque::new(),
                is_sending: false,
                changes: Some(broadcast::Sender::new(Changes::CAPACITY)),
            }),
            published: RwLock::new(Arc::new(published)),
        }
    }

    /// What is known, made anew only if time has made it untrue.
    pub(super) fn read(&self) -> Arc<Published> {
        let published = self.latest();
        match published.expires {
            Some(at) if at <= Clock::tokio().now() => {
                self.refresh();
                self.latest()
            }
            _ => published,
        }
    }

    /// Looks whether a result has become too old, even if nobody reads.
    pub(super) fn refresh(&self) {
        let expires = self.latest().expires;
        if expires.is_some_and(|at| at <= Clock::tokio().now()) {
            self.change(|_| ());
        }
    }

    pub(super) fn record(&self, name: &str, id: u64, ran: Ran) {
        self.change(|inner| {
            if let Some(reason) = ran.reason {
                if let Some(count) = inner.failures.get_mut(reason as usize) {
                    *count += 1;
                }
            }
            let entry = inner.checks.get_mut(name);
            // The name may by now be that of another check.
            if let Some(entry) = entry.filter(|entry| entry.id == id) {
                entry.record(ran, Clock::tokio().now(), SystemTime::now());
            }
        });
    }

    pub(super) fn subscribe(&self) -> Changes {
        Changes(self.lock().changes.as_ref().map(broadcast::Sender::subscribe))
    }

    /// No more checks, and no more changes.
    pub(super) fn close(&self) -> Vec<tokio::task::AbortHandle> {
        let (changes, tasks) = {
            let mut inner = self.lock();
            inner.closed = true;
            let tasks = inner
                .checks
                .values_mut()
                .filter_map(|entry| entry.task.take())
                .collect();
            (inner.changes.take(), tasks)
        };
        // Wakes the subscribers, hence outside of the lock.
        drop(changes);
        tasks
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, publishes it, and tells the subscribers.
    pub(super) fn change<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = with(&mut inner);
        let published = Arc::new(Published::new(&inner.checks, &inner.about, Clock::tokio().now()));
        inner.note(&published.report);
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = published;
        drop(inner);
        self.send();
        result
    }

    /// Sends what has gathered, with no lock held, and one thread at a time, so that the order stays.
    fn send(&self) {
        struct Sending<'a>(&'a Board);
        impl Drop for Sending<'_> {
            fn drop(&mut self) {
                self.0.lock().is_sending = false;
            }
        }
        loop {
            let (batch, changes) = {
                let mut inner = self.lock();
                if inner.is_sending || inner.outbox.is_empty() {
                    return;
                }
                inner.is_sending = true;
                (std::mem::take(&mut inner.outbox), inner.changes.clone())
            };
            let sending = Sending(self);
            for change in batch {
                if let Some(changes) = &changes {
                    // No subscriber is no error.
                    let _ = changes.send(change);
                }
            }
            drop(changes);
            drop(sending);
        }
    }

    fn latest(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn note(&mut self, report: &Report) {
        for check in &report.checks {
            let Some(entry) = self.checks.get_mut(&check.name) else {
                continue;
            };
            // The first result is the first that can be a change.
            if entry.shown.is_none() && entry.is_pending() && check.status != Status::Unhealthy {
                continue;
            }
            let from = entry.shown.replace(check.status).unwrap_or_default();
            if from != check.status {
                let (check, to) = (Some(Arc::clone(&check.name)), check.status);
                self.outbox.push_back(Change::Status { check, from, to });
            }
        }
        if self.status != report.status {
            let from = std::mem::replace(&mut self.status, report.status);
            self.outbox.push_back(Change::Status {
                check: None,
                from,
                to: report.status,
            });
        }
    }
}
