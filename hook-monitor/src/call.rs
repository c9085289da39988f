use std::{
    fmt,
    mem::ManuallyDrop,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Clock, Ending, Outcome, Visit,
    shared::Core,
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
    ticket: Ticket,
    // A call that a destructor makes while a panic unwinds is not ended by that panic.
    amid_panic: bool,
}

impl Call {
    #[inline]
    pub(crate) fn new(ticket: Ticket) -> Self {
        Self {
            ticket,
            amid_panic: thread::panicking(),
        }
    }

    /// The call ended with `outcome`. Its latency, if it is a success or a failure, is the time since
    /// it was started.
    #[inline]
    pub fn finish(self, outcome: Outcome) {
        self.finish_as(outcome.into());
    }

    /// The same, for a call that may have been refused or too slow.
    #[inline]
    pub fn finish_as(mut self, ending: Ending) {
        self.ticket.finish(|_| ending);
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

/// A call that was counted as started; counted as ended once, and as cancelled if nobody says how.
pub(crate) struct Ticket {
    /// Gone when the end is counted. Ended by hand, so that a future which has ended has but this word to look at
    /// when it is dropped.
    visit: Option<ManuallyDrop<Visit<Tally>>>,
    started: Instant,
    clock: Clock,
}

impl Ticket {
    #[inline]
    pub(crate) fn new(core: &Core) -> Self {
        let clock = core.clock;
        let started = clock.now();
        Self {
            visit: Some(ManuallyDrop::new(Visit::to(core.tally()))),
            started,
            clock,
        }
    }

    /// The call has a result, which `judge` judges by how long it took. Does nothing, and does not ask,
    /// if the end is counted already.
    #[inline]
    pub(crate) fn finish(&mut self, judge: impl FnOnce(Duration) -> Ending) {
        if self.visit.is_some() {
            let took = self.clock.now().saturating_duration_since(self.started);
            let ending = judge(took);
            self.close(|tally| tally.finish(ending, took));
        }
    }

    /// The call ended without a result. Does nothing if the end is counted already.
    #[cold]
    #[inline(never)]
    pub(crate) fn end(&mut self, end: End) {
        self.close(|tally| tally.end(end));
    }

    #[inline]
    fn close(&mut self, count: impl FnOnce(&Tally)) {
        if let Some(visit) = self.visit.take() {
            ManuallyDrop::into_inner(visit).end_with(count);
        }
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if self.visit.is_some() {
            self.end(End::Cancelled);
        }
    }
}

/// A call while code that is not ours runs: should that panic, the call ends there and then, however
/// long its remains are kept. A call that is dropped by a panic elsewhere was merely cancelled.
pub(crate) struct Unwinding<'a>(Option<&'a mut Ticket>);

impl<'a> Unwinding<'a> {
    #[inline]
    pub(crate) fn guard(ticket: &'a mut Ticket) -> Self {
        Self(Some(ticket))
    }

    #[inline]
    pub(crate) fn finish(&mut self, judge: impl FnOnce(Duration) -> Ending) {
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

impl Drop for Unwinding<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = &mut self.0 {
            ticket.end(End::Panicked);
        }
    }
}
