//! Every interleaving of a few threads over the flight table:
//! `RUSTFLAGS="--cfg loom" cargo test -p hook-cache --release --test loom_flight`.
#![cfg(loom)]
// The module under test is built in here, and not all of it is used.
#![allow(dead_code, unreachable_pub)]

#[path = "../src/flight/mod.rs"]
mod flight;
#[path = "../src/hashed.rs"]
mod hashed;
#[path = "../src/sync.rs"]
mod sync;

use std::{
    future::poll_fn,
    sync::atomic::{
        AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    task::Waker,
};

use loom::{future::block_on, thread};

use crate::{
    flight::{Flights, Follower, Joined, Lead, Lone, Orphan, Turn},
    hashed::Hashed,
    sync::{Arc, AtomicU64, Mutex, lock},
};

fn key() -> Hashed<Key> {
    Hashed { hash: 7, key: "key" }
}

type Key = &'static str;

/// The flight table with the least of a cache around it: one value, and what a load would bring.
struct Model {
    flights: Arc<Flights<Key, u32>>,
    /// The value and when its load began.
    stored: Mutex<Option<(u32, u64)>>,
    backend: Mutex<u32>,
    loads: AtomicUsize,
    /// When the one tag there is was last invalidated.
    tag: AtomicU64,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            flights: Arc::new(Flights::new()),
            stored: Mutex::new(None),
            backend: Mutex::new(1),
            loads: AtomicUsize::new(0),
            tag: AtomicU64::new(0),
        })
    }

    fn stored(&self) -> Option<u32> {
        let stored = *lock(&self.stored);
        let last = self.tag.load(SeqCst);
        stored.filter(|(_, began)| *began > last).map(|(value, _)| value)
    }

    /// What `get_or_load` does, in as many lines.
    fn get_or_load(&self) -> u32 {
        loop {
            if let Some(value) = self.stored() {
                return value;
            }
            match self.wait(self.join()) {
                Turn::Leading(lead, orphan) => return self.load(lead, orphan),
                Turn::Served(value) => return *value,
                Turn::Failed(..) | Turn::Alone(_) => return *lock(&self.backend),
                Turn::Again(_) => {}
            }
        }
    }

    fn join(&self) -> Joined<Key, u32> {
        // Whoever waits registers the waker of its own task when it is polled.
        Flights::join(&self.flights, key(), Waker::noop().clone(), usize::MAX)
    }

    fn wait(&self, joined: Joined<Key, u32>) -> Turn<Key, u32> {
        match joined {
            Joined::Leading(lead, orphan) => Turn::Leading(lead, orphan),
            Joined::Crowded(_) => panic!("there is no limit"),
            Joined::Following(mut follower) => block_on(poll_fn(|cx| follower.poll(cx.waker()))),
        }
    }

    /// A load that was left half done is what it has read so far.
    fn load(&self, mut lead: Lead<Key, u32>, orphan: Option<Orphan>) -> u32 {
        if let Some(value) = self.stored() {
            lead.dissolve();
            return value;
        }
        let resumed = orphan.and_then(|orphan| orphan.downcast().ok());
        let value = resumed.map_or_else(|| self.read(&mut lead), |value| *value);
        let began = lead.began();
        let store = |_| *lock(&self.stored) = Some((value, began));
        let outdated = || {
            Some(self.tag.load(SeqCst))
                .filter(|last| *last > began)
                .unwrap_or(0)
        };
        lead.land(&value, store, outdated);
        value
    }

    fn read(&self, lead: &mut Lead<Key, u32>) -> u32 {
        lead.begin_anew();
        self.loads.fetch_add(1, Relaxed);
        *lock(&self.backend)
    }

    /// Reads, and goes away before it lands.
    fn read_and_go_away(&self) {
        if let Joined::Leading(mut lead, None) = self.join() {
            let half_done = self.read(&mut lead);
            lead.abandon(Box::new(half_done));
        }
    }

    /// Leads if nobody does, and gives up; waits for one look otherwise, and gives up.
    fn give_up(&self) {
        match self.join() {
            Joined::Leading(lead, _) => drop(lead),
            Joined::Following(mut follower) => give_up_waiting(&mut follower),
            Joined::Crowded(_) => panic!("there is no limit"),
        }
    }

    fn change_and_invalidate(&self) {
        *lock(&self.backend) = 2;
        self.flights.detach(&key());
        *lock(&self.stored) = None;
    }
}

