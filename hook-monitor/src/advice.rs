use std::{fmt, time::Duration};

use crate::{HistogramSnapshot, SourceSnapshot, StackSnapshot};

/// Looks through a [`StackSnapshot`] for what one would change, and says why.
///
/// The thresholds are fields, to be changed one by one:
///
/// ```
/// use hook_monitor::{Advisor, Monitor};
///
/// let mut advisor = Advisor::default();
/// advisor.success_rate = 0.99;
/// for advice in advisor.advise(&Monitor::new().snapshot()) {
///     println!("{advice}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Advisor {
    /// The mean over all monitors that is slow (default: above 500 ms).
    pub average: Duration,
    /// The mean of one monitor, a hook's say, that is slow (default: above 200 ms).
    pub slow: Duration,
    /// The share of lookups that a cache should answer (default: 0.3).
    pub hit_rate: f64,
    /// How often a circuit may open (default: 5 times).
    pub trips: u64,
    /// The memory the process may take, in bytes (default: 500 MB).
    pub memory: f64,
    /// The share of calls that should succeed (default: 0.8).
    pub success_rate: f64,
    /// How many calls or lookups it takes for a rate or a mean (default: 10).
    pub enough: u64,
}

/// One thing to change, from [`Advisor::advise`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Advice {
    /// Which rule said so.
    pub rule: Rule,
    /// The kind of layer; `None` if it is about the whole stack.
    pub layer: Option<&'static str>,
    /// Its name.
    pub name: Option<String>,
    /// The figure that caused it, in the unit of [`limit`](Self::limit).
    pub figure: f64,
    /// What the figure should not pass. Times are in seconds, rates from 0 to 1, memory in bytes.
    pub limit: f64,
}

/// What an [`Advisor`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Calls are slow on average, over all monitors.
    SlowAverage,
    /// The calls of one monitor are slow on average.
    SlowCalls,
    /// A cache answers too little.
    LowHitRate,
    /// A circuit opens too often.
    ManyTrips,
    /// The process takes a lot of memory.
    MuchMemory,
    /// Too many calls do not succeed.
    LowSuccess,
}

impl Default for Advisor {
    fn default() -> Self {
        Self {
            average: Duration::from_millis(500),
            slow: Duration::from_millis(200),
            hit_rate: 0.3,
            trips: 5,
            memory: 500e6,
            success_rate: 0.8,
            enough: 10,
        }
    }
}

impl Advisor {
    /// What the figures suggest: of the whole stack first, then of each source in its order.
    pub fn advise(&self, seen: &StackSnapshot) -> Vec<Advice> {
        let all = seen
            .sources
            .iter()
            .filter_map(latency)
            .fold(HistogramSnapshot::empty(), HistogramSnapshot::merged);
        let stack = self
            .mean(&all, self.average)
            .map(|(figure, limit)| Advice::of_stack(Rule::SlowAverage, figure, limit));
        let sources = seen.sources.iter().flat_map(|source| self.of_source(source));
        stack.into_iter().chain(sources).collect()
    }

    fn of_source(&self, source: &SourceSnapshot) -> Vec<Advice> {
        let below = |rate: Option<f64>, limit| rate.filter(|rate| *rate < limit).map(|rate| (rate, limit));
        let trips = source.counters("hook_breaker_transitions_total", "to", &["open"]) as f64;
        let memory = source.gauge("process_resident_memory_bytes", &[]).unwrap_or(0.0);
        let slow = latency(source).and_then(|latency| self.mean(latency, self.slow));
        [
            (Rule::SlowCalls, slow),
            (Rule::LowSuccess, below(self.success(source), self.success_rate)),
            (Rule::LowHitRate, below(self.hits(source), self.hit_rate)),
            (Rule::ManyTrips, above(trips, self.trips as f64)),
            (Rule::MuchMemory, above(memory, self.memory)),
        ]
        .into_iter()
        .filter_map(|(rule, found)| {
            let (figure, limit) = found?;
            Some(Advice {
                layer: Some(source.layer),
                name: Some(source.name.clone()),
                ..Advice::of_stack(rule, figure, limit)
            })
        })
        .collect()
    }

