use std::time::Duration;

use hook_monitor::{Counters, Gather, Histogram};

use crate::store::{Death, Refusal};

/// What a cache counts. Striped, so that counting costs about two nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    counters: Counters<{ Count::ALL }>,
    loaded: Histogram,
    failed: Histogram,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Hit,
    StaleHit,
    NegativeHit,
    Miss,
    Coalesced,
    Bypassed,
    Refreshed,
    Rescued,
    Inserted,
    Replaced,
    Evicted,
    Expired,
    Invalidated,
    NoCapacity,
    TooHeavy,
    Outdated,
    Declined,
}

impl Count {
    const ALL: usize = Self::Declined as usize + 1;
}

impl From<Death> for Count {
    fn from(death: Death) -> Self {
        match death {
            Death::Expired => Self::Expired,
            Death::Invalidated => Self::Invalidated,
        }
    }
}

impl From<Refusal> for Count {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoCapacity => Self::NoCapacity,
            Refusal::TooHeavy => Self::TooHeavy,
            Refusal::Outdated => Self::Outdated,
        }
    }
}

/// How full a cache is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) entries: usize,
    pub(crate) weight: u64,
    pub(crate) capacity: u64,
}

impl Stats {
    #[inline]
    pub(crate) fn one(&self, what: Count) {
        self.counters.add(what as usize, 1);
    }

    /// Counts what a call came to. A refresh is nobody's call: its reader was counted.
    pub(crate) fn call(&self, refresh: bool, what: Count) {
        if !refresh {
            self.one(what);
        }
    }

    /// Counts a load that begins.
    pub(crate) fn begun(&self, refresh: bool) {
        self.one(if refresh { Count::Refreshed } else { Count::Miss });
    }

    pub(crate) fn add(&self, what: Count, n: u64) {
        if n > 0 {
            self.counters.add(what as usize, n);
        }
    }

    pub(crate) fn loaded(&self, took: Duration) {
        self.loaded.record(took);
    }

    pub(crate) fn failed(&self, took: Duration) {
        self.failed.record(took);
    }

    pub(crate) fn snapshot(&self, fill: Fill) -> CacheStats {
        let counts = self.counters.read();
        let count = |what: Count| counts[what as usize];
        let loaded = self.loaded.snapshot();
        CacheStats {
            hits: count(Count::Hit),
            stale_hits: count(Count::StaleHit),
            negative_hits: count(Count::NegativeHit),
            misses: count(Count::Miss),
            coalesced: count(Count::Coalesced),
            bypassed: count(Count::Bypassed),
            refreshes: count(Count::Refreshed),
            rescued: count(Count::Rescued),
            loads: loaded.count(),
            load_errors: self.failed.snapshot().count(),
            load_time: loaded.mean(),
            inserted: count(Count::Inserted),
            replaced: count(Count::Replaced),
            evicted: count(Count::Evicted),
            expired: count(Count::Expired),
            invalidated: count(Count::Invalidated),
            refused: Refused {
                no_capacity: count(Count::NoCapacity),
                too_heavy: count(Count::TooHeavy),
                outdated: count(Count::Outdated),
                declined: count(Count::Declined),
            },
            entries: fill.entries,
            weight: fill.weight,
            capacity: fill.capacity,
        }
    }

    pub(crate) fn read(&self, fill: Fill, into: &mut dyn Gather) {
        self.snapshot(fill).tell(into);
        for (result, times) in [("success", &self.loaded), ("failure", &self.failed)] {
            let times = times.snapshot();
            into.histogram("hook_cache_load_duration_seconds", &[("result", result)], &times);
        }
    }
}

