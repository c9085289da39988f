use std::{error::Error, fmt, io, sync::Arc, time::Duration};

/// A call that was refused without being tried, and when it is worth trying again.
///
/// There is one such type for the whole workspace, so that a caller looks in one place whichever
/// layer refused:
///
/// ```
/// use hook_monitor::{BoxError, Reason, Rejected};
/// use std::time::Duration;
///
/// let err: BoxError = Rejected::new(Reason::CircuitOpen).after(Duration::from_secs(5)).into();
///
/// if let Some(rejected) = Rejected::find(&*err) {
///     assert_eq!(rejected.retry_after(), Some(Duration::from_secs(5)));
/// }
/// assert_eq!(err.to_string(), "circuit open, retry after 5s");
/// ```
#[derive(Clone, Debug)]
pub struct Rejected {
    reason: Reason,
    retry_after: Option<Duration>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The circuit is open: what is behind it failed too often, and is left in peace for a while.
    CircuitOpen,
    /// The circuit is half-open, and all the calls it lets through to probe are under way.
    ProbesTaken,
    /// The circuit was opened by hand, and stays open until somebody closes it.
    CircuitIsolated,
    /// No connection came free within the time a caller may wait for one.
    PoolTimeout {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The queue for a connection is at its limit; this caller never stood in it.
    PoolQueueFull {
        /// How many were already waiting.
        waiting: usize,
    },
    /// The pool was closed and hands out nothing any more.
    PoolClosed,
    /// Opening a connection took longer than it may. The attempt was dropped, and the call never sent.
    ConnectTimeout {
        /// How long it was tried.
        after: Duration,
    },
    /// No connection could be opened; the call was never sent. The connector's error is the
    /// [`source`](Error::source), where it gave one.
    ConnectFailed,
    /// The pool holds connections for as many keys as it may, none of them can give way, and this is
    /// another.
    TooManyKeys {
        /// How many keys are in use.
        keys: usize,
    },
}

impl Rejected {
    /// A refusal for `reason`, with no word on when to come back.
    #[inline]
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            retry_after: None,
            cause: None,
        }
    }

    /// Adds that another try is pointless for the next `delay`.
    #[inline]
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds what led to the refusal, as its [`source`](Error::source).
    #[must_use]
    pub fn because(mut self, cause: Arc<dyn Error + Send + Sync>) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Why the call was refused.
    #[inline]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long another try is pointless, where that is known.
    #[inline]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same in whole seconds, rounded up and at least one, as the header field `Retry-After` takes it: who comes back a
    /// moment early is refused again.
    ///
    /// ```
    /// use hook_monitor::{Reason, Rejected};
    /// use std::time::Duration;
    ///
    /// let rejected = Rejected::new(Reason::CircuitOpen).after(Duration::from_millis(2_001));
    /// assert_eq!(rejected.retry_after_secs(), Some(3));
    /// ```
    #[must_use]
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self.retry_after {
            None => None,
            Some(Duration::ZERO) => Some(1),
            Some(delay) if delay.subsec_nanos() == 0 => Some(delay.as_secs()),
            Some(delay) => Some(delay.as_secs().saturating_add(1)),
        }
    }

    /// The refusal in `err` or in what caused it, if there is one.
    ///
    /// Looks under whatever an error gives as its [`source`](Error::source), and into what an [`io::Error`]
    /// holds. An error that keeps to itself what it wraps hides a refusal in it.
    pub fn find<'a>(err: &'a (dyn Error + 'static)) -> Option<&'a Rejected> {
        let mut next: Option<&'a (dyn Error + 'static)> = Some(err);
        while let Some(err) = next {
            if let Some(rejected) = err.downcast_ref() {
                return Some(rejected);
            }
            // The source of an `io::Error` is that of what it holds, which itself is passed over.
            next = match err.downcast_ref::<io::Error>() {
                Some(io) => io.get_ref().map(|held| held as _),
                None => err.source(),
            };
        }
        None
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::CircuitOpen => f.write_str("circuit open")?,
            Reason::ProbesTaken => f.write_str("circuit half-open, every probe is under way")?,
            Reason::CircuitIsolated => f.write_str("circuit opened by hand")?,
            Reason::PoolTimeout { waited } => write!(f, "pool exhausted after {}", Rounded(waited))?,
            Reason::PoolQueueFull { waiting } => write!(f, "pool queue full, {waiting} waiting")?,
            Reason::PoolClosed => f.write_str("pool closed")?,
            Reason::ConnectTimeout { after } => write!(f, "connect timed out after {}", Rounded(after))?,
            Reason::ConnectFailed => f.write_str("could not connect")?,
            Reason::TooManyKeys { keys } => write!(f, "too many keys, {keys} in use")?,
        }
        match self.retry_after {
            Some(delay) => write!(f, ", retry after {}", Rounded(delay)),
            None => Ok(()),
        }
    }
}

