use std::{error::Error, fmt, time::Duration};

use hook_monitor::Rejected;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetError<E> {
    /// The connector failed, with this error. It comes at once, to the caller that was connecting.
    Connect(E),
    /// The connector took longer than it may.
    ConnectTimeout(ConnectTimeout),
    /// Each key the pool has room for is in use, and this is another.
    TooManyKeys(TooManyKeys),
    /// Nobody was asked for a connection: [`PoolTimeout`], [`PoolQueueFull`] or [`PoolClosed`].
    ///
    /// [`PoolTimeout`]: hook_monitor::Reason::PoolTimeout
    /// [`PoolQueueFull`]: hook_monitor::Reason::PoolQueueFull
    /// [`PoolClosed`]: hook_monitor::Reason::PoolClosed
    Rejected(Rejected),
}

impl<E> GetError<E> {
    /// The refusal, if it is one.
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            _ => None,
        }
    }
}

impl<E> From<Refusal> for GetError<E> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooManyKeys(keys) => Self::TooManyKeys(keys),
            Refusal::Rejected(rejected) => Self::Rejected(rejected),
        }
    }
}

impl<E> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => f.write_str("could not connect"),
            Self::ConnectTimeout(_) | Self::TooManyKeys(_) | Self::Rejected(_) => {
                f.write_str("no connection to be had")
            }
        }
    }
}

impl<E: Error + 'static> Error for GetError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Connect(err) => err,
            Self::ConnectTimeout(timeout) => timeout,
            Self::TooManyKeys(keys) => keys,
            Self::Rejected(rejected) => rejected,
        })
    }
}

/// Opening a connection took longer than it may; the attempt was dropped.
///
/// Not a refusal of the pool: there was a slot for the connection, and it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectTimeout {
    pub(crate) after: Duration,
}

impl ConnectTimeout {
    /// How long it was tried.
    pub const fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connect timed out after {:?}", self.after)
    }
}

impl Error for ConnectTimeout {}

/// The pool has as many keys as it may, each of them has a connection in use or somebody waiting, and
/// another key was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyKeys {
    pub(crate) keys: usize,
}

impl TooManyKeys {
    /// How many keys are in use.
    pub const fn keys(&self) -> usize {
        self.keys
    }
}

impl fmt::Display for TooManyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool has no room for another key, {} in use", self.keys)
    }
}

impl Error for TooManyKeys {}

/// A [`GetError`] that has nothing to do with the connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooManyKeys(TooManyKeys),
    Rejected(Rejected),
}

impl From<TooManyKeys> for Refusal {
    fn from(keys: TooManyKeys) -> Self {
        Self::TooManyKeys(keys)
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}
