use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

use crate::{Gather, Source, Status, label::label};

use super::{AnomalyEvent, AnomalyEvents, AnomalyTarget, AnomalyTask, Direction, Observed, Signal};

/// The targets a watch may have.
const TARGETS: usize = 1_000;
/// Events a subscriber may be behind before it loses some.
const KEPT: usize = 256;

/// Learns what is usual for each of its targets, and tells when it changes. A clone is the same watch.
///
/// See the [module](super) for how it decides. A target takes about 20 KiB, a tick about a microsecond for each.
///
/// As a [`Source`] it tells, of each target, `hook_anomaly_active{target,signal}` (0 or 1),
/// `hook_anomaly_episodes_total{target,signal,direction}`, `hook_baseline_shifts_total{target}`,
/// `hook_anomaly_outliers_total{target}`, `hook_baseline_seconds{target,quantile}` (0 while unknown) and
/// `hook_baseline_day_ratio{target,quantile}`, what is seen now against the baseline of the last day (1 while unknown).
#[derive(Clone)]
pub struct AnomalyWatch {
    inner: Arc<Inner>,
}

struct Inner {
    targets: Mutex<Vec<AnomalyTarget>>,
    /// A tick is under way. Taken with `Acquire` and left with `Release`, so each tick sees the readings before it.
    is_ticking: AtomicBool,
    events: broadcast::Sender<AnomalyEvent>,
}

