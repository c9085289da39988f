//! How long a caller waits, whatever for.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::Instant as TokioInstant;

use crate::alarm::Alarm;

/// Since when somebody has been waiting, and until when it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    since: Instant,
    /// By tokio's clock, whichever the pool's is; `None` until that is needed.
    until: Option<TokioInstant>,
}

impl Patience {
    pub(crate) const fn begun(since: Instant) -> Self {
        Self { since, until: None }
    }

    /// The same, with the end fixed by `since`, a reading of tokio's clock: that saves another.
    pub(crate) fn begun_by_tokio(since: Instant, timeout: Duration) -> Self {
        let ends = !timeout.is_zero() && timeout != Duration::MAX;
        let until = ends.then(|| TokioInstant::from_std(since).checked_add(timeout));
        Self {
            since,
            until: until.flatten(),
        }
    }

    /// Fixes the end, unless it is fixed; there is none if the clock cannot reach that far.
    pub(crate) fn limit(&mut self, timeout: Duration) -> Option<TokioInstant> {
        if self.until.is_none() && !timeout.is_zero() && timeout != Duration::MAX {
            self.until = TokioInstant::now().checked_add(timeout);
        }
        self.until
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= TokioInstant::now())
    }
}

/// What goes off when a caller has waited for long enough.
#[derive(Debug)]
pub(crate) struct Deadline {
    alarm: Option<Alarm>,
    /// It is set; before that, the alarm is one to be used again.
    set: bool,
}

impl Deadline {
    pub(crate) const fn unset(old: Option<Alarm>) -> Self {
        Self {
            alarm: old,
            set: false,
        }
    }

    /// Ready when `timeout` has passed since that was first asked; never, without a timer, if the clock cannot reach
    /// that far.
    pub(crate) fn poll(
        &mut self,
        patience: &mut Patience,
        timeout: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // The timer would take a tick for it.
        if timeout.is_zero() {
            return Poll::Ready(());
        }
        if timeout == Duration::MAX {
            return Poll::Pending;
        }
        if !self.set {
            let Some(until) = patience.limit(timeout) else {
                return Poll::Pending;
            };
            self.alarm = Some(Alarm::at(until, self.alarm.take()));
            self.set = true;
        }
        match &mut self.alarm {
            Some(alarm) => alarm.poll(cx),
            None => Poll::Pending,
        }
    }

    /// The timer, for somebody else.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Alarm> {
        self.set = false;
        self.alarm.take()
    }
}
