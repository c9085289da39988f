use std::hash::Hash;

use super::{Attached, Flight, Flights, Stage, Table};
use crate::sync::{Arc, lock};

/// The duty to load for everybody who waits. Dropped unsettled, it passes to one of them.
pub(crate) struct Lead<K: Hash + Eq, V> {
    flights: Arc<Flights<K, V>>,
    /// `None` once the flight is known to be detached.
    key: Option<K>,
    flight: Arc<Flight<V>>,
    settled: bool,
}

impl<K: Hash + Eq, V> Lead<K, V> {
    pub(super) fn new(flights: Arc<Flights<K, V>>, key: K, flight: Arc<Flight<V>>) -> Self {
        Self {
            flights,
            key: Some(key),
            flight,
            settled: false,
        }
    }

    pub(crate) fn key(&self) -> &K {
        self.key.as_ref().expect("a lead has its key until it settles")
    }

    /// Gives the value to everybody who waits, and stores it unless the flight was detached.
    pub(crate) fn land<R>(mut self, value: &V, store: impl FnOnce(K) -> R) -> Option<R>
    where
        V: Clone,
    {
        let (stored, removed) = self.leave_table(|table, key| {
            table.have_last_word(&key);
            store(key)
        });
        drop(removed);
        // Nobody can join any more, so the line only gets shorter while it is not locked. If the
        // clone panics, `drop` sends everybody back to the start, where the stored value is found.
        let awaited = !lock(&self.flight.state).waiters.is_empty();
        if awaited {
            let shared = std::sync::Arc::new(value.clone());
            self.settled = true;
            self.flight.end(Stage::Landed(shared));
        }
        self.settled = true;
        stored
    }

    /// Lets everybody who waits go and load for itself.
    pub(crate) fn scatter(self) {
        self.end(Stage::Scattered);
    }

    /// Sends everybody who waits back to the start: nothing was loaded, as there is a value already.
    ///
    /// The leader must not hand that value on. It may have been invalidated since it was read, and this
    /// flight, which began after the invalidation, may have been joined after it.
    pub(crate) fn dissolve(self) {
        self.end(Stage::Dissolved);
    }

    fn end(mut self, stage: Stage<V>) {
        let unlocked = self.leave_table(|_, key| key);
        drop(unlocked);
        self.settled = true;
        self.flight.end(stage);
    }

    /// Takes the flight out of the table, and stores in the same breath if it was still there.
    fn leave_table<R>(
        &mut self,
        store: impl FnOnce(&mut Table<K, V>, K) -> R,
    ) -> (Option<R>, Option<Attached<K, V>>) {
        let Some(key) = self.key.take() else {
            return (None, None);
        };
        let mut table = lock(&self.flights.table);
        if !table.leads_to(&key, &self.flight) {
            // Unlock before `key` is dropped.
            drop(table);
            return (None, None);
        }
        let removed = table.current.remove_entry(&key);
        let stored = store(&mut table, key);
        drop(table);
        (Some(stored), removed)
    }
}

impl<K: Hash + Eq, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Made before the lock, so that it comes after it.
        let mut unled = Unled(Some(&self.flight));
        let mut table = lock(&self.flights.table);
        let attached = self.key.as_ref().filter(|key| table.leads_to(key, &self.flight));
        let Some(key) = attached else {
            return;
        };
        let mut state = lock(&self.flight.state);
        if state.waiters.is_empty() {
            drop(state);
            let removed = table.current.remove_entry(key);
            unled.0 = None;
            drop(table);
            drop(removed);
            return;
        }
        unled.0 = None;
        state.stage = Stage::Vacant;
        let first = state.call_first();
        drop(state);
        drop(table);
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

/// Dissolves a flight that nobody leads, also when `Hash` or `Eq` of its key panics; emptied, it does not.
struct Unled<'a, V>(Option<&'a Flight<V>>);

impl<V> Drop for Unled<'_, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.0 {
            flight.end(Stage::Dissolved);
        }
    }
}
