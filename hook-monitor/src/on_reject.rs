use std::fmt;

use crate::{BoxError, Rejected};

/// What a refusal becomes for the caller: an error, or an answer.
///
/// A layer that can refuse is generic over this, because the two uses want different types: with
/// [`RejectWithError`] the service's error is a [`BoxError`] that may hold a [`Rejected`]; with
/// [`RespondWith`] the service's error type stays what it was, [`Infallible`] included, and so the
/// layer goes straight into `axum::Router::layer`.
///
/// [`Infallible`]: std::convert::Infallible
pub trait OnReject<Res, E> {
    /// The error of the service that the layer makes.
    type Error;

    /// Turns a refusal into what the caller gets.
    fn reject(&self, rejected: Rejected) -> Result<Res, Self::Error>;

    /// Passes on an error of the inner service.
    fn inner(err: E) -> Self::Error;
}

/// Refuses with an error: a [`BoxError`] in which [`Rejected::find`] finds the reason.
///
/// The box is allocated on refusal only; calls that are admitted pay nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RejectWithError;

impl<Res, E> OnReject<Res, E> for RejectWithError
where
    E: Into<BoxError>,
{
    type Error = BoxError;

    #[inline]
    fn reject(&self, rejected: Rejected) -> Result<Res, BoxError> {
        Err(rejected.into())
    }

    #[inline]
    fn inner(err: E) -> BoxError {
        err.into()
    }
}

/// Refuses with a response made by a closure, and leaves the error type alone.
#[derive(Clone, Copy)]
pub struct RespondWith<F>(F);

impl<F> RespondWith<F> {
    /// Answers each refusal with what `respond` makes of it.
    pub const fn new(respond: F) -> Self {
        Self(respond)
    }
}

impl<F, Res, E> OnReject<Res, E> for RespondWith<F>
where
    F: Fn(Rejected) -> Res,
{
    type Error = E;

    #[inline]
    fn reject(&self, rejected: Rejected) -> Result<Res, E> {
        Ok((self.0)(rejected))
    }

    #[inline]
    fn inner(err: E) -> E {
        err
    }
}

// By hand: a closure is not `Debug`.
impl<F> fmt::Debug for RespondWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondWith").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::Reason;

    #[test]
    fn an_error_carries_the_refusal_and_a_boxed_error_is_not_boxed_twice() {
        let rejected = Rejected::new(Reason::CircuitOpen);
        let err = OnReject::<(), BoxError>::reject(&RejectWithError, rejected.clone()).unwrap_err();
        assert_eq!(Rejected::find(&*err), Some(&rejected));

        let inner = <RejectWithError as OnReject<(), BoxError>>::inner(err);
        assert_eq!(inner.downcast_ref::<Rejected>(), Some(&rejected));
    }

    #[test]
    fn an_answer_keeps_an_infallible_service_infallible() {
        let respond = RespondWith::new(|rejected: Rejected| rejected.to_string());
        let answer: Result<String, Infallible> = respond.reject(Rejected::new(Reason::CircuitOpen));
        assert_eq!(answer, Ok("circuit open".to_owned()));
    }
}
