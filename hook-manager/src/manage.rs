//! Looking into a manager from outside, and the hand brakes.

use std::{fmt, sync::Arc, time::Duration};

use hook_breaker::{CircuitBreaker, Snapshot};
use hook_cache::CacheStats;
use hook_monitor::{Gather, HistogramSnapshot, Monitor, MonitorSnapshot, Source, Status};
use hook_pool::PoolStats;

use crate::{event::HookEvent, hook::Priority, manager::HookManager, plan::Entry, stack::own::Own};

mod advice;
mod health;
mod tallies;
mod totals;

pub use advice::{Advice, Optimization};
pub use health::{Check, Health};
pub use tallies::EventFigures;
pub(crate) use tallies::Tallies;
pub use totals::Totals;

/// What is known about all hooks together, and about each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// All hooks together, those runs included that a saved state tells of.
    pub total: Totals,
    /// Events, by their names, those included that a saved state tells of; those without hooks are not counted.
    pub events: Vec<(HookEvent, EventFigures)>,
    /// Each hook, in declared order.
    pub hooks: Vec<HookFigures>,
}

/// What is known about one hook.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookFigures {
    /// Its name.
    pub hook: Arc<str>,
    /// Its event.
    pub event: HookEvent,
    /// Whether it guards its event.
    pub guard: bool,
    /// How early it gets its place.
    pub priority: Priority,
    /// Its place in the order of its event, less being earlier: ten for its priority (10 to 40), up to 4.9 for the
    /// median of its last runs at 10 a second, and 5 if more than every tenth of them fails.
    pub score: f64,
    /// How long it will probably take: the median of its last 64 runs; before any, a guess from its name (`git` 200 ms;
    /// `fetch`, `api`, `network` 500 ms; `read`, `write`, `parse` 50 ms; others 10 ms).
    pub estimate: Duration,
    /// The share of its last runs that succeeded, 0 to 1, the last weighing a fifth.
    pub reliability: f64,
    /// Its calls, those included that a saved state tells of.
    pub total: Totals,
    /// Its calls since this manager was made, in full; `None` without monitoring.
    pub calls: Option<MonitorSnapshot>,
    /// How long its runs took, those included that a saved state tells of; `None` without monitoring.
    pub latency: Option<HistogramSnapshot>,
}

/// One hook's circuit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// The hook's name.
    pub hook: Arc<str>,
    /// Its event.
    pub event: HookEvent,
    /// The circuit.
    pub circuit: Snapshot,
}

