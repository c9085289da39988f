//! Every interleaving of two or three threads, up to a bound on how often one is interrupted:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p hook-breaker --release --lib loom
//! ```
//!
//! Breaks last no time at all or for ever, so that nothing depends on the clock.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Wake,
};

use loom::{sync::Arc, thread};

use super::*;
use crate::{
    policy::{TripPolicy, Window},
    sync::lane,
};

const FOR_EVER: Duration = Settings::CENTURY;

fn gate(trip: TripPolicy, open_for: Duration, probes: u32) -> Arc<Gate> {
    let settings = Settings {
        trip,
        open_for: open_for.into(),
        probes,
        ..Settings::default()
    };
    let gate = Gate::new();
    gate.renew(&settings, Clock::tokio(), Default::default());
    Arc::new(gate)
}

fn failures(failures: u32) -> TripPolicy {
    TripPolicy::consecutive_failures(failures)
}

/// Never opens, and remembers.
fn remembering(window: Window) -> TripPolicy {
    TripPolicy::failure_rate(1.0, window.min_calls(100))
}

fn calls() -> TripPolicy {
    remembering(Window::calls(100))
}

fn century() -> TripPolicy {
    remembering(Window::time(FOR_EVER))
}

/// Lets one call in, which has to be possible.
fn admit(gate: &Gate) -> Ticket {
    gate.acquire().expect("the circuit lets calls in")
}

/// A gate whose break is over.
fn opened(probes: u32) -> Arc<Gate> {
    let gate = gate(failures(1), Duration::ZERO, probes);
    fail(&gate, admit(&gate));
    assert_eq!(gate.word().state, State::Open);
    gate
}

fn succeed(gate: &Gate, ticket: Ticket) {
    gate.settle(ticket, Outcome::Success, None);
}

fn fail(gate: &Gate, ticket: Ticket) {
    gate.settle(ticket, Outcome::Failure, None);
}

fn reset(gate: &Gate) {
    gate.change(|circuit, word, now| circuit.put(word, State::Closed, now));
}

/// What the first window holds.
fn held(gate: &Gate) -> (u64, u64) {
    gate.look(|circuit, _, _, _| {
        let tally = circuit.meters()[0].tally(0).expect("a rule with a window");
        (tally.calls, tally.failures)
    })
}

fn opened_times(gate: &Gate) -> u64 {
    gate.look(|circuit, _, _, _| {
        circuit
            .transitions()
            .iter()
            .map(|to| to[State::Open as usize])
            .sum()
    })
}

/// The bucket that calls are counted in ends.
fn roll(gate: &Gate) {
    let mut locked = gate.lock();
    let now = gate.now();
    locked.tick_end = Some(now);
    let word = gate.enter(&mut locked);
    gate.leave(locked, word, now);
}

fn spawn<T: 'static>(gate: &Arc<Gate>, run: impl FnOnce(&Gate) -> T + 'static) -> thread::JoinHandle<T> {
    let gate = Arc::clone(gate);
    thread::spawn(move || run(&gate))
}

fn model(run: impl Fn() + Send + Sync + 'static) {
    model_up_to(3, run);
}

