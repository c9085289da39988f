use std::time::Duration;

use crate::{Classify, Outcome};

/// How a call ended that gave a result, more closely than an [`Outcome`] says it.
///
/// It tells apart *whose* failure it was: what was called failed, was too slow, or was not even tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It did what it was for.
    Ok,
    /// It failed.
    Error,
    /// It says nothing either way: a client's own mistake, say.
    Ignored,
    /// It was refused without being tried: an open circuit, a full queue, a limit.
    Rejected,
    /// It took longer than it may.
    Timeout,
}

impl From<Outcome> for Ending {
    #[inline]
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Ok,
            Outcome::Failure => Self::Error,
            Outcome::Ignored => Self::Ignored,
        }
    }
}

/// A refusal and a timeout are failures of the call.
impl From<Ending> for Outcome {
    #[inline]
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Ok => Self::Success,
            Ending::Error | Ending::Rejected | Ending::Timeout => Self::Failure,
            Ending::Ignored => Self::Ignored,
        }
    }
}

/// A closure `Fn(Result<&Res, &Err>, Duration) -> Ending` as a [`Classify`]: where refusals and timeouts are
/// answers rather than errors.
///
/// ```
/// use hook_monitor::{Classify, Ending, EndingsBy};
/// use std::{convert::Infallible, time::Duration};
///
/// let judge = EndingsBy(|result: Result<&u16, &Infallible>, _took: Duration| match result {
///     Ok(429 | 503) => Ending::Rejected,
///     Ok(504) => Ending::Timeout,
///     Ok(500..) => Ending::Error,
///     _ => Ending::Ok,
/// });
/// assert_eq!(judge.ending(Ok(&503), Duration::ZERO), Ending::Rejected);
/// ```
#[derive(Clone, Copy)]
pub struct EndingsBy<F>(pub F);

impl<F, Res, Err> Classify<Res, Err> for EndingsBy<F>
where
    F: Fn(Result<&Res, &Err>, Duration) -> Ending,
{
    #[inline]
    fn classify(&self, result: Result<&Res, &Err>, took: Duration) -> Outcome {
        (self.0)(result, took).into()
    }

    #[inline]
    fn ending(&self, result: Result<&Res, &Err>, took: Duration) -> Ending {
        (self.0)(result, took)
    }
}

// By hand: a closure is not `Debug`.
impl<F> std::fmt::Debug for EndingsBy<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndingsBy").finish_non_exhaustive()
    }
}
