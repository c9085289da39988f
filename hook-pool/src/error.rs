use std::{error::Error, fmt, sync::Arc, time::Duration};

use hook_monitor::{Reason, Rejected};

use crate::shelf::Cause;

/// Why there is no connection.
///
/// Each refusal is the [`source`](Error::source), so [`Rejected::find`] finds it here too.
#[non_exhaustive]
pub enum GetError<E> {
    /// No connection could be opened, with this error, and nothing is in use that could come back. It comes at
    /// once, to everybody whom nothing else can serve, and to those who ask before it is tried again.
    Connect(Arc<E>),
    /// No connection was to be had within the time a caller may wait for one.
    Timeout(Box<Exhausted<E>>),
    /// The pool refused: [`PoolQueueFull`], [`TooManyKeys`] or [`PoolClosed`]. Or a connect came to nothing
    /// without an error: [`ConnectTimeout`], or [`ConnectFailed`] if the connector panicked.
    ///
    /// [`PoolQueueFull`]: hook_monitor::Reason::PoolQueueFull
    /// [`TooManyKeys`]: hook_monitor::Reason::TooManyKeys
    /// [`PoolClosed`]: hook_monitor::Reason::PoolClosed
    /// [`ConnectTimeout`]: hook_monitor::Reason::ConnectTimeout
    /// [`ConnectFailed`]: hook_monitor::Reason::ConnectFailed
    Rejected(Rejected),
}

impl<E> GetError<E> {
    /// The refusal, if it was one.
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Connect(_) => None,
            Self::Timeout(exhausted) => Some(&exhausted.rejected),
            Self::Rejected(rejected) => Some(rejected),
        }
    }
}

/// What the pool looked like to somebody who had waited in vain. The figures are those of the key that was
/// asked for.
#[non_exhaustive]
pub struct Exhausted<E> {
    /// How long it waited.
    pub waited: Duration,
    /// Connections that were in use.
    pub used: usize,
    /// Connections that were idle: more than none only in the moment before somebody takes them.
    pub idle: usize,
    /// Connections that were being opened.
    pub connecting: usize,
    /// Callers that were still in line.
    pub waiting: usize,
    /// Why the last connect failed, if none has succeeded since.
    pub last_error: Option<Arc<E>>,
    rejected: Rejected,
}

/// Why there is no connection, with what a layer wants to know besides.
#[derive(Debug)]
pub(crate) enum Refusal<E> {
    Failed(Cause<E>, Duration),
    Exhausted(Box<Exhausted<E>>),
    Rejected(Rejected),
}

impl<E> Refusal<E> {
    pub(crate) fn exhausted(waited: Duration, gave_up: crate::shelves::GaveUp<E>) -> Self {
        Self::Exhausted(Box::new(Exhausted {
            waited,
            used: gave_up.used,
            idle: gave_up.idle,
            connecting: gave_up.connecting,
            waiting: gave_up.waiting,
            last_error: match gave_up.cause {
                Some(Cause::Error(err)) => Some(err),
                _ => None,
            },
            rejected: Rejected::new(Reason::PoolTimeout { waited }),
        }))
    }

    pub(crate) const fn of(reason: Reason) -> Self {
        Self::Rejected(Rejected::new(reason))
    }

    /// As a refusal, with the error in it as its source.
    pub(crate) fn into_rejected(self) -> Rejected
    where
        E: Error + Send + Sync + 'static,
    {
        match self {
            Self::Failed(Cause::Error(err), left) => {
                worth_trying_in(Rejected::new(Reason::ConnectFailed).because(err), left)
            }
            Self::Exhausted(exhausted) => exhausted.rejected.clone().because(Arc::new(*exhausted)),
            other => match GetError::from(other) {
                GetError::Rejected(rejected) => rejected,
                GetError::Connect(_) | GetError::Timeout(_) => unreachable!("those were the others"),
            },
        }
    }
}

fn worth_trying_in(rejected: Rejected, left: Duration) -> Rejected {
    if left.is_zero() {
        return rejected;
    }
    rejected.after(left)
}

impl<E> From<Refusal<E>> for GetError<E> {
    fn from(refusal: Refusal<E>) -> Self {
        match refusal {
            Refusal::Failed(Cause::Error(err), _) => Self::Connect(err),
            Refusal::Failed(Cause::TimedOut { after }, left) => Self::Rejected(worth_trying_in(
                Rejected::new(Reason::ConnectTimeout { after }),
                left,
            )),
            Refusal::Failed(Cause::Panicked, left) => {
                Self::Rejected(worth_trying_in(Rejected::new(Reason::ConnectFailed), left))
            }
            Refusal::Exhausted(exhausted) => Self::Timeout(exhausted),
            Refusal::Rejected(rejected) => Self::Rejected(rejected),
        }
    }
}

/// Says what went wrong with the connector too, for logs that print no sources.
impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(err) => write!(f, "could not connect: {err}"),
            Self::Timeout(exhausted) => exhausted.fmt(f),
            Self::Rejected(rejected) => write!(f, "no connection to be had: {rejected}"),
        }
    }
}

impl<E: Error + 'static> Error for GetError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Connect(err) => &**err,
            Self::Timeout(exhausted) => &exhausted.rejected,
            Self::Rejected(rejected) => rejected,
        })
    }
}

impl<E: fmt::Display> fmt::Display for Exhausted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no connection came free within {:?}: {} in use, {} idle, {} being opened, {} more waiting",
            self.waited, self.used, self.idle, self.connecting, self.waiting
        )?;
        match &self.last_error {
            Some(err) => write!(f, "; the last connect failed: {err}"),
            None => Ok(()),
        }
    }
}

/// Its source is the last error of the connector, if there is one.
impl<E: Error + 'static> Error for Exhausted<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last_error.as_deref().map(|err| err as _)
    }
}

// By hand, all four: an `Arc` needs nothing of what is in it to be cloned.
impl<E> Clone for GetError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Connect(err) => Self::Connect(err.clone()),
            Self::Timeout(exhausted) => Self::Timeout(exhausted.clone()),
            Self::Rejected(rejected) => Self::Rejected(rejected.clone()),
        }
    }
}

impl<E> Clone for Exhausted<E> {
    fn clone(&self) -> Self {
        Self {
            last_error: self.last_error.clone(),
            rejected: self.rejected.clone(),
            ..*self
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(err) => f.debug_tuple("Connect").field(err).finish(),
            Self::Timeout(exhausted) => exhausted.fmt_debug(f),
            Self::Rejected(rejected) => f.debug_tuple("Rejected").field(rejected).finish(),
        }
    }
}

impl<E: fmt::Debug> Exhausted<E> {
    fn fmt_debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("waited", &self.waited)
            .field("used", &self.used)
            .field("idle", &self.idle)
            .field("connecting", &self.connecting)
            .field("waiting", &self.waiting)
            .field("last_error", &self.last_error)
            .finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for Exhausted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_debug(f)
    }
}
