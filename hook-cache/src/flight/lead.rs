use std::sync::atomic::Ordering::SeqCst;

use super::{Attached, Flight, Flights, Orphan, SharedError, Stage, Table};
use crate::{
    hashed::Hashed,
    sync::{Arc, lock},
};

/// The duty to load for everybody who waits. Dropped unsettled, it passes to one of them.
pub(crate) struct Lead<K: Eq, V> {
    flights: Arc<Flights<K, V>>,
    /// `None` once the flight is known to be detached.
    key: Option<Hashed<K>>,
    flight: Arc<Flight<V>>,
    began: u64,
    settled: bool,
}

impl<K: Eq, V> Lead<K, V> {
    pub(super) fn new(flights: Arc<Flights<K, V>>, key: Hashed<K>, flight: Arc<Flight<V>>) -> Self {
        Self {
            began: flight.began,
            flights,
            key: Some(key),
            flight,
            settled: false,
        }
    }

    pub(crate) fn key(&self) -> &Hashed<K> {
        self.key.as_ref().expect("a lead has its key until it settles")
    }

    /// When the load began, among all loads and invalidations.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// The load that was left to this leader, unless a tag was invalidated since it began.
    pub(super) fn inherit(&self, load: Option<Orphan>) -> Option<Orphan> {
        load.filter(|_| self.flights.condemned.load(SeqCst) < self.began)
    }

    /// To be called before a load begins in the place of one that was not resumed.
    pub(crate) fn begin_anew(&mut self) {
        self.began = self.flights.tick();
    }

    /// Tells those who wait since when they wait for the end only.
    #[cfg(feature = "http")]
    pub(crate) fn promise(&self, now: u64) {
        self.flight
            .promised
            .store(now.max(1), std::sync::atomic::Ordering::Relaxed);
    }

    /// Gives the value to everybody who waits, and stores it unless the flight was detached.
    ///
    /// `outdated` is asked when nobody can join any more: when what the value depends on was last
    /// invalidated since the load began; 0 is never. Whoever asked after that starts from the beginning.
    pub(crate) fn land<R>(
        mut self,
        value: &V,
        store: impl FnOnce(Hashed<K>) -> R,
        outdated: impl FnOnce() -> u64,
    ) -> Option<R>
    where
        V: Clone,
    {
        let began = self.began;
        let (stored, removed) = self.leave_table(|table, key| {
            table.have_last_word(&key, began);
            store(key)
        });
        drop(removed);
        // Nobody can join any more, so the line only gets shorter while it is not locked. If the
        // clone panics, `drop` sends everybody back to the start, where the stored value is found.
        let awaited = !lock(&self.flight.state).line.is_empty();
        if awaited {
            let shared = std::sync::Arc::new(value.clone());
            self.settled = true;
            self.flight.end(Stage::Landed(shared, outdated()));
        }
        self.settled = true;
        stored
    }

    /// Gives the error to everybody who waits, and remembers it unless the flight was detached.
    pub(crate) fn fail<R>(mut self, error: SharedError, store: impl FnOnce(Hashed<K>) -> R) -> Option<R> {
        let (stored, removed) = self.leave_table(|_, key| store(key));
        drop(removed);
        self.settled = true;
        self.flight.end(Stage::Failed(error));
        stored
    }

    /// Lets everybody who waits go and load for itself.
    pub(crate) fn scatter(self) {
        self.end(Stage::Scattered);
    }

    /// Gives a value that is not stored to everybody who asked up to `read`, when it was known to be right. The others
    /// start from the beginning.
    pub(crate) fn lend(self, value: &V, read: u64)
    where
        V: Clone,
    {
        let shared = std::sync::Arc::new(value.clone());
        self.end(Stage::Landed(shared, read));
    }

    /// Sends everybody who waits back to the start: nothing was loaded, as there is a value already.
    ///
    /// The leader must not hand that value on. It may have been invalidated since it was read, and this
    /// flight, which began after the invalidation, may have been joined after it.
    pub(crate) fn dissolve(self) {
        self.end(Stage::Dissolved);
    }

    /// Leaves the load to whoever waits first. If nobody does, or if it is not to be stored any more, it is
    /// dropped.
    pub(crate) fn abandon(mut self, load: Orphan) {
        let left = self.go_away(Some(load));
        drop(left);
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
        store: impl FnOnce(&mut Table<K, V>, Hashed<K>) -> R,
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

    /// Hands the lead over, with the load if there is one; what nobody takes comes back.
    #[must_use]
    fn go_away(&mut self, load: Option<Orphan>) -> Option<Orphan> {
        if self.settled {
            return load;
        }
        self.settled = true;
        // Made before the lock, so that it comes after it.
        let mut unled = Unled(Some(&self.flight));
        let mut table = lock(&self.flights.table);
        let attached = self.key.as_ref().filter(|key| table.leads_to(key, &self.flight));
        let Some(key) = attached else {
            return load;
        };
        let mut state = lock(&self.flight.state);
        if state.line.is_empty() {
            drop(state);
            let removed = table.current.remove_entry(key);
            unled.0 = None;
            drop(table);
            drop(removed);
            return load;
        }
        unled.0 = None;
        state.stage = Stage::Vacant(load);
        let first = state.line.call_first();
        drop(state);
        drop(table);
        if let Some(waker) = first {
            waker.wake();
        }
        None
    }
}

impl<K: Eq, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        let left = self.go_away(None);
        debug_assert!(left.is_none(), "there was no load");
    }
}

/// Dissolves a flight that nobody leads, also when `Eq` of its key panics; emptied, it does not.
struct Unled<'a, V>(Option<&'a Flight<V>>);

impl<V> Drop for Unled<'_, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.0 {
            flight.end(Stage::Dissolved);
        }
    }
}
