use std::{fmt, sync::Arc};

use crate::flight::SharedError;

/// What those who wait for a load are told when it fails.
///
/// Chosen by [`CacheLayer::share_errors`] and [`CacheLayer::share_errors_by`]; there is nothing to implement.
///
/// [`CacheLayer::share_errors`]: crate::CacheLayer::share_errors
/// [`CacheLayer::share_errors_by`]: crate::CacheLayer::share_errors_by
pub trait Errors<E>: sealed::Errors<E> {}

impl<E, T: sealed::Errors<E>> Errors<E> for T {}

/// The default: an error is its caller's own. Those who waited are released at once, all together, and each calls
/// the inner service for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorsReleased;

/// Everybody who waited gets a clone of the error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorsShared;

/// Everybody who waited gets an error that a function made of the first one.
#[derive(Clone, Copy)]
pub struct ErrorsSharedBy<G>(pub(crate) G);

pub(crate) mod sealed {
    use crate::flight::SharedError;

    pub trait Errors<E> {
        /// The error in a shape that can be shared, if it is to be.
        fn share(&self, error: &E) -> Option<SharedError>;

        /// The error for one who waited; none if what was shared is of another type.
        fn unshare(&self, shared: &SharedError) -> Option<E>;
    }
}

impl<E> sealed::Errors<E> for ErrorsReleased {
    fn share(&self, _error: &E) -> Option<SharedError> {
        None
    }

    fn unshare(&self, _shared: &SharedError) -> Option<E> {
        None
    }
}

impl<E: Clone + Send + Sync + 'static> sealed::Errors<E> for ErrorsShared {
    fn share(&self, error: &E) -> Option<SharedError> {
        Some(Arc::new(error.clone()))
    }

    fn unshare(&self, shared: &SharedError) -> Option<E> {
        shared.downcast_ref().cloned()
    }
}

impl<G, E> sealed::Errors<E> for ErrorsSharedBy<G>
where
    G: Fn(&E) -> E,
    E: Send + Sync + 'static,
{
    fn share(&self, error: &E) -> Option<SharedError> {
        Some(Arc::new((self.0)(error)))
    }

    fn unshare(&self, shared: &SharedError) -> Option<E> {
        shared.downcast_ref().map(&self.0)
    }
}

// By hand: a closure is not `Debug`.
impl<G> fmt::Debug for ErrorsSharedBy<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorsSharedBy").finish_non_exhaustive()
    }
}