fn give_up_waiting(follower: &mut Follower<Key, u32>) {
    let _ = follower.poll(Waker::noop());
}

fn spawn<R: 'static>(model: &Arc<Model>, run: impl FnOnce(&Model) -> R + 'static) -> thread::JoinHandle<R> {
    let model = model.clone();
    thread::spawn(move || run(&model))
}

#[test]
fn whoever_asks_at_the_same_time_is_served_by_one_load() {
    loom::model(|| {
        let model = Model::new();
        let other = spawn(&model, Model::get_or_load);
        assert_eq!(model.get_or_load(), 1);
        assert_eq!(other.join().unwrap(), 1);
        assert_eq!(model.loads.load(Relaxed), 1);
    });
}

#[test]
fn three_who_ask_at_the_same_time_are_served_by_one_load() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        let others = [
            spawn(&model, Model::get_or_load),
            spawn(&model, Model::get_or_load),
        ];
        assert_eq!(model.get_or_load(), 1);
        for other in others {
            assert_eq!(other.join().unwrap(), 1);
        }
        assert_eq!(model.loads.load(Relaxed), 1);
    });
}

#[test]
fn a_leader_that_gives_up_leaves_nobody_waiting() {
    loom::model(|| {
        let model = Model::new();
        let quitter = spawn(&model, Model::give_up);
        assert_eq!(model.get_or_load(), 1);
        quitter.join().unwrap();
        assert_eq!(model.loads.load(Relaxed), 1);
    });
}

#[test]
fn of_two_who_wait_one_takes_over_also_when_the_other_gives_up() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        let Joined::Leading(lead, None) = model.join() else {
            panic!("the first one leads");
        };
        let quitter = spawn(&model, Model::give_up);
        let waiter = spawn(&model, Model::get_or_load);
        drop(lead);
        quitter.join().unwrap();
        assert_eq!(waiter.join().unwrap(), 1);
        assert_eq!(model.loads.load(Relaxed), 1);
    });
}

#[test]
fn a_leader_that_fails_releases_everybody() {
    loom::model(|| {
        let model = Model::new();
        let Joined::Leading(lead, None) = model.join() else {
            panic!("the first one leads");
        };
        let waiter = spawn(&model, |model| match model.wait(model.join()) {
            Turn::Alone(_) => {}
            Turn::Leading(lead, _) => lead.scatter(),
            Turn::Served(_) | Turn::Failed(..) | Turn::Again(_) => panic!("there was nothing to serve"),
        });
        lead.scatter();
        waiter.join().unwrap();
    });
}

#[test]
fn nothing_that_was_loaded_before_an_invalidation_is_stored_after_it() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        let reader = spawn(&model, Model::get_or_load);
        model.change_and_invalidate();
        // Whoever asks from here on gets the new value, whoever else is under way.
        assert_eq!(model.get_or_load(), 2);
        reader.join().unwrap();
        assert_eq!(model.stored(), Some(2));
    });
}

#[test]
fn a_value_seen_on_taking_off_does_not_outlive_an_invalidation() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        *lock(&model.stored) = Some((1, model.flights.tick()));
        // This one saw nothing, and finds the old value when it leads.
        let late = spawn(&model, |model| match model.wait(model.join()) {
            Turn::Leading(lead, orphan) => drop(model.load(lead, orphan)),
            Turn::Served(_) | Turn::Failed(..) | Turn::Alone(_) | Turn::Again(_) => {}
        });
        model.change_and_invalidate();
        assert_eq!(model.get_or_load(), 2);
        late.join().unwrap();
    });
}

