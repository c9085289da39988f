use std::fmt;

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
