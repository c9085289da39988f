use std::time::Duration;

use crate::Ending;

/// What a finished call was, in the eyes of whoever judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call did what it was for.
    Success,
    /// The call failed in a way that says something about the health of what was called.
    Failure,
    /// The call says nothing either way: a client's own mistake, say. It counts for neither side.
    Ignored,
}

impl Outcome {
    /// What a call that ended with this gRPC status code says about the health of the server.
    ///
    /// `OK` is a success. `UNKNOWN`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `INTERNAL`, `UNAVAILABLE` and
    /// `DATA_LOSS` are failures, as 5xx and 429 are in HTTP. The rest are the client's own and are ignored, and so is
    /// a code that gRPC does not define.
    ///
    /// ```
    /// use hook_monitor::{Classify, Outcome};
    /// use std::time::Duration;
    ///
    /// # struct Status(i32);
    /// # impl Status { fn code(&self) -> i32 { self.0 } }
    /// // With tonic: `i32::from(status.code())`.
    /// let judge = |result: Result<&String, &Status>, _took: Duration| match result {
    ///     Ok(_) => Outcome::Success,
    ///     Err(status) => Outcome::of_grpc(status.code()),
    /// };
    /// assert_eq!(judge.classify(Err(&Status(14)), Duration::ZERO), Outcome::Failure);
    /// assert_eq!(judge.classify(Err(&Status(5)), Duration::ZERO), Outcome::Ignored);
    /// ```
    pub const fn of_grpc(code: i32) -> Self {
        match code {
            0 => Self::Success,
            2 | 4 | 8 | 13 | 14 | 15 => Self::Failure,
            _ => Self::Ignored,
        }
    }
}

/// Judges a finished call by its result and by how long it took.
///
/// Closures `Fn(Result<&Res, &Err>, Duration) -> Outcome` are classifiers:
///
/// ```
/// use hook_monitor::{Classify, Outcome};
/// use std::time::Duration;
///
/// let judge = |result: Result<&u16, &std::io::Error>, took: Duration| match result {
///     Ok(status) if *status < 500 && took < Duration::from_secs(2) => Outcome::Success,
///     _ => Outcome::Failure,
/// };
/// assert_eq!(judge.classify(Ok(&200), Duration::from_millis(5)), Outcome::Success);
/// assert_eq!(judge.classify(Ok(&503), Duration::from_millis(5)), Outcome::Failure);
/// ```
pub trait Classify<Res, Err> {
    /// The outcome of a call that ended with `result` after `took`.
    ///
    /// A panic in here is the caller's: it unwinds through the layer that asked.
    fn classify(&self, result: Result<&Res, &Err>, took: Duration) -> Outcome;

    /// How the call ended, more closely. Whoever counts asks this; whoever only needs to know for or against asks
    /// [`classify`](Classify::classify), and by default the two are the same. See [`EndingsBy`](crate::EndingsBy).
    #[inline]
    fn ending(&self, result: Result<&Res, &Err>, took: Duration) -> Ending {
        self.classify(result, took).into()
    }

    /// Whether [`classify`](Classify::classify) looks at `took`. Where it does not, a layer may spare
    /// itself the clock and pass [`Duration::ZERO`].
    fn is_timed(&self) -> bool {
        true
    }
}

impl<F, Res, Err> Classify<Res, Err> for F
where
    F: Fn(Result<&Res, &Err>, Duration) -> Outcome,
{
    #[inline]
    fn classify(&self, result: Result<&Res, &Err>, took: Duration) -> Outcome {
        self(result, took)
    }
}

/// The default judgement: `Ok` is a success, `Err` is a failure, however long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorsAsFailures;

impl<Res, Err> Classify<Res, Err> for ErrorsAsFailures {
    #[inline]
    fn classify(&self, result: Result<&Res, &Err>, _took: Duration) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_failures_and_nobody_reads_the_clock_for_it() {
        let took = Duration::ZERO;
        assert_eq!(
            ErrorsAsFailures.classify(Ok::<_, &()>(&1), took),
            Outcome::Success
        );
        assert_eq!(
            ErrorsAsFailures.classify(Err::<&(), _>(&1), took),
            Outcome::Failure
        );
        assert!(!Classify::<(), ()>::is_timed(&ErrorsAsFailures));
    }

    #[test]
    fn the_servers_grpc_codes_are_failures_and_the_clients_are_nobodys() {
        let failures: Vec<_> = (-1..18)
            .filter(|code| Outcome::of_grpc(*code) == Outcome::Failure)
            .collect();
        assert_eq!(failures, [2, 4, 8, 13, 14, 15]);
        assert_eq!(Outcome::of_grpc(0), Outcome::Success);
        assert_eq!(Outcome::of_grpc(16), Outcome::Ignored);
    }

    #[test]
    fn a_closure_that_takes_the_time_is_given_the_time() {
        let slow = |_: Result<&(), &()>, took: Duration| match took.as_secs() {
            0 => Outcome::Success,
            _ => Outcome::Failure,
        };
        assert!(slow.is_timed());
        assert_eq!(slow.classify(Ok(&()), Duration::from_secs(1)), Outcome::Failure);
    }
}
