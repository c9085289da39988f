use std::{fmt, mem::ManuallyDrop, thread, time::Duration};

use hook_monitor::{Outcome, Visit};

use crate::{
    circuit::Ticket,
    gate::{Gate, Moment},
    refusal::Refusal,
};

/// Leave to make one call, from [`CircuitBreaker::try_acquire`].
///
/// Tell it how the call went. A permit that belongs to an earlier generation of the circuit (there was
/// a transition or a reset since) changes nothing in the circuit, but is counted in the totals.
///
/// How long the call took, for a rule about slow calls, is measured from `try_acquire`.
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
    admission: Option<Admission>,
    // A call that a destructor makes while a panic unwinds is not ended by that panic.
    amid_panic: bool,
}

impl Permit {
    pub(crate) fn new(mut admission: Admission) -> Self {
        admission.start(false);
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
        if let Some(mut admission) = self.admission.take() {
            admission.settle(outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(mut admission) = self.admission.take() {
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
pub(crate) struct Admission {
    /// Gone when it is settled.
    gate: Option<Visit<Gate>>,
    ticket: Ticket,
    /// When it was let in, if anyone wants to know how long it took.
    started: Moment,
    /// When it first had to wait, if the rule for dropped calls wants to know. Not when it was let in:
    /// what nobody polled has not kept anybody waiting.
    waiting: Moment,
}

impl Admission {
    /// Where every call is let in. Wakes nobody and asks nobody.
    #[inline(always)]
    pub(crate) fn acquire_free(gate: &'static Gate) -> Option<Self> {
        let ticket = gate.acquire_free()?;
        Some(Self::new(Visit::to(gate), ticket))
    }

    pub(crate) fn acquire(gate: &'static Gate) -> Result<Self, Refusal> {
        Self::acquire_in(Visit::to(gate))
    }

    /// For a call that has been holding on to the gate already.
    #[inline]
    pub(crate) fn acquire_in(gate: Visit<Gate>) -> Result<Self, Refusal> {
        match gate.acquire() {
            Ok(ticket) => Ok(Self::new(gate, ticket)),
            Err(refusal) => {
                gate.count_refusal();
                Err(refusal)
            }
        }
    }

    #[inline(always)]
    pub(crate) fn new(gate: Visit<Gate>, ticket: Ticket) -> Self {
        Self {
            gate: Some(gate),
            ticket,
            started: Moment::NONE,
            waiting: Moment::NONE,
        }
    }

    /// Whether its result would still count.
    pub(crate) fn is_current(&self) -> bool {
        self.gate
            .as_ref()
            .is_some_and(|gate| self.ticket.is_of(gate.word()))
    }

    /// The call has to wait: its age, if anyone will ask for it, runs from here.
    #[inline(always)]
    pub(crate) fn wait(&mut self) {
        if let Some(gate) = &self.gate {
            if self.waiting.is_none() && gate.knobs().is_age_of_use() {
                self.waiting = gate.moment();
            }
        }
    }

    /// The call begins. The time is taken if the classifier `is_timed`, or a rule asks for it.
    #[inline(always)]
    pub(crate) fn start(&mut self, is_timed: bool) {
        if let Some(gate) = &self.gate {
            if is_timed || gate.knobs().is_time_of_use() {
                self.started = gate.moment();
            }
        }
    }

    /// How long the call has taken, if anyone wants to know.
    #[inline]
    pub(crate) fn took(&self) -> Option<Duration> {
        match &self.gate {
            Some(gate) if !self.started.is_none() => took(gate, self.started),
            _ => None,
        }
    }

    /// Whether the call has been settled.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.gate.is_none()
    }

    pub(crate) fn settle(&mut self, outcome: Outcome) {
        let took = self.took();
        self.settle_after(outcome, took);
    }

    /// Like `settle`, where it is known how long the call took.
    #[inline(always)]
    pub(crate) fn settle_after(&mut self, outcome: Outcome, took: Option<Duration>) {
        if let Some(gate) = self.gate.take() {
            let is_plain = outcome == Outcome::Success && self.started.is_none();
            if is_plain && gate.settle_plainly(self.ticket) {
                gate.end_with(|_| ());
            } else {
                settle(gate, self.ticket, outcome, took);
            }
        }
    }

    /// Undoes the admission: the call is not made after all, and counts as nothing.
    pub(crate) fn give_back(mut self) {
        if let Some(gate) = self.gate.take() {
            gate.change(|circuit, word, now| circuit.give_back(word, self.ticket, now));
        }
    }
}

impl Drop for Admission {
    #[inline]
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            drop_call(gate, self.ticket, self.started, self.waiting);
        }
    }
}

// Off the hot path, and by value: were a reference to an admission to leave the function that holds it, it could not
// be kept in registers.

#[inline(never)]
fn took(gate: &Gate, started: Moment) -> Option<Duration> {
    started.until(|| gate.now())
}

#[inline(never)]
fn settle(gate: Visit<Gate>, ticket: Ticket, outcome: Outcome, took: Option<Duration>) {
    gate.end_with(|gate| gate.settle(ticket, outcome, took));
}

#[cold]
#[inline(never)]
fn fail(gate: Visit<Gate>, ticket: Ticket, started: Moment) {
    let took = started.until(|| gate.now());
    gate.end_with(|gate| gate.settle(ticket, Outcome::Failure, took));
}

#[inline(never)]
fn drop_call(gate: Visit<Gate>, ticket: Ticket, started: Moment, waiting: Moment) {
    gate.end_with(|gate| gate.drop_call(ticket, started, waiting));
}

/// An admission while code that is not ours runs: should that panic, the call has failed.
pub(crate) struct Unwinding(ManuallyDrop<Admission>);

impl Unwinding {
    #[inline(always)]
    pub(crate) fn guard(admission: Admission) -> Self {
        Self(ManuallyDrop::new(admission))
    }

    /// The call goes on.
    #[inline(always)]
    pub(crate) fn survived(self) -> Admission {
        let mut this = ManuallyDrop::new(self);
        Admission {
            gate: this.0.gate.take(),
            ticket: this.0.ticket,
            started: this.0.started,
            waiting: this.0.waiting,
        }
    }
}

impl Drop for Unwinding {
    #[inline]
    fn drop(&mut self) {
        if let Some(gate) = self.0.gate.take() {
            fail(gate, self.0.ticket, self.0.started);
        }
    }
}

/// Like [`Unwinding`], for an admission that stays where it is.
pub(crate) struct UnwindingIn<'a> {
    admission: &'a mut Admission,
    is_over: bool,
}

impl<'a> UnwindingIn<'a> {
    #[inline]
    pub(crate) fn guard(admission: &'a mut Admission) -> Self {
        Self {
            admission,
            is_over: false,
        }
    }

    /// The call goes on.
    #[inline]
    pub(crate) fn survived(mut self) {
        self.is_over = true;
        self.admission.wait();
    }

    #[inline]
    pub(crate) fn took(&self) -> Option<Duration> {
        self.admission.took()
    }

    /// The call has ended.
    #[inline(always)]
    pub(crate) fn settle(mut self, outcome: Outcome, took: Option<Duration>) {
        self.is_over = true;
        self.admission.settle_after(outcome, took);
    }
}

impl Drop for UnwindingIn<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_over {
            if let Some(gate) = self.admission.gate.take() {
                fail(gate, self.admission.ticket, self.admission.started);
            }
        }
    }
}
