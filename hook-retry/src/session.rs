use std::time::{Duration, Instant};

use hook_monitor::Clock;

use crate::{
    backoff::Backoff,
    budget::Withdrawal,
    decide::{Attempt, Verdict},
    rules::{Limits, Plan},
};

/// How far one call has come. Pure but for the clock it is given; waits are for whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Session<D> {
    /// The attempt under way, or the last one: 1 and up.
    number: u32,
    /// How many there may be beside the first.
    retries: u32,
    clock: Clock,
    /// Known only where elapsed time is looked at, or limited.
    started: Option<Instant>,
    /// No wait that would reach this moment is begun.
    limit: Option<Instant>,
    /// Made at the first retry, for most calls need none.
    delays: Option<D>,
}

/// What comes before the next attempt.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) delay: Duration,
    /// Goes back to the budget if the attempt is not made after all.
    pub(crate) paid: Option<Withdrawal>,
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
    /// All calls together had as many retries as they may.
    OverBudget,
    /// The service's readiness failed before a retry.
    Unready,
    /// The wait would have reached the limit of time, or was longer than the policy's patience.
    TooLate,
}

impl<D: Iterator<Item = Duration>> Session<D> {
    /// The first attempt. The clock is read only where elapsed time is looked at (`is_timed`) or limited.
    #[inline]
    pub(crate) fn begin(limits: &Limits, is_timed: bool, deadline: Option<Instant>) -> Self {
        let started = (is_timed || limits.max_elapsed.is_some()).then(|| limits.clock.now());
        let total = started.and_then(|started| started.checked_add(limits.max_elapsed?));
        Self {
            number: 1,
            retries: limits.retries,
            clock: limits.clock,
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

    /// The attempt as a classifier sees it.
    #[inline]
    pub(crate) fn attempt(&self) -> Attempt {
        let elapsed = |started| self.clock.now().saturating_duration_since(started);
        Attempt::new(self.number, self.started.map_or(Duration::ZERO, elapsed))
    }

    /// How long to wait before the next attempt, or why there is none. A seed is drawn only where all but
    /// the time and the budget allows for a wait: a call that ends here for another reason must not shift the
    /// others'. The budget comes last, for what it gives is for a retry that is made.
    pub(crate) fn next<B>(
        &mut self,
        verdict: Verdict,
        can_repeat: bool,
        backoff: &B,
        plan: &Plan,
    ) -> Result<Next, End>
    where
        B: Backoff<Delays = D>,
    {
        let limits = &plan.limits;
        let (told, is_free) = match verdict {
            Verdict::Stop => return Err(End::Stopped),
            Verdict::Retry => (None, false),
            Verdict::RetryAfter(delay) if limits.cut_retry_after => {
                (Some(delay.min(limits.max_retry_after)), false)
            }
            Verdict::RetryAfter(delay) => (Some(delay), false),
            Verdict::Refused(told) => (told, true),
        };
        if self.is_last() {
            return Err(End::Exhausted);
        }
        if !can_repeat {
            return Err(End::Unrepeatable);
        }
        let delay = match told {
            Some(delay) if delay > limits.max_retry_after => return Err(End::TooLate),
            Some(delay) => {
                self.delays = None;
                delay
            }
            None => {
                let delays = self
                    .delays
                    .get_or_insert_with(|| backoff.delays(plan.seeds.draw()));
                delays.next().ok_or(End::Exhausted)?
            }
        };
        let budget = plan.budget.as_ref().filter(|_| !is_free);
        if self.limit.is_none() && budget.is_none() {
            return Ok(Next { delay, paid: None });
        }
        let now = limits.clock.now();
        if self
            .limit
            .is_some_and(|limit| reaches(delay, limit.saturating_duration_since(now)))
        {
            return Err(End::TooLate);
        }
        let paid = match budget {
            Some(budget) => Some(budget.withdraw_at(now).ok_or(End::OverBudget)?),
            None => None,
        };
        Ok(Next { delay, paid })
    }

    /// Whether the attempt under way is the last that is allowed. `u32::MAX` allows any number.
    pub(crate) const fn is_last(&self) -> bool {
        self.number > self.retries
    }

    /// The next attempt begins. Whether it is the last.
    pub(crate) const fn advance(&mut self) -> bool {
        self.number = self.number.saturating_add(1);
        self.is_last()
    }

    /// Whether a call that retries without waiting should let others run first.
    pub(crate) const fn is_hogging(&self) -> bool {
        self.number % 32 == 0
    }
}

/// Whether a wait of `delay` may end as late as `left` from now. Tokio's timer ends one with the millisecond after.
fn reaches(delay: Duration, left: Duration) -> bool {
    match delay {
        Duration::ZERO => left.is_zero(),
        _ => delay.saturating_add(Duration::from_millis(1)) > left,
    }
}