/// Interrupts threads at most so often.
fn model_up_to(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

#[test]
fn no_failure_is_lost_and_the_circuit_opens_once() {
    model_up_to(2, || {
        let gate = gate(failures(3), FOR_EVER, 1);
        let others = [(); 2].map(|()| spawn(&gate, |gate| fail(gate, admit(gate))));
        fail(&gate, admit(&gate));
        for other in others {
            other.join().unwrap();
        }
        let word = gate.word();
        assert_eq!((word.state, word.generation), (State::Open, 1));
        assert_eq!(opened_times(&gate), 1);
    });
}

#[test]
fn successes_noted_in_lanes_of_ones_own_are_all_collected_while_failures_collect() {
    model(|| {
        let gate = gate(calls(), FOR_EVER, 1);
        let noting = spawn(&gate, |gate| {
            lane(0);
            // The first turns the lane, if need be; the second is noted without a lock.
            succeed(gate, admit(gate));
            succeed(gate, admit(gate));
        });
        lane(1);
        fail(&gate, admit(&gate));
        fail(&gate, admit(&gate));
        noting.join().unwrap();
        assert_eq!(held(&gate), (4, 2));
    });
}

#[test]
fn successes_noted_in_a_shared_lane_are_all_collected() {
    model(|| {
        let gate = gate(calls(), FOR_EVER, 1);
        let others = [(); 2].map(|()| spawn(&gate, |gate| succeed(gate, admit(gate))));
        // In the same lane, which it also turns.
        fail(&gate, admit(&gate));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(held(&gate), (3, 1));
    });
}

#[test]
fn a_lane_that_is_turned_while_others_count_in_it_loses_nothing() {
    model(|| {
        let gate = gate(century(), FOR_EVER, 1);
        let noting = spawn(&gate, |gate| {
            succeed(gate, admit(gate));
            succeed(gate, admit(gate));
        });
        roll(&gate);
        noting.join().unwrap();
        assert_eq!(held(&gate), (2, 0));
    });
}

#[test]
fn a_success_that_overlaps_the_end_of_a_tick_is_counted_once() {
    model(|| {
        let gate = gate(century(), FOR_EVER, 1);
        let noting = spawn(&gate, |gate| {
            lane(0);
            succeed(gate, admit(gate));
            succeed(gate, admit(gate));
        });
        lane(1);
        roll(&gate);
        fail(&gate, admit(&gate));
        noting.join().unwrap();
        assert_eq!(held(&gate), (3, 1));
    });
}

#[test]
fn a_success_of_a_generation_that_has_passed_is_never_counted_for_a_later_one() {
    for shares_lane in [false, true] {
        model(move || {
            let gate = gate(calls(), FOR_EVER, 1);
            let old = [admit(&gate), admit(&gate)];
            let noting = spawn(&gate, move |gate| {
                if !shares_lane {
                    lane(0);
                }
                old.into_iter().for_each(|ticket| succeed(gate, ticket));
            });
            reset(&gate);
            fail(&gate, admit(&gate));
            noting.join().unwrap();
            assert_eq!(held(&gate), (1, 1), "shares_lane: {shares_lane}");
        });
    }
}

#[test]
fn whoever_is_let_in_after_a_reset_counts_and_whoever_was_before_does_not() {
    model(|| {
        let gate = gate(calls(), FOR_EVER, 1);
        let calling = spawn(&gate, |gate| {
            lane(0);
            let ticket = admit(gate);
            succeed(gate, ticket);
            ticket.generation
        });
        lane(1);
        reset(&gate);
        let generation = calling.join().unwrap();
        assert_eq!(held(&gate).0, u64::from(generation == 1));
    });
}

#[test]
fn a_success_between_failures_ends_the_row_or_comes_too_late() {
    model(|| {
        let gate = gate(failures(2), FOR_EVER, 1);
        let (first, second, succeeds) = (admit(&gate), admit(&gate), admit(&gate));
        let succeeding = spawn(&gate, move |gate| {
            lane(0);
            succeed(gate, succeeds);
        });
        lane(1);
        fail(&gate, first);
        fail(&gate, second);
        succeeding.join().unwrap();
        let word = gate.word();
        let row = gate.look(|circuit, _, _, _| circuit.row());
        match word.state {
            State::Open => assert_eq!(word.generation, 1),
            State::Closed => assert!(row <= 1, "{row} failures in a row left the circuit closed"),
            other => panic!("{other}"),
        }
    });
}

/// Where a success may be what opens the circuit, and was noted down before that was known, the next call finds out.
#[test]
fn a_success_that_makes_up_the_number_opens_at_the_next_one_at_the_latest() {
    model(|| {
        let policy = TripPolicy::failure_rate(0.3, Window::calls(3));
        let gate = gate(policy, FOR_EVER, 1);
        let succeeding = spawn(&gate, |gate| {
            lane(0);
            succeed(gate, admit(gate));
        });
        lane(1);
        fail(&gate, admit(&gate));
        succeeding.join().unwrap();
        assert!(gate.word().watch, "one of two failed, and three are enough");
        succeed(&gate, admit(&gate));
        assert_eq!(gate.word().state, State::Open);
    });
}

#[test]
fn whoever_sees_an_open_circuit_sees_the_end_of_its_break() {
    model(|| {
        let gate = gate(failures(1), FOR_EVER, 1);
        // The one who looks is spawned: loom lets no other thread in between two loads of the main one.
        let looking = spawn(&gate, |gate| {
            let word = gate.word();
            if word.state == State::Open {
                // Not by asking, for that would take the lock and find the end there.
                assert!(gate.refusal(word, gate.now()).is_some(), "a break without an end");
            }
            if let Err(refusal) = gate.acquire() {
                assert!(matches!(refusal, Refusal::Open(_)), "{refusal:?}");
            }
        });
        fail(&gate, admit(&gate));
        looking.join().unwrap();
        assert_eq!(gate.word().state, State::Open, "an open circuit let a probe in");
    });
}

#[test]
fn whoever_sees_a_tick_sees_an_end_no_earlier_than_its_own() {
    model(|| {
        let gate = gate(century(), FOR_EVER, 1);
        let before = gate.bits();
        let looking = spawn(&gate, move |gate| {
            let bits = gate.bits();
            let end = gate.tick_end.load(Relaxed);
            if bits != before {
                assert_ne!(end, 0, "the end of the tick before");
            }
        });
        gate.tick_end.store(0, Relaxed);
        roll(&gate);
        looking.join().unwrap();
        assert_ne!(gate.bits(), before);
    });
}

#[test]
fn racing_for_the_probes_never_lets_in_more_than_there_are() {
    model_up_to(2, || {
        let gate = opened(2);
        let others = [(); 2].map(|()| spawn(&gate, Gate::acquire));
        let mine = gate.acquire();
        let answers = others.map(|other| other.join().unwrap());
        let tickets: Vec<_> = answers.iter().chain([&mine]).flatten().collect();
        assert_eq!(tickets.len(), 2);
        assert_ne!(tickets[0], tickets[1]);
        let word = gate.word();
        assert_eq!((word.state, word.free, word.generation), (State::HalfOpen, 0, 2));
    });
}

#[test]
fn probes_that_end_together_give_exactly_one_verdict() {
    for (one, other, verdict) in [
        (Outcome::Success, Outcome::Success, Some(State::Closed)),
        (Outcome::Success, Outcome::Failure, Some(State::Open)),
        (Outcome::Failure, Outcome::Failure, Some(State::Open)),
        // Dropped, and neutral: its slot is free again.
        (Outcome::Success, Outcome::Ignored, None),
    ] {
        model(move || {
            let gate = opened(2);
            let (mine, others) = (admit(&gate), admit(&gate));
            let settling = spawn(&gate, move |gate| gate.settle(others, other, None));
            gate.settle(mine, one, None);
            settling.join().unwrap();
            let word = gate.word();
            match verdict {
                Some(state) => assert_eq!((word.state, word.generation), (state, 3)),
                None => assert_eq!((word.state, word.free, word.generation), (State::HalfOpen, 1, 2)),
            }
        });
    }
}

#[test]
fn a_probe_that_is_dropped_while_another_asks_gives_its_slot_to_one_caller_at_most() {
    model(|| {
        let gate = opened(1);
        let probe = admit(&gate);
        let asking = spawn(&gate, |gate| gate.acquire().is_ok());
        // Young: it says nothing, and gives its slot back.
        gate.drop_call(probe, Moment::NONE, Moment::NONE);
        let others = asking.join().unwrap();
        let mine = gate.acquire().is_ok();
        assert!(others ^ mine, "one slot for two, or lost");
    });
}

#[test]
fn a_result_from_before_a_reset_changes_nothing_whenever_it_comes() {
    // One failure opens; or it is one of two.
    for threshold in [1, 2] {
        model_up_to(2, move || {
            let gate = gate(failures(threshold), FOR_EVER, 1);
            let old = admit(&gate);
            let failing = spawn(&gate, move |gate| fail(gate, old));
            let resetting = spawn(&gate, reset);
            reset(&gate);
            failing.join().unwrap();
            resetting.join().unwrap();
            // Whether it was counted first or came too late: the last reset closed and cleared.
            let row = gate.look(|circuit, _, _, _| circuit.row());
            assert_eq!((gate.word().state, row), (State::Closed, 0));
        });
    }
}

// ===== those who wait =====

/// Counts how often it was woken.
#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn bell() -> (std::sync::Arc<Bell>, std::task::Waker) {
    let bell = std::sync::Arc::<Bell>::default();
    (std::sync::Arc::clone(&bell), std::task::Waker::from(bell))
}

