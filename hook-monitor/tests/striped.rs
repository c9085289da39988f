//! One test, for it needs a process in which nobody else holds stripes.

use std::{
    collections::HashSet,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use hook_monitor::Striped;

#[test]
fn no_two_living_threads_are_alone_in_the_same_stripe_and_ended_ones_give_theirs_back() {
    let striped = Striped::new(AtomicU64::default);
    // More than there can be stripes to be alone in.
    let threads = 70;
    for round in 1..=3 {
        let alone = Mutex::new(HashSet::new());
        let all_here = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mine = striped.mine();
                    assert_eq!(mine.index(), striped.mine().index(), "a thread keeps its stripe");
                    if mine.is_alone() {
                        let first = alone.lock().map(|mut alone| alone.insert(mine.index()));
                        assert!(
                            first.is_ok_and(|first| first),
                            "stripe {} given twice",
                            mine.index()
                        );
                    }
                    for _ in 0..100 {
                        mine.add(&mine, 1);
                    }
                    // Nobody ends before everybody has begun.
                    all_here.wait();
                });
            }
        });
        // Did the threads of the last round not give their stripes back, there would be none to be alone in.
        let alone = alone.into_inner().expect("no thread panicked");
        assert!(alone.len() >= 4, "round {round}: {alone:?}");
        let sum: u64 = striped.iter().map(|stripe| stripe.load(Relaxed)).sum();
        assert_eq!(sum, round * 70 * 100);
    }
}
