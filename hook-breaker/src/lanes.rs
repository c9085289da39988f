//! What every call writes: a line of memory for each of a number of threads.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use hook_monitor::Outcome;

use crate::{
    gate::Kinds,
    ledger::Noted,
    sync::{self, Striped},
};

/// One line: 64 bytes.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Successes that nobody has brought before the circuit yet, see [`ledger`](crate::ledger).
    pub(crate) noted: Noted,
    /// Calls that hold on to the gate, and those that have let go without a result that was counted.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Calls by what they were. One that has a result has let go.
    kinds: [AtomicU64; Kinds::LEN],
}

pub(crate) type Mine<'a> = sync::Mine<'a, Lane>;

#[derive(Debug)]
pub(crate) struct Lanes(Striped<Lane>);

impl Lanes {
    pub(crate) fn new() -> Self {
        Self(Striped::new(|| Lane {
            noted: Noted::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            kinds: Default::default(),
        }))
    }

    /// Forgets everything. Nobody is counting, and no call holds on.
    pub(crate) fn clear(&self) {
        for lane in self.iter() {
            lane.noted.store(0, Relaxed);
            let holds = [&lane.begun, &lane.ended].into_iter();
            holds.chain(&lane.kinds).for_each(|count| count.store(0, Relaxed));
        }
    }

    #[inline]
    pub(crate) fn mine(&self) -> Mine<'_> {
        self.0.mine()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Lane> {
        self.0.iter()
    }

    pub(crate) fn totals(&self) -> [u64; Kinds::LEN] {
        std::array::from_fn(|kind| self.sum(|lane| &lane.kinds[kind]))
    }

    /// Calls that have begun and not ended.
    pub(crate) fn visits(&self) -> u64 {
        let results = [Kinds::SUCCESS, Kinds::FAILURE, Kinds::IGNORED];
        let ended = results.map(|kind| self.sum(|lane| &lane.kinds[kind]));
        let ended = ended
            .into_iter()
            .fold(self.sum(|lane| &lane.ended), u64::wrapping_add);
        fence(Acquire);
        self.sum(|lane| &lane.begun).wrapping_sub(ended)
    }

    fn sum(&self, count: impl Fn(&Lane) -> &AtomicU64) -> u64 {
        self.iter()
            .fold(0, |sum, lane| sum.wrapping_add(count(lane).load(Relaxed)))
    }
}

#[inline]
pub(crate) fn begin(mine: &Mine<'_>) {
    mine.add(&mine.begun, 1);
}

/// A call lets go that has no result.
#[inline]
pub(crate) fn end(mine: &Mine<'_>) {
    // What the call did here is known to whoever knows of its end. Free on x86.
    fence(Release);
    mine.add(&mine.ended, 1);
}

/// A call lets go with a result of that kind.
#[inline]
pub(crate) fn end_as(mine: &Mine<'_>, outcome: Outcome) {
    fence(Release);
    mine.add(&mine.kinds[Kinds::of(outcome)], 1);
}

/// Something happened besides.
#[inline]
pub(crate) fn count(mine: &Mine<'_>, kind: usize) {
    mine.add(&mine.kinds[kind], 1);
}
