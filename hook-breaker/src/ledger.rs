//! Successes that nobody has brought before the circuit yet.
//!
//! A success of a circuit in which all is well changes nothing but the number of calls in its windows, and nobody
//! looks at that before the next failure. So it is only noted down, in a lane of its thread: an era (generation
//! and tick) in the upper half, a count in the lower. Whoever holds the circuit's lock [collects](Collected::collect)
//! what has come together since the last time, and gives it to the circuit before anything else.
//!
//! - A lane changes its era only under the lock, by the thread that is about to count there. What is counted
//!   late, under an era that has passed in the meantime, is still collected as of that era: nothing is lost, and
//!   nothing of an older generation is taken for the present one's.
//! - An era is sixteen bits of the generation and sixteen of the tick. A lane in which nobody counts for exactly
//!   65,536 ticks goes on with a tick of long ago, and its successes of the present tick are taken for as old as that.
//! - Without the lock a lane only ever grows by one within its era.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use crate::{
    lanes::{Lanes, Mine},
    sync::AtomicU64,
};

/// The part of a [lane](crate::lanes::Lane) that is written here.
pub(crate) type Noted = AtomicU64;

/// What has been collected from each lane; kept under the lock.
#[derive(Debug)]
pub(crate) struct Collected(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The lane as it was found last.
    raw: u64,
    generation: u32,
    /// An instant in the tick of the era.
    at: Instant,
}

/// Far from overflowing into the era, and far more than any window holds.
const FULL: u32 = 1 << 31;

const fn era(raw: u64) -> u32 {
    (raw >> 32) as u32
}

const fn count(raw: u64) -> u32 {
    raw as u32
}

/// Nothing collected, of lanes that are new or cleared, and of generation 0.
impl Collected {
    pub(crate) fn none(lanes: &Lanes, now: Instant) -> Self {
        let entry = Entry {
            raw: 0,
            generation: 0,
            at: now,
        };
        Self(vec![entry; lanes.iter().len()])
    }

    /// Tells `take` how many successes of which generation and instant were noted down since the last time. Under
    /// the lock.
    pub(crate) fn collect(&mut self, lanes: &Lanes, mut take: impl FnMut(u32, u64, Instant)) {
        for (lane, entry) in lanes.iter().zip(&mut self.0) {
            entry.settle(lane.noted.load(Relaxed), &mut take);
        }
    }

    /// Begins the era `now` in this thread's lane, so that it can note down there. What was noted down under the one
    /// before goes to `take`. Under the lock, in which `at` is an instant of the tick.
    pub(crate) fn turn(
        &mut self,
        mine: &Mine<'_>,
        now: u32,
        generation: u32,
        at: Instant,
        mut take: impl FnMut(u32, u64, Instant),
    ) {
        let entry = &mut self.0[mine.index()];
        let fresh = u64::from(now) << 32;
        let mut raw = mine.noted.load(Relaxed);
        loop {
            entry.settle(raw, &mut take);
            // Where others count in this lane too, they may have done so just now.
            match mine.noted.compare_exchange(raw, fresh, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(found) => raw = found,
            }
        }
        *entry = Entry {
            raw: fresh,
            generation,
            at,
        };
    }
}

/// Notes a success down under the era `now`. If this says `false`, it has not: the lane is of another era, or full.
#[inline]
pub(crate) fn note(mine: &Mine<'_>, now: u32) -> bool {
    if !mine.is_alone() {
        return note_among_others(&mine.noted, now);
    }
    let raw = mine.noted.load(Relaxed);
    let fits = fits(raw, now);
    if fits {
        mine.noted.store(raw + 1, Relaxed);
    }
    fits
}

#[inline(never)]
fn note_among_others(noted: &Noted, now: u32) -> bool {
    let mut raw = noted.load(Relaxed);
    while fits(raw, now) {
        match noted.compare_exchange_weak(raw, raw + 1, Relaxed, Relaxed) {
            Ok(_) => return true,
            Err(found) => raw = found,
        }
    }
    false
}

#[inline]
const fn fits(raw: u64, now: u32) -> bool {
    era(raw) == now && count(raw) < FULL
}

impl Entry {
    fn settle(&mut self, raw: u64, take: &mut impl FnMut(u32, u64, Instant)) {
        let new = count(raw) - count(self.raw);
        self.raw = raw;
        if new > 0 {
            take(self.generation, new.into(), self.at);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn collect(collected: &mut Collected, lanes: &Lanes) -> Vec<(u32, u64)> {
        let mut taken = Vec::new();
        collected.collect(lanes, |generation, n, _| taken.push((generation, n)));
        taken
    }

    #[test]
    fn what_is_noted_down_is_collected_once_and_under_its_own_generation() {
        let (now, lanes) = (Instant::now(), Lanes::new());
        let mut collected = Collected::none(&lanes, now);
        let mine = lanes.mine();
        assert!(note(&mine, 0) && note(&mine, 0));
        assert_eq!(collect(&mut collected, &lanes), [(0, 2)]);
        assert_eq!(collect(&mut collected, &lanes), []);

        assert!(!note(&mine, 5), "the lane is of another era");
        assert!(note(&mine, 0));
        let mut taken = Vec::new();
        collected.turn(&mine, 5, 1, now, |generation, n, _| taken.push((generation, n)));
        assert_eq!(taken, [(0, 1)], "what came late is not lost");
        assert!(!note(&mine, 0));
        assert!(note(&mine, 5));
        assert_eq!(collect(&mut collected, &lanes), [(1, 1)]);
    }

    #[test]
    fn a_full_lane_takes_no_more_until_it_is_turned() {
        let (now, lanes) = (Instant::now(), Lanes::new());
        let mut collected = Collected::none(&lanes, now);
        let mine = lanes.mine();
        mine.noted.store(u64::from(FULL) - 1, Relaxed);
        assert!(note(&mine, 0));
        assert!(!note(&mine, 0));
        assert_eq!(collect(&mut collected, &lanes), [(0, u64::from(FULL))]);
        collected.turn(&mine, 0, 0, now, |_, _, _| panic!("there is nothing more"));
        assert!(note(&mine, 0));
        assert_eq!(collect(&mut collected, &lanes), [(0, 1)]);
    }
}
