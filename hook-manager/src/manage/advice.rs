use std::{fmt, sync::Arc, time::Duration};

use hook_monitor::Status;

use super::{Health, HookFigures, Totals};
use crate::{event::HookEvent, manager::HookManager};

/// A hook that takes longer is slow.
const SLOW: Duration = Duration::from_millis(200);
/// The mean over all hooks above which they are.
const SLOW_MEAN: Duration = Duration::from_millis(500);
/// Fewer successes than that make a hook unreliable.
const RELIABLE: f64 = 0.8;
/// Fewer hits than that say that a cache is of little use.
const HIT_RATE: f64 = 0.3;
/// More trips than that are many.
const TRIPS: u64 = 5;
/// Fewer runs say nothing.
const ENOUGH: u64 = 5;
/// More memory than that is much.
const MEMORY: u64 = 500_000_000;
/// Time given to sweeping each cache.
const SWEEP: Duration = Duration::from_millis(5);

/// Something that could be better. Its `Display` says what, and what to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Advice {
    /// A hook usually takes more than 200 ms.
    Slow {
        /// The hook.
        hook: Arc<str>,
        /// Its event.
        event: HookEvent,
        /// The median of its last runs.
        typical: Duration,
        /// Whether its answers are kept.
        cached: bool,
    },
    /// Fewer than 80 % of a hook's last runs succeeded.
    Unreliable {
        /// The hook.
        hook: Arc<str>,
        /// Its event.
        event: HookEvent,
        /// The share of successes.
        reliability: f64,
    },
    /// A hook's answers are kept, and fewer than 30 % of its calls are answered by them.
    LowHitRate {
        /// The hook.
        hook: Arc<str>,
        /// Its event.
        event: HookEvent,
        /// The share of hits.
        hit_rate: f64,
    },
    /// A hook's circuit opened more than five times.
    ManyTrips {
        /// The hook.
        hook: Arc<str>,
        /// Its event.
        event: HookEvent,
        /// How often.
        trips: u64,
    },
    /// The mean over all hooks is above 500 ms.
    SlowOverall {
        /// The mean.
        average: Duration,
    },
    /// The process takes more than 500 MB.
    MuchMemory {
        /// What is resident, in bytes.
        bytes: u64,
    },
    /// Something is not healthy.
    Unwell {
        /// Which check says so, and what it says.
        what: String,
    },
}

/// What [`HookManager::optimize`] did and found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Optimization {
    /// How everything is.
    pub health: Health,
    /// All hooks together.
    pub total: Totals,
    /// Dead cache entries whose memory was given back.
    pub swept: usize,
    /// The process's resident memory in bytes, afterwards; `None` where the system does not tell.
    pub memory: Option<u64>,
    /// What could be better.
    pub recommendations: Vec<Advice>,
}

pub(super) fn of(manager: &HookManager, event: Option<&HookEvent>) -> Vec<Advice> {
    let metrics = manager.metrics();
    let hooks = metrics
        .hooks
        .iter()
        .filter(|hook| event.is_none_or(|event| hook.event == *event));
    hooks.flat_map(|hook| about(manager, hook)).collect()
}

fn about(manager: &HookManager, figures: &HookFigures) -> Vec<Advice> {
    let (hook, event) = (&figures.hook, &figures.event);
    let named = || (Arc::clone(hook), event.clone());
    let cached = manager
        .hooks()
        .any(|spec| spec.name == *hook && spec.event == *event && spec.cache.is_some());
    let mut advice = Vec::new();
    let total = figures.total;
    if figures.estimate > SLOW && total.runs > 0 {
        let (hook, event) = named();
        advice.push(Advice::Slow {
            hook,
            event,
            typical: figures.estimate,
            cached,
        });
    }
    if figures.reliability < RELIABLE && total.runs >= ENOUGH {
        let (hook, event) = named();
        advice.push(Advice::Unreliable {
            hook,
            event,
            reliability: figures.reliability,
        });
    }
    let asked = total.cache_hits + total.cache_misses;
    if let Some(hit_rate) = total
        .hit_rate()
        .filter(|rate| *rate < HIT_RATE && asked >= 4 * ENOUGH)
    {
        let (hook, event) = named();
        advice.push(Advice::LowHitRate {
            hook,
            event,
            hit_rate,
        });
    }
    if total.trips > TRIPS {
        let (hook, event) = named();
        advice.push(Advice::ManyTrips {
            hook,
            event,
            trips: total.trips,
        });
    }
    advice
}

pub(super) fn optimize(manager: &HookManager) -> Optimization {
    let mut swept = 0;
    for (_, own) in manager.runnable() {
        if let Some(cache) = &own.cache {
            let before = cache.cache().len();
            cache.cache().sweep(SWEEP);
            swept += before.saturating_sub(cache.cache().len());
        }
    }
    let health = manager.health();
    let total = manager.metrics().total;
    let mut recommendations = of(manager, None);
    if total.average() > SLOW_MEAN {
        recommendations.push(Advice::SlowOverall {
            average: total.average(),
        });
    }
    let memory = memory();
    recommendations.extend(
        memory
            .filter(|bytes| *bytes > MEMORY)
            .map(|bytes| Advice::MuchMemory { bytes }),
    );
    let unwell = health
        .checks
        .iter()
        .filter(|check| check.status != Status::Healthy);
    recommendations.extend(unwell.map(|check| Advice::Unwell {
        what: format!("{}: {}", check.name, check.output),
    }));
    Optimization {
        health,
        total,
        swept,
        memory,
        recommendations,
    }
}

/// What of this process is resident, on Linux.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow {
                hook,
                event,
                typical,
                cached,
            } => {
                write!(f, "{hook} ({event}) usually takes {} ms: ", typical.as_millis())?;
                f.write_str(match cached {
                    true => "make it faster, or keep its answers for longer",
                    false => "make it faster, or declare it cacheable if it only reads",
                })
            }
            Self::Unreliable {
                hook,
                event,
                reliability,
            } => write!(
                f,
                "{hook} ({event}) succeeds {:.0} % of the time: mend it, or declare it idempotent so that it is tried again",
                reliability * 100.0
            ),
            Self::LowHitRate {
                hook,
                event,
                hit_rate,
            } => write!(
                f,
                "{hook} ({event}) is answered from the cache {:.0} % of the time: name the fields it depends on, or raise its TTL",
                hit_rate * 100.0
            ),
            Self::ManyTrips { hook, event, trips } => {
                write!(
                    f,
                    "{hook} ({event}) was left alone {trips} times: it fails too often, look at why"
                )
            }
            Self::SlowOverall { average } => write!(
                f,
                "hooks take {} ms on average: make the slow ones faster, or let more of them run at once",
                average.as_millis()
            ),
            Self::MuchMemory { bytes } => write!(
                f,
                "the process takes {} MB: lower cache_capacity, output_limit, or the times answers are kept",
                bytes / 1_000_000
            ),
            Self::Unwell { what } => f.write_str(what),
        }
    }
}
