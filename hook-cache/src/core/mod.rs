#[cfg(feature = "http")]
mod http;
mod invalidation;
mod loads;

#[cfg(feature = "http")]
pub(crate) use http::Kept;

use std::{
    hash::Hash,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Release},
    },
    time::Duration,
};

use hook_monitor::Epoch;
use quick_cache::Equivalent;

use crate::{
    ResultCache,
    config::Config,
    errand::Claim,
    flight::{Flights, SharedError},
    hashed::Hashed,
    stats::{Count, Fill, Stats},
    store::{Death, Found, Limits, Moment, NEVER, New, Put, Removed, Serial, Store, TagCell, Windows},
    sync,
    tags::Tags,
};

/// How many errors are remembered at most.
const ERRORS: usize = 1_000;

/// What the handles of one cache share.
pub(crate) struct Core<K, V> {
    store: Store<K, V>,
    errors: Option<Errors<K>>,
    flights: sync::Arc<Flights<K, V>>,
    tags: Tags,
    stats: Stats,
    config: Config<K, V>,
    /// When the cache was made: moments are counted from here.
    epoch: Epoch,
}

/// Errors that are remembered. All bear one tag, as nobody can say what an error depends on.
struct Errors<K> {
    store: Store<K, SharedError>,
    all: TagCell,
}

/// What asking for a key comes to.
pub(crate) enum Asked<V> {
    Hit(V),
    /// A stale value, and whether the caller is the one to load it anew. Not counted yet.
    Stale(V, Option<Serial>),
    Absent,
}

impl<K: Hash + Eq, V: Clone> Core<K, V> {
    pub(crate) fn new(config: Config<K, V>) -> Self {
        let expiry = config.expiry;
        let windows = Windows {
            idle: expiry.idle.map_or(NEVER, nanos),
            revalidate: nanos(expiry.revalidate),
            if_error: nanos(expiry.if_error),
            spare: nanos(expiry.if_error.max(expiry.keep)),
        };
        let negative = !expiry.negative.is_zero();
        Self {
            store: Store::new(config.limits, windows),
            errors: negative.then(Errors::new),
            flights: sync::Arc::new(Flights::new()),
            tags: Tags::new(),
            stats: Stats::default(),
            epoch: config.clock.epoch(),
            config,
        }
    }

    #[inline]
    fn count_dead(&self, death: Death) {
        self.stats.one(death.into());
    }

    fn count_put(&self, put: Put<K, V>, now: Moment) {
        match put {
            Put::Stored { departed, sweep } => {
                self.stats.one(Count::Inserted);
                self.stats.add(Count::Evicted, departed.evicted());
                self.stats.add(Count::Replaced, departed.replaced());
                drop(departed);
                if let Some(place) = sweep {
                    self.store.sweep_some(place, now, |death| self.count_dead(death));
                }
            }
            Put::Refused { why, replaced, .. } => {
                self.stats.one(why.into());
                self.stats.add(Count::Replaced, replaced.is_some().into());
            }
        }
    }

    fn count_removed(&self, removed: Removed) -> bool {
        match removed {
            Removed::Live => self.stats.one(Count::Invalidated),
            Removed::Dead(death) => self.count_dead(death),
            Removed::Nothing => {}
        }
        removed == Removed::Live
    }

    /// What is stored of a value, but for its number.
    fn entry(
        &self,
        key: &Hashed<K>,
        value: V,
        ttl: Option<Duration>,
        tags: Vec<Box<str>>,
        now: Moment,
    ) -> New<V> {
        let config = &self.config;
        let ttl = ttl
            .or_else(|| config.ttl_by.as_ref().map(|ttl_by| ttl_by(&key.key, &value)))
            .unwrap_or(config.expiry.ttl);
        let mut tags = tags;
        if let Some(tags_by) = &config.tags_by {
            tags.extend(tags_by(&key.key, &value));
        }
        let weight = match &config.weigh {
            Some(weigh) => weigh(&key.key, &value).saturating_add(Store::<K, V>::OVERHEAD),
            None => 1,
        };
        New {
            fresh_until: now.saturating_add(shortened(nanos(ttl), config.expiry.jitter, key.hash ^ now)),
            weight,
            tags: self.tags.cells(&tags),
            serial: 0,
            value,
        }
    }

    fn forget_error(&self, key: &Hashed<K>, now: Moment) {
        if let Some(errors) = &self.errors {
            errors.store.remove(key.hash, &key.key, now);
        }
    }

    /// Nobody can be asked what errors depend on, so all go.
    fn forget_errors(&self) {
        if let Some(errors) = &self.errors {
            errors.all.fetch_max(self.flights.tick(), Release);
            errors.store.suspect();
        }
    }
}

