use std::{
    hash::Hash,
    mem,
    task::{Poll, Waker},
};

use super::{Flight, Flights, Lead, Stage, Turn};
use crate::sync::{Arc, lock};

/// A place in the line of those who wait for a flight.
pub(crate) struct Follower<K: Hash + Eq, V> {
    pub(super) flights: Arc<Flights<K, V>>,
    /// `None` once this follower's turn has come.
    pub(super) key: Option<K>,
    pub(super) flight: Arc<Flight<V>>,
    pub(super) ticket: u64,
}

impl<K: Hash + Eq, V> Follower<K, V> {
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Turn<K, V>> {
        // Cloned between two looks, not during one.
        let mut fresh = None;
        loop {
            let mut state = lock(&self.flight.state);
            match &state.stage {
                Stage::Led => {
                    let place = state.place_of(self.ticket).expect("a follower is in line");
                    let slot = &mut state.waiters[place].1;
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
                Stage::Vacant => {
                    state.stage = Stage::Led;
                    let old = state.leave(self.ticket);
                    drop(state);
                    drop(old);
                    let lead = Lead::new(self.flights.clone(), self.take_key(), self.flight.clone());
                    return Poll::Ready(Turn::Leading(lead));
                }
                Stage::Landed(value) => {
                    let value = value.clone();
                    drop(state);
                    drop(self.take_key());
                    return Poll::Ready(Turn::Served(value));
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

    fn take_key(&mut self) -> K {
        self.key.take().expect("a follower is not polled after its turn")
    }
}

impl<K: Hash + Eq, V> Drop for Follower<K, V> {
    fn drop(&mut self) {
        let Some(key) = &self.key else {
            return;
        };
        let mut table = lock(&self.flights.table);
        let mut state = lock(&self.flight.state);
        let mine = state.leave(self.ticket);
        let mut next = None;
        let mut removed = None;
        // This may have been the one that was to take over.
        if matches!(state.stage, Stage::Vacant) {
            if state.waiters.is_empty() {
                removed = table.current.remove_entry(key);
            } else {
                next = state.call_first();
            }
        }
        drop(state);
        drop(table);
        drop((mine, removed));
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