/// What to throw away of the cached answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidate<'a> {
    /// Everything.
    All,
    /// All answers of hooks that have this in their names, and of the others those that have it in the part of the
    /// input they depend on.
    Matching(&'a str),
    /// All answers of hooks of this name.
    Hook(&'a str),
    /// All answers of hooks that bear this [tag](crate::CacheRule::tags).
    Tag(&'a str),
}

impl HookManager {
    /// How all of it is.
    pub fn health(&self) -> Health {
        health::of(self)
    }

    /// What happened so far. Allocates, and takes microseconds for each hook: not for the call path.
    pub fn metrics(&self) -> Metrics {
        let hooks: Vec<HookFigures> = self.runnable().map(|(entry, own)| figures(entry, own)).collect();
        let total = hooks.iter().map(|hook| hook.total).sum();
        Metrics {
            total,
            events: self.0.tallies.read(),
            hooks,
        }
    }

    /// What the caches of all hooks have counted, by hook.
    pub fn cache_stats(&self) -> Vec<(Arc<str>, CacheStats)> {
        self.runnable()
            .filter_map(|(entry, own)| Some((Arc::clone(entry.name()), own.cache.as_ref()?.stats())))
            .collect()
    }

    /// Throws cached answers away, and says how many there were. Loads under way of what is thrown away are not
    /// stored.
    pub fn invalidate(&self, what: Invalidate<'_>) -> usize {
        let caches = self
            .runnable()
            .filter_map(|(entry, own)| Some((entry, own.cache.as_ref()?)));
        let mut gone = 0;
        for (entry, cache) in caches {
            let tags = || {
                entry
                    .spec()
                    .and_then(|spec| spec.cache.as_ref())
                    .map(|rule| &rule.tags[..])
            };
            let all = match what {
                Invalidate::All => true,
                Invalidate::Matching(pattern) => entry.name().contains(pattern),
                Invalidate::Hook(name) => **entry.name() == *name,
                Invalidate::Tag(tag) => tags().unwrap_or_default().iter().any(|one| one == tag),
            };
            if all {
                gone += cache.invalidate_if(|_, _| true);
            } else if let Invalidate::Matching(pattern) = what {
                gone += cache.invalidate_if(|key, _| contains(key.text(), pattern.as_bytes()));
            }
        }
        gone
    }

    /// The circuits of all hooks.
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.runnable()
            .filter_map(|(entry, own)| {
                Some(BreakerStatus {
                    hook: Arc::clone(entry.name()),
                    event: entry.event().clone(),
                    circuit: own.breaker.as_ref()?.snapshot(),
                })
            })
            .collect()
    }

    /// The circuits of the hooks of this name, one for each event that has one: to
    /// [reset](CircuitBreaker::reset) them, to [open](CircuitBreaker::force_open) them or
    /// [keep them closed](CircuitBreaker::disable) by hand, or to watch them.
    pub fn breakers_of(&self, hook: &str) -> Vec<&CircuitBreaker> {
        self.runnable()
            .filter(|(entry, _)| **entry.name() == *hook)
            .filter_map(|(_, own)| own.breaker.as_ref())
            .collect()
    }

    /// Closes the circuits of the hooks of this name, and forgets their failures. How many those are; 0 if there is no
    /// such hook.
    pub fn reset_breaker(&self, hook: &str) -> usize {
        self.each_breaker(Some(hook), CircuitBreaker::reset)
    }

    /// Closes all circuits and forgets their failures.
    pub fn reset_breakers(&self) -> usize {
        self.each_breaker(None, CircuitBreaker::reset)
    }

    /// Opens the circuits of the hooks of this name until they are reset: the hooks are not asked, and their `on_open`
    /// says what that means.
    pub fn force_open(&self, hook: &str) -> usize {
        self.each_breaker(Some(hook), CircuitBreaker::force_open)
    }

    /// Keeps the circuits of the hooks of this name closed, whatever happens, until they are reset.
    pub fn force_close(&self, hook: &str) -> usize {
        self.each_breaker(Some(hook), CircuitBreaker::disable)
    }

    fn each_breaker(&self, hook: Option<&str>, change: impl Fn(&CircuitBreaker)) -> usize {
        let meant = |entry: &Entry| hook.is_none_or(|hook| **entry.name() == *hook);
        let breakers = self
            .runnable()
            .filter(|(entry, _)| meant(entry))
            .filter_map(|(_, own)| own.breaker.as_ref());
        breakers.inspect(|breaker| change(breaker)).count()
    }

    /// The connections, or worker processes, of the hooks that have any.
    pub fn pool_stats(&self) -> Vec<(Arc<str>, PoolStats)> {
        self.runnable()
            .filter_map(|(entry, own)| Some((Arc::clone(entry.name()), own.pool.as_ref()?.stats())))
            .collect()
    }

    /// What could be better: hooks that are slow, unreliable, seldom answered from the cache, or often left alone. Of one
    /// event, or of all.
    pub fn recommendations(&self, event: Option<&HookEvent>) -> Vec<Advice> {
        advice::of(self, event)
    }

    /// Gives back the memory of dead cache entries, and says how everything is and what could be better.
    pub fn optimize(&self) -> Optimization {
        advice::optimize(self)
    }

    /// The layers of every hook in a registry of their own, for whatever reads such registries: metrics, health. Each
    /// bears its event's and its hook's name, such as `PreToolUse/guard`. The watch over [anomalies](Self::anomalies) is
    /// there too, 64 hooks at a time, as `anomalies`, `anomalies#2` and so on.
    pub fn monitor(&self) -> Monitor {
        let hooks = self.0.entries.len();
        let monitor = Monitor::new().limit_per_layer(hooks.max(1));
        for (entry, own) in self.runnable() {
            let name: Arc<str> = entry.full_name().into();
            for source in own.sources() {
                let (name, source) = (Arc::clone(&name), source);
                // One that is refused, for a name that is too long say, counts as such in the registry.
                let _ = monitor.register(Named { name, source });
            }
        }
        for (number, watch) in self.0.watches().iter().enumerate() {
            let name = match number {
                0 => watch.name().into(),
                _ => format!("{}#{}", watch.name(), number + 1).into(),
            };
            let source = Arc::new(watch.clone());
            let _ = monitor.register(Named { name, source });
        }
        monitor
    }

    /// The hooks that are run here, and their stacks.
    pub(crate) fn runnable(&self) -> impl Iterator<Item = (&Entry, &Own)> {
        self.0
            .entries
            .iter()
            .filter_map(|entry| Some((entry, entry.own()?)))
    }
}

/// A layer under a name that tells it from those of other events.
struct Named {
    name: Arc<str>,
    source: Arc<dyn Source>,
}

impl Source for Named {
    fn layer(&self) -> &'static str {
        self.source.layer()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn status(&self) -> Status {
        self.source.status()
    }

    fn read(&self, into: &mut dyn Gather) {
        self.source.read(into);
    }
}

fn figures(entry: &Entry, own: &Own) -> HookFigures {
    HookFigures {
        hook: Arc::clone(entry.name()),
        event: entry.event().clone(),
        guard: entry.is_guard(),
        priority: entry.priority(),
        score: own.estimate.score(entry.priority()),
        estimate: own.estimate.typical(),
        reliability: own.estimate.reliability(),
        total: own.totals(),
        calls: own.monitor.as_ref().map(hook_monitor::MonitorHandle::snapshot),
        latency: own.watched.as_ref().map(|runs| runs.all()),
    }
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    pattern.is_empty() || text.windows(pattern.len()).any(|window| window == pattern)
}

/// The word for a status in reports.
pub(crate) fn word(status: Status) -> &'static str {
    match status {
        Status::Healthy => "healthy",
        Status::Degraded => "degraded",
        _ => "unhealthy",
    }
}

impl fmt::Display for BreakerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}): {}",
            self.hook,
            self.event,
            self.circuit.state.as_str()
        )
    }
}
