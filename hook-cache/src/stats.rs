use std::time::Duration;

use hook_monitor::{Counters, Gather, Histogram};

/// What a cache counts. Striped, so that counting costs about two nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    counters: Counters<9>,
    loaded: Histogram,
    failed: Histogram,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Hit,
    Miss,
    Coalesced,
    Bypassed,
    Inserted,
    Replaced,
    Evicted,
    Expired,
    Invalidated,
}

impl Stats {
    #[inline]
    pub(crate) fn one(&self, what: Count) {
        self.counters.add(what as usize, 1);
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

    pub(crate) fn snapshot(&self, entries: usize, capacity: usize) -> CacheStats {
        let [
            hits,
            misses,
            coalesced,
            bypassed,
            inserted,
            replaced,
            evicted,
            expired,
            invalidated,
        ] = self.counters.read();
        let loaded = self.loaded.snapshot();
        let failed = self.failed.snapshot();
        CacheStats {
            hits,
            misses,
            coalesced,
            bypassed,
            loads: loaded.count(),
            load_errors: failed.count(),
            load_time: loaded.mean(),
            inserted,
            replaced,
            evicted,
            expired,
            invalidated,
            entries,
            capacity,
        }
    }

    pub(crate) fn read(&self, entries: usize, into: &mut dyn Gather) {
        let [
            hits,
            misses,
            coalesced,
            bypassed,
            inserted,
            replaced,
            evicted,
            expired,
            invalidated,
        ] = self.counters.read();
        for (result, n) in [
            ("hit", hits),
            ("miss", misses),
            ("coalesced", coalesced),
            ("bypass", bypassed),
        ] {
            into.counter("hook_cache_gets_total", &[("result", result)], n);
        }
        into.counter("hook_cache_puts_total", &[], inserted);
        for (cause, n) in [
            ("capacity", evicted),
            ("expired", expired),
            ("replaced", replaced),
            ("invalidated", invalidated),
        ] {
            into.counter("hook_cache_evictions_total", &[("cause", cause)], n);
        }
        into.gauge("hook_cache_entries", &[], entries as f64);
        for (result, times) in [("success", &self.loaded), ("failure", &self.failed)] {
            let times = times.snapshot();
            into.histogram("hook_cache_load_duration_seconds", &[("result", result)], &times);
        }
    }
}

/// The figures of a cache since it was made.
///
/// Each call counts in exactly one of `hits`, `misses`, `coalesced` and `bypassed`, when it is answered
/// from memory or its future is polled first; a caller that gives up while it waits for another's load
/// counts as coalesced. A future that is dropped before it was ever polled counts nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Calls answered from memory.
    pub hits: u64,
    /// Calls that began a load, and look-ups with [`get`](crate::ResultCache::get) that found nothing.
    pub misses: u64,
    /// Calls that waited for a load another call had begun.
    pub coalesced: u64,
    /// Calls without a key.
    pub bypassed: u64,
    /// Loads that ended with a value.
    pub loads: u64,
    /// Loads that ended with an error. A load that is dropped is in neither figure.
    pub load_errors: u64,
    /// The mean time of a load that ended with a value.
    pub load_time: Duration,
    /// Values that were stored, one in the place of another included.
    pub inserted: u64,
    /// Values that went because another was stored under the same key.
    pub replaced: u64,
    /// Values that went to make room for others.
    pub evicted: u64,
    /// Values that went because they were found past their deadline.
    pub expired: u64,
    /// Values that went because they were invalidated while they could still have been served.
    pub invalidated: u64,
    /// Entries there are, those included that are past their deadline and were not found yet.
    pub entries: usize,
    /// Entries there may be.
    pub capacity: usize,
}

impl CacheStats {
    /// The share of calls with a key that made no load of their own, 0 to 1; zero when there were none.
    ///
    /// Coalesced calls are in it, as they cost the inner service nothing either.
    pub fn hit_ratio(&self) -> f64 {
        let spared = self.hits + self.coalesced;
        match spared + self.misses {
            0 => 0.0,
            all => spared as f64 / all as f64,
        }
    }
}
