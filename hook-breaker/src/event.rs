use std::time::{Duration, Instant};

use crate::{circuit::Cause, config::State};

/// Something that happened to a circuit, from [`CircuitBreaker::subscribe`](crate::CircuitBreaker::subscribe).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The circuit went from one state to another, or was reset where it was closed already.
    Transition(Transition),
    /// A [`MetricsOnly`](State::MetricsOnly) circuit would have opened. Said once, and again only after the policy
    /// had found nothing amiss in between.
    WouldOpen {
        /// Why.
        cause: Cause,
        /// The generation of the circuit.
        generation: u32,
        /// When.
        at: Instant,
    },
}

/// A circuit went from one state to another.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// The generation it began. Each is later than the one before: by one, but for what was restored.
    pub generation: u32,
    /// When.
    pub at: Instant,
    /// How long the break will last, where this begins one.
    pub open_for: Option<Duration>,
}
