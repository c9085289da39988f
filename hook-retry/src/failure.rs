use std::{any::Any, error::Error, io, sync::Arc};

use hook_monitor::{BoxError, Reason, Rejected};

/// What kind of failure an attempt ended with, as far as a [`Decide`](crate::Decide) can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A response that was not good enough.
    Response,
    /// A refusal of a layer underneath.
    Refused(Reason),
    /// An error of input or output.
    Io(io::ErrorKind),
    /// Any other error.
    Error,
}

impl Failure {
    /// The kind of an error: that of the first [`Rejected`] or [`io::Error`] among it and its causes.
    pub fn of(err: &(dyn Error + 'static)) -> Self {
        if let Some(rejected) = Rejected::find(err) {
            return Self::Refused(rejected.reason());
        }
        io_error(err).map_or(Self::Error, |err| Self::Io(err.kind()))
    }

    /// The same for an error of any type: see [`boxed`].
    pub(crate) fn of_any<E: 'static>(err: &E) -> Self {
        boxed(err).map_or(Self::Error, Self::of)
    }
}

/// The first input or output error among `err` and its causes.
fn io_error<'a>(err: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(io) = err.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = err.source();
    }
    None
}

/// An error of any type as what it is in general, where the type is known to be an error here: a [`Rejected`], an
/// [`io::Error`], or a box or `Arc` of any error. The compiler knows the type and leaves one branch of these.
pub(crate) fn boxed<E: 'static>(err: &E) -> Option<&(dyn Error + 'static)> {
    let err: &dyn Any = err;
    Some(if let Some(err) = err.downcast_ref::<Rejected>() {
        err
    } else if let Some(err) = err.downcast_ref::<io::Error>() {
        err
    } else if let Some(err) = err.downcast_ref::<BoxError>() {
        &**err
    } else if let Some(err) = err.downcast_ref::<Box<dyn Error + Send>>() {
        &**err
    } else if let Some(err) = err.downcast_ref::<Box<dyn Error>>() {
        &**err
    } else {
        &**err.downcast_ref::<Arc<dyn Error + Send + Sync>>()?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_is_told_apart_under_any_box() {
        let refused = Failure::Refused(Reason::PoolClosed);
        let reset = Failure::Io(io::ErrorKind::ConnectionReset);
        assert_eq!(Failure::of_any(&Rejected::new(Reason::PoolClosed)), refused);
        assert_eq!(
            Failure::of_any(&io::Error::other(Rejected::new(Reason::PoolClosed))),
            refused
        );
        assert_eq!(
            Failure::of_any(&io::Error::from(io::ErrorKind::ConnectionReset)),
            reset
        );
        let boxed: BoxError = io::Error::from(io::ErrorKind::ConnectionReset).into();
        assert_eq!(Failure::of_any(&boxed), reset);
        assert_eq!(Failure::of_any(&BoxError::from("no")), Failure::Error);
        assert_eq!(Failure::of_any(&"no error at all"), Failure::Error);
    }
}
