use std::fmt;

use crate::lease::InDoubt;

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

/// When a connection that answered goes back: with the response, or later.
pub trait Release<Res, C> {
    /// What the caller gets.
    type Response;

    /// Turns the connection's response into the caller's, and sees to the connection: drops `lease` (which
    /// throws it away), [gives it back](Lease::give_back), or puts it into what it returns.
    fn release(&self, response: Res, lease: Lease<C>) -> Self::Response;
}

/// The response is the end of the call; the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AtResponse;

impl<Res, C> Release<Res, C> for AtResponse {
    type Response = Res;

    #[inline]
    fn release(&self, response: Res, lease: Lease<C>) -> Res {
        lease.give_back();
        response
    }
}

/// A connection that has answered. Dropped, it is thrown away.
#[derive(Debug)]
pub struct Lease<C> {
    connection: InDoubt<C>,
    fit: bool,
}

impl<C> Lease<C> {
    #[inline]
    pub(crate) const fn new(connection: InDoubt<C>, fit: bool) -> Self {
        Self { connection, fit }
    }

    /// The call is over: the connection goes back, if it was [judged](Keep) fit for that.
    #[inline]
    pub fn give_back(self) {
        self.connection.settle(self.fit);
    }
}

/// The judgements of a pool that is a client.
#[derive(Clone, Copy)]
pub(crate) struct Policy<F, R, P, W> {
    pub(crate) key_of: F,
    pub(crate) on_reject: R,
    pub(crate) keep: P,
    pub(crate) release: W,
}

// By hand: a closure is not `Debug`.
impl<F, R, P, W> fmt::Debug for Policy<F, R, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}
