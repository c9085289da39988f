//! What is usual for each hook, and when it changes: the monitor's detector, fed with the runs that really happened.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use hook_monitor::{
    Histogram, HistogramSnapshot, Status,
    anomaly::{
        Anomaly as Unusual, AnomalyEvent, AnomalyTarget, AnomalyWatch, BaselineShift, Direction, Level,
        Observed, Signal,
    },
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    background::Background,
    event::HookEvent,
    manager::{HookManager, Inner},
    plan::Entry,
};

/// How often what came is judged.
const PERIOD: Duration = Duration::from_secs(1);
/// Ticks without a run after which nothing of before is noted any more, so that there is nothing to tick for.
const QUIET: u32 = 11 * 60;
/// Hooks in one watch: more would be more figures than one source may tell.
const TOGETHER: usize = 64;
/// Changes that are remembered.
const KEPT: usize = 256;

/// How a run, or its hook at the time, is out of the ordinary; from [`HookResult::anomaly`](crate::HookResult::anomaly).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Anomaly {
    /// This run alone took more than four times what 95 of 100 of the hook's last 64 runs did not exceed. A mark, no alarm:
    /// there is always a slowest run.
    Outlier(Outlier),
    /// The hook is not what it was, whatever this run did: slower, suspiciously fast, or failing more often. Of two
    /// such signals the worse one; [`HookManager::anomalies`] has both.
    Ongoing(Unusual),
}

/// A run that took far longer than the hook's last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlier {
    /// How long it took.
    pub took: Duration,
    /// The median of the runs before it.
    pub usual: Duration,
    /// What 95 of 100 of the runs before it did not exceed.
    pub p95: Duration,
}

/// What is not as usual, from [`HookManager::anomalies`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Anomalies {
    /// What goes on now, hook by hook in declared order.
    pub now: Vec<HookAnomaly>,
    /// What went on, lasted, and is what is usual since: for ten minutes, the last of each hook.
    pub shifts: Vec<HookShift>,
    /// The last 256 changes, the oldest first: an anomaly began, worsened or ended, a baseline shifted. Their targets
    /// are hooks with their events, such as `PreToolUse/guard`.
    pub log: Vec<AnomalyEvent>,
}

/// One hook that is not as usual. Its `Display` is a sentence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HookAnomaly {
    /// The hook.
    pub hook: Arc<str>,
    /// Its event.
    pub event: HookEvent,
    /// Of what, which way, how badly, since when; what is usual, and what is seen.
    pub anomaly: Unusual,
}

/// One hook whose ways have changed for good. Its `Display` is a sentence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HookShift {
    /// The hook.
    pub hook: Arc<str>,
    /// Its event.
    pub event: HookEvent,
    /// Of what, which way, when; what was usual, and what is.
    pub shift: BaselineShift,
}

/// The runs of one hook, as the detector wants them.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    latency: Histogram,
    successes: AtomicU64,
    failures: AtomicU64,
    /// Whether there is something in `unusual`. Written with `Release` after it.
    is_unusual: AtomicBool,
    unusual: Mutex<Option<Unusual>>,
    /// What a saved state tells of.
    past: OnceLock<HistogramSnapshot>,
}

/// The watch over all hooks of a manager.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Made when something is to be seen in it, a second after the first event at the earliest: a process of one event
    /// never needs one.
    watched: OnceLock<Watched>,
    ticking: Background,
}

#[derive(Debug)]
struct Watched {
    watches: Vec<AnomalyWatch>,
    /// With the place of each hook among all entries.
    targets: Vec<(usize, AnomalyTarget, Arc<Runs>)>,
    log: Mutex<VecDeque<AnomalyEvent>>,
}

impl Runs {
    /// Counts a run that says something about its hook.
    pub(crate) fn record(&self, took: Duration, success: bool) {
        self.latency.record(took);
        let count = if success { &self.successes } else { &self.failures };
        count.fetch_add(1, Relaxed);
    }

