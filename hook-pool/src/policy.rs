use std::fmt;

use hook_monitor::{OnReject, Reason, RejectWithError, Rejected, RespondWith};

use crate::error::{ConnectTimeout, TooManyKeys};

/// Tells which connections a request goes over.
///
/// Closures `Fn(&Req) -> K` do, and [`OneKey`], which has the same key for every request.
pub trait KeyOf<Req, K> {
    /// The key to get a connection for.
    fn key(&self, req: &Req) -> K;
}

impl<F, Req, K> KeyOf<Req, K> for F
where
    F: Fn(&Req) -> K,
{
    #[inline]
    fn key(&self, req: &Req) -> K {
        self(req)
    }
}

/// All requests go to the same place; the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OneKey;

impl<Req> KeyOf<Req, ()> for OneKey {
    #[inline]
    fn key(&self, _: &Req) {}
}

/// Judges by the result of a call whether its connection is fit for another.
///
/// Closures `Fn(Result<&Res, &Err>) -> bool` do; the default is [`KeepUnlessError`]. Only asked about
/// calls that ended: a connection whose readiness failed, or whose call was dropped or panicked, is
/// always thrown away.
pub trait Keep<Res, Err> {
    /// Whether the connection goes back. A panic in here throws it away.
    fn keep(&self, result: Result<&Res, &Err>) -> bool;
}

impl<F, Res, Err> Keep<Res, Err> for F
where
    F: Fn(Result<&Res, &Err>) -> bool,
{
    #[inline]
    fn keep(&self, result: Result<&Res, &Err>) -> bool {
        self(result)
    }
}

/// Any response keeps the connection, any error throws it away; the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeepUnlessError;

impl<Res, Err> Keep<Res, Err> for KeepUnlessError {
    #[inline]
    fn keep(&self, result: Result<&Res, &Err>) -> bool {
        result.is_ok()
    }
}

/// What becomes of the two things a pool can say that [`OnReject`] has no word for.
///
/// Both have a default that takes the nearest [`Reason`], so that `impl OnRefuse<Res, E> for Mine {}` is
/// enough for an [`OnReject`] of your own.
pub trait OnRefuse<Res, E>: OnReject<Res, E> {
    /// Opening a connection took too long. By default a refusal with [`Reason::PoolTimeout`].
    fn connect_timeout(&self, timeout: ConnectTimeout) -> Result<Res, Self::Error> {
        let waited = timeout.after();
        self.reject(Rejected::new(Reason::PoolTimeout { waited }))
    }

    /// The pool has no room for this key. By default a refusal with [`Reason::PoolQueueFull`].
    fn too_many_keys(&self, keys: TooManyKeys) -> Result<Res, Self::Error> {
        let _ = keys;
        self.reject(Rejected::new(Reason::PoolQueueFull { waiting: 0 }))
    }
}

/// The error is a [`ConnectTimeout`] or a [`TooManyKeys`].
impl<Res, E> OnRefuse<Res, E> for RejectWithError
where
    RejectWithError: OnReject<Res, E, Error = hook_monitor::BoxError>,
{
    fn connect_timeout(&self, timeout: ConnectTimeout) -> Result<Res, Self::Error> {
        Err(timeout.into())
    }

    fn too_many_keys(&self, keys: TooManyKeys) -> Result<Res, Self::Error> {
        Err(keys.into())
    }
}

/// The closure is called with the nearest [`Reason`].
impl<F, Res, E> OnRefuse<Res, E> for RespondWith<F> where RespondWith<F>: OnReject<Res, E> {}

/// The three judgements of a pool that is a client.
#[derive(Clone, Copy)]
pub(crate) struct Policy<F, R, P> {
    pub(crate) key_of: F,
    pub(crate) on_reject: R,
    pub(crate) keep: P,
}

// By hand: a closure is not `Debug`.
impl<F, R, P> fmt::Debug for Policy<F, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}
