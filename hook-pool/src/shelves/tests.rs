mod bench;
mod fuzz;

use bench::{
    After, Bench,
    Event::{Ask, Break, Close, DropDial, Fail, Fill, GiveBack, Leave, Look, Reset, Shrink},
    entry,
};
use hook_monitor::Clock;

use super::*;
use crate::{
    entry::Entry,
    shelf::{Cause, Grant},
};

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    for (from, event, to) in [
        // Nothing there.
        ((0, 0, 0, 0), Ask, (0, 0, 1, 1)),
        ((0, 0, 0, 0), Close, (0, 0, 0, 0)),
        ((0, 0, 0, 0), Reset, (0, 0, 0, 0)),
        // One of two, in each of its states.
        ((1, 0, 0, 0), Ask, (0, 1, 0, 0)),
        ((1, 0, 0, 0), Reset, (0, 0, 0, 0)),
        ((1, 0, 0, 0), Shrink, (1, 0, 0, 0)),
        ((1, 0, 0, 0), Close, (0, 0, 0, 0)),
        ((0, 1, 0, 0), Ask, (0, 1, 1, 1)),
        ((0, 1, 0, 0), GiveBack, (1, 0, 0, 0)),
        ((0, 1, 0, 0), Break, (0, 0, 0, 0)),
        ((0, 1, 0, 0), Reset, (0, 1, 0, 0)),
        ((0, 1, 0, 0), Close, (0, 1, 0, 0)),
        // A connect that nobody waits for any more: it goes on, and nothing is begun beside it or after it.
        ((0, 0, 1, 0), Ask, (0, 0, 1, 1)),
        ((0, 0, 1, 0), Fill, (1, 0, 0, 0)),
        ((0, 0, 1, 0), Fail, (0, 0, 0, 0)),
        ((0, 0, 1, 0), DropDial, (0, 0, 0, 0)),
        ((0, 0, 1, 0), Close, (0, 0, 0, 0)),
        // A connect that somebody waits for. A failure is told to whom nothing else can serve.
        ((0, 0, 1, 1), Ask, (0, 0, 2, 2)),
        ((0, 0, 1, 1), Fill, (0, 1, 0, 0)),
        ((0, 0, 1, 1), Fail, (0, 0, 0, 0)),
        ((0, 0, 1, 1), DropDial, (0, 0, 0, 1)),
        ((0, 0, 1, 1), Leave, (0, 0, 1, 0)),
        ((0, 0, 1, 1), Close, (0, 0, 0, 0)),
        ((0, 1, 1, 1), Fill, (0, 2, 0, 0)),
        ((0, 1, 1, 1), Fail, (0, 1, 0, 1)),
        ((0, 1, 1, 1), GiveBack, (0, 1, 1, 0)),
        ((0, 1, 1, 1), Break, (0, 0, 1, 1)),
        ((0, 1, 1, 1), Leave, (0, 1, 1, 0)),
        ((0, 1, 1, 0), GiveBack, (1, 0, 1, 0)),
        ((0, 1, 1, 0), Shrink, (0, 1, 1, 0)),
        // Two of two.
        ((2, 0, 0, 0), Ask, (1, 1, 0, 0)),
        ((2, 0, 0, 0), Shrink, (1, 0, 0, 0)),
        ((1, 1, 0, 0), Ask, (0, 2, 0, 0)),
        ((1, 1, 0, 0), GiveBack, (2, 0, 0, 0)),
        ((1, 1, 0, 0), Shrink, (0, 1, 0, 0)),
        ((1, 1, 0, 0), Reset, (0, 1, 0, 0)),
        ((1, 1, 0, 0), Close, (0, 1, 0, 0)),
        ((0, 2, 0, 0), Ask, (0, 2, 0, 1)),
        ((0, 2, 0, 0), Shrink, (0, 2, 0, 0)),
        // One place in line without a connect, and that is taken.
        ((0, 2, 0, 1), Ask, (0, 2, 0, 1)),
        ((0, 2, 0, 1), GiveBack, (0, 2, 0, 0)),
        ((0, 2, 0, 1), Break, (0, 1, 0, 1)),
        ((0, 2, 0, 1), Leave, (0, 2, 0, 0)),
        ((0, 2, 0, 1), Shrink, (0, 2, 0, 1)),
        ((0, 2, 0, 1), Close, (0, 2, 0, 0)),
        ((0, 0, 2, 2), Fill, (0, 1, 1, 1)),
        ((0, 0, 2, 2), Fail, (0, 0, 1, 2)),
        ((0, 0, 2, 2), Leave, (0, 0, 2, 1)),
    ] {
        for short in [false, true] {
            let mut bench = Bench::at(from);
            bench.short = short;
            bench.step(event);
            assert_eq!(
                bench.levels(),
                to,
                "{from:?} {event:?}, by the short way: {short}"
            );
        }
    }
}

