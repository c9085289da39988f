use std::{
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Clock, Lane, Outcome,
    tally::{End, Tally},
};

/// One call under way, from [`CallMonitor::start`](crate::CallMonitor::start).
///
/// # Cancellation
///
/// A call dropped without [`finish`](Call::finish) counts as cancelled; dropped by a panic that began
/// after it and unwinds through its owner, as panicked.
#[must_use = "a call that is dropped unfinished counts as cancelled"]
pub struct Call {
    ticket: Ticket<()>,
    // A call that a destructor makes while a panic unwinds is not ended by that panic.
    amid_panic: bool,
}

impl Call {
    #[inline]
    pub(crate) fn new(ticket: Ticket<()>) -> Self {
        Self {
            ticket,
            amid_panic: thread::panicking(),
        }
    }

    /// The call ended with `outcome`. Its latency, if it is a success or a failure, is the time since
    /// it was started.
    #[inline]
    pub fn finish(mut self, outcome: Outcome) {
        self.ticket.finish(|_, _| outcome);
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if thread::panicking() && !self.amid_panic {
            self.ticket.end(End::Panicked);
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("started", &self.ticket.started)
            .finish_non_exhaustive()
    }
}

// ===== impl Ticket =====

/// What a call needs from its beginning to its end.
#[derive(Clone, Debug)]
pub(crate) struct Share<X> {
    pub(crate) tally: Arc<Tally>,
    pub(crate) clock: Clock,
    /// How results are judged, where the calls do not bring that along.
    pub(crate) judge: X,
}

/// A call that was counted as started; counted as ended once, and as cancelled if nobody says how.
pub(crate) struct Ticket<X> {
    /// Gone when the end is counted.
    lane: Option<Arc<Lane<Share<X>>>>,
    started: Instant,
}

impl<X> Ticket<X> {
    #[inline]
    pub(crate) fn new(lane: Arc<Lane<Share<X>>>) -> Self {
        let started = lane.clock.now();
        lane.tally.start();
        Self {
            lane: Some(lane),
            started,
        }
    }

    /// The call has a result, which `judge` judges by how long it took. Does nothing, and does not ask,
    /// if the end is counted already.
    #[inline]
    pub(crate) fn finish(&mut self, judge: impl FnOnce(&X, Duration) -> Outcome) {
        if let Some(lane) = &self.lane {
            let took = lane.clock.now().saturating_duration_since(self.started);
            let outcome = judge(&lane.judge, took);
            self.close(|tally| tally.finish(outcome, took));
        }
    }

    /// The call ended without a result. Does nothing if the end is counted already.
    #[inline]
    pub(crate) fn end(&mut self, end: End) {
        self.close(|tally| tally.end(end));
    }

    #[inline]
    fn close(&mut self, count: impl FnOnce(&Tally)) {
        if let Some(lane) = self.lane.take() {
            count(&lane.tally);
        }
    }
}

impl<X> Drop for Ticket<X> {
    #[inline]
    fn drop(&mut self) {
        self.end(End::Cancelled);
    }
}

/// A call while code that is not ours runs: should that panic, the call ends there and then, however
/// long its remains are kept. A call that is dropped by a panic elsewhere was merely cancelled.
pub(crate) struct Unwinding<'a, X>(Option<&'a mut Ticket<X>>);

impl<'a, X> Unwinding<'a, X> {
    #[inline]
    pub(crate) fn guard(ticket: &'a mut Ticket<X>) -> Self {
        Self(Some(ticket))
    }

    #[inline]
    pub(crate) fn finish(&mut self, judge: impl FnOnce(&X, Duration) -> Outcome) {
        if let Some(ticket) = &mut self.0 {
            ticket.finish(judge);
        }
    }

    /// Nothing panicked.
    #[inline]
    pub(crate) fn survived(mut self) {
        self.0 = None;
    }
}

impl<X> Drop for Unwinding<'_, X> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = &mut self.0 {
            ticket.end(End::Panicked);
        }
    }
}
