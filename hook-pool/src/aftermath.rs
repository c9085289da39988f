use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::Waker,
    thread,
};

use crate::{alarm::Alarm, entry::Entry, shelf::Cause};

/// What is left to do once the lock is gone: it all runs somebody else's code.
///
/// It happens at the latest when this is dropped, so that a panic costs nobody the wake-up.
#[must_use = "what is taken has to be guarded before this happens"]
pub(crate) struct Aftermath<K, C, E> {
    // Nearly always there is one to wake or none, and nothing else: that costs no allocation.
    waker: Option<Waker>,
    more: Option<Box<More<K, C, E>>>,
}

/// What there rarely is.
pub(crate) struct More<K, C, E> {
    wakers: Vec<Waker>,
    discarded: Vec<Waker>,
    pub(crate) connections: Vec<Box<Entry<C>>>,
    pub(crate) keys: Vec<Arc<K>>,
    pub(crate) causes: Vec<Cause<E>>,
    /// Timers, which have wakers in them.
    pub(crate) alarms: Vec<Alarm>,
}

impl<K, C, E> Aftermath<K, C, E> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            waker: None,
            more: None,
        }
    }

    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        match (&self.waker, waker) {
            (_, None) => {}
            (None, waker) => self.waker = waker,
            (Some(_), waker) => self.more().wakers.extend(waker),
        }
    }

    /// A waker nobody needs any more.
    pub(crate) fn discard(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.more().discarded.extend(waker);
        }
    }

    pub(crate) fn discard_cause(&mut self, cause: Option<Cause<E>>) {
        if cause.is_some() {
            self.more().causes.extend(cause);
        }
    }

    pub(crate) fn more(&mut self) -> &mut More<K, C, E> {
        self.more.get_or_insert_with(|| {
            Box::new(More {
                wakers: Vec::new(),
                discarded: Vec::new(),
                connections: Vec::new(),
                keys: Vec::new(),
                causes: Vec::new(),
                alarms: Vec::new(),
            })
        })
    }

    /// Wakes who is to be woken, in order, and drops what is to be dropped.
    #[inline]
    pub(crate) fn happen(self) {
        drop(self);
    }

    /// Wakes all, also those behind a waker that panics; passes the first panic on after that.
    #[cold]
    fn wake_all(&mut self, first: Waker) {
        let others = self.more.as_mut().map(|more| mem::take(&mut more.wakers));
        let others = others.into_iter().flatten();
        let mut panicked = None;
        for waker in std::iter::once(first).chain(others) {
            // Nobody looks at a waker again after it was called.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panicked.get_or_insert(panic);
            }
        }
        // A second panic would end the process.
        if let Some(panic) = panicked.filter(|_| !thread::panicking()) {
            resume_unwind(panic);
        }
    }
}

impl<K, C, E> Drop for Aftermath<K, C, E> {
    #[inline]
    fn drop(&mut self) {
        if let Some(first) = self.waker.take() {
            if self.more.is_some() {
                self.wake_all(first);
            } else {
                wake(first);
            }
        }
    }
}

/// Wakes one, whose panic is passed on unless there is one already: a second would end the process.
#[inline]
pub(crate) fn wake(waker: Waker) {
    if thread::panicking() {
        // Nobody looks at a waker again after it was called.
        drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
    } else {
        waker.wake();
    }
}
