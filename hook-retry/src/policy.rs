use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

#[cfg(feature = "coarse-clock")]
use hook_monitor::Clock;

use crate::{
    backoff::{Backoff, Exponential},
    budget::Budget,
    decide::{Attempt, Decide, RetryErrors, RetryIf, Verdict},
    random::Seeds,
    request::{ByClone, NoDeadline, Requests, Unchanged},
    rules::{Plan, Rules},
    run::Run,
};

/// When to try again, how long to wait before, and when to leave it.
///
/// By default an error is retried up to 3 times, after waits of up to 100, 200 and 400 ms with full
/// jitter, as long as a [`Budget`] of one retry for five calls lasts, without a limit of total time. Give it to a [`RetryLayer`](crate::RetryLayer), or
/// [`run`](RetryPolicy::run) something with it.
///
/// ```
/// use hook_retry::{Exponential, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = RetryPolicy::new()
///     .retries(5)
///     .backoff(Exponential::from_millis(50).cap(Duration::from_secs(2)).equal_jitter())
///     .max_elapsed(Duration::from_secs(10));
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing by itself"]
pub struct RetryPolicy<B = Exponential, C = RetryErrors, R = Requests> {
    pub(crate) rules: Rules<B, C, R>,
    pub(crate) plan: Plan,
}

impl RetryPolicy {
    /// The default policy.
    pub fn new() -> Self {
        Self {
            rules: Rules {
                backoff: Exponential::default(),
                decide: RetryErrors,
                requests: Requests::default(),
            },
            plan: Plan {
                budget: Some(Budget::new()),
                ..Plan::default()
            },
        }
    }
}

