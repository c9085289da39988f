//! What an operator would want to be woken by, said to `tracing` where that is wanted.

use crate::event::Event;

/// After the lock is gone.
#[cfg(feature = "tracing")]
pub(crate) fn say(name: &str, event: &Event) {
    use crate::config::State;

    match event {
        Event::Transition(change) => {
            let (from, to, cause) = (change.from.as_str(), change.to.as_str(), change.cause);
            if change.to == State::Open {
                tracing::warn!(breaker = name, from, to, %cause, open_for = ?change.open_for, "circuit opened");
            } else {
                tracing::info!(breaker = name, from, to, %cause, "circuit changed");
            }
        }
        Event::WouldOpen { cause, .. } => {
            tracing::warn!(breaker = name, %cause, "circuit would have opened");
        }
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn say(_name: &str, _event: &Event) {}
