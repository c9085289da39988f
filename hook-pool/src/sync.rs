//! The one lock of this crate and its one hint, or loom's double of it when a model is checked.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicBool;
#[cfg(loom)]
use loom::sync::{Mutex as Inner, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::AtomicBool;
#[cfg(not(loom))]
use std::sync::{Mutex as Inner, MutexGuard};

use std::sync::PoisonError;

/// A mutex that is not poisoned by a panic: what it guards is only ever changed in whole steps, and
/// the user's code that runs under it (`Hash` and `Eq` of a key) runs between them, never while
/// something is taken that nobody would give back.
#[derive(Debug)]
pub(crate) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