impl<B, C, R> RetryPolicy<B, C, R> {
    /// How often a call is tried again, beside the first time. Default: 3; `u32::MAX` is without limit.
    ///
    /// With 0 neither the request nor the service is ever cloned.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.plan.limits.retries = retries;
        self
    }

    /// How long to wait before each retry. Default: [`Exponential::default`].
    ///
    /// Tokio's timer rounds waits up to the next millisecond; a wait of zero is none at all. Like all parts of a policy
    /// it is cloned for each call, so let closures capture references or `Arc`s.
    pub fn backoff<B2: Backoff>(self, backoff: B2) -> RetryPolicy<B2, C, R> {
        let Rules { decide, requests, .. } = self.rules;
        let rules = Rules {
            backoff,
            decide,
            requests,
        };
        RetryPolicy {
            rules,
            plan: self.plan,
        }
    }

    /// How many retries there may be in all, whatever each call would like. Default: a budget of its own, of a
    /// retry for five calls ([`Budget::new`]).
    ///
    /// A clone of the same budget in several policies makes these share it.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.plan.budget = Some(budget);
        self
    }

    /// Lifts the limit on the retries of all calls together: with a backend that is down, every call is tried as
    /// often as [`retries`](RetryPolicy::retries) says.
    pub fn no_budget(mut self) -> Self {
        self.plan.budget = None;
        self
    }

    /// Decides after each attempt by its result, number and time. Default: [`RetryErrors`].
    ///
    /// A closure costs each call two looks at the clock, because it is told the time. Where that counts,
    /// use [`retry_if`](RetryPolicy::retry_if) or implement [`Decide`].
    ///
    /// ```
    /// use hook_retry::{Attempt, RetryPolicy, Verdict};
    /// use std::{io, time::Duration};
    ///
    /// let policy = RetryPolicy::new().classify_with(|result: Result<&u16, &io::Error>, attempt: &Attempt| {
    ///     match result {
    ///         Ok(429) => Verdict::RetryAfter(Duration::from_secs(1)),
    ///         Ok(503) if attempt.elapsed < Duration::from_secs(3) => Verdict::Retry,
    ///         Ok(_) => Verdict::Stop,
    ///         Err(err) => Verdict::of(err),
    ///     }
    /// });
    /// ```
    pub fn classify_with<F, Res, Err>(self, decide: F) -> RetryPolicy<B, F, R>
    where
        F: Fn(Result<&Res, &Err>, &Attempt) -> Verdict,
    {
        self.decide_by(decide)
    }

    /// Retries exactly what `is_worth_it` says yes to. It sees the result and nothing else, and replaces
    /// the default's regard for refusals.
    ///
    /// ```
    /// use hook_retry::RetryPolicy;
    /// use std::io::{Error, ErrorKind};
    ///
    /// let policy = RetryPolicy::new().retry_if(|result: Result<&Vec<u8>, &Error>| {
    ///     result.is_err_and(|err| err.kind() == ErrorKind::ConnectionReset)
    /// });
    /// ```
    pub fn retry_if<F, Res, Err>(self, is_worth_it: F) -> RetryPolicy<B, RetryIf<F>, R>
    where
        F: Fn(Result<&Res, &Err>) -> bool,
    {
        self.decide_by(RetryIf(is_worth_it))
    }

    /// Decides by a [`Decide`] of your own.
    pub fn decide_by<C2>(self, decide: C2) -> RetryPolicy<B, C2, R> {
        let Rules {
            backoff, requests, ..
        } = self.rules;
        let rules = Rules {
            backoff,
            decide,
            requests,
        };
        RetryPolicy {
            rules,
            plan: self.plan,
        }
    }

    /// The total time of a call that no wait may reach. Default: no limit.
    ///
    /// A wait that would reach it is not begun: the call ends at once with the result it has. Nothing that
    /// has begun is interrupted, and a retry may begin later than this: after a wait whose timer was late,
    /// or when the inner service took its time to be ready. Put a timeout outside for a limit on all that.
    pub const fn max_elapsed(mut self, max_elapsed: Duration) -> Self {
        self.plan.limits.max_elapsed = Some(max_elapsed);
        self
    }

    /// The longest [`Verdict::RetryAfter`] that is waited for, and the longest [`Verdict::Refused`]; a longer one
    /// ends the call at once with the result it has. Default: 5 s. Does not limit the back-off, which has a cap of
    /// its own.
    pub const fn max_retry_after(mut self, longest: Duration) -> Self {
        self.plan.limits.max_retry_after = longest;
        self
    }

    /// Comes back sooner than a server said if it said more than
    /// [`max_retry_after`](RetryPolicy::max_retry_after), which is then what is waited. Default: such a call ends.
    ///
    /// For servers that do not mean what they say. A refusal by a layer underneath is meant: a
    /// [`Verdict::Refused`] is never cut short.
    pub const fn cut_retry_after(mut self) -> Self {
        self.plan.limits.cut_retry_after = true;
        self
    }

    /// Makes jitter repeatable, for tests: the n-th back-off to begin gets the n-th sequence of waits.
    ///
    /// A call begins one with its first [`Verdict::Retry`] that leaves a retry to be made (also if the wait
    /// then turns out too long for the time left), and another after each [`Verdict::RetryAfter`].
    /// Clones of the policy draw from the same sequences. Without a seed each process has its own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seeds = Seeds::from_seed(seed);
        self
    }

    /// Reads time from the kernel's tick: a few nanoseconds a reading, exact to 1 to 10 ms, and deaf to
    /// tokio's paused time. Default: tokio's clock. The waits themselves are tokio's in any case.
    #[cfg(feature = "coarse-clock")]
    pub fn coarse_clock(mut self) -> Self {
        self.plan.limits.clock = Clock::coarse();
        self
    }

    pub(crate) fn requests<R2>(self, change: impl FnOnce(R) -> R2) -> RetryPolicy<B, C, R2> {
        let Rules {
            backoff,
            decide,
            requests,
        } = self.rules;
        let requests = change(requests);
        let rules = Rules {
            backoff,
            decide,
            requests,
        };
        RetryPolicy {
            rules,
            plan: self.plan,
        }
    }
}

