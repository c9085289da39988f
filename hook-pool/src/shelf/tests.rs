use std::time::{Duration, Instant};

use super::*;

/// What happens to a shelf that may hold two connections, and one waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Ask,
    GiveBack,
    ForgetUsed,
    FreeSlot,
    FillSlot,
    /// The first waiter goes, served or not, and passes on what it was given.
    Leave,
    Clear,
    TurnAway,
}

use Event::{Ask, Clear, FillSlot, ForgetUsed, FreeSlot, GiveBack, Leave, TurnAway};

/// Idle, used, connecting, in line.
type Levels = (usize, usize, usize, usize);

const LIMITS: Limits = Limits {
    max: 2,
    max_waiting: 1,
    max_keys: 1,
    idle_timeout: None,
};

struct Bench {
    shelf: Shelf<u8>,
    now: Instant,
    places: Vec<usize>,
}

impl Bench {
    fn new(levels: Levels) -> Self {
        let (idle, used, connecting, waiting) = levels;
        let mut bench = Self {
            shelf: Shelf::new(),
            now: Instant::now(),
            places: Vec::new(),
        };
        for _ in 0..idle + used + connecting + waiting {
            bench.step(Ask);
        }
        (0..idle + used).for_each(|_| bench.step(FillSlot));
        (0..idle).for_each(|_| bench.step(GiveBack));
        assert_eq!(bench.levels(), levels, "a state that can be had");
        bench
    }

    fn step(&mut self, event: Event) {
        let mut after = Aftermath::<(), u8>::new();
        let connection = Connection {
            inner: 1,
            born: self.now,
            uses: 1,
        };
        let shelf = &mut self.shelf;
        match event {
            Ask => {
                if let Turn::Wait(place) = shelf.ask(&LIMITS) {
                    self.places.push(place);
                }
            }
            GiveBack => shelf.give_back(connection, self.now, &mut after),
            ForgetUsed => shelf.forget_used(&LIMITS, &mut after),
            FreeSlot => shelf.free_slot(&LIMITS, &mut after),
            FillSlot => shelf.fill_slot(),
            Leave => match shelf.leave(self.places.remove(0), &mut None) {
                Some(Grant::Connection(connection)) => shelf.give_back(connection, self.now, &mut after),
                Some(Grant::Slot) => shelf.free_slot(&LIMITS, &mut after),
                Some(Grant::Closed) | None => {}
            },
            Clear => assert_eq!(shelf.clear(&mut after), after.connections.len()),
            TurnAway => shelf.turn_away(&mut after),
        }
    }

    fn levels(&self) -> Levels {
        let shelf = &self.shelf;
        (shelf.idle(), shelf.used(), shelf.connecting(), shelf.waiting())
    }
}

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    for (from, event, to) in [
        // Nothing there.
        ((0, 0, 0, 0), Ask, (0, 0, 1, 0)),
        ((0, 0, 0, 0), Clear, (0, 0, 0, 0)),
        ((0, 0, 0, 0), TurnAway, (0, 0, 0, 0)),
        // One of two, in each of its states.
        ((1, 0, 0, 0), Ask, (0, 1, 0, 0)),
        ((1, 0, 0, 0), Clear, (0, 0, 0, 0)),
        ((0, 1, 0, 0), Ask, (0, 1, 1, 0)),
        ((0, 1, 0, 0), GiveBack, (1, 0, 0, 0)),
        ((0, 1, 0, 0), ForgetUsed, (0, 0, 0, 0)),
        ((0, 1, 0, 0), Clear, (0, 1, 0, 0)),
        ((0, 0, 1, 0), Ask, (0, 0, 2, 0)),
        ((0, 0, 1, 0), FillSlot, (0, 1, 0, 0)),
        ((0, 0, 1, 0), FreeSlot, (0, 0, 0, 0)),
        // Two of two.
        ((2, 0, 0, 0), Ask, (1, 1, 0, 0)),
        ((1, 1, 0, 0), Ask, (0, 2, 0, 0)),
        ((1, 1, 0, 0), GiveBack, (2, 0, 0, 0)),
        ((1, 1, 0, 0), ForgetUsed, (1, 0, 0, 0)),
        ((0, 2, 0, 0), Ask, (0, 2, 0, 1)),
        ((0, 1, 1, 0), Ask, (0, 1, 1, 1)),
        ((0, 0, 2, 0), Ask, (0, 0, 2, 1)),
        // Somebody in line: whatever comes free is used (a connection) or connecting (a slot) at once.
        ((0, 2, 0, 1), Ask, (0, 2, 0, 1)),
        ((0, 2, 0, 1), GiveBack, (0, 2, 0, 0)),
        ((0, 2, 0, 1), ForgetUsed, (0, 1, 1, 0)),
        ((0, 2, 0, 1), Leave, (0, 2, 0, 0)),
        ((0, 2, 0, 1), Clear, (0, 2, 0, 1)),
        ((0, 2, 0, 1), TurnAway, (0, 2, 0, 0)),
        ((0, 1, 1, 1), GiveBack, (0, 1, 1, 0)),
        ((0, 1, 1, 1), FreeSlot, (0, 1, 1, 0)),
        ((0, 1, 1, 1), FillSlot, (0, 2, 0, 1)),
        ((0, 1, 1, 1), ForgetUsed, (0, 0, 2, 0)),
        ((0, 0, 2, 1), FreeSlot, (0, 0, 2, 0)),
        ((0, 0, 2, 1), FillSlot, (0, 1, 1, 1)),
        ((0, 0, 2, 1), Leave, (0, 0, 2, 0)),
    ] {
        let mut bench = Bench::new(from);
        bench.step(event);
        assert_eq!(bench.levels(), to, "{from:?} {event:?}");
    }
}

#[test]
fn whoever_leaves_after_being_served_passes_it_on() {
    for (event, to) in [
        (GiveBack, (1, 1, 0, 0)),
        (ForgetUsed, (0, 1, 0, 0)),
        (TurnAway, (0, 2, 0, 0)),
    ] {
        let mut bench = Bench::new((0, 2, 0, 1));
        bench.step(event);
        assert_eq!(bench.shelf.hold(), Hold::Busy);
        bench.step(Leave);
        assert_eq!(bench.levels(), to, "{event:?}");
    }
}

#[test]
fn only_what_has_been_idle_for_the_whole_timeout_expires_the_oldest_first() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut shelf = Shelf::new();
    for _ in 0..3 {
        assert!(matches!(shelf.ask(&Limits { max: 3, ..LIMITS }), Turn::Slot));
        shelf.fill_slot();
    }
    for inner in 0..3_u8 {
        let connection = Connection {
            inner,
            born: start,
            uses: 1,
        };
        let mut after = Aftermath::<(), u8>::new();
        shelf.give_back(connection, start + second * u32::from(inner), &mut after);
    }
    for (at, expired) in [(9.9, vec![]), (10.0, vec![0]), (10.9, vec![]), (12.0, vec![1, 2])] {
        let mut after = Aftermath::<(), u8>::new();
        shelf.expire(second * 10, start + Duration::from_secs_f64(at), &mut after);
        let gone: Vec<u8> = after
            .connections
            .iter()
            .map(|connection| connection.inner)
            .collect();
        assert_eq!(gone, expired, "after {at} s");
    }
    assert_eq!(shelf.hold(), Hold::Bare);
}
