use std::{error::Error, fmt};

use hook_monitor::{BoxError, Rejected};

/// Why a call through [`CircuitBreaker::call`](crate::CircuitBreaker::call) gave no value.
///
/// Where `E` is an error so is this, and either way the cause is its [`source`](Error::source): there
/// [`Rejected::find`] finds a refusal, and under wrappers that give this as their source.
///
/// A [`BoxError`] is no [`Error`] itself, and a `CallError` of it is none either; for a function that
/// returns one there is [`into_box`](CallError::into_box).
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

impl<E: Into<BoxError>> CallError<E> {
    /// What was the matter, without a word on who says so: the [`Rejected`] or the call's own error,
    /// boxed; one that is a box stays that box.
    ///
    /// ```
    /// use hook_breaker::{BoxError, CallError, CircuitBreaker};
    ///
    /// # async fn fetch() -> Result<u32, BoxError> { Ok(7) }
    /// async fn guarded(breaker: &CircuitBreaker) -> Result<u32, BoxError> {
    ///     let value = breaker.call(fetch()).await.map_err(CallError::into_box)?;
    ///     Ok(value + 1)
    /// }
    /// # let answer = futures::executor::block_on(guarded(&CircuitBreaker::new()));
    /// # assert_eq!(answer.ok(), Some(8));
    /// ```
    pub fn into_box(self) -> BoxError {
        match self {
            Self::Rejected(rejected) => rejected.into(),
            Self::Inner(err) => err.into(),
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