impl AnomalyWatch {
    /// A watch over nothing yet.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                targets: Mutex::default(),
                is_ticking: AtomicBool::new(false),
                events: broadcast::Sender::new(KEPT),
            }),
        }
    }

    /// Watches a source under its own name: the handle of a monitor, or anything that tells a histogram of durations and
    /// `hook_calls_total`, see [`Observed::of`].
    ///
    /// Counting begins with the next tick. A target of the same name is replaced.
    ///
    /// # Panics
    ///
    /// If there are 1,000 targets already: names come from the program, never from input.
    #[track_caller]
    pub fn watch<S: Source + 'static>(&self, source: S) -> AnomalyTarget {
        let name = source.name().into();
        self.watch_with(name, move || Observed::of(&source))
    }

    /// Watches what `observe` tells, which is called once per tick, with no lock held.
    ///
    /// Its counts are those since the beginning, not since the last call. Should they go back, they began anew, and that
    /// tick says nothing. A panic in it marks the target as [unreadable](super::TargetState::is_unreadable).
    ///
    /// # Panics
    ///
    /// If there are 1,000 targets already: names come from the program, never from input.
    #[track_caller]
    pub fn watch_with(
        &self,
        name: Arc<str>,
        observe: impl Fn() -> Observed + Send + Sync + 'static,
    ) -> AnomalyTarget {
        let target = AnomalyTarget::new(Arc::clone(&name), label(&name), Box::new(observe));
        let replaced;
        {
            let mut targets = self.targets();
            let place = targets.iter().position(|target| *target.name() == *name);
            replaced = place.map(|place| targets.swap_remove(place));
            if targets.len() < TARGETS {
                targets.push(target.clone());
                return target;
            }
        }
        drop(replaced);
        panic!("an AnomalyWatch has {TARGETS} targets at most; {name:?} would be one more");
    }

    /// Watches the target of that name no more. Says whether there was one.
    pub fn forget(&self, name: &str) -> bool {
        // Dropped after the lock is gone: `observe` is the user's.
        let forgotten = {
            let mut targets = self.targets();
            let place = targets.iter().position(|target| target.name() == name);
            place.map(|place| targets.remove(place))
        };
        forgotten.is_some()
    }

    /// The target of that name.
    pub fn target(&self, name: &str) -> Option<AnomalyTarget> {
        self.targets()
            .iter()
            .find(|target| target.name() == name)
            .cloned()
    }

    /// All targets.
    pub fn all(&self) -> Vec<AnomalyTarget> {
        self.targets().clone()
    }

    /// Judges what each target has done since the last tick, and says what changed; subscribers are told, too.
    ///
    /// For those who have a rhythm of their own; else see [`spawn`](Self::spawn). Does nothing while another thread is at it.
    pub fn tick(&self, now: Instant) -> Vec<AnomalyEvent> {
        let mut events = Vec::new();
        let Some(_turn) = Turn::take(&self.inner.is_ticking) else {
            return events;
        };
        for target in self.all() {
            for change in target.tick(now) {
                let event = AnomalyEvent {
                    target: target.shared_name(),
                    at: now,
                    change,
                };
                // An error is that nobody listens.
                let _ = self.inner.events.send(event.clone());
                events.push(event);
            }
        }
        events
    }

    /// What happens from here on, in order. Who is more than 256 events behind loses the oldest, and is told how many.
    pub fn subscribe(&self) -> AnomalyEvents {
        AnomalyEvents::new(self.inner.events.subscribe())
    }

    /// Ticks in the background until the [`AnomalyTask`] is dropped. Once a second is a good rhythm: short enough to notice,
    /// long enough to have calls to judge.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled, or if `period` is zero.
    #[track_caller]
    pub fn spawn(&self, period: Duration) -> AnomalyTask {
        assert!(!period.is_zero(), "the period of an AnomalyWatch cannot be zero");
        AnomalyTask::new(self.clone(), period)
    }

    fn targets(&self) -> MutexGuard<'_, Vec<AnomalyTarget>> {
        self.inner.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One tick at a time: a reading that is overtaken would look like a source that began anew.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    fn take(is_ticking: &'a AtomicBool) -> Option<Self> {
        let taken = is_ticking.compare_exchange(false, true, Acquire, Relaxed);
        // Not `then_some`: that would make a turn, and drop it, also where there is none.
        taken.is_ok().then(|| Self(is_ticking))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

impl Source for AnomalyWatch {
    fn layer(&self) -> &'static str {
        "anomaly"
    }

    fn name(&self) -> &str {
        "anomalies"
    }

    fn status(&self) -> Status {
        self.all()
            .iter()
            .map(AnomalyTarget::status)
            .max()
            .unwrap_or_default()
    }

    fn read(&self, into: &mut dyn Gather) {
        for target in self.all() {
            let (state, name) = (target.state(), target.label());
            for signal in Signal::ALL {
                let is_active = state.active.iter().any(|anomaly| anomaly.signal == signal);
                let labels = [("target", name), ("signal", signal.as_str())];
                into.gauge("hook_anomaly_active", &labels, f64::from(u8::from(is_active)));
            }
            let totals = state.totals;
            for (signal, direction, value) in [
                (Signal::Latency, Direction::Slow, totals.slow),
                (Signal::Latency, Direction::Fast, totals.fast),
                (Signal::Errors, Direction::Failing, totals.failing),
                (Signal::Limit, Direction::Slow, totals.over_limit),
            ] {
                let labels = [
                    ("target", name),
                    ("signal", signal.as_str()),
                    ("direction", direction.as_str()),
                ];
                into.counter("hook_anomaly_episodes_total", &labels, value);
            }
            into.counter("hook_baseline_shifts_total", &[("target", name)], totals.shifts);
            into.counter(
                "hook_anomaly_outliers_total",
                &[("target", name)],
                totals.outliers,
            );
            let usual = state.baseline.unwrap_or_default();
            let (p50, p99) = state.against_the_day.unwrap_or((1.0, 1.0));
            for (quantile, usual, ratio) in [("0.5", usual.p50, p50), ("0.99", usual.p99, p99)] {
                let labels = [("target", name), ("quantile", quantile)];
                into.gauge("hook_baseline_seconds", &labels, usual.as_secs_f64());
                into.gauge("hook_baseline_day_ratio", &labels, ratio);
            }
        }
    }
}

impl Default for AnomalyWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AnomalyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyWatch")
            .field("targets", &self.all())
            .finish_non_exhaustive()
    }
}
