//! What a policy does with requests: how one is kept for a retry, how long it may take, and how it is
//! changed before it goes out again.
//!
//! These are the types behind [`clone_with`], [`deadline_by`] and [`before_retry`]; one seldom needs to
//! name them.
//!
//! [`clone_with`]: crate::RetryPolicy::clone_with
//! [`deadline_by`]: crate::RetryPolicy::deadline_by
//! [`before_retry`]: crate::RetryPolicy::before_retry

use std::{fmt, time::Instant};

/// Everything a policy does with a request of type `Req`. Implemented by [`Requests`].
pub trait RequestRules<Req> {
    /// A copy of `req` for a retry, if it may be sent more than once.
    fn keep(&self, req: &Req) -> Option<Req>;

    /// When the answer to `req` is no longer wanted.
    fn deadline(&self, req: &Req) -> Option<Instant>;

    /// Changes `req` before it goes out as attempt `number`, which is 2 or more.
    fn change(&self, req: &mut Req, number: u32);
}

/// The three rules together, each with a default that does nothing out of the ordinary.
#[derive(Clone, Copy, Default)]
pub struct Requests<K = ByClone, D = NoDeadline, W = Unchanged> {
    pub(crate) keep: K,
    pub(crate) deadline: D,
    pub(crate) change: W,
}

impl<K, D, W, Req> RequestRules<Req> for Requests<K, D, W>
where
    K: KeepRequest<Req>,
    D: DeadlineOf<Req>,
    W: ChangeRequest<Req>,
{
    #[inline]
    fn keep(&self, req: &Req) -> Option<Req> {
        self.keep.keep(req)
    }

    #[inline]
    fn deadline(&self, req: &Req) -> Option<Instant> {
        self.deadline.deadline(req)
    }

    #[inline]
    fn change(&self, req: &mut Req, number: u32) {
        self.change.change(req, number);
    }
}

// By hand: a closure is not `Debug`.
impl<K, D, W> fmt::Debug for Requests<K, D, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// Copies a request for a retry, or says that it must not be sent again. Closures
/// `Fn(&Req) -> Option<Req>` do.
#[diagnostic::on_unimplemented(
    message = "`{Req}` cannot be copied for another attempt by `{Self}`",
    note = "by default a request is copied by `Clone`; where it is not `Clone`, as axum's, \
            `RetryPolicy::clone_with` says which are sent again, and how",
    note = "for HTTP requests without a body that is `clone_with(hook_retry::http::bodiless)` (feature `http`)"
)]
pub trait KeepRequest<Req> {
    /// The copy.
    fn keep(&self, req: &Req) -> Option<Req>;
}

impl<F, Req> KeepRequest<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    #[inline]
    fn keep(&self, req: &Req) -> Option<Req> {
        self(req)
    }
}

/// Copies a request by `Clone`: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByClone;

impl<Req: Clone> KeepRequest<Req> for ByClone {
    #[inline]
    fn keep(&self, req: &Req) -> Option<Req> {
        Some(req.clone())
    }
}

/// Knows the deadline of a request. Closures `Fn(&Req) -> Option<Instant>` do.
pub trait DeadlineOf<Req> {
    /// When the answer is no longer wanted.
    fn deadline(&self, req: &Req) -> Option<Instant>;
}

impl<F, Req> DeadlineOf<Req> for F
where
    F: Fn(&Req) -> Option<Instant>,
{
    #[inline]
    fn deadline(&self, req: &Req) -> Option<Instant> {
        self(req)
    }
}

/// Requests have no deadline: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoDeadline;

impl<Req> DeadlineOf<Req> for NoDeadline {
    #[inline]
    fn deadline(&self, _: &Req) -> Option<Instant> {
        None
    }
}

/// Changes a request before it goes out again. Closures `Fn(&mut Req, u32)` do.
pub trait ChangeRequest<Req> {
    /// Changes `req`, which goes out as attempt `number`.
    fn change(&self, req: &mut Req, number: u32);
}

impl<F, Req> ChangeRequest<Req> for F
where
    F: Fn(&mut Req, u32),
{
    #[inline]
    fn change(&self, req: &mut Req, number: u32) {
        self(req, number);
    }
}

/// Requests go out again as they came: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unchanged;

impl<Req> ChangeRequest<Req> for Unchanged {
    #[inline]
    fn change(&self, _: &mut Req, _: u32) {}
}
