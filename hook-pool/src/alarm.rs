//! The timer of somebody who waits, which goes from hand to hand along a line.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
#[cfg(not(loom))]
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that may be set again and again, in a box: whoever sets it is about to wait, and it may not move from then
/// on.
///
/// Setting one that runs to a later time costs a fraction of taking it down and putting up another. So whoever is
/// served leaves it, running, to whoever comes next, for as long as there is a line.
#[derive(Debug)]
pub(crate) struct Alarm(Pin<Box<Timer>>);

pin_project! {
    #[derive(Debug)]
    struct Timer {
        #[pin]
        sleep: Sleep,
        // Whose it is.
        runtime: Option<Id>,
    }
}

impl Alarm {
    /// One that goes off at that time.
    ///
    /// # Panics
    ///
    /// Outside a runtime with its timer on.
    fn new(time: Instant) -> Self {
        Self(Box::pin(Timer {
            sleep: sleep_until(time),
            runtime: here(),
        }))
    }

    /// Sets it to that time, unless it belongs to another runtime: that may not be driven while this is waited for.
    fn set(&mut self, time: Instant) -> bool {
        let timer = self.0.as_mut().project();
        let at_home = timer.runtime.is_some() && *timer.runtime == here();
        if at_home {
            timer.sleep.reset(time);
        }
        at_home
    }

    /// `old`, if it can be set to that time, or a new one.
    ///
    /// # Panics
    ///
    /// Outside a runtime with its timer on.
    pub(crate) fn at(time: Instant, old: Option<Self>) -> Self {
        if let Some(mut old) = old {
            if old.set(time) {
                return old;
            }
        }
        Self::new(time)
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().project().sleep.poll(cx)
    }
}

/// The runtime this is called in.
#[cfg(not(loom))]
#[inline]
fn here() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

#[cfg(loom)]
type Id = ();

/// There is none in a model.
#[cfg(loom)]
fn here() -> Option<Id> {
    None
}
