use std::{error::Error, fmt};

use hook_monitor::Rejected;

/// Why a call through [`CircuitBreaker::call`](crate::CircuitBreaker::call) gave no value.
///
/// Either way the cause is the [`source`](Error::source), so [`Rejected::find`] finds a refusal here
/// and under any wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// The circuit refused; the call was not tried.
    Rejected(Rejected),
    /// The call was made and ended with this error.
    Inner(E),
}

impl<E> CallError<E> {
    /// The refusal, if it was one.
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Inner(_) => None,
        }
    }

    /// The call's own error, if it was made.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Rejected(_) => None,
            Self::Inner(err) => Some(err),
        }
    }
}

impl<E> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected(_) => "call refused",
            Self::Inner(_) => "call failed",
        })
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Inner(err) => Some(err),
        }
    }
}
