use std::{sync::Arc, time::Instant};

use hook_monitor::{Clock, Counters, Lane, Outcome, Rejected};

use crate::{
    circuit::Ticket,
    config::{DroppedCall, Settings},
    gate::{Gate, Peek},
};

/// One circuit with all that belongs to it; what every handle, service and call shares.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) gate: Gate,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters<4>,
    pub(crate) settings: Settings,
    pub(crate) name: String,
}

pub(crate) const SUCCESS: usize = 0;
pub(crate) const FAILURE: usize = 1;
pub(crate) const IGNORED: usize = 2;
pub(crate) const NOT_PERMITTED: usize = 3;

impl Core {
    pub(crate) fn new(name: String, settings: Settings, clock: Clock) -> Self {
        Self {
            gate: Gate::new(settings, clock.now()),
            clock,
            counters: Counters::new(),
            settings,
            name,
        }
    }

    #[inline]
    pub(crate) fn acquire(&self) -> Result<Ticket, Rejected> {
        let answer = self.gate.acquire(|| self.clock.now());
        if answer.is_err() {
            self.counters.add(NOT_PERMITTED, 1);
        }
        answer
    }

    #[inline]
    pub(crate) fn settle(&self, ticket: Ticket, outcome: Outcome) {
        let kind = match outcome {
            Outcome::Success => SUCCESS,
            Outcome::Failure => FAILURE,
            Outcome::Ignored => IGNORED,
        };
        self.counters.add(kind, 1);
        self.gate.settle(ticket, outcome, || self.clock.now());
    }

    /// Takes back a ticket for a call that is not made after all.
    pub(crate) fn refuse(&self, ticket: Ticket) {
        self.counters.add(NOT_PERMITTED, 1);
        self.gate.settle(ticket, Outcome::Ignored, || self.clock.now());
    }

    #[inline]
    pub(crate) fn peek(&self) -> Peek {
        self.gate.peek(|| self.clock.now())
    }

    /// Whether anyone will want to know how old a call was when it was dropped.
    #[inline]
    pub(crate) fn is_age_of_use(&self) -> bool {
        matches!(self.settings.dropped_call, DroppedCall::FailureIfOlderThan(_))
    }

    /// What a dropped call counts as that has been waiting since then, if it ever had to.
    pub(crate) fn dropped(&self, waiting: Option<Instant>) -> Outcome {
        let failed = match self.settings.dropped_call {
            DroppedCall::Neutral => false,
            DroppedCall::Failure => true,
            DroppedCall::FailureIfOlderThan(limit) => {
                waiting.is_some_and(|since| self.clock.now().saturating_duration_since(since) >= limit)
            }
        };
        if failed {
            Outcome::Failure
        } else {
            Outcome::Ignored
        }
    }
}

/// A way to hold on to a circuit for as long as a call takes.
///
/// A call keeps its thread's [`Lane`] of what services and handles share, see [`hook_monitor::Lanes`].
pub(crate) trait Owner {
    fn core(&self) -> &Core;
}

impl<T: Owner> Owner for Arc<Lane<T>> {
    #[inline]
    fn core(&self) -> &Core {
        (***self).core()
    }
}
