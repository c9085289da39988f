use super::{Flights, Mark};
use crate::{
    hashed::Hashed,
    sync::{Arc, lock},
};

/// A load outside of any flight. It is stored unless something else under its key had the last word since.
pub(crate) struct Lone<K: Eq, V> {
    flights: Arc<Flights<K, V>>,
    /// `None` once it has settled.
    key: Option<Hashed<K>>,
    began: u64,
}

impl<K: Eq, V> Lone<K, V> {
    /// To be called before the load begins.
    pub(crate) fn begin(flights: &Arc<Flights<K, V>>, key: Hashed<K>) -> Self
    where
        K: Clone,
    {
        let twin = key.clone();
        let mut table = lock(&flights.table);
        let began = flights.tick();
        if let Some(mark) = table.marks.get_mut(&key) {
            mark.loads += 1;
        } else {
            let mark = Mark {
                loads: 1,
                last_word: 0,
            };
            table.marks.insert(twin, mark);
        }
        drop(table);
        Self {
            flights: flights.clone(),
            key: Some(key),
            began,
        }
    }

    pub(crate) fn key(&self) -> &Hashed<K> {
        self.key.as_ref().expect("a load has its key until it settles")
    }

    /// When the load began, among all loads and invalidations.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// Stores unless something was stored or invalidated since this began; keeps loads that began before
    /// this one from being stored after it.
    pub(crate) fn store<R>(mut self, store: impl FnOnce(Hashed<K>) -> R) -> Option<R> {
        let key = self.key.take()?;
        let mut table = lock(&self.flights.table);
        let newest = table
            .marks
            .get(&key)
            .is_some_and(|mark| mark.last_word < self.began);
        if !newest {
            let unmarked = table.unmark(&key);
            // Unlock before anything is dropped, `store` and what it holds included.
            drop(table);
            drop(unmarked);
            return None;
        }
        let taken = table.detach_older(&key, self.began);
        if let Some(mark) = table.marks.get_mut(&key) {
            mark.last_word = self.began;
        }
        let unmarked = table.unmark(&key);
        let stored = store(key);
        drop(table);
        drop((taken, unmarked));
        Some(stored)
    }
}

impl<K: Eq, V> Drop for Lone<K, V> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            let unmarked = lock(&self.flights.table).unmark(key);
            drop(unmarked);
        }
    }
}