#[test]
fn a_put_during_a_load_stays() {
    loom::model(|| {
        let model = Model::new();
        let reader = spawn(&model, Model::get_or_load);
        model
            .flights
            .overwrite(key(), |_, now| *lock(&model.stored) = Some((3, now)));
        assert!(matches!(reader.join().unwrap(), 1 | 3));
        assert_eq!(model.stored(), Some(3));
    });
}

#[test]
fn a_load_of_ones_own_is_not_stored_over_an_invalidation() {
    loom::model(|| {
        let model = Model::new();
        let alone = spawn(&model, |model| {
            let lone = Lone::begin(&model.flights, key());
            let value = *lock(&model.backend);
            let began = lone.began();
            lone.store(|_| *lock(&model.stored) = Some((value, began)));
        });
        model.change_and_invalidate();
        alone.join().unwrap();
        assert!(matches!(model.stored(), None | Some(2)));
    });
}

#[test]
fn a_leader_that_fails_tells_everybody_who_waits() {
    loom::model(|| {
        let model = Model::new();
        let Joined::Leading(lead, None) = model.join() else {
            panic!("the first one leads");
        };
        let waiter = spawn(&model, |model| match model.wait(model.join()) {
            Turn::Failed(error, _) => assert_eq!(error.downcast_ref(), Some(&"down")),
            Turn::Leading(lead, _) => lead.scatter(),
            Turn::Served(_) | Turn::Alone(_) | Turn::Again(_) => panic!("there was an error to share"),
        });
        lead.fail(std::sync::Arc::new("down"), |_| ());
        waiter.join().unwrap();
    });
}

#[test]
fn a_load_that_was_left_half_done_is_resumed_by_whoever_waits() {
    loom::model(|| {
        let model = Model::new();
        let Joined::Leading(mut lead, None) = model.join() else {
            panic!("the first one leads");
        };
        let Joined::Following(mut follower) = model.join() else {
            panic!("the second one follows");
        };
        let waiter = spawn(&model, move |model| {
            match block_on(poll_fn(|cx| follower.poll(cx.waker()))) {
                Turn::Leading(lead, orphan) => model.load(lead, orphan),
                _ => panic!("the lead was left to it"),
            }
        });
        let half_done = model.read(&mut lead);
        lead.abandon(Box::new(half_done));
        assert_eq!(waiter.join().unwrap(), 1);
        assert_eq!(model.loads.load(Relaxed), 1, "it was loaded anew");
    });
}

#[test]
fn a_load_that_was_left_half_done_does_not_outlive_an_invalidation() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        let quitter = spawn(&model, Model::read_and_go_away);
        let reader = spawn(&model, Model::get_or_load);
        model.change_and_invalidate();
        assert_eq!(model.get_or_load(), 2);
        quitter.join().unwrap();
        reader.join().unwrap();
        assert_eq!(model.stored(), Some(2));
    });
}

#[test]
fn nothing_that_was_loaded_before_its_tag_was_invalidated_is_stored_or_served_after_it() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        let reader = spawn(&model, |model| match model.wait(model.join()) {
            Turn::Leading(lead, orphan) => drop(model.load(lead, orphan)),
            Turn::Served(_) | Turn::Failed(..) | Turn::Alone(_) | Turn::Again(_) => {}
        });
        *lock(&model.backend) = 2;
        model.tag.store(model.flights.condemn(), SeqCst);
        // Whoever asks from here on waits for the old load at most, and is not given what it brings.
        assert_eq!(model.get_or_load(), 2);
        reader.join().unwrap();
        assert_eq!(model.stored(), Some(2));
    });
}

#[test]
fn a_load_that_was_left_half_done_does_not_outlive_the_invalidation_of_its_tag() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let model = Model::new();
        let quitter = spawn(&model, Model::read_and_go_away);
        let reader = spawn(&model, Model::get_or_load);
        *lock(&model.backend) = 2;
        model.tag.store(model.flights.condemn(), SeqCst);
        // Whoever asks from here on may find the old load left to it, and does not go on with it.
        assert_eq!(model.get_or_load(), 2);
        quitter.join().unwrap();
        reader.join().unwrap();
    });
}
