//! Every interleaving of two or three threads:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p hook-breaker --release --lib loom
//! ```

use loom::{sync::Arc, thread};

use super::*;

const OPEN_FOR: Duration = Duration::from_secs(60);

fn gate(consecutive_failures: u32, probes: u32, now: Instant) -> Arc<Gate> {
    let settings = Settings {
        consecutive_failures,
        open_for: OPEN_FOR,
        probes,
        ..Settings::default()
    };
    Arc::new(Gate::new(settings, now))
}

/// Lets one call in, which has to be possible.
fn admit(gate: &Gate, now: Instant) -> Ticket {
    gate.acquire(|| now).expect("the circuit lets calls in")
}

/// A gate whose break is just over.
fn opened(probes: u32, now: Instant) -> (Arc<Gate>, Instant) {
    let gate = gate(1, probes, now);
    gate.settle(admit(&gate, now), Outcome::Failure, || now);
    assert_eq!(gate.word().state, State::Open);
    (gate, now + OPEN_FOR)
}

fn spawn<T: 'static>(gate: &Arc<Gate>, run: impl FnOnce(&Gate) -> T + 'static) -> thread::JoinHandle<T> {
    let gate = Arc::clone(gate);
    thread::spawn(move || run(&gate))
}

#[test]
fn no_failure_is_lost_and_the_circuit_opens_once() {
    let now = Instant::now();
    loom::model(move || {
        let gate = gate(3, 1, now);
        let others = [(); 2].map(|()| {
            spawn(&gate, move |gate| {
                let ticket = admit(gate, now);
                gate.settle(ticket, Outcome::Failure, || now);
            })
        });
        let ticket = admit(&gate, now);
        gate.settle(ticket, Outcome::Failure, || now);
        for other in others {
            other.join().unwrap();
        }
        let (word, _, transitions) = gate.look();
        assert_eq!((word.state, word.generation), (State::Open, 1));
        assert_eq!(transitions.opened(), 1);
    });
}

#[test]
fn whoever_sees_an_open_circuit_sees_the_end_of_its_break() {
    let now = Instant::now();
    loom::model(move || {
        let gate = gate(1, 1, now);
        // The one who looks is spawned: loom lets no other thread in between two loads of the main one.
        let looking = spawn(&gate, move |gate| {
            if gate.word().state == State::Open {
                // Not by asking, for that would take the lock and find the end there.
                assert_eq!(gate.peek(|| now), Peek::Refusing(Reason::CircuitOpen));
            }
            if let Err(rejected) = gate.acquire(|| now) {
                assert_eq!(rejected.retry_after(), Some(OPEN_FOR));
            }
        });
        gate.settle(admit(&gate, now), Outcome::Failure, || now);
        looking.join().unwrap();
        assert_eq!(gate.word().state, State::Open, "an open circuit let a probe in");
    });
}

#[test]
fn a_success_and_the_failure_that_opens_meet_and_one_of_both_orders_comes_out() {
    let now = Instant::now();
    loom::model(move || {
        let gate = gate(2, 1, now);
        gate.settle(admit(&gate, now), Outcome::Failure, || now);
        let (fails, succeeds) = (admit(&gate, now), admit(&gate, now));
        let failing = spawn(&gate, move |gate| gate.settle(fails, Outcome::Failure, || now));
        gate.settle(succeeds, Outcome::Success, || now);
        failing.join().unwrap();
        let word = gate.word();
        match word.state {
            State::Open => assert_eq!(word.generation, 1),
            State::Closed => assert_eq!(word.count, 1, "the failure came after the success"),
            State::HalfOpen => panic!("nobody asked after the break"),
        }
    });
}

#[test]
fn racing_for_the_probes_never_lets_in_more_than_there_are() {
    let start = Instant::now();
    loom::model(move || {
        let (gate, now) = opened(2, start);
        let others = [(); 2].map(|()| spawn(&gate, move |gate| gate.acquire(|| now)));
        let mine = gate.acquire(|| now);
        let answers = others.map(|other| other.join().unwrap());
        let tickets: Vec<_> = answers.iter().chain([&mine]).flatten().collect();
        assert_eq!(tickets.len(), 2);
        assert_ne!(tickets[0], tickets[1]);
        assert_eq!(
            gate.word(),
            Word {
                state: State::HalfOpen,
                count: 0,
                generation: 2
            }
        );
    });
}

#[test]
fn probes_that_end_together_give_exactly_one_verdict() {
    let start = Instant::now();
    for (one, other, verdict) in [
        (Outcome::Success, Outcome::Success, Some(State::Closed)),
        (Outcome::Success, Outcome::Failure, Some(State::Open)),
        (Outcome::Failure, Outcome::Failure, Some(State::Open)),
        // Dropped, and neutral: its slot is free again.
        (Outcome::Success, Outcome::Ignored, None),
    ] {
        loom::model(move || {
            let (gate, now) = opened(2, start);
            let (mine, others) = (admit(&gate, now), admit(&gate, now));
            let settling = spawn(&gate, move |gate| gate.settle(others, other, || now));
            gate.settle(mine, one, || now);
            settling.join().unwrap();
            let word = gate.word();
            match verdict {
                Some(state) => assert_eq!((word.state, word.generation), (state, 3)),
                None => assert_eq!((word.state, word.count, word.generation), (State::HalfOpen, 1, 2)),
            }
        });
    }
}

#[test]
fn a_result_from_before_a_reset_changes_nothing_whenever_it_comes() {
    let now = Instant::now();
    // One failure opens, under the lock; one of two is counted without it.
    for threshold in [1, 2] {
        loom::model(move || {
            let gate = gate(threshold, 1, now);
            let old = admit(&gate, now);
            let failing = spawn(&gate, move |gate| gate.settle(old, Outcome::Failure, || now));
            let resetting = spawn(&gate, Gate::reset);
            gate.reset();
            failing.join().unwrap();
            resetting.join().unwrap();
            // Whether it was counted first or came too late: the last reset closed and cleared.
            let word = gate.word();
            assert_eq!((word.state, word.count), (State::Closed, 0));
        });
    }
}
