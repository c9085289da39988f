use std::{
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hook_monitor::{Lane, Outcome, Rejected};

use crate::{breaker::Local, circuit::Ticket, shared::Owner};

/// Leave to make one call, from [`CircuitBreaker::try_acquire`].
///
/// Tell it how the call went. A permit that belongs to an earlier generation of the circuit (there was
/// a transition or a reset since) changes nothing in the circuit, but is counted in the totals.
///
/// # Cancellation
///
/// A permit dropped without a word counts by the breaker's [`DroppedCall`] rule, its age measured from
/// `try_acquire`. Dropped by a panic that began after it and unwinds through its owner, it counts as a
/// failure.
///
/// [`CircuitBreaker::try_acquire`]: crate::CircuitBreaker::try_acquire
/// [`DroppedCall`]: crate::DroppedCall
#[must_use = "a permit that is dropped unsettled counts as a dropped call"]
pub struct Permit {
    /// Gone when it is settled.
    admission: Option<Admission<Arc<Lane<Local>>>>,
    // A call that a destructor makes while a panic unwinds is not ended by that panic.
    amid_panic: bool,
}

impl Permit {
    pub(crate) fn new(mut admission: Admission<Arc<Lane<Local>>>) -> Self {
        // Nobody will tell when the holder begins to wait, so the age runs from now.
        admission.wait();
        Self {
            admission: Some(admission),
            amid_panic: thread::panicking(),
        }
    }

    /// The call did what it was for.
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// The call failed.
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// The call says nothing about the health of what was called. A probe gives its slot back.
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// The call ended with `outcome`.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(admission) = self.admission.take() {
            admission.settle(outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            if thread::panicking() && !self.amid_panic {
                admission.settle(Outcome::Failure);
            }
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

// ===== impl Admission =====

/// A call that was let in and has not ended. Ends by [`settle`](Admission::settle), or by being
/// dropped, which counts by the rule for dropped calls.
#[derive(Debug)]
pub(crate) struct Admission<O: Owner> {
    owner: O,
    ticket: Option<Ticket>,
    /// When it was let in, if the classifier wants to know.
    started: Option<Instant>,
    /// When it first had to wait, if the rule for dropped calls wants to know. Not when it was let in:
    /// what nobody polled has not kept anybody waiting.
    waiting: Option<Instant>,
}

impl<O: Owner> Admission<O> {
    #[inline]
    pub(crate) fn acquire(owner: O) -> Result<Self, (Rejected, O)> {
        match owner.core().acquire() {
            Ok(ticket) => Ok(Self {
                owner,
                ticket: Some(ticket),
                started: None,
                waiting: None,
            }),
            Err(rejected) => Err((rejected, owner)),
        }
    }

    #[inline]
    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    /// The call has to wait: its age, if anyone will ask for it, runs from here.
    #[inline]
    pub(crate) fn wait(&mut self) {
        let core = self.owner.core();
        if self.waiting.is_none() && core.is_age_of_use() {
            self.waiting = Some(core.clock.now());
        }
    }

    /// The classifier will ask how long the call [took](Admission::took).
    #[inline]
    pub(crate) fn start(&mut self) {
        self.started = Some(self.owner.core().clock.now());
    }

    /// How long the call has taken if it was [started](Admission::start), and zero otherwise.
    #[inline]
    pub(crate) fn took(&self) -> Duration {
        match self.started {
            Some(started) => self.owner.core().clock.now().saturating_duration_since(started),
            None => Duration::ZERO,
        }
    }

    #[inline]
    pub(crate) fn settle(mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.owner.core().settle(ticket, outcome);
        }
    }

    /// Undoes the admission: the call is not made after all, and counts as refused.
    pub(crate) fn refuse(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.owner.core().refuse(ticket);
        }
    }
}

impl<O: Owner> Drop for Admission<O> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let core = self.owner.core();
            core.settle(ticket, core.dropped(self.waiting));
        }
    }
}

/// An admission while the call's own code runs: should that panic, the call has failed.
pub(crate) struct Unwinding<O: Owner>(Option<Admission<O>>);

impl<O: Owner> Unwinding<O> {
    #[inline]
    pub(crate) fn guard(admission: Admission<O>) -> Self {
        Self(Some(admission))
    }

    /// Nothing panicked.
    #[inline]
    pub(crate) fn survived(mut self) -> Admission<O> {
        self.0.take().expect("the guard holds the admission until here")
    }

    #[inline]
    pub(crate) fn admission(&self) -> &Admission<O> {
        self.0.as_ref().expect("the guard holds the admission until here")
    }
}

impl<O: Owner> Drop for Unwinding<O> {
    #[inline]
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.settle(Outcome::Failure);
        }
    }
}