    fn mean(&self, latency: &HistogramSnapshot, limit: Duration) -> Option<(f64, f64)> {
        let is_enough = latency.count() >= self.enough.max(1);
        above(latency.mean().as_secs_f64(), limit.as_secs_f64()).filter(|_| is_enough)
    }

    /// Calls that were ignored or given up say nothing, as in `MonitorSnapshot::success_rate`.
    fn success(&self, source: &SourceSnapshot) -> Option<f64> {
        let calls = |outcomes| source.counters("hook_calls_total", "outcome", outcomes);
        self.rate(
            calls(&["ok"]),
            calls(&["error", "rejected", "timeout", "panicked"]),
        )
    }

    fn hits(&self, source: &SourceSnapshot) -> Option<f64> {
        let gets = |results| source.counters("hook_cache_gets_total", "result", results);
        self.rate(gets(&["hit", "stale", "negative", "coalesced"]), gets(&["miss"]))
    }

    fn rate(&self, of: u64, rest: u64) -> Option<f64> {
        let all = of + rest;
        (all >= self.enough.max(1)).then(|| of as f64 / all as f64)
    }
}

fn latency(source: &SourceSnapshot) -> Option<&HistogramSnapshot> {
    source.histogram("hook_call_duration_seconds", &[])
}

fn above(figure: f64, limit: f64) -> Option<(f64, f64)> {
    (figure > limit).then_some((figure, limit))
}

impl Advice {
    fn of_stack(rule: Rule, figure: f64, limit: f64) -> Self {
        Self {
            rule,
            layer: None,
            name: None,
            figure,
            limit,
        }
    }

    /// What to change.
    pub const fn change(&self) -> &'static str {
        match self.rule {
            Rule::SlowAverage => {
                "cache what repeats, and give each attempt a timeout; the slowest monitor says where"
            }
            Rule::SlowCalls => {
                "look at what it calls; give it a timeout, or cache it if it gives the same answer again"
            }
            Rule::LowHitRate => {
                "keep values for longer, make room for more of them, or leave out of the key what does \
                                 not matter; if calls do not repeat, take the cache off"
            }
            Rule::ManyTrips => {
                "what is behind it keeps failing: mend that first, then let it rest for longer, or let the \
                                circuit tolerate more"
            }
            Rule::MuchMemory => "lower the capacity of caches and the limits of pools and queues",
            Rule::LowSuccess => {
                "look at how the calls end, by outcome; retry what fails for a moment, and refuse early \
                                 what fails for long"
            }
        }
    }
}

/// The figure, what it should be, and what to change.
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(layer), Some(name)) = (self.layer, &self.name) {
            write!(f, "{layer} {name:?}: ")?;
        }
        let (figure, limit) = (self.figure, self.limit);
        match self.rule {
            Rule::SlowAverage | Rule::SlowCalls => {
                let (figure, limit) = (figure * 1e3, limit * 1e3);
                write!(f, "calls take {figure:.0} ms on average, more than {limit:.0} ms")?;
            }
            Rule::LowHitRate => {
                let (figure, limit) = (figure * 100.0, limit * 100.0);
                write!(f, "{figure:.1} % of lookups are hits, less than {limit:.0} %")?;
            }
            Rule::ManyTrips => write!(f, "the circuit opened {figure} times, more than {limit}")?,
            Rule::MuchMemory => {
                let (figure, limit) = (figure / 1e6, limit / 1e6);
                write!(f, "the process takes {figure:.0} MB, more than {limit:.0} MB")?;
            }
            Rule::LowSuccess => {
                let (figure, limit) = (figure * 100.0, limit * 100.0);
                write!(f, "{figure:.1} % of calls succeed, less than {limit:.0} %")?;
            }
        }
        write!(f, "; {}", self.change())
    }
}
