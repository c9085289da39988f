use std::{error::Error, fmt};

use hook_monitor::Rejected;

/// Why there is no connection.
///
/// Either way the cause is the [`source`](Error::source), so [`Rejected::find`] finds a refusal here
/// too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetError<E> {
    /// The connector failed, with this error. It comes at once, to the caller that was connecting.
    Connect(E),
    /// The pool refused: [`PoolTimeout`], [`PoolQueueFull`], [`TooManyKeys`] or [`PoolClosed`]. Or it
    /// gave up on the connector: [`ConnectTimeout`].
    ///
    /// [`PoolTimeout`]: hook_monitor::Reason::PoolTimeout
    /// [`PoolQueueFull`]: hook_monitor::Reason::PoolQueueFull
    /// [`TooManyKeys`]: hook_monitor::Reason::TooManyKeys
    /// [`PoolClosed`]: hook_monitor::Reason::PoolClosed
    /// [`ConnectTimeout`]: hook_monitor::Reason::ConnectTimeout
    Rejected(Rejected),
}

impl<E> GetError<E> {
    /// The refusal, if it was one.
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Connect(_) => None,
            Self::Rejected(rejected) => Some(rejected),
        }
    }
}

impl<E> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect(_) => "could not connect",
            Self::Rejected(_) => "no connection to be had",
        })
    }
}

impl<E: Error + 'static> Error for GetError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Connect(err) => err,
            Self::Rejected(rejected) => rejected,
        })
    }
}