/// A time for people: up to the next millisecond, unless there is less than one.
struct Rounded(Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MILLI: Duration = Duration::from_millis(1);
        let Self(time) = *self;
        if time < MILLI {
            return write!(f, "{time:?}");
        }
        let millis = u64::from(time.subsec_nanos().div_ceil(1_000_000));
        let whole = Duration::from_secs(time.as_secs()).saturating_add(Duration::from_millis(millis));
        write!(f, "{whole:?}")
    }
}

impl Error for Rejected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// By reason and time; what led to it is left out, for errors cannot be compared.
impl PartialEq for Rejected {
    fn eq(&self, other: &Self) -> bool {
        (self.reason, self.retry_after) == (other.reason, other.retry_after)
    }
}

impl Eq for Rejected {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxError;

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn is_found_under_any_number_of_wrappers() {
        let rejected = Rejected::new(Reason::PoolClosed);
        let err = Wrapped(Wrapped(rejected.clone().into()).into());
        assert_eq!(Rejected::find(&err), Some(&rejected));
        assert_eq!(Rejected::find(&fmt::Error), None);
    }

    #[test]
    fn is_found_in_an_io_error_and_under_it() {
        let rejected = Rejected::new(Reason::CircuitOpen);
        // An `io::Error` names as its source the source of what it holds, not what it holds.
        let held = io::Error::other(rejected.clone());
        assert_eq!(Rejected::find(&held), Some(&rejected));
        let deep = Wrapped(io::Error::other(io::Error::other(Wrapped(held.into()))).into());
        assert_eq!(Rejected::find(&deep), Some(&rejected));

        for other in [
            io::Error::from(io::ErrorKind::TimedOut),
            io::Error::from_raw_os_error(2),
            io::Error::other("no"),
        ] {
            assert_eq!(Rejected::find(&other), None);
        }
    }

    #[test]
    fn what_led_to_it_is_its_source_and_makes_no_difference_to_what_it_is() {
        let bare = Rejected::new(Reason::ConnectFailed);
        let caused = bare
            .clone()
            .because(Arc::new(io::Error::other("connection refused")));
        assert_eq!(caused.source().unwrap().to_string(), "connection refused");
        assert_eq!(caused, bare);
        assert_eq!(caused.to_string(), "could not connect");
    }

    #[test]
    fn whole_seconds_are_never_too_few() {
        for (nanos, secs) in [
            (0, 1),
            (1, 1),
            (1_000_000_000, 1),
            (1_000_000_001, 2),
            (60_000_000_000, 60),
        ] {
            let rejected = Rejected::new(Reason::CircuitOpen).after(Duration::from_nanos(nanos));
            assert_eq!(rejected.retry_after_secs(), Some(secs), "{nanos}");
        }
        assert_eq!(Rejected::new(Reason::ProbesTaken).retry_after_secs(), None);
        let never = Rejected::new(Reason::CircuitOpen).after(Duration::MAX);
        assert_eq!(never.retry_after_secs(), Some(u64::MAX));
    }

    #[test]
    fn says_why_and_when_in_lower_case() {
        let waited = Duration::from_millis(250);
        for (rejected, text) in [
            (Rejected::new(Reason::CircuitOpen), "circuit open"),
            (Rejected::new(Reason::CircuitIsolated), "circuit opened by hand"),
            (
                Rejected::new(Reason::PoolTimeout { waited }),
                "pool exhausted after 250ms",
            ),
            (
                Rejected::new(Reason::PoolQueueFull { waiting: 3 }),
                "pool queue full, 3 waiting",
            ),
            (
                Rejected::new(Reason::PoolClosed).after(waited),
                "pool closed, retry after 250ms",
            ),
            (
                Rejected::new(Reason::ConnectTimeout { after: waited }),
                "connect timed out after 250ms",
            ),
            (
                Rejected::new(Reason::TooManyKeys { keys: 1_024 }),
                "too many keys, 1024 in use",
            ),
            // A clock knows nanoseconds, and nobody wants to read them.
            (
                Rejected::new(Reason::CircuitOpen).after(Duration::from_nanos(2_986_384_105)),
                "circuit open, retry after 2.987s",
            ),
            (
                Rejected::new(Reason::CircuitOpen).after(Duration::from_nanos(59_999_900_000)),
                "circuit open, retry after 60s",
            ),
            (
                Rejected::new(Reason::CircuitOpen).after(Duration::from_nanos(301_179)),
                "circuit open, retry after 301.179µs",
            ),
            (
                Rejected::new(Reason::CircuitOpen).after(Duration::MAX),
                "circuit open, retry after 18446744073709551615.999999999s",
            ),
        ] {
            assert_eq!(rejected.to_string(), text);
        }
    }
}