    /// What is not as usual with the hook: the worst of it.
    pub(crate) fn unusual(&self) -> Option<Unusual> {
        match self.is_unusual.load(Acquire) {
            true => *lock(&self.unusual),
            false => None,
        }
    }

    /// How long the runs took since the manager was made.
    pub(crate) fn live(&self) -> HistogramSnapshot {
        self.latency.snapshot()
    }

    /// With those that a saved state tells of.
    pub(crate) fn all(&self) -> HistogramSnapshot {
        match self.past.get() {
            Some(past) => self.live().merged(past),
            None => self.live(),
        }
    }

    /// Goes on from what a saved state tells of.
    pub(crate) fn restore(&self, past: HistogramSnapshot) {
        // A manager has just been made: nobody has set it before.
        let _ = self.past.set(past);
    }

    fn count(&self) -> u64 {
        self.successes.load(Relaxed) + self.failures.load(Relaxed)
    }

    fn observe(&self) -> Observed {
        let count = |count: &AtomicU64| count.load(Relaxed);
        Observed::new(self.live(), count(&self.successes), count(&self.failures))
    }

    fn note(&self, active: &[Unusual]) {
        let worst = active.iter().max_by_key(|one| one.severity).copied();
        if worst.is_none() && !self.is_unusual.load(Relaxed) {
            return;
        }
        *lock(&self.unusual) = worst;
        self.is_unusual.store(worst.is_some(), Release);
    }
}

impl Watched {
    fn new(entries: &[Entry]) -> Self {
        let runs = entries.iter().enumerate().filter_map(|(at, entry)| {
            let runs = entry.own()?.watched.as_ref()?;
            Some((at, entry.full_name(), Arc::clone(runs)))
        });
        let (mut watches, mut targets) = (Vec::new(), Vec::new());
        for (at, name, runs) in runs {
            if targets.len() % TOGETHER == 0 {
                watches.push(AnomalyWatch::new());
            }
            let Some(watch) = watches.last() else { break };
            let (read, is_first) = (Arc::clone(&runs), AtomicBool::new(true));
            // A watch counts from its first reading on; that one is before the first run.
            let observe = move || match is_first.swap(false, Relaxed) {
                true => Observed::new(HistogramSnapshot::empty(), 0, 0),
                false => read.observe(),
            };
            targets.push((at, watch.watch_with(name.into(), observe), runs));
        }
        let watched = Self {
            watches,
            targets,
            log: Mutex::default(),
        };
        watched.tick();
        watched
    }

    /// Judges what came since the last time. Whether there is anything that may yet change without a run.
    fn tick(&self) {
        let now = Instant::now().into_std();
        let events: Vec<AnomalyEvent> = self.watches.iter().flat_map(|watch| watch.tick(now)).collect();
        for (_, target, runs) in &self.targets {
            runs.note(&target.state().active);
        }
        if events.is_empty() {
            return;
        }
        let mut log = lock(&self.log);
        log.extend(events);
        let too_many = log.len().saturating_sub(KEPT);
        log.drain(..too_many);
    }

    fn runs(&self) -> u64 {
        self.targets.iter().map(|(_, _, runs)| runs.count()).sum()
    }
}

impl Inner {
    fn watched(&self) -> Option<&Watched> {
        let watch = self.watch.as_ref()?;
        Some(watch.watched.get_or_init(|| Watched::new(&self.entries)))
    }

    /// The watches over all hooks; none without monitoring.
    pub(crate) fn watches(&self) -> &[AnomalyWatch] {
        self.watched().map_or(&[], |watched| &watched.watches)
    }
}

