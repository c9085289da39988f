use std::{
    sync::atomic::Ordering::{Acquire, Release},
    time::Duration,
};

use crate::{Counters, Ending, Histogram, Room, sync::fence};

/// What one monitor has counted; what every service, call and handle of it shares.
///
/// Of each call, `start` is counted before its end, and whoever counts the end knows of the start.
/// [`reading`](Tally::reading) reads the ends first, so it never sees an end without its start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) latency: Histogram,
    calls: Counters<{ STARTED + 1 }>,
}

/// How a call ended. The number is its place in the counters; starts come after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Error,
    Ignored,
    Rejected,
    Timeout,
    Cancelled,
    Panicked,
}

const ENDS: usize = 7;
const STARTED: usize = ENDS;

/// How often the counters are read for one answer.
const READINGS: usize = 3;

/// The counters of one [`Tally`], read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) started: u64,
    pub(crate) ended: [u64; ENDS],
}

impl Tally {
    /// Begins anew. Nobody counts here meanwhile.
    pub(crate) fn clear(&self) {
        self.latency.clear();
        self.calls.clear();
    }

    #[inline]
    pub(crate) fn start(&self) {
        self.calls.add(STARTED, 1);
    }

    /// A call ended after `took`, which counts as latency if the call says anything about it.
    #[inline]
    pub(crate) fn finish(&self, ending: Ending, took: Duration) {
        if !matches!(ending, Ending::Ignored | Ending::Rejected) {
            self.latency.record(took);
        }
        self.end(ending.into());
    }

    #[inline]
    pub(crate) fn end(&self, end: End) {
        // Publishes the start with the end, for whoever reads the end. Free on x86.
        fence(Release);
        self.calls.add(end as usize, 1);
    }

    /// What begins and ends between the two halves of a reading looks under way, and if the reader is put to
    /// sleep there, that is all there was meanwhile. So this reads more than once, and keeps what is least
    /// ahead. No reading is behind.
    pub(crate) fn counts(&self) -> Counts {
        let mut least = self.reading();
        for _ in 1..READINGS {
            let another = self.reading();
            if another.in_flight() <= least.in_flight() {
                least = another;
            }
        }
        least
    }

    fn reading(&self) -> Counts {
        let ended = std::array::from_fn(|end| self.calls.get(end));
        // Every end that was seen has its start seen below.
        fence(Acquire);
        Counts {
            started: self.calls.get(STARTED),
            ended,
        }
    }
}

impl Counts {
    pub(crate) fn of(&self, end: End) -> u64 {
        self.ended[end as usize]
    }

    /// Calls under way: what makes the ends add up to the starts, now and after 2^64 calls.
    pub(crate) fn in_flight(&self) -> u64 {
        self.ended
            .iter()
            .fold(self.started, |rest, ended| rest.wrapping_sub(*ended))
    }
}

impl End {
    pub(crate) const ALL: [Self; ENDS] = [
        Self::Ok,
        Self::Error,
        Self::Ignored,
        Self::Rejected,
        Self::Timeout,
        Self::Cancelled,
        Self::Panicked,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }
}

impl From<Ending> for End {
    #[inline]
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Ok => Self::Ok,
            Ending::Error => Self::Error,
            Ending::Ignored => Self::Ignored,
            Ending::Rejected => Self::Rejected,
            Ending::Timeout => Self::Timeout,
        }
    }
}

/// A visit is a call: it begins when the call does, and one that nobody ended otherwise was cancelled.
impl Room for Tally {
    #[inline]
    fn begin(&self) {
        self.start();
    }

    fn end(&self) {
        self.end(End::Cancelled);
    }

    fn visits(&self) -> u64 {
        self.reading().in_flight()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
    };

    use super::*;

    #[test]
    fn each_end_is_counted_under_its_own_name() {
        for (index, end) in End::ALL.into_iter().enumerate() {
            let tally = Tally::default();
            tally.start();
            assert_eq!(tally.counts().in_flight(), 1);
            tally.end(end);

            let mut ended = [0; ENDS];
            ended[index] = 1;
            let counts = tally.counts();
            assert_eq!(counts, Counts { started: 1, ended }, "{}", end.as_str());
            assert_eq!(counts.in_flight(), 0);
        }
    }

    #[test]
    fn no_end_is_seen_without_its_start() {
        let tally = Tally::default();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Nothing but starts and ends, so that many of them fall into each reading.
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        tally.start();
                        tally.end(End::Cancelled);
                    }
                });
            }
            let readings: Vec<_> = (0..20_000).map(|_| tally.counts()).collect();
            done.store(true, Relaxed);
            for counts in readings {
                assert!(counts.started >= counts.of(End::Cancelled), "{counts:?}");
            }
        });
        assert_eq!(tally.counts().in_flight(), 0);
    }

    #[test]
    fn latency_is_that_of_calls_that_were_tried_and_say_something() {
        for (ending, recorded) in [
            (Ending::Ok, 1),
            (Ending::Error, 1),
            (Ending::Timeout, 1),
            (Ending::Ignored, 0),
            (Ending::Rejected, 0),
        ] {
            let tally = Tally::default();
            tally.start();
            tally.finish(ending, Duration::from_secs(1));
            assert_eq!(tally.latency.snapshot().count(), recorded, "{ending:?}");
            assert_eq!(tally.counts().of(ending.into()), 1);
        }
    }

    #[test]
    fn a_tally_that_was_cleared_is_as_new() {
        let tally = Tally::default();
        tally.start();
        tally.finish(Ending::Ok, Duration::MAX);
        tally.clear();
        assert_eq!(tally.counts(), Tally::default().counts());
        assert_eq!(tally.latency.snapshot(), Histogram::new().snapshot());
    }
}