impl<K: Hash + Eq> Errors<K> {
    fn new() -> Self {
        let windows = Windows {
            idle: NEVER,
            revalidate: 0,
            if_error: 0,
            spare: 0,
        };
        Self {
            store: Store::new(Limits::entries(ERRORS), windows),
            all: Arc::new(AtomicU64::new(0)),
        }
    }
}

/// What the rest of the crate asks of a cache, and its users do not.
impl<K: Hash + Eq, V: Clone> ResultCache<K, V> {
    #[inline]
    pub(crate) fn hashed(&self, key: K) -> Hashed<K> {
        Hashed {
            hash: self.core.store.hash(&key),
            key,
        }
    }

    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.core.store.hash(key)
    }

    /// Looks for what can be served right now. Counts a hit, but no miss: that may yet become something else.
    #[inline]
    pub(crate) fn ask<Q>(&self, hash: u64, key: &Q) -> Asked<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        match self.core.store.get(hash, key, self.now(), true) {
            Found::Fresh(value) => {
                self.core.stats.one(Count::Hit);
                Asked::Hit(value)
            }
            Found::Stale { value, claimed } => Asked::Stale(value, claimed),
            Found::Absent => Asked::Absent,
            Found::Dead(death) => {
                self.core.count_dead(death);
                Asked::Absent
            }
        }
    }

    /// Looks for what is fresh. Counts nothing but what it finds dead.
    #[inline]
    pub(crate) fn look_up(&self, key: &Hashed<K>) -> Option<V> {
        self.peek(key.hash, &key.key)
    }

    #[inline]
    pub(crate) fn fresh<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let value = self.peek(hash, key)?;
        self.core.stats.one(Count::Hit);
        Some(value)
    }

    #[inline]
    pub(crate) fn peek<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        match self.core.store.get(hash, key, self.now(), false) {
            Found::Fresh(value) => Some(value),
            Found::Dead(death) => {
                self.core.count_dead(death);
                None
            }
            Found::Stale { .. } | Found::Absent => None,
        }
    }

    pub(crate) fn claim(&self, hash: u64, serial: Serial) -> Claim<K, V> {
        Claim {
            cache: self.clone(),
            hash,
            serial,
        }
    }

    pub(crate) fn holds<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.core.store.contains(self.hash(key), key, self.now())
    }

    pub(crate) fn fill(&self) -> Fill {
        Fill {
            entries: self.core.store.len(),
            weight: self.core.store.weight(),
            capacity: self.core.config.limits.total,
        }
    }

    pub(crate) fn bytes_of_tables(&self) -> usize {
        self.core.store.table_bytes()
    }
}

impl<K: Eq, V> ResultCache<K, V> {
    /// A stale entry is left in peace for a while after it could not be loaded anew.
    pub(crate) fn put_off(&self, hash: u64, serial: Serial) {
        let backoff = nanos(self.core.config.expiry.backoff);
        self.core
            .store
            .put_off(hash, serial, self.now().saturating_add(backoff));
    }
}

impl<K, V> ResultCache<K, V> {
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.core.config.clock.nanos_since(&self.core.epoch)
    }

    pub(crate) fn flights(&self) -> &sync::Arc<Flights<K, V>> {
        &self.core.flights
    }

    pub(crate) fn config(&self) -> &Config<K, V> {
        &self.core.config
    }

    pub(crate) fn counts(&self) -> &Stats {
        &self.core.stats
    }

    pub(crate) fn downgrade(&self) -> Weak<Core<K, V>> {
        Arc::downgrade(&self.core)
    }
}

#[inline]
fn nanos(duration: Duration) -> u64 {
    // Not `as_nanos`, which reckons in 128 bits.
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos().into())
}

/// Cuts off a part of `ttl`, up to the share `jitter` of it. The same `seed` gives the same part.
fn shortened(ttl: u64, jitter: f64, seed: u64) -> u64 {
    if jitter <= 0.0 {
        return ttl;
    }
    // The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): near seeds give distant numbers.
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let share = (mixed >> 11) as f64 / (1u64 << 53) as f64;
    ttl - ((ttl as f64 * jitter * share) as u64).min(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_and_spreads_evenly() {
        let lives: Vec<u64> = (0..10_000).map(|seed| shortened(1_000, 0.2, seed)).collect();
        assert!(lives.iter().all(|life| (800..=1_000).contains(life)));
        let mean = lives.iter().sum::<u64>() / 10_000;
        assert!((895..=905).contains(&mean), "{mean}");
        assert_eq!(shortened(1_000, 0.0, 7), 1_000);
        assert_eq!(shortened(NEVER, 0.0, 7), NEVER);
    }
}
