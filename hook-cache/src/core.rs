use std::{
    hash::Hash,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Release},
    },
    time::{Duration, Instant},
};

use crate::{
    ResultCache,
    config::Config,
    errand::Claim,
    flight::{Flights, Lead, Lone, SharedError},
    hashed::Hashed,
    stats::{Count, Fill, Stats},
    store::{Death, Found, Limits, Moment, NEVER, New, Put, Removed, Serial, Store, TagCell, Windows},
    sync,
    tags::{Tags, last_invalidated},
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
    epoch: Instant,
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
        };
        let negative = !expiry.negative.is_zero();
        Self {
            store: Store::new(config.limits, windows),
            errors: negative.then(Errors::new),
            flights: sync::Arc::new(Flights::new()),
            tags: Tags::new(),
            stats: Stats::default(),
            epoch: config.clock.now(),
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
                    self.store.sweep_shelf(place, now, |death| self.count_dead(death));
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
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.core.store.hash(key)
    }

    /// Looks for what can be served right now. Counts a hit, but no miss: that may yet become something else.
    #[inline]
    pub(crate) fn ask(&self, hash: u64, key: &K) -> Asked<V> {
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

    /// Looks for what is fresh.
    #[inline]
    pub(crate) fn look_up(&self, key: &Hashed<K>) -> Option<V> {
        self.fresh(key.hash, &key.key)
    }

    #[inline]
    pub(crate) fn fresh(&self, hash: u64, key: &K) -> Option<V> {
        match self.core.store.get(hash, key, self.now(), false) {
            Found::Fresh(value) => {
                self.core.stats.one(Count::Hit);
                Some(value)
            }
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

    /// A remembered error.
    pub(crate) fn recall(&self, key: &Hashed<K>) -> Option<SharedError> {
        let errors = self.core.errors.as_ref()?;
        match errors.store.get(key.hash, &key.key, self.now(), false) {
            Found::Fresh(error) => Some(error),
            Found::Stale { .. } | Found::Absent | Found::Dead(_) => None,
        }
    }

    /// Ends a load with an error to share, and remembers it if errors are.
    pub(crate) fn remember(&self, lead: Lead<K, V>, error: SharedError) {
        let now = self.now();
        let negative = nanos(self.core.config.expiry.negative);
        let twin = error.clone();
        let serial = lead.began();
        let put = lead.fail(error, |key| {
            let errors = self.core.errors.as_ref()?;
            let new = New {
                value: twin,
                serial,
                fresh_until: now.saturating_add(negative),
                weight: 1,
                tags: [errors.all.clone()].into(),
            };
            Some(errors.store.put(key, new, now))
        });
        if let (
            Some(Some(Put::Stored {
                sweep: Some(place), ..
            })),
            Some(errors),
        ) = (&put, &self.core.errors)
        {
            errors.store.sweep_shelf(*place, now, |_| {});
        }
    }

    /// What may stand in for the error of a load that has just failed.
    pub(crate) fn rescue(&self, key: &Hashed<K>) -> Option<V> {
        if self.core.config.expiry.if_error.is_zero() {
            return None;
        }
        let now = self.now();
        let value = self.core.store.spare(key, now)?;
        let backoff = nanos(self.core.config.expiry.backoff);
        self.core.store.put_off_key(key, now.saturating_add(backoff));
        self.core.stats.one(Count::Rescued);
        Some(value)
    }

    /// Ends a load with a value to share.
    pub(crate) fn land(&self, lead: Lead<K, V>, value: &V) {
        let (now, began) = (self.now(), lead.began());
        let mut new = self.core.entry(lead.key(), value.clone(), None, Vec::new(), now);
        new.serial = began;
        let tags = new.tags.clone();
        self.core.forget_error(lead.key(), now);
        let store = |key| self.core.store.put(key, new, now);
        let outdated = || {
            Some(last_invalidated(&tags))
                .filter(|last| *last > began)
                .unwrap_or(0)
        };
        let put = lead.land(value, store, outdated);
        self.count_landing(put, now);
    }

    /// Ends a load that was nobody else's.
    pub(crate) fn land_alone(&self, lone: Lone<K, V>, value: &V) {
        let now = self.now();
        let mut new = self.core.entry(lone.key(), value.clone(), None, Vec::new(), now);
        new.serial = lone.began();
        let put = lone.store(|key| self.core.store.put(key, new, now));
        self.count_landing(put, now);
    }

    fn count_landing(&self, put: Option<Put<K, V>>, now: Moment) {
        match put {
            Some(put) => self.core.count_put(put, now),
            None => self.core.stats.one(Count::Outdated),
        }
    }

    pub(crate) fn put(&self, key: K, value: V, ttl: Option<Duration>, tags: Vec<Box<str>>) {
        let (key, now) = (self.hashed(key), self.now());
        let mut new = self.core.entry(&key, value, ttl, tags, now);
        self.core.forget_error(&key, now);
        let put = self.core.flights.overwrite(key, |key, serial| {
            new.serial = serial;
            self.core.store.put(key, new, now)
        });
        self.core.count_put(put, now);
    }

    /// Stores what began to be made at `began`, unless one of its tags was invalidated since.
    #[cfg(feature = "http")]
    pub(crate) fn put_since(&self, key: K, value: V, tags: Vec<Box<str>>, began: Serial) {
        let (key, now) = (self.hashed(key), self.now());
        let mut new = self.core.entry(&key, value, None, tags, now);
        new.serial = began;
        self.core.count_put(self.core.store.put(key, new, now), now);
    }

    /// What is fresh, not counted.
    #[cfg(feature = "http")]
    pub(crate) fn peek_hit(&self, key: K) -> Option<V> {
        match self.core.store.get(self.hash(&key), &key, self.now(), false) {
            Found::Fresh(value) => Some(value),
            Found::Dead(death) => {
                self.core.count_dead(death);
                None
            }
            Found::Stale { .. } | Found::Absent => None,
        }
    }

    /// What may stand in for an error, without a back-off: each request tries for itself.
    #[cfg(feature = "http")]
    pub(crate) fn rescue_key(&self, key: K) -> Option<V> {
        if self.core.config.expiry.if_error.is_zero() {
            return None;
        }
        self.core.store.spare(&self.hashed(key), self.now())
    }

    #[cfg(feature = "http")]
    pub(crate) fn hash_of<Q: Hash + ?Sized>(&self, of: &Q) -> u64 {
        self.core.store.hash(of)
    }

    pub(crate) fn remove(&self, key: &K) -> bool
    where
        K: Clone,
    {
        let key = self.hashed(key.clone());
        // First the loads: what they store from here on began after this.
        self.core.flights.detach(&key);
        let now = self.now();
        self.core.forget_error(&key, now);
        self.core
            .count_removed(self.core.store.remove(key.hash, &key.key, now))
    }

    pub(crate) fn remove_all(&self) {
        self.core.flights.detach_all();
        self.core.forget_errors();
        self.core.store.drain(self.now(), |removed| {
            self.core.count_removed(removed);
        });
    }

    pub(crate) fn remove_if(&self, condemn: impl FnMut(&K, &V) -> bool) -> usize
    where
        K: Clone,
    {
        self.core.flights.detach_all();
        self.core.forget_errors();
        let mut live = 0;
        self.core.store.remove_all_if(self.now(), condemn, |removed| {
            live += usize::from(self.core.count_removed(removed));
        });
        live
    }

    pub(crate) fn condemn_tag(&self, tag: &str) {
        self.core.tags.invalidate(tag, self.core.flights.tick());
        self.core.store.suspect();
        self.core.forget_errors();
    }

    /// Whether the sweep got round.
    pub(crate) fn sweep_while(&self, go_on: impl FnMut() -> bool) -> bool {
        self.core
            .store
            .sweep(self.now(), go_on, |death| self.core.count_dead(death))
    }

    pub(crate) fn holds(&self, key: &K) -> bool {
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
        nanos(
            self.core
                .config
                .clock
                .now()
                .saturating_duration_since(self.core.epoch),
        )
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