/// Rules about requests. They are the layer's; [`run`](RetryPolicy::run) has no request, and a policy with
/// such a rule has no `run`.
impl<B, C, K, D, W> RetryPolicy<B, C, Requests<K, D, W>> {
    /// Copies requests by a closure instead of `Clone`. A request for which it returns `None` goes through
    /// once.
    ///
    /// The place to say what may be sent twice at all: `None` for a request that is not idempotent, or
    /// has a body that can be read only once.
    ///
    /// ```
    /// use hook_retry::RetryPolicy;
    ///
    /// struct Order { id: u64, is_new: bool }
    ///
    /// let policy = RetryPolicy::new().clone_with(|order: &Order| {
    ///     (!order.is_new).then(|| Order { id: order.id, is_new: false })
    /// });
    /// ```
    pub fn clone_with<F, Req>(self, keep: F) -> RetryPolicy<B, C, Requests<F, D, W>>
    where
        F: Fn(&Req) -> Option<Req>,
    {
        self.requests(|requests| Requests {
            keep,
            deadline: requests.deadline,
            change: requests.change,
        })
    }

    /// Asks each request once, when it arrives, until when its answer is wanted. Default: no deadline.
    ///
    /// A wait that would reach the deadline is not begun: the call ends at once with the result it has.
    /// The first attempt is made in any case, and nothing that has begun is interrupted: neither an attempt,
    /// nor a wait whose timer is late, nor the wait until the inner service is ready again. Put a timeout
    /// outside for a limit on all that. Of this and [`max_elapsed`](RetryPolicy::max_elapsed) the earlier counts.
    ///
    /// ```
    /// use hook_retry::RetryPolicy;
    /// use std::time::Instant;
    ///
    /// #[derive(Clone)]
    /// struct Query { text: String, wanted_until: Option<Instant> }
    ///
    /// let policy = RetryPolicy::new().deadline_by(|query: &Query| query.wanted_until);
    /// ```
    pub fn deadline_by<F, Req>(self, deadline: F) -> RetryPolicy<B, C, Requests<K, F, W>>
    where
        F: Fn(&Req) -> Option<Instant>,
    {
        self.requests(|requests| Requests {
            keep: requests.keep,
            deadline,
            change: requests.change,
        })
    }

    /// Changes a request before it is sent again; the closure is told the number of the attempt, 2 or
    /// more. Default: it goes out as it came.
    ///
    /// Each retry starts from the request as it first came: changes do not add up.
    ///
    /// ```
    /// use hook_retry::RetryPolicy;
    ///
    /// #[derive(Clone)]
    /// struct Job { attempt: u32 }
    ///
    /// let policy = RetryPolicy::new().before_retry(|job: &mut Job, attempt| job.attempt = attempt);
    /// ```
    pub fn before_retry<F, Req>(self, change: F) -> RetryPolicy<B, C, Requests<K, D, F>>
    where
        F: Fn(&mut Req, u32),
    {
        self.requests(|requests| Requests {
            keep: requests.keep,
            deadline: requests.deadline,
            change,
        })
    }
}

impl<B: Backoff, C> RetryPolicy<B, C, Requests<ByClone, NoDeadline, Unchanged>> {
    /// Runs what `attempt` makes until the policy is content, without tower.
    ///
    /// `attempt` is told its number and the time since the first poll, and makes a new future each time.
    /// Nothing happens until the returned future is polled.
    ///
    /// ```
    /// use hook_retry::RetryPolicy;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let policy = RetryPolicy::new();
    /// let answer = policy
    ///     .run(|attempt| async move {
    ///         if attempt.number < 3 { Err("not yet") } else { Ok(attempt.number) }
    ///     })
    ///     .await;
    /// assert_eq!(answer, Ok(3));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the last attempt.
    ///
    /// # Panics
    ///
    /// When it has to wait outside a tokio runtime with its timer enabled.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the attempt or the wait under way. Nothing is left behind.
    pub fn run<F, Fut, T, E>(&self, attempt: F) -> Run<'_, B, C, F, Fut>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Decide<T, E>,
    {
        Run::new(self, attempt)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

// By hand: a closure is not `Debug`.
impl<B, C, R> fmt::Debug for RetryPolicy<B, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("retries", &self.plan.limits.retries)
            .field("max_elapsed", &self.plan.limits.max_elapsed)
            .field("max_retry_after", &self.plan.limits.max_retry_after)
            .field("budget", &self.plan.budget)
            .finish_non_exhaustive()
    }
}
