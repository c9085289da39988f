//! Which loads are under way, who leads each, and who waits for it.
//!
//! - A flight is *attached* while the table leads to it. Callers join attached flights only, and what
//!   a flight loads is stored only while it is attached: whoever detaches it has the last word.
//! - `Led` has exactly one [`Lead`]. `Vacant` has none, is attached, and has a waiter that was woken
//!   and neither polled nor dropped since. The other stages are final and have no waiters.
//! - Only a panicking `Hash` or `Eq` leaves a flight in a final stage attached. It counts as none.
//! - What is loaded outside of any flight leaves a mark while it is under way, and whoever has the last
//!   word under its key notes it there.
//! - A waiter without a waker was woken and has not been polled since.
//! - The table is locked before the flight. Under either lock no foreign code runs but `K: Hash + Eq`
//!   and the `store` of this crate: keys, values and wakers are cloned, woken and dropped outside.

mod follower;
mod lead;
mod lone;

pub(crate) use follower::Follower;
pub(crate) use lead::Lead;
pub(crate) use lone::Lone;

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    mem,
    task::Waker,
};

use crate::sync::{Arc, Mutex, lock};

/// The flights of one cache.
pub(crate) struct Flights<K, V> {
    table: Mutex<Table<K, V>>,
}

struct Table<K, V> {
    current: HashMap<K, Arc<Flight<V>>>,
    /// Of the keys that are loaded outside of any flight, which happens after failures only.
    marks: HashMap<K, Mark>,
    /// One for each load that has begun.
    ticks: u64,
}

/// What those who load a key outside of any flight know of each other and of the rest.
struct Mark {
    /// How many of them there are.
    loads: usize,
    /// What had begun up to here is not to be stored any more.
    last_word: u64,
}

/// What the table held of a flight, to be dropped after it is unlocked.
type Attached<K, V> = (K, Arc<Flight<V>>);

struct Flight<V> {
    /// When its first load began; one that was taken over has begun since.
    began: u64,
    state: Mutex<State<V>>,
}

struct State<V> {
    stage: Stage<V>,
    /// First come, first in line; sorted by ticket.
    waiters: VecDeque<(u64, Option<Waker>)>,
    next_ticket: u64,
}

enum Stage<V> {
    /// Somebody loads.
    Led,
    /// The leader went away; the first who comes by takes over.
    Vacant,
    /// The value is here, for everybody who waited.
    Landed(std::sync::Arc<V>),
    /// There is nothing to share: each one loads for itself.
    Scattered,
    /// Nothing came of it: each one starts from the beginning.
    Dissolved,
}

/// What asking for a flight comes to.
pub(crate) enum Joined<K: Hash + Eq, V> {
    Leading(Lead<K, V>),
    /// The waker handed in is in line.
    Following(Follower<K, V>),
}

/// What waiting for a flight comes to.
pub(crate) enum Turn<K: Hash + Eq, V> {
    /// The leader's value.
    Served(std::sync::Arc<V>),
    /// The leader went away, and this follower is the leader now.
    Leading(Lead<K, V>),
    /// The leader has nothing to share.
    Alone(K),
    /// Nothing came of the flight: look into the cache, and ask again.
    Again(K),
}

// ===== impl Flights =====

