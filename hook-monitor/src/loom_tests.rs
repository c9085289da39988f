//! Models of what lets calls count for next to nothing: rooms that are let again, and stripes written by one thread.
//!
//! ```text
//! CARGO_TARGET_DIR=target/loom RUSTFLAGS='--cfg loom' \
//!     cargo test --release -p hook-monitor --no-default-features --lib loom
//! ```
//!
//! There is one exclusive stripe here, and one that all other threads share.

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use loom::thread::{self, JoinHandle};

use crate::{
    Counters, Ending, Keep, Room, Tenant, slot,
    tally::{End, Tally},
};

/// Every interleaving up to three preemptions.
fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(test);
}

/// A thread that gives its slot back when it ends.
fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    thread::spawn(|| {
        let result = body();
        slot::leave();
        result
    })
}

fn keep() -> &'static Keep<Tally> {
    Box::leak(Box::new(Keep::new()))
}

fn take(keep: &'static Keep<Tally>) -> Tenant<Tally> {
    keep.take(Tally::default, Tally::clear)
}

/// Both happened in some interleaving, or the model shows nothing.
#[derive(Default)]
struct Seen([AtomicBool; 2]);

impl Seen {
    fn note(&self, what: bool) {
        self.0[usize::from(what)].store(true, Relaxed);
    }

    fn expect_both(&self) {
        assert!(self.0.iter().all(|seen| seen.load(Relaxed)));
    }
}

#[test]
fn what_a_late_visitor_counts_never_lands_with_the_next_tenant() {
    let seen = Arc::new(Seen::default());
    let noted = Arc::clone(&seen);
    model(move || {
        let keep = keep();
        let first = take(keep);
        let visit = first.visit();
        let room = first.room();
        let visitor = spawn(move || {
            // Ends by hand, as a call with a result does.
            visit.end_with(|tally| tally.finish(Ending::Ok, Duration::ZERO));
        });
        drop(first);
        let second = take(keep);
        noted.note(ptr::eq(room, second.room()));
        assert_eq!(second.counts().started, 0);
        visitor.join().unwrap();
        assert_eq!(
            second.counts().started,
            0,
            "a visitor in a room that was let again"
        );
        assert_eq!(second.counts().of(End::Ok), 0, "counted for the next tenant");
    });
    seen.expect_both();
}

#[test]
fn a_visit_that_nobody_ended_keeps_the_room_until_it_is_dropped() {
    let seen = Arc::new(Seen::default());
    let noted = Arc::clone(&seen);
    model(move || {
        let keep = keep();
        let first = take(keep);
        let room = first.room();
        let owner = spawn(move || {
            let visit = first.visit();
            // The service goes before the call does.
            drop(first);
            assert_eq!(visit.counts().started, 1, "made new under a visitor");
            drop(visit);
        });
        let second = take(keep);
        noted.note(ptr::eq(room, second.room()));
        let mine = second.visit();
        assert_eq!(second.visits(), 1);
        drop(mine);
        owner.join().unwrap();
        assert_eq!(second.counts().of(End::Cancelled), 1);
    });
    seen.expect_both();
}

#[test]
fn no_two_tenants_are_in_one_room() {
    model(|| {
        let keep = keep();
        drop(take(keep));
        let other = spawn(move || take(keep));
        let mine = take(keep);
        let other = other.join().unwrap();
        assert!(!ptr::eq(mine.room(), other.room()));
    });
}

#[test]
fn no_end_is_seen_without_its_start() {
    model(|| {
        let tally: &'static Tally = Box::leak(Box::default());
        let call = move || {
            tally.start();
            tally.end(End::Ok);
        };
        let calls = [spawn(call), spawn(call)];
        // Beyond the starts it would be nearly 2^64.
        assert!(tally.visits() <= 2);
        calls.into_iter().for_each(|call| call.join().unwrap());
        assert_eq!(tally.visits(), 0);
    });
}

/// The exclusive stripe goes from the thread that ended to the one that comes next, with all that was counted.
#[test]
fn no_count_is_lost_when_a_slot_changes_hands() {
    model(|| {
        let counters: &'static Counters<1> = Box::leak(Box::new(Counters::new()));
        let threads = [(); 3].map(|()| spawn(move || counters.add(0, 1)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(counters.get(0), 3);
    });
}
