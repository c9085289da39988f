use std::{error::Error, fmt, time::Duration};

use hook_monitor::{Reason, Rejected};

use crate::failure::{Failure, boxed};

/// What happens after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// This result is the answer, be it good or bad.
    Stop,
    /// Try again after the back-off.
    Retry,
    /// Try again after exactly this time, because the server said so: a `Retry-After` header, a push-back. The
    /// back-off starts over from its first wait afterwards.
    ///
    /// There is no jitter in it: callers that were told the same moment come back at the same moment.
    ///
    /// Where the time does not fit (see [`RetryPolicy::max_retry_after`], `max_elapsed` and
    /// `deadline_by`), the call ends at once with the result it has.
    ///
    /// [`RetryPolicy::max_retry_after`]: crate::RetryPolicy::max_retry_after
    RetryAfter(Duration),
    /// Nobody was asked: a layer underneath refused, an open circuit or a full pool. Try again after this time,
    /// and never before; where there is none, after the back-off.
    ///
    /// It costs nothing of the [`Budget`](crate::Budget), for the backend has had no work with it. Otherwise like
    /// [`RetryAfter`](Verdict::RetryAfter) or [`Retry`](Verdict::Retry).
    Refused(Option<Duration>),
}

impl Verdict {
    /// The default judgement of an error, for use in a closure of your own.
    ///
    /// Looks for a [`Rejected`] in `err` and in what caused it. A refusal that says when to come back is
    /// [`Refused`](Verdict::Refused) until then. One that does not is [`Stop`](Verdict::Stop) where it is not going
    /// to change by itself (an open circuit, a closed pool), [`Retry`](Verdict::Retry) where the backend had work
    /// with it (a connection that could not be opened in time), and `Refused(None)` else. Any other error is
    /// [`Retry`](Verdict::Retry).
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
    /// assert_eq!(Verdict::of(&open), Verdict::Refused(Some(soon)));
    /// ```
    pub fn of(err: &(dyn Error + 'static)) -> Self {
        Rejected::find(err).map_or(Self::Retry, Self::of_refusal)
    }

    fn of_refusal(rejected: &Rejected) -> Self {
        match (rejected.retry_after(), rejected.reason()) {
            (Some(delay), _) => Self::Refused(Some(delay)),
            (
                None,
                Reason::ProbesTaken
                | Reason::PoolTimeout { .. }
                | Reason::PoolQueueFull { .. }
                | Reason::TooManyKeys { .. },
            ) => Self::Refused(None),
            (None, Reason::ConnectTimeout { .. }) => Self::Retry,
            // Also for reasons there will be: who refuses and does not say until when is not to be pestered.
            (None, _) => Self::Stop,
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

    /// What kind of failure this result is, for [`RetryHandle::last_failures`]. Asked only of results that
    /// [`decide`](Decide::decide) was not content with, or that are errors.
    ///
    /// [`RetryHandle::last_failures`]: crate::RetryHandle::last_failures
    fn failure(&self, result: Result<&Res, &Err>) -> Failure {
        match result {
            Ok(_) => Failure::Response,
            Err(_) => Failure::Error,
        }
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
/// A [`Rejected`] is seen when the error type is `Rejected`, or when it is found in, or under, an `io::Error`, a
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
            Err(err) => boxed(err).map_or(Verdict::Retry, Verdict::of),
        }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        false
    }

    fn failure(&self, result: Result<&Res, &Err>) -> Failure {
        result.map_or_else(Failure::of_any, |_| Failure::Response)
    }
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
    use std::sync::Arc;

    use hook_monitor::BoxError;

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
        let expected = Verdict::Refused(Some(Duration::from_secs(2)));
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
                Verdict::Refused(Some(soon)),
            ),
            (Rejected::new(Reason::ProbesTaken), Verdict::Refused(None)),
            (
                Rejected::new(Reason::PoolTimeout { waited: soon }),
                Verdict::Refused(None),
            ),
            (
                Rejected::new(Reason::PoolQueueFull { waiting: 1 }),
                Verdict::Refused(None),
            ),
            (
                Rejected::new(Reason::TooManyKeys { keys: 1 }),
                Verdict::Refused(None),
            ),
            (
                Rejected::new(Reason::ConnectTimeout { after: soon }),
                Verdict::Retry,
            ),
            (Rejected::new(Reason::PoolClosed), Verdict::Stop),
            (
                Rejected::new(Reason::PoolClosed).after(soon),
                Verdict::Refused(Some(soon)),
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
