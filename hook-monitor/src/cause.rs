//! What is behind an error whose type says nothing.

use std::{any::Any, error::Error, io};

use crate::{BoxError, Ending, Rejected};

/// Whether `err` is, holds or was caused by a refusal or a timeout.
///
/// Looks into a [`BoxError`], an [`io::Error`] and the timeouts of tower and tokio; what has another type is taken for
/// what it is. Where `E` is none of these, the compiler knows, and this is nothing.
#[cold]
pub(crate) fn ending_of<E: Any>(err: &E) -> Ending {
    let err: &dyn Any = err;
    if let Some(err) = err.downcast_ref::<BoxError>() {
        in_chain(&**err)
    } else if let Some(err) = err.downcast_ref::<io::Error>() {
        in_chain(err)
    } else if err.is::<Rejected>() {
        Ending::Rejected
    } else if err.is::<tower::timeout::error::Elapsed>() || err.is::<tokio::time::error::Elapsed>() {
        Ending::Timeout
    } else {
        Ending::Error
    }
}

/// The first of them that is found, from the outside in.
fn in_chain(err: &(dyn Error + 'static)) -> Ending {
    let mut next = Some(err);
    while let Some(err) = next {
        if err.is::<Rejected>() {
            return Ending::Rejected;
        }
        if err.is::<tower::timeout::error::Elapsed>() || err.is::<tokio::time::error::Elapsed>() {
            return Ending::Timeout;
        }
        next = match err.downcast_ref::<io::Error>() {
            Some(io) if io.kind() == io::ErrorKind::TimedOut => return Ending::Timeout,
            // The source of an `io::Error` is that of what it holds, which itself is passed over.
            Some(io) => io.get_ref().map(|held| held as _),
            None => err.source(),
        };
    }
    Ending::Error
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use crate::Reason;

    #[test]
    fn a_refusal_and_a_timeout_are_found_wherever_they_are() {
        let rejected = || Rejected::new(Reason::CircuitOpen);
        let elapsed = tower::timeout::error::Elapsed::new;
        for (err, ending) in [
            (BoxError::from(rejected()), Ending::Rejected),
            (io::Error::other(rejected()).into(), Ending::Rejected),
            (
                io::Error::other(io::Error::other(rejected())).into(),
                Ending::Rejected,
            ),
            (elapsed().into(), Ending::Timeout),
            (io::Error::other(elapsed()).into(), Ending::Timeout),
            (io::Error::from(io::ErrorKind::TimedOut).into(), Ending::Timeout),
            (io::Error::from(io::ErrorKind::NotFound).into(), Ending::Error),
            ("no".into(), Ending::Error),
        ] {
            assert_eq!(ending_of(&err), ending, "{err:?}");
        }
        assert_eq!(ending_of(&rejected()), Ending::Rejected);
        assert_eq!(ending_of(&elapsed()), Ending::Timeout);
        assert_eq!(
            ending_of(&io::Error::from(io::ErrorKind::TimedOut)),
            Ending::Timeout
        );
        assert_eq!(ending_of(&fmt::Error), Ending::Error);
    }
}
