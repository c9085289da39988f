//! How many hooks run at once: a limit of the manager, shared by all events, first come first served.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{error::HookError, request::HookRequest};

/// A place to run in, and how long it may be used.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Held until what runs is really gone, not just until its result is known.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) timeout: Duration,
    /// Whether that timeout is what the event has left, rather than the hook's own.
    pub(crate) by_deadline: bool,
    /// How long this call, with all its attempts, has stood in the queue.
    pub(crate) waited: Duration,
}

/// Waits for a turn, until the request's deadline at most, and counts the attempt that begins.
pub(crate) async fn turn(
    slots: &Arc<Semaphore>,
    req: &HookRequest,
    own_timeout: Duration,
) -> Result<Turn, HookError> {
    let arrived = Instant::now();
    let left = |now: Instant| req.remaining(now.into_std()).unwrap_or(own_timeout);
    let acquired = timeout(left(arrived), Arc::clone(slots).acquire_owned()).await;
    let now = Instant::now();
    let waited = now - arrived;
    let left = left(now);
    match acquired {
        Ok(Ok(permit)) if !left.is_zero() => {
            req.trace().attempt(waited);
            Ok(Turn {
                permit,
                timeout: own_timeout.min(left),
                by_deadline: left < own_timeout,
                waited: req.trace().time_queued(),
            })
        }
        // The semaphore is closed when the manager shuts down.
        Ok(Err(_)) => Err(HookError::Cancelled),
        _ => {
            req.trace().queued(waited);
            Err(HookError::OutOfBudget { waited })
        }
    }
}
