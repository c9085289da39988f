use std::time::{Duration, Instant};

use crate::{
    backoff::Backoff,
    decide::{Attempt, Verdict},
    policy::RetryPolicy,
};

/// How far one call has come. Pure: `now` is passed in, and waits are for whoever asks.
#[derive(Debug)]
pub(crate) struct Session<D> {
    /// The attempt under way, or the last one: 1 and up.
    number: u32,
    /// Known only where somebody wants to know.
    started: Option<Instant>,
    /// No wait that would reach this moment is begun.
    limit: Option<Instant>,
    /// Made at the first retry, for most calls need none.
    delays: Option<D>,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The verdict was to stop.
    Stopped,
    /// No retry was left.
    Exhausted,
    /// The request could be sent only once.
    Unrepeatable,
    /// The wait would have reached the limit of time, or was longer than the policy's patience.
    TooLate,
}

impl<D: Iterator<Item = Duration>> Session<D> {
    /// The first attempt. `max_elapsed` counts from `started`, and needs it.
    pub(crate) fn new(
        started: Option<Instant>,
        max_elapsed: Option<Duration>,
        deadline: Option<Instant>,
    ) -> Self {
        let total = started.and_then(|started| started.checked_add(max_elapsed?));
        Self {
            number: 1,
            started,
            limit: match (total, deadline) {
                (Some(total), Some(deadline)) => Some(total.min(deadline)),
                (total, deadline) => total.or(deadline),
            },
            delays: None,
        }
    }

    #[inline]
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The attempt as a classifier sees it. The clock is read only where the start is known.
    #[inline]
    pub(crate) fn attempt(&self, now: impl FnOnce() -> Instant) -> Attempt {
        let elapsed = self
            .started
            .map(|started| now().saturating_duration_since(started));
        Attempt::new(self.number, elapsed.unwrap_or_default())
    }

    /// How long to wait before the next attempt, or why there is none. A seed is drawn only where all but
    /// the time allows for a wait: a call that ends here for another reason must not shift the others'.
    pub(crate) fn wait<B, C, R>(
        &mut self,
        verdict: Verdict,
        can_repeat: bool,
        policy: &RetryPolicy<B, C, R>,
        now: impl FnOnce() -> Instant,
    ) -> Result<Duration, End>
    where
        B: Backoff<Delays = D>,
    {
        let told = match verdict {
            Verdict::Stop => return Err(End::Stopped),
            Verdict::Retry => None,
            Verdict::RetryAfter(delay) => Some(delay),
        };
        if self.is_last(policy.max_retries()) {
            return Err(End::Exhausted);
        }
        if !can_repeat {
            return Err(End::Unrepeatable);
        }
        let delay = match told {
            Some(delay) if delay > policy.patience() => return Err(End::TooLate),
            Some(delay) => {
                self.delays = None;
                delay
            }
            None => {
                let delays = self.delays.get_or_insert_with(|| policy.delays());
                delays.next().ok_or(End::Exhausted)?
            }
        };
        match self.limit {
            Some(limit) if delay >= limit.saturating_duration_since(now()) => Err(End::TooLate),
            _ => Ok(delay),
        }
    }

    /// Whether the attempt under way is the last that `retries` allows. `u32::MAX` allows any number.
    #[inline]
    pub(crate) const fn is_last(&self, retries: u32) -> bool {
        self.number > retries
    }

    /// The next attempt begins.
    pub(crate) const fn advance(&mut self) {
        self.number = self.number.saturating_add(1);
    }

    /// Whether a call that retries without waiting should let others run first.
    pub(crate) const fn is_hogging(&self) -> bool {
        self.number % 32 == 0
    }
}
