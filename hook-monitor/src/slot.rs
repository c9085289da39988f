//! Which thread may write where without asking the others.
//!
//! A thread that counts for the first time claims one of a fixed number of *exclusive* slots, and gives it back
//! when it ends. While it holds the slot nobody else writes there, so what is an atomic read-modify-write between
//! threads is a load and a store to it. Threads that find no slot free share the rest, and write there with
//! read-modify-writes.

use std::{
    cell::Cell,
    sync::{
        LazyLock,
        atomic::Ordering::{AcqRel, Relaxed},
    },
    thread,
};

use crate::sync::AtomicU64;

/// Slots for the threads that came too late for one of their own.
const SHARED: usize = if cfg!(all(test, loom)) { 1 } else { 4 };
/// One bit each in [`CLAIMED`].
const MOST_EXCLUSIVE: usize = 64;

/// Where this thread writes, and whether it is alone there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) index: usize,
    pub(crate) is_exclusive: bool,
}

/// How many slots there are in all, in this process.
pub(crate) fn slots() -> usize {
    exclusive() + SHARED
}

/// Twice as many as there are processors, for threads that sleep hold on to theirs.
fn exclusive() -> usize {
    static EXCLUSIVE: LazyLock<usize> = LazyLock::new(|| {
        let processors = thread::available_parallelism().map_or(4, usize::from);
        (2 * processors).clamp(4, MOST_EXCLUSIVE)
    });
    if cfg!(all(test, loom)) { 1 } else { *EXCLUSIVE }
}

#[cfg(not(all(test, loom)))]
static CLAIMED: AtomicU64 = AtomicU64::new(0);
#[cfg(not(all(test, loom)))]
static LATECOMERS: AtomicU64 = AtomicU64::new(0);

/// A slot in eight bytes, with the exclusive ones below [`FIRST_SHARED`].
const UNKNOWN: usize = usize::MAX;
const IS_SHARED: usize = 1 << 31;

#[cfg(not(all(test, loom)))]
thread_local! {
    // Without a destructor, so that looking at it is one load.
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static CLAIM: Claim = const { Claim(Cell::new(UNKNOWN)) };
}

#[cfg(all(test, loom))]
loom::lazy_static! {
    static ref CLAIMED: AtomicU64 = AtomicU64::new(0);
    static ref LATECOMERS: AtomicU64 = AtomicU64::new(0);
}

#[cfg(all(test, loom))]
loom::thread_local! {
    static MINE: Cell<usize> = Cell::new(UNKNOWN);
    static CLAIM: Claim = Claim(Cell::new(UNKNOWN));
}

/// The exclusive slot of this thread, if it has one. Gives it back when the thread ends.
struct Claim(Cell<usize>);

impl Claim {
    fn give_back(&self) {
        // Destructors of other thread-locals may count after this one.
        let _ = MINE.try_with(|mine| mine.set(shared()));
        let mine = self.0.get();
        if mine & IS_SHARED == 0 {
            // Publishes what this thread wrote there to whoever claims the slot next.
            CLAIMED.fetch_and(!(1 << mine), AcqRel);
        }
    }
}

#[cfg(not(all(test, loom)))]
impl Drop for Claim {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What the destructor does. Loom would run it when the counters are gone already.
#[cfg(all(test, loom))]
pub(crate) fn leave() {
    CLAIM.with(Claim::give_back);
}

/// The slot of this thread.
#[inline]
pub(crate) fn mine() -> Slot {
    let mut mine = MINE.with(Cell::get);
    if mine == UNKNOWN {
        mine = claim();
    }
    Slot {
        index: mine & !IS_SHARED,
        is_exclusive: mine & IS_SHARED == 0,
    }
}

#[cold]
fn claim() -> usize {
    let exclusive = exclusive();
    let mut taken = CLAIMED.load(Relaxed);
    // Registers the destructor first: without it the slot would never come back.
    let can_return = CLAIM.try_with(|_| ()).is_ok();
    let mine = loop {
        let free = taken.trailing_ones() as usize;
        if free >= exclusive || !can_return {
            break shared();
        }
        match CLAIMED.compare_exchange_weak(taken, taken | 1 << free, AcqRel, Relaxed) {
            Ok(_) => break free,
            Err(found) => taken = found,
        }
    };
    if mine & IS_SHARED == 0 {
        CLAIM.with(|claim| claim.0.set(mine));
    }
    MINE.with(|place| place.set(mine));
    mine
}

fn shared() -> usize {
    let turn = LATECOMERS.fetch_add(1, Relaxed) as usize % SHARED;
    (exclusive() + turn) | IS_SHARED
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_destructor_that_counts_after_the_slot_is_gone_shares_one() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                let slot = mine();
                assert!(!slot.is_exclusive || CLAIM.try_with(|_| ()).is_ok());
            }
        }
        thread_local!(static LATE: Late = const { Late });
        for late_first in [true, false] {
            let ended = thread::spawn(move || {
                if late_first {
                    LATE.with(|_| ());
                    mine();
                } else {
                    mine();
                    LATE.with(|_| ());
                }
            });
            ended.join().expect("neither order of destructors panics");
        }
    }
}