fn is_granted(turn: Turn) -> bool {
    match turn {
        Turn::Granted(_) | Turn::Free => true,
        Turn::Wait(_) => false,
    }
}

#[test]
fn a_slot_that_comes_free_while_somebody_begins_to_wait_is_granted_or_rings() {
    for outcome in [Outcome::Ignored, Outcome::Success] {
        model(move || {
            let gate = opened(1);
            let probe = admit(&gate);
            let settling = spawn(&gate, move |gate| gate.settle(probe, outcome, None));
            let ((rung, waker), mut place) = (bell(), None);
            let is_in = is_granted(gate.take_turn(&mut place, &waker));
            settling.join().unwrap();
            if !is_in {
                assert_eq!(rung.0.load(SeqCst), 1, "asleep, with the way in free");
                assert!(is_granted(gate.take_turn(&mut place, &waker)));
            }
            assert_eq!(place, None);
            assert_eq!(gate.look(|_, queue, _, _| queue.len()), 0);
        });
    }
}

#[test]
fn a_grant_that_meets_the_one_who_gives_up_goes_to_the_next_in_line() {
    model(|| {
        let gate = opened(1);
        let probe = admit(&gate);
        let ((_, waker), (next_rung, next_waker)) = (bell(), bell());
        let (mut place, mut next_place) = (None, None);
        assert!(!is_granted(gate.take_turn(&mut place, &waker)));
        assert!(!is_granted(gate.take_turn(&mut next_place, &next_waker)));
        let place = place.expect("it stands in the queue");

        let giving_up = spawn(&gate, move |gate| gate.give_up(place));
        gate.settle(probe, Outcome::Ignored, None);
        giving_up.join().unwrap();
        assert!(next_rung.0.load(SeqCst) > 0, "nobody told the next");
        assert!(is_granted(gate.take_turn(&mut next_place, &next_waker)));
        assert_eq!(gate.word().free, 0);
    });
}

#[test]
fn two_who_pick_up_one_grant_between_them_get_one() {
    model(|| {
        let gate = opened(1);
        let probe = admit(&gate);
        let mut place = None;
        let (_, waker) = bell();
        assert!(!is_granted(gate.take_turn(&mut place, &waker)));
        let settling = spawn(&gate, move |gate| gate.settle(probe, Outcome::Ignored, None));
        let asking = spawn(&gate, |gate| gate.acquire().is_ok());
        let mine = is_granted(gate.take_turn(&mut place, &waker));
        settling.join().unwrap();
        let others = asking.join().unwrap();
        assert!(!(mine && others), "one slot, two calls");
        if !mine && !others {
            assert!(is_granted(gate.take_turn(&mut place, &waker)));
        }
    });
}
