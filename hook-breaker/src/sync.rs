//! What the gate is built from: the standard library's, or loom's while it is being modelled.

#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};

#[cfg(not(all(test, loom)))]
pub(crate) use hook_monitor::{Mine, Striped};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};

#[cfg(all(test, loom))]
pub(crate) use modelled::{Mine, Striped, lane};

/// `Striped` as it is between three threads: two have a stripe each, and the others share the third.
#[cfg(all(test, loom))]
mod modelled {
    use std::cell::Cell;

    const LANES: usize = 2;

    #[derive(Debug)]
    pub(crate) struct Striped<T>([T; LANES + 1]);

    #[derive(Debug)]
    pub(crate) struct Mine<'a, T> {
        stripe: &'a T,
        index: usize,
    }

    loom::thread_local! {
        static LANE: Cell<usize> = Cell::new(LANES);
    }

    /// Gives this thread a stripe for itself: 0 or 1.
    pub(crate) fn lane(lane: usize) {
        assert!(lane < LANES);
        LANE.with(|mine| mine.set(lane));
    }

    impl<T> Striped<T> {
        pub(crate) fn new(mut make: impl FnMut() -> T) -> Self {
            Self(std::array::from_fn(|_| make()))
        }

        pub(crate) fn mine(&self) -> Mine<'_, T> {
            let index = LANE.with(Cell::get);
            Mine {
                stripe: &self.0[index],
                index,
            }
        }

        pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
            self.0.iter()
        }
    }

    impl<T> Mine<'_, T> {
        pub(crate) fn is_alone(&self) -> bool {
            self.index < LANES
        }

        pub(crate) fn index(&self) -> usize {
            self.index
        }

        /// Not part of what is modelled.
        pub(crate) fn add(&self, count: &std::sync::atomic::AtomicU64, n: u64) {
            count.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        }
    }

    impl<T> std::ops::Deref for Mine<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.stripe
        }
    }
}
