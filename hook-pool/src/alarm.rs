//! The timer of somebody who waits, which goes from hand to hand along a line.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(not(loom))]
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer, set and running. Setting one that runs to a later time costs a fraction of taking it down and putting up
/// another; so who was served leaves it to whoever comes next, for as long as there is a line.
#[derive(Debug)]
pub(crate) struct Alarm {
    // In a box: whoever sets it is about to wait, and it may not move from then on.
    sleep: Pin<Box<Sleep>>,
    /// Whose timer it is: of no use where that may not be driven while this is waited for.
    #[cfg(not(loom))]
    runtime: Id,
}

impl Alarm {
    /// One that goes off at that time; `old` is set to it, if it is of this runtime.
    ///
    /// # Panics
    ///
    /// Outside a runtime with its timer on.
    pub(crate) fn at(time: Instant, old: Option<Self>) -> Self {
        // There is no runtime in a model, and no timer.
        #[cfg(loom)]
        drop(old);
        #[cfg(not(loom))]
        if let Some(mut old) = old {
            if Handle::try_current().is_ok_and(|here| here.id() == old.runtime) {
                old.sleep.as_mut().reset(time);
                return old;
            }
        }
        Self {
            sleep: Box::pin(sleep_until(time)),
            #[cfg(not(loom))]
            runtime: Handle::current().id(),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }
}