impl HookManager {
    /// What is not as usual: hooks that take longer than they did, suspiciously less, or fail more often.
    ///
    /// Judged once a second, from the runs that really happened: answers from the cache say nothing about a hook. What is
    /// usual is learned from a hook's first 200 runs, and then with a half-life of 2,000. What lasts for 1,000 runs, or for a
    /// minute and 200, is what is usual from then on, and a [shift](Anomalies::shifts). How that is decided is on the
    /// page of the [detector](crate::layers::anomaly). Nothing without [monitoring](crate::HookManagerBuilder::monitoring).
    ///
    /// Allocates: for whoever looks, not for the call path.
    pub fn anomalies(&self) -> Anomalies {
        let (mut now, mut shifts) = (Vec::new(), Vec::new());
        let Some(watched) = self.0.watched() else {
            return Anomalies {
                now,
                shifts,
                log: Vec::new(),
            };
        };
        for (at, target, _) in &watched.targets {
            let entry = &self.0.entries[*at];
            let state = target.state();
            now.extend(state.active.iter().map(|anomaly| HookAnomaly {
                hook: Arc::clone(entry.name()),
                event: entry.event().clone(),
                anomaly: *anomaly,
            }));
            shifts.extend(state.shift.map(|shift| HookShift {
                hook: Arc::clone(entry.name()),
                event: entry.event().clone(),
                shift,
            }));
        }
        let log = lock(&watched.log).iter().cloned().collect();
        Anomalies { now, shifts, log }
    }
}

impl Anomalies {
    /// Degraded while there is an anomaly, and for ten minutes after a hook has become worse for good.
    pub fn status(&self) -> Status {
        let is_worse = self.shifts.iter().any(|shift| shift.shift.is_regression());
        match is_worse || !self.now.is_empty() {
            true => Status::Degraded,
            false => Status::Healthy,
        }
    }
}

/// Begins to judge every second, with the first event that is run.
pub(crate) fn keep(manager: &HookManager) {
    if let Some(watch) = &manager.0.watch {
        watch.ticking.begin(|| tick(Arc::downgrade(&manager.0)));
    }
}

async fn tick(manager: Weak<Inner>) {
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    // After a stall, one tick has all the runs; those that follow at once would have none.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut quiet) = (0, 0);
    while quiet < QUIET {
        ticks.tick().await;
        let Some(manager) = manager.upgrade() else { return };
        let Some(watched) = manager.watched() else { return };
        watched.tick();
        let runs = watched.runs();
        quiet = if runs == before { quiet + 1 } else { 0 };
        before = runs;
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Anomaly {
    /// `outlier`, `slow`, `fast` or `failing`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Outlier(_) => "outlier",
            Self::Ongoing(unusual) => unusual.direction.as_str(),
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outlier(one) => write!(f, "took {:.1?} instead of {:.1?}", one.took, one.usual),
            Self::Ongoing(one) => change(f, one.signal, one.direction, &one.usual, &one.seen),
        }
    }
}

impl fmt::Display for HookAnomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = &self.anomaly;
        write!(f, "{} ({}) ", self.hook, self.event)?;
        change(f, one.signal, one.direction, &one.usual, &one.seen)?;
        write!(f, " ({})", one.severity.as_str())
    }
}

impl fmt::Display for HookShift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = &self.shift;
        write!(f, "{} ({}) for good ", self.hook, self.event)?;
        change(f, one.signal, one.direction, &one.old, &one.new)
    }
}

/// `takes 20.0ms instead of 10.0ms`, by the quantile that tells the two apart.
fn change(
    f: &mut fmt::Formatter<'_>,
    signal: Signal,
    direction: Direction,
    usual: &Level,
    seen: &Level,
) -> fmt::Result {
    if signal == Signal::Errors {
        let percent = |level: &Level| level.error_ratio * 100.0;
        return write!(
            f,
            "fails {:.0} % of the time instead of {:.0} %",
            percent(seen),
            percent(usual)
        );
    }
    let moved = match direction {
        Direction::Fast => seen.p50 < usual.p50,
        _ => seen.p50 > usual.p50,
    };
    match moved {
        true => write!(f, "takes {:.1?} instead of {:.1?}", seen.p50, usual.p50),
        false => write!(f, "takes up to {:.1?} instead of {:.1?}", seen.p99, usual.p99),
    }
}
