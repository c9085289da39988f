use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use super::{
    About, Changes, Check, FailureReason, Report, RuntimeLag,
    entry::Entry,
    lag::BEAT,
    publish::{Board, Published},
    runner,
};
use crate::{Clock, Gather, Source, Status, label::label};

/// The health of a process: checks that run in the background, and what is known of them.
///
/// A handle: clones are the same engine. Its tasks end with [`shutdown`](Self::shutdown) or when the
/// last handle is dropped; a check that holds a handle of its own engine keeps it alive.
///
/// ```
/// use hook_monitor::{Status, health::{Check, Health}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hook_monitor::BoxError> {
/// let health = Health::new();
/// health.add("db", Check::new(|| async { Ok::<(), std::io::Error>(()) }))?;
/// health.mark_started();
///
/// assert!(!health.is_ready(), "the database has not been asked yet");
/// let mut changes = health.subscribe();
/// changes.next().await;
/// assert!(health.is_ready());
/// assert_eq!(health.status(), Status::Healthy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

pub(super) struct Shared {
    pub(super) board: Board,
    pub(super) slots: Arc<Semaphore>,
    pub(super) lag: RuntimeLag,
    runtime: Handle,
    /// Every check's task holds a receiver, so it is closed when all have ended.
    present: watch::Sender<()>,
    /// `STARTING`, `STARTED` or `DRAINING`; publishes nothing else: relaxed.
    phase: AtomicU8,
}

struct Alive {
    shared: Arc<Shared>,
    beat: AbortHandle,
}

/// Why a check was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCheck {
    name: String,
    problem: &'static str,
}

/// How many checks an engine takes.
pub const MAX_CHECKS: usize = 64;

const CONCURRENCY: usize = 8;
const SHUTDOWN: Duration = Duration::from_secs(5);
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_secs(86_400);

const STARTING: u8 = 0;
const STARTED: u8 = 1;
const DRAINING: u8 = 2;

impl Health {
    /// An engine without checks, on the runtime of the caller.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one whose timers are not enabled.
    #[track_caller]
    #[allow(clippy::new_without_default, reason = "it spawns a task, and may panic")]
    pub fn new() -> Self {
        let runtime = Handle::current();
        // Here, so that a runtime without timers panics here and not in a task, unseen.
        let beats = tokio::time::interval(BEAT);
        let (present, _) = watch::channel(());
        let shared = Arc::new(Shared {
            board: Board::new(),
            slots: Arc::new(Semaphore::new(CONCURRENCY)),
            lag: RuntimeLag::new(),
            runtime,
            present,
            phase: AtomicU8::new(STARTING),
        });
        let beat = shared.runtime.spawn(runner::beat(Arc::clone(&shared), beats));
        let alive = Alive {
            shared: Arc::clone(&shared),
            beat: beat.abort_handle(),
        };
        Self {
            shared,
            _alive: Arc::new(alive),
        }
    }

