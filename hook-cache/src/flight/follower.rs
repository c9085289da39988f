use std::{
    mem,
    task::{Poll, Waker},
};

use super::{Flight, Flights, Lead, Stage, Turn};
use crate::{
    hashed::Hashed,
    sync::{Arc, lock},
};

/// A place in the line of those who wait for a flight.
pub(crate) struct Follower<K: Eq, V> {
    pub(super) flights: Arc<Flights<K, V>>,
    /// `None` once this follower's turn has come.
    pub(super) key: Option<Hashed<K>>,
    pub(super) flight: Arc<Flight<V>>,
    pub(super) ticket: u64,
    /// When it asked, among the loads and invalidations.
    pub(super) asked: u64,
}

impl<K: Eq, V> Follower<K, V> {
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Turn<K, V>> {
        // Cloned between two looks, not during one.
        let mut fresh = None;
        loop {
            let mut state = lock(&self.flight.state);
            match &mut state.stage {
                Stage::Led => {
                    let slot = state.line.waker_of(self.ticket).expect("a follower is in line");
                    if slot.as_ref().is_some_and(|last| last.will_wake(waker)) {
                        return Poll::Pending;
                    }
                    if fresh.is_some() {
                        let old = mem::replace(slot, fresh);
                        drop(state);
                        drop(old);
                        return Poll::Pending;
                    }
                    drop(state);
                    fresh = Some(waker.clone());
                }
                Stage::Vacant(orphan) => {
                    let orphan = orphan.take();
                    state.stage = Stage::Led;
                    let old = state.line.leave(self.ticket);
                    drop(state);
                    drop(old);
                    let lead = Lead::new(self.flights.clone(), self.take_key(), self.flight.clone());
                    let orphan = lead.inherit(orphan);
                    return Poll::Ready(Turn::Leading(lead, orphan));
                }
                Stage::Landed(_, outdated) if *outdated > 0 && self.asked > *outdated => {
                    drop(state);
                    return Poll::Ready(Turn::Again(self.take_key()));
                }
                Stage::Landed(value, _) => {
                    let value = value.clone();
                    drop(state);
                    drop(self.take_key());
                    return Poll::Ready(Turn::Served(value));
                }
                Stage::Failed(error) => {
                    let error = error.clone();
                    drop(state);
                    return Poll::Ready(Turn::Failed(error, self.take_key()));
                }
                Stage::Scattered => {
                    drop(state);
                    return Poll::Ready(Turn::Alone(self.take_key()));
                }
                Stage::Dissolved => {
                    drop(state);
                    return Poll::Ready(Turn::Again(self.take_key()));
                }
            }
        }
    }

    /// Since when there is something to wait for.
    #[cfg(feature = "http")]
    pub(crate) fn promised(&self) -> Option<u64> {
        let since = self.flight.promised.load(std::sync::atomic::Ordering::Relaxed);
        (since > 0).then_some(since)
    }

    /// Stops waiting.
    pub(crate) fn give_up(mut self) -> Hashed<K> {
        self.leave();
        self.take_key()
    }

    fn take_key(&mut self) -> Hashed<K> {
        self.key.take().expect("a follower is not polled after its turn")
    }

    fn leave(&self) {
        let Some(key) = &self.key else {
            return;
        };
        let mut table = lock(&self.flights.table);
        let mut state = lock(&self.flight.state);
        let mine = state.line.leave(self.ticket);
        let mut next = None;
        let mut removed = None;
        // This may have been the one that was to take over.
        let mut orphaned = None;
        if matches!(state.stage, Stage::Vacant(_)) {
            if state.line.is_empty() {
                orphaned = Some(mem::replace(&mut state.stage, Stage::Dissolved));
                removed = table.current.remove_entry(key);
            } else {
                next = state.line.call_first();
            }
        }
        drop(state);
        drop(table);
        drop((mine, removed, orphaned));
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<K: Eq, V> Drop for Follower<K, V> {
    fn drop(&mut self) {
        self.leave();
    }
}
