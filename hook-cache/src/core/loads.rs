//! How what was loaded or put comes into the cache, and what stands in for it.

use std::{hash::Hash, time::Duration};

use super::nanos;
use crate::{
    ResultCache,
    flight::{Lead, Lone, SharedError},
    hashed::Hashed,
    stats::Count,
    store::{Found, Moment, New, Put},
    tags::last_invalidated,
};

impl<K: Hash + Eq, V: Clone> ResultCache<K, V> {
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
            errors.store.sweep_some(*place, now, |_| {});
        }
    }

    /// What may stand in for the error of a load that has just failed, and when that was read, among the loads and
    /// invalidations.
    pub(crate) fn rescue(&self, key: &Hashed<K>) -> Option<(V, u64)> {
        if self.core.config.expiry.if_error.is_zero() {
            return None;
        }
        let (now, read) = (self.now(), self.core.flights.tick());
        let value = self.core.store.spare(key, now)?;
        let backoff = nanos(self.core.config.expiry.backoff);
        self.core.store.put_off_key(key, now.saturating_add(backoff));
        self.core.stats.one(Count::Rescued);
        Some((value, read))
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
}