    /// Runs a check from now on.
    ///
    /// # Errors
    ///
    /// The name is not of the form `[A-Za-z0-9_.:-]{1,64}` or is taken, there are [`MAX_CHECKS`]
    /// already, the interval is not between 10 ms and a day, the timeout is zero or longer than the
    /// interval, or the engine was shut down.
    pub fn add(&self, name: impl AsRef<str>, check: Check) -> Result<(), InvalidCheck> {
        let name = name.as_ref();
        let invalid = |problem| {
            let name = name.chars().take(64).collect();
            Err(InvalidCheck { name, problem })
        };
        if !is_valid_name(name) {
            return invalid("expected a name of 1 to 64 of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`");
        }
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&check.interval) {
            return invalid("expected an interval between 10 ms and a day");
        }
        if check.timeout.is_zero() || check.timeout > check.interval {
            return invalid("expected a timeout above zero and no longer than the interval");
        }
        let name: Arc<str> = name.into();
        let shared = &self.shared;
        let id = {
            let added = shared.board.change(|inner| {
                if inner.closed {
                    return Err("the engine was shut down");
                }
                if inner.checks.contains_key(&name) {
                    return Err("there is a check of this name");
                }
                if inner.checks.len() >= MAX_CHECKS {
                    return Err("there are 64 checks already");
                }
                inner.next_id += 1;
                let id = inner.next_id;
                let entry = Entry::new(id, &check, Clock::tokio().now());
                inner.checks.insert(Arc::clone(&name), entry);
                Ok(id)
            });
            match added {
                Ok(id) => id,
                Err(problem) => return invalid(problem),
            }
        };
        let running = runner::check(
            Arc::clone(shared),
            Arc::clone(&name),
            id,
            check,
            shared.present.subscribe(),
        );
        let task = shared.runtime.spawn(running).abort_handle();
        let gone = {
            let mut inner = shared.board.lock();
            let closed = inner.closed;
            match inner.checks.get_mut(&name) {
                Some(entry) if entry.id == id && !closed => {
                    entry.task = Some(task);
                    None
                }
                _ => Some(task),
            }
        };
        if let Some(task) = gone {
            task.abort();
        }
        Ok(())
    }

    /// Stops a check and forgets it. `false` if there is none of this name.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.shared.board.change(|inner| inner.checks.remove(name));
        if let Some(task) = removed.as_ref().and_then(|entry| entry.task.as_ref()) {
            task.abort();
        }
        removed.is_some()
    }

    /// From now on the process can be ready.
    pub fn mark_started(&self) {
        let (from, to) = (STARTING, STARTED);
        let relaxed = Ordering::Relaxed;
        // One that is already draining stays so.
        let _ = self.shared.phase.compare_exchange(from, to, relaxed, relaxed);
    }

    /// From now on the process is not ready, whatever the checks say. There is no way back.
    ///
    /// Call it *before* listeners close, and give balancers the time to notice.
    pub fn begin_shutdown(&self) {
        self.shared.phase.store(DRAINING, Ordering::Relaxed);
    }

    /// Stops all checks and waits until they have ended, for 5 s at most. `false` if some have not:
    /// a check that blocks its thread cannot be stopped. The runtime's lag is measured on, so that
    /// `/livez` does not end a process that is still draining.
    ///
    /// # Cancellation
    ///
    /// The checks have been told to stop at the first poll.
    pub async fn shutdown(&self) -> bool {
        self.begin_shutdown();
        self.shared.stop();
        tokio::time::timeout(SHUTDOWN, self.shared.present.closed())
            .await
            .is_ok()
    }

    /// The process as a whole: the worst of the checks.
    pub fn status(&self) -> Status {
        self.published().report.status
    }

    /// Everything that is known.
    pub fn report(&self) -> Arc<Report> {
        Arc::clone(&self.published().report)
    }

    /// Whether to send calls here: started, not shutting down, not unhealthy, and every required
    /// check has run.
    pub fn is_ready(&self) -> bool {
        let published = self.published();
        self.shared.phase.load(Ordering::Relaxed) == STARTED
            && !published.is_pending
            && published.report.status != Status::Unhealthy
    }

    /// What the process is, for `application/health+json`: shown with the details.
    pub fn describe(&self, about: About) {
        self.shared.board.change(|inner| inner.about = about);
    }

    /// Told of every change of a status from now on.
    pub fn subscribe(&self) -> Changes {
        self.shared.board.subscribe()
    }

    /// How late the runtime is.
    pub fn runtime_lag(&self) -> RuntimeLag {
        self.shared.lag.clone()
    }

    pub(super) fn published(&self) -> Arc<Published> {
        self.shared.board.read()
    }
}

impl Shared {
    fn stop(&self) {
        for task in self.board.close() {
            task.abort();
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.beat.abort();
        self.shared.lag.end();
        self.shared.stop();
    }
}

fn is_valid_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// `hook_health_status{component,status}` of the process as a whole and of each check, 1 for the status it has and 0 for the
/// others; `hook_health_check_duration_seconds{check}`, how long the latest run took (0 before there was one);
/// `hook_health_check_failures_total{reason}` and `hook_runtime_lag_seconds`.
impl Source for Health {
    fn layer(&self) -> &'static str {
        "health"
    }

    fn name(&self) -> &str {
        "process"
    }

    fn status(&self) -> Status {
        Health::status(self)
    }

    fn read(&self, into: &mut dyn Gather) {
        const ALL: [Status; 3] = [Status::Healthy, Status::Degraded, Status::Unhealthy];
        let report = self.report();
        let is_on = |of, status| if of == status { 1.0 } else { 0.0 };
        for of in ALL {
            let labels = &[("status", of.as_str())];
            into.gauge("hook_health_status", labels, is_on(of, report.status));
        }
        for check in &report.checks {
            let name = label(&check.name);
            for of in ALL {
                let labels = &[("component", name), ("status", of.as_str())];
                into.gauge("hook_health_status", labels, is_on(of, check.status));
            }
            let took = check.took.unwrap_or_default().as_secs_f64();
            into.gauge("hook_health_check_duration_seconds", &[("check", name)], took);
        }
        let failures = self.shared.board.lock().failures;
        for reason in [FailureReason::Error, FailureReason::Timeout, FailureReason::Panic] {
            let labels = &[("reason", reason.as_str())];
            let count = failures[reason as usize];
            into.counter("hook_health_check_failures_total", labels, count);
        }
        let lag = self.shared.lag.lag().as_secs_f64();
        into.gauge("hook_runtime_lag_seconds", &[], lag);
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check {:?}: {}", self.name, self.problem)
    }
}

impl Error for InvalidCheck {}
