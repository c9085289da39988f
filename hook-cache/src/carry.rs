use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::flight::Orphan;

/// Whether a load belongs to the caller that began it.
///
/// Chosen by [`CacheLayer::resume`] and [`CacheLayer::stale_while_revalidate`]; there is nothing to implement.
///
/// [`CacheLayer::resume`]: crate::CacheLayer::resume
/// [`CacheLayer::stale_while_revalidate`]: crate::CacheLayer::stale_while_revalidate
pub trait Carry<F: Future>: sealed::Carry<F> {}

impl<F: Future, T: sealed::Carry<F>> Carry<F> for T {}

/// Whether a stale answer can be loaded anew behind the caller's back.
///
/// As [`Carry`], chosen by the setters of a layer.
pub trait Background<F>: sealed::Background<F> {}

impl<F, T: sealed::Background<F>> Background<F> for T {}

/// The default: a load is a part of the future that began it, and ends with it. Asks for neither a box, nor `Send`,
/// nor `'static`. Whoever takes over begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restart;

/// A load is in a box of its own: whoever takes over goes on with it where it is, and one of a stale answer runs as
/// a task of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resume;

pub(crate) mod sealed {
    use super::*;

    pub trait Carry<F: Future> {
        type Load: Future<Output = F::Output>;

        fn carry(load: F) -> Self::Load;

        /// Takes a load that is half done out of a caller that goes away.
        fn orphan(load: Pin<&mut Self::Load>) -> Option<Orphan>;

        /// Goes on with what another caller has left, unless it is of another kind.
        fn adopt(orphan: Orphan) -> Result<Self::Load, Orphan>;
    }

    pub trait Background<F> {
        /// Whether `spawn` would run anything.
        fn is_there() -> bool;

        fn spawn(task: F);
    }
}

impl<F: Future> sealed::Carry<F> for Restart {
    type Load = F;

    fn carry(load: F) -> F {
        load
    }

    fn orphan(_load: Pin<&mut F>) -> Option<Orphan> {
        None
    }

    fn adopt(orphan: Orphan) -> Result<F, Orphan> {
        Err(orphan)
    }
}

impl<F> sealed::Background<F> for Restart {
    fn is_there() -> bool {
        false
    }

    fn spawn(_task: F) {}
}

impl<F: Future + Send + 'static> sealed::Carry<F> for Resume {
    type Load = Boxed<F>;

    // A box is fine here: the caller is about to wait.
    fn carry(load: F) -> Boxed<F> {
        Boxed(Some(Box::pin(load)))
    }

    fn orphan(load: Pin<&mut Boxed<F>>) -> Option<Orphan> {
        let load = load.get_mut().0.take()?;
        Some(Box::new(load))
    }

    fn adopt(orphan: Orphan) -> Result<Boxed<F>, Orphan> {
        let load = orphan.downcast::<Pin<Box<F>>>()?;
        Ok(Boxed(Some(*load)))
    }
}

impl<F> sealed::Background<F> for Resume
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn is_there() -> bool {
        tokio::runtime::Handle::try_current().is_ok()
    }

    fn spawn(task: F) {
        tokio::spawn(task);
    }
}

/// A load that can change hands. Empty once it has ended, and while it is polled: one that panics is never handed on.
#[derive(Debug)]
pub struct Boxed<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Boxed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut load = self.0.take().expect("a load is not polled after it has ended");
        let poll = load.as_mut().poll(cx);
        if poll.is_pending() {
            self.0 = Some(load);
        }
        poll
    }
}