#[test]
fn whoever_leaves_after_being_served_passes_it_on() {
    for (event, to) in [(GiveBack, (1, 1, 0, 0)), (Close, (0, 2, 0, 0))] {
        let mut bench = Bench::at((0, 2, 0, 1));
        bench.step(event);
        bench.step(Leave);
        assert_eq!(bench.levels(), to, "{event:?}");
    }
}

#[test]
fn a_slot_that_comes_free_is_for_whoever_looks_first_and_nobody_twice() {
    let mut bench = Bench::at((0, 2, 0, 1));
    bench.step(Break);
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 1, 1));
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 1, 1));
}

#[test]
fn what_comes_back_is_more_than_there_may_be_once_the_limit_is_lower() {
    let mut bench = Bench::at((0, 2, 0, 0));
    bench.step(Shrink);
    bench.step(GiveBack);
    assert_eq!(bench.levels(), (0, 1, 0, 0));
    bench.step(GiveBack);
    assert_eq!(bench.levels(), (1, 0, 0, 0));
}

#[test]
fn what_was_opened_for_another_generation_is_not_lent() {
    let mut bench = Bench::at((0, 1, 1, 1));
    bench.step(Reset);
    bench.step(Fill);
    // It is tried again, and now with what is right now.
    assert_eq!(bench.levels(), (0, 1, 1, 1));
    bench.step(GiveBack);
    bench.step(Fill);
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 0, 0));
    assert_eq!(bench.shelves.counts.closed[Closing::Reset as usize], 2);
}

#[test]
fn after_a_failure_one_tries_and_each_round_that_succeeds_doubles_that() {
    let mut bench = Bench::new(16);
    bench.shelves.limits.max_waiting = 64;
    bench.shelves.limits.max_connecting = 8;
    bench.step(Ask);
    bench.step(Fill);
    bench.step(Look);
    for _ in 0..15 {
        bench.step(Ask);
    }
    assert_eq!(bench.levels(), (0, 1, 8, 15));
    (0..8).for_each(|_| bench.step(Fail));
    // One is in use and may come back, so nobody is told yet; one task waits to try again.
    assert_eq!((bench.levels(), bench.probes), ((0, 1, 0, 15), 1));
    bench.step(Look);
    assert_eq!((bench.levels(), bench.probes), ((0, 1, 0, 15), 1));
    let trouble = bench.shelves.shelf(0).trouble.as_ref().expect("it failed");
    assert_eq!(
        trouble.failures, 1,
        "eight that were under way together are one failure"
    );
    assert!(trouble.retry_at - bench.now <= Duration::from_millis(50));
    assert!(trouble.retry_at - bench.now >= Duration::from_millis(25));

    bench.now = trouble.retry_at;
    let next = bench.shelves.probe(0, bench.now, &mut After::new());
    bench.next(next);
    for under_way in [1, 2, 4, 8] {
        bench.step(Look);
        let left = bench.levels().3;
        assert_eq!(bench.levels().2, under_way.min(left), "{left} wait");
        (0..under_way.min(left)).for_each(|_| bench.step(Fill));
    }
    assert_eq!(bench.levels(), (0, 16, 0, 0));
    assert!(bench.told.is_empty());
}

#[test]
fn whoever_asks_before_it_is_tried_again_is_told_and_the_wait_doubles() {
    let mut bench = Bench::new(1);
    let mut waited = Duration::ZERO;
    for failures in 1..=10 {
        bench.step(Ask);
        bench.step(Fail);
        assert_eq!(bench.told.len(), 2 * failures - 1);
        bench.step(Ask);
        assert_eq!(bench.told.len(), 2 * failures);
        let retry_at = bench
            .shelves
            .shelf(0)
            .trouble
            .as_ref()
            .expect("it failed")
            .retry_at;
        let whole = Duration::from_millis(50 << (failures - 1)).min(Duration::from_secs(5));
        waited = retry_at - bench.now;
        assert!(
            waited <= whole && waited >= whole / 2,
            "{waited:?} after {failures}"
        );
        bench.now = retry_at;
    }
    assert!(waited >= Duration::from_millis(2_500));
    bench.step(Ask);
    bench.step(Fill);
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 0, 0));
    assert!(bench.shelves.shelf(0).trouble.is_none());
}

#[test]
fn a_failure_is_told_to_those_in_line_as_soon_as_nothing_in_use_can_come_back() {
    let mut bench = Bench::at((0, 1, 1, 1));
    bench.step(Fail);
    assert_eq!(
        (bench.levels(), bench.told.len(), bench.probes),
        ((0, 1, 0, 1), 0, 1)
    );
    bench.step(Break);
    bench.step(Look);
    assert_eq!((bench.levels(), bench.told.len()), ((0, 0, 0, 0), 1));
}
