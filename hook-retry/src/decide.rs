use std::{any::Any, error::Error, fmt, sync::Arc, time::Duration};

use hook_monitor::{BoxError, Reason, Rejected};

/// What happens after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This result is the answer, be it good or bad.
    Stop,
    /// Try again after the back-off.
    Retry,
    /// Try again after exactly this time, because somebody who knows said so: a `Retry-After` header, a
    /// breaker. The back-off starts over from its first wait afterwards.
    ///
    /// There is no jitter in it: callers that were told the same moment come back at the same moment.
    ///
    /// Where the time does not fit (see [`RetryPolicy::max_retry_after`], `max_elapsed` and
    /// `deadline_by`), the call ends at once with the result it has.
    ///
    /// [`RetryPolicy::max_retry_after`]: crate::RetryPolicy::max_retry_after
    RetryAfter(Duration),
}

impl Verdict {
    /// The default judgement of an error, for use in a closure of your own.
    ///
    /// Looks for a [`Rejected`] in `err` and in what caused it. A refusal that says when to come back is
    /// [`RetryAfter`](Verdict::RetryAfter) that. An open circuit that does not say when, and a closed
    /// pool, are [`Stop`](Verdict::Stop). Everything else is [`Retry`](Verdict::Retry).
    ///
    /// ```
    /// use hook_retry::{Reason, Rejected, Verdict};
    /// use std::{io, time::Duration};
    ///
    /// let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    /// assert_eq!(Verdict::of(&reset), Verdict::Retry);
    ///
    /// let soon = Duration::from_secs(2);
    /// let open = Rejected::new(Reason::CircuitOpen).after(soon);
    /// assert_eq!(Verdict::of(&open), Verdict::RetryAfter(soon));
    /// ```
    pub fn of(err: &(dyn Error + 'static)) -> Self {
        Rejected::find(err).map_or(Self::Retry, Self::of_refusal)
    }

    fn of_refusal(rejected: &Rejected) -> Self {
        match (rejected.retry_after(), rejected.reason()) {
            (Some(delay), _) => Self::RetryAfter(delay),
            (None, Reason::CircuitOpen | Reason::PoolClosed) => Self::Stop,
            (None, _) => Self::Retry,
        }
    }
}

/// Which attempt of a call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// 1 for the first, 2 for the first retry.
    pub number: u32,
    /// Time since the call began, waits included. Zero where a [`Decide`] says that it is not timed.
    pub elapsed: Duration,
}

impl Attempt {
    /// An attempt, for trying out a classifier.
    pub const fn new(number: u32, elapsed: Duration) -> Self {
        Self { number, elapsed }
    }
}

/// Decides by the result of an attempt whether there is another.
///
/// Closures `Fn(Result<&Res, &Err>, &Attempt) -> Verdict` decide:
///
/// ```
/// use hook_retry::{Attempt, Decide, Verdict};
/// use std::{io, time::Duration};
///
/// let decide = |result: Result<&u16, &io::Error>, _: &Attempt| match result {
///     Ok(429 | 503) => Verdict::Retry,
///     Ok(_) => Verdict::Stop,
///     Err(err) => Verdict::of(err),
/// };
/// let first = Attempt::new(1, Duration::ZERO);
/// assert_eq!(decide.decide(Ok(&503), &first), Verdict::Retry);
/// ```
pub trait Decide<Res, Err> {
    /// What comes after an attempt with this result.
    ///
    /// A panic in here unwinds through the call; nothing is retried.
    fn decide(&self, result: Result<&Res, &Err>, attempt: &Attempt) -> Verdict;

    /// Whether [`decide`](Decide::decide) looks at [`Attempt::elapsed`]. Where it does not, calls spare
    /// themselves the clock. A closure is taken to look.
    fn is_timed(&self) -> bool {
        true
    }
}

impl<F, Res, Err> Decide<Res, Err> for F
where
    F: Fn(Result<&Res, &Err>, &Attempt) -> Verdict,
{
    #[inline]
    fn decide(&self, result: Result<&Res, &Err>, attempt: &Attempt) -> Verdict {
        self(result, attempt)
    }
}

/// The default: `Ok` is the answer, an error is retried, and a refusal not before it is worth it.
///
/// A [`Rejected`] is seen when the error type is `Rejected`, or when it is found in, or under, a
/// `Box<dyn Error>` (with `Send`, and `Sync`, or without) or an `Arc<dyn Error + Send + Sync>`. It is then
/// judged as [`Verdict::of`] does. Inside an error type of your own it is not seen, because nothing is
/// asked of that type; give such a stack `classify_with` and let it call [`Verdict::of`].
///
/// Errors that borrow from something are not `'static` and need a closure, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RetryErrors;

