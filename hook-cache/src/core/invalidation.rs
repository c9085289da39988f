//! How entries go: by key, all, by predicate, by tag, and when they are dead.

use std::hash::Hash;

use crate::ResultCache;

impl<K: Hash + Eq, V: Clone> ResultCache<K, V> {
    pub(crate) fn remove(&self, key: K) -> bool {
        let key = self.hashed(key);
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
        self.core.tags.invalidate(tag, self.core.flights.condemn());
        self.core.store.suspect();
        self.core.forget_errors();
    }

    /// Whether the sweep got round.
    pub(crate) fn sweep_while(&self, go_on: impl FnMut() -> bool) -> bool {
        let core = &*self.core;
        let round = core
            .store
            .sweep(self.now(), go_on, |death| core.count_dead(death));
        if round {
            core.tags.tidy(core.store.len());
        }
        round
    }
}
