use std::{fmt, sync::Arc, time::Duration};

use hook_monitor::{Advisor, Gather, HistogramSnapshot, Monitor, Rule, Source, Status};

use super::{Health, Totals};
use crate::{event::HookEvent, manager::HookManager, plan::Entry, stack::own::Own};

/// Time given to sweeping each cache.
const SWEEP: Duration = Duration::from_millis(5);

/// Something that could be better. Its `Display` says what, and what to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Advice {
    /// A hook's last runs took more than 200 ms on average.
    Slow {
        /// The hook.
        hook: Arc<str>,
        /// Its event.
        event: HookEvent,
        /// Their mean.
        average: Duration,
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
    /// The mean over the last runs of all hooks is above 500 ms.
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

/// Of the hooks of one event, or of all.
pub(super) fn of(manager: &HookManager, event: Option<&HookEvent>) -> Vec<Advice> {
    let is_meant = |entry: &Entry| event.is_none_or(|event| entry.event() == event);
    let of_hooks = manager.runnable().filter(|(entry, _)| is_meant(entry));
    of_hooks
        .flat_map(|(entry, own)| {
            let told = Monitor::new();
            // The only one: it cannot be refused.
            let _ = told.register(Told::of(own));
            let advice = Advisor::default().advise(&told.snapshot());
            advice.into_iter().filter_map(|one| in_our_words(&one, entry))
        })
        .collect()
}

/// What is known about one hook over processes, as an [`Advisor`] reads it: its last runs, rather than all of them,
/// because a hook that was mended is well; its lookups and its trips.
struct Told {
    lately: HistogramSnapshot,
    failed: u64,
    total: Totals,
}

impl Told {
    fn of(own: &Own) -> Self {
        let (lately, failed) = own.estimate.lately();
        Self {
            lately,
            failed,
            total: own.totals(),
        }
    }
}

impl Source for Told {
    fn layer(&self) -> &'static str {
        "hook"
    }

    fn name(&self) -> &str {
        "hook"
    }

    fn read(&self, into: &mut dyn Gather) {
        let calls = |outcome, value, into: &mut dyn Gather| {
            into.counter("hook_calls_total", &[("outcome", outcome)], value);
        };
        calls("ok", self.lately.count().saturating_sub(self.failed), into);
        calls("error", self.failed, into);
        into.histogram("hook_call_duration_seconds", &[], &self.lately);
        let gets = |result, value, into: &mut dyn Gather| {
            into.counter("hook_cache_gets_total", &[("result", result)], value);
        };
        gets("hit", self.total.cache_hits, into);
        gets("miss", self.total.cache_misses, into);
        let to_open = [("from", "closed"), ("to", "open")];
        into.counter("hook_breaker_transitions_total", &to_open, self.total.trips);
    }
}

/// The advisor's advice about one hook; `None` for what it says about all that there is, which is this hook alone.
fn in_our_words(advice: &hook_monitor::Advice, entry: &Entry) -> Option<Advice> {
    advice.layer?;
    let (hook, event) = (Arc::clone(entry.name()), entry.event().clone());
    let cached = entry.spec().is_some_and(|spec| spec.cache.is_some());
    let figure = advice.figure;
    Some(match advice.rule {
        Rule::SlowCalls => Advice::Slow {
            hook,
            event,
            average: Duration::try_from_secs_f64(figure).unwrap_or_default(),
            cached,
        },
        Rule::LowSuccess => Advice::Unreliable {
            hook,
            event,
            reliability: figure,
        },
        Rule::LowHitRate => Advice::LowHitRate {
            hook,
            event,
            hit_rate: figure,
        },
        Rule::ManyTrips => Advice::ManyTrips {
            hook,
            event,
            trips: figure as u64,
        },
        _ => return None,
    })
}

/// What is to be said about all hooks together and about the process: the mean of their last runs, and its memory.
fn of_all(manager: &HookManager, memory: Option<u64>) -> impl Iterator<Item = Advice> {
    let runs = manager.runnable().map(|(_, own)| own.estimate.lately().0);
    let all = Told {
        lately: runs.fold(HistogramSnapshot::empty(), |all, one| all.merged(&one)),
        failed: 0,
        total: Totals::default(),
    };
    let told = Monitor::new();
    for source in [Arc::new(all) as Arc<dyn Source>, Arc::new(Process(memory))] {
        // There are two, of two kinds: neither can be refused.
        let _ = told.register_shared(source);
    }
    let advice = Advisor::default().advise(&told.snapshot());
    advice.into_iter().filter_map(|one| match one.rule {
        Rule::SlowAverage => Some(Advice::SlowOverall {
            average: Duration::try_from_secs_f64(one.figure).unwrap_or_default(),
        }),
        Rule::MuchMemory => Some(Advice::MuchMemory {
            bytes: one.figure as u64,
        }),
        _ => None,
    })
}

/// The process's resident memory in bytes, where it is known.
struct Process(Option<u64>);

impl Source for Process {
    fn layer(&self) -> &'static str {
        "process"
    }

    fn name(&self) -> &str {
        "process"
    }

    fn read(&self, into: &mut dyn Gather) {
        if let Some(bytes) = self.0 {
            into.gauge("process_resident_memory_bytes", &[], bytes as f64);
        }
    }
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
    let memory = memory();
    recommendations.extend(of_all(manager, memory));
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
                average,
                cached,
            } => {
                write!(
                    f,
                    "{hook} ({event}) takes {} ms on average: ",
                    average.as_millis()
                )?;
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