impl<Res, Err: 'static> Decide<Res, Err> for RetryErrors {
    #[inline]
    fn decide(&self, result: Result<&Res, &Err>, _: &Attempt) -> Verdict {
        match result {
            Ok(_) => Verdict::Stop,
            Err(err) => refusal(err).map_or(Verdict::Retry, Verdict::of_refusal),
        }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        false
    }
}

/// The refusal in an error of any type. The compiler knows the type and leaves one branch of these.
fn refusal<E: 'static>(err: &E) -> Option<&Rejected> {
    let err: &dyn Any = err;
    let err: &(dyn Error + 'static) = if let Some(err) = err.downcast_ref::<Rejected>() {
        return Some(err);
    } else if let Some(err) = err.downcast_ref::<BoxError>() {
        &**err
    } else if let Some(err) = err.downcast_ref::<Box<dyn Error + Send>>() {
        &**err
    } else if let Some(err) = err.downcast_ref::<Box<dyn Error>>() {
        &**err
    } else {
        &**err.downcast_ref::<Arc<dyn Error + Send + Sync>>()?
    };
    Rejected::find(err)
}

/// Retries what a closure says is worth it, made by [`RetryPolicy::retry_if`].
///
/// [`RetryPolicy::retry_if`]: crate::RetryPolicy::retry_if
#[derive(Clone, Copy)]
pub struct RetryIf<F>(pub(crate) F);

impl<F, Res, Err> Decide<Res, Err> for RetryIf<F>
where
    F: Fn(Result<&Res, &Err>) -> bool,
{
    #[inline]
    fn decide(&self, result: Result<&Res, &Err>, _: &Attempt) -> Verdict {
        if (self.0)(result) {
            Verdict::Retry
        } else {
            Verdict::Stop
        }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        false
    }
}

// By hand: a closure is not `Debug`.
impl<F> fmt::Debug for RetryIf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryIf").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Attempt = Attempt::new(1, Duration::ZERO);

    #[derive(Debug)]
    struct Own(Rejected);

    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("own")
        }
    }

    impl Error for Own {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn decide<E: 'static>(err: E) -> Verdict {
        RetryErrors.decide(Err::<&(), _>(&err), &FIRST)
    }

    #[test]
    fn a_refusal_is_seen_in_every_kind_of_boxed_error_and_by_itself() {
        let open = Rejected::new(Reason::CircuitOpen).after(Duration::from_secs(2));
        let expected = Verdict::RetryAfter(Duration::from_secs(2));
        assert_eq!(decide(open.clone()), expected);
        assert_eq!(decide::<BoxError>(open.clone().into()), expected);
        assert_eq!(decide::<BoxError>(Own(open.clone()).into()), expected);
        assert_eq!(decide::<Box<dyn Error + Send>>(Box::new(open.clone())), expected);
        assert_eq!(decide::<Box<dyn Error>>(Box::new(open.clone())), expected);
        assert_eq!(
            decide::<Arc<dyn Error + Send + Sync>>(Arc::new(open.clone())),
            expected
        );
        // As documented: nothing is asked of an error type of the user's own.
        assert_eq!(decide(Own(open.clone())), Verdict::Retry);
        assert_eq!(Verdict::of(&Own(open)), expected);
    }

    #[test]
    fn every_refusal_has_its_verdict() {
        let soon = Duration::from_millis(5);
        for (rejected, verdict) in [
            (Rejected::new(Reason::CircuitOpen), Verdict::Stop),
            (
                Rejected::new(Reason::CircuitOpen).after(soon),
                Verdict::RetryAfter(soon),
            ),
            (Rejected::new(Reason::ProbesTaken), Verdict::Retry),
            (
                Rejected::new(Reason::PoolTimeout { waited: soon }),
                Verdict::Retry,
            ),
            (
                Rejected::new(Reason::PoolQueueFull { waiting: 1 }),
                Verdict::Retry,
            ),
            (Rejected::new(Reason::PoolClosed), Verdict::Stop),
            (
                Rejected::new(Reason::PoolClosed).after(soon),
                Verdict::RetryAfter(soon),
            ),
        ] {
            assert_eq!(Verdict::of(&rejected), verdict, "{rejected}");
        }
    }

    #[test]
    fn an_error_of_any_type_is_retried_and_an_answer_is_not() {
        struct Opaque;
        assert_eq!(decide(Opaque), Verdict::Retry);
        assert_eq!(RetryErrors.decide(Ok::<_, &Opaque>(&1), &FIRST), Verdict::Stop);
    }

    #[test]
    fn only_a_closure_that_is_given_the_time_asks_for_the_clock() {
        let timed = |_: Result<&(), &()>, _: &Attempt| Verdict::Stop;
        let untimed = RetryIf(|result: Result<&(), &()>| result.is_err());
        assert!(timed.is_timed());
        assert!(!untimed.is_timed());
        assert!(!Decide::<(), ()>::is_timed(&RetryErrors));
    }
}