/// The figures of a cache since it was made.
///
/// Each call counts in exactly one of `hits`, `stale_hits`, `negative_hits`, `misses`, `coalesced` and `bypassed`,
/// when it is answered from memory or its future is polled first; a caller that gives up while it waits for another's
/// load counts as coalesced. A future that is dropped before it was ever polled counts nowhere.
///
/// Each value that was stored (`inserted`) is either there still (`entries`) or in exactly one of `replaced`,
/// `evicted`, `expired` and `invalidated`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Calls answered from memory.
    pub hits: u64,
    /// Calls answered from memory with what was past its time: while it was loaded anew, or as that had just failed.
    pub stale_hits: u64,
    /// Calls answered from memory with an error.
    pub negative_hits: u64,
    /// Calls that began a load, and look-ups with [`get`](crate::ResultCache::get) that found nothing.
    pub misses: u64,
    /// Calls that waited for a load another call had begun.
    pub coalesced: u64,
    /// Calls without a key.
    pub bypassed: u64,
    /// Loads of stale entries behind their readers' backs.
    pub refreshes: u64,
    /// Failed loads whose callers were given what was there before. The callers are among the misses and the
    /// coalesced, the loads among the errors.
    pub rescued: u64,
    /// Loads that ended with a value.
    pub loads: u64,
    /// Loads that ended with an error. A load that is dropped is in neither figure.
    pub load_errors: u64,
    /// The mean time of a load that ended with a value.
    pub load_time: Duration,
    /// Values that were stored, one in the place of another included.
    pub inserted: u64,
    /// Values that went because another was put under the same key.
    pub replaced: u64,
    /// Values that went to make room for others.
    pub evicted: u64,
    /// Values that went because they were found past their deadline.
    pub expired: u64,
    /// Values that went because they were invalidated while they could still have been served. Those that a tag
    /// condemned are counted when they are found or swept.
    pub invalidated: u64,
    /// Values that were not stored.
    pub refused: Refused,
    /// Entries there are, those included that are past their deadline and were not found yet.
    pub entries: usize,
    /// What the entries weigh: their number, or their bytes where the capacity is in bytes.
    pub weight: u64,
    /// What the entries may weigh.
    pub capacity: u64,
}

/// Why values were not stored, and how many each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The cache has no capacity at all.
    pub no_capacity: u64,
    /// It weighs more than the heaviest entry there may be.
    pub too_heavy: u64,
    /// It was invalidated, or another value was put in its place, while it was loaded.
    pub outdated: u64,
    /// `store_if` said no.
    pub declined: u64,
}

impl CacheStats {
    /// The share of calls with a key that made no load of their own, 0 to 1; zero when there were none.
    ///
    /// Coalesced calls are in it, as they cost the inner service nothing either.
    pub fn hit_ratio(&self) -> f64 {
        let spared = self.hits + self.stale_hits + self.negative_hits + self.coalesced;
        match spared + self.misses {
            0 => 0.0,
            all => spared as f64 / all as f64,
        }
    }

    /// How full the cache is, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        match self.capacity {
            0 => 0.0,
            capacity => self.weight as f64 / capacity as f64,
        }
    }

    fn tell(&self, into: &mut dyn Gather) {
        let refused = self.refused;
        for (result, n) in [
            ("hit", self.hits),
            ("stale", self.stale_hits),
            ("negative", self.negative_hits),
            ("miss", self.misses),
            ("coalesced", self.coalesced),
            ("bypass", self.bypassed),
        ] {
            into.counter("hook_cache_gets_total", &[("result", result)], n);
        }
        into.counter("hook_cache_refreshes_total", &[], self.refreshes);
        into.counter("hook_cache_rescued_total", &[], self.rescued);
        into.counter("hook_cache_puts_total", &[], self.inserted);
        for (cause, n) in [
            ("capacity", self.evicted),
            ("expired", self.expired),
            ("replaced", self.replaced),
            ("invalidated", self.invalidated),
        ] {
            into.counter("hook_cache_evictions_total", &[("cause", cause)], n);
        }
        for (reason, n) in [
            ("no_capacity", refused.no_capacity),
            ("too_heavy", refused.too_heavy),
            ("outdated", refused.outdated),
            ("declined", refused.declined),
        ] {
            into.counter("hook_cache_refused_total", &[("reason", reason)], n);
        }
        into.gauge("hook_cache_entries", &[], self.entries as f64);
        into.gauge("hook_cache_weight", &[], self.weight as f64);
        into.gauge("hook_cache_utilisation", &[], self.utilisation());
    }
}