impl<K: Hash + Eq, V> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            table: Mutex::new(Table {
                current: HashMap::new(),
                marks: HashMap::new(),
                ticks: 0,
            }),
        }
    }

    /// Joins the flight for `key`, or begins one. An associated function, as loom's `Arc` is no receiver.
    pub(crate) fn join(flights: &Arc<Self>, key: K, waker: Waker) -> Joined<K, V>
    where
        K: Clone,
    {
        let twin = key.clone();
        let mut table = lock(&flights.table);
        let began = table.tick();
        let Some(slot) = table.current.get_mut(&key) else {
            let flight = Arc::new(Flight::new(began));
            table.current.insert(twin, flight.clone());
            drop(table);
            return Joined::Leading(Lead::new(flights.clone(), key, flight));
        };
        if slot.is_over() {
            let flight = Arc::new(Flight::new(began));
            let over = mem::replace(slot, flight.clone());
            drop(table);
            drop(over);
            return Joined::Leading(Lead::new(flights.clone(), key, flight));
        }
        let flight = slot.clone();
        let mut state = lock(&flight.state);
        if matches!(state.stage, Stage::Vacant) {
            state.stage = Stage::Led;
            drop(state);
            drop(table);
            return Joined::Leading(Lead::new(flights.clone(), key, flight));
        }
        let ticket = state.enqueue(waker);
        drop(state);
        drop(table);
        Joined::Following(Follower {
            flights: flights.clone(),
            key: Some(key),
            flight,
            ticket,
        })
    }

    /// From here on, nothing whose load has begun is stored under `key`.
    pub(crate) fn detach(&self, key: &K) {
        let detached = lock(&self.table).detach(key);
        drop(detached);
    }

    /// From here on, nothing whose load has begun is stored at all.
    pub(crate) fn detach_all(&self) {
        let mut table = lock(&self.table);
        let now = table.ticks;
        for mark in table.marks.values_mut() {
            mark.last_word = now;
        }
        let mut detached = Vec::with_capacity(table.current.len());
        for (key, flight) in mem::take(&mut table.current) {
            if flight.is_vacant() {
                table.current.insert(key, flight);
            } else {
                detached.push((key, flight));
            }
        }
        drop(table);
        drop(detached);
    }

    /// Stores a value that did not come from a load: it wins over every load under way.
    pub(crate) fn overwrite<R>(&self, key: K, store: impl FnOnce(K) -> R) -> R {
        let mut table = lock(&self.table);
        let detached = table.detach(&key);
        let stored = store(key);
        drop(table);
        drop(detached);
        stored
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    #[must_use]
    fn detach(&mut self, key: &K) -> Option<Attached<K, V>> {
        self.have_last_word(key);
        self.detach_older(key, u64::MAX)
    }

    /// Detaches the flight whose load began before `began`.
    #[must_use]
    fn detach_older(&mut self, key: &K, began: u64) -> Option<Attached<K, V>> {
        let flight = self.current.get(key)?;
        // Nobody loads for a vacant flight: whoever takes it over begins after this.
        if flight.began > began || flight.is_vacant() {
            return None;
        }
        self.current.remove_entry(key)
    }

    /// Keeps what is under way outside of any flight from being stored.
    fn have_last_word(&mut self, key: &K) {
        if self.marks.is_empty() {
            return;
        }
        if let Some(mark) = self.marks.get_mut(key) {
            mark.last_word = self.ticks;
        }
    }

    /// One load less outside of any flight.
    #[must_use]
    fn unmark(&mut self, key: &K) -> Option<(K, Mark)> {
        let mark = self.marks.get_mut(key)?;
        mark.loads -= 1;
        if mark.loads > 0 {
            return None;
        }
        self.marks.remove_entry(key)
    }

    fn leads_to(&self, key: &K, flight: &Arc<Flight<V>>) -> bool {
        self.current
            .get(key)
            .is_some_and(|current| Arc::ptr_eq(current, flight))
    }
}

// ===== impl Flight =====

impl<V> Flight<V> {
    fn new(began: u64) -> Self {
        Self {
            began,
            state: Mutex::new(State {
                stage: Stage::Led,
                waiters: VecDeque::new(),
                next_ticket: 0,
            }),
        }
    }

    fn is_vacant(&self) -> bool {
        matches!(lock(&self.state).stage, Stage::Vacant)
    }

    fn is_over(&self) -> bool {
        !matches!(lock(&self.state).stage, Stage::Led | Stage::Vacant)
    }

    /// Ends the flight and wakes everybody who waits, also if one of the wakers panics.
    fn end(&self, stage: Stage<V>) {
        let mut state = lock(&self.state);
        state.stage = stage;
        let mut unwoken = Unwoken(mem::take(&mut state.waiters));
        drop(state);
        unwoken.wake();
    }
}

/// Those who are still to be woken, which a panic does not stop.
struct Unwoken(VecDeque<(u64, Option<Waker>)>);

impl Unwoken {
    fn wake(&mut self) {
        while let Some((_, waker)) = self.0.pop_front() {
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Unwoken {
    fn drop(&mut self) {
        self.wake();
    }
}

impl<V> State<V> {
    fn enqueue(&mut self, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back((ticket, Some(waker)));
        ticket
    }

    /// The caller drops what it gets after it has unlocked the flight.
    #[must_use]
    fn leave(&mut self, ticket: u64) -> Option<Waker> {
        let place = self.place_of(ticket)?;
        self.waiters.remove(place)?.1
    }

    fn place_of(&self, ticket: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.0).ok()
    }

    /// The waker of the first in line; none if it was woken before and is on its way.
    #[must_use]
    fn call_first(&mut self) -> Option<Waker> {
        self.waiters.front_mut()?.1.take()
    }
}
