use std::{fmt, marker::PhantomData, sync::atomic::Ordering::Relaxed};

use crate::{slot, sync::AtomicU64};

/// A `T` for each of a number of threads, a cache line or more apart, for what every call writes and few read.
///
/// There are two for each processor (4 to 64), each written by one thread alone as long as it lives, and four
/// more that all other threads share. What is alone can be written with a load and a store, about half a
/// nanosecond, where a read-modify-write takes two; [`Mine::add`] does so.
///
/// ```
/// use hook_monitor::Striped;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// let calls = Striped::<AtomicU64>::new(AtomicU64::default);
/// let mine = calls.mine();
/// mine.add(&*mine, 1);
/// assert_eq!(calls.iter().map(|stripe| stripe.load(Relaxed)).sum::<u64>(), 1);
/// ```
pub struct Striped<T>(Box<[Stripe<T>]>);

// 128, not 64: the usual x86 prefetcher and Apple's cores move lines in pairs.
#[repr(align(128))]
struct Stripe<T>(T);

/// The stripe of this thread, from [`Striped::mine`].
#[derive(Debug)]
pub struct Mine<'a, T> {
    stripe: &'a T,
    index: usize,
    is_alone: bool,
    // Being alone is a promise to this thread.
    not_send: PhantomData<*const ()>,
}

impl<T> Striped<T> {
    /// Stripes that each hold what `make` gives.
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        Self((0..slot::slots()).map(|_| Stripe(make())).collect())
    }

    /// The stripe of this thread.
    #[inline]
    pub fn mine(&self) -> Mine<'_, T> {
        let slot = slot::mine();
        Mine {
            stripe: &self.0[slot.index].0,
            index: slot.index,
            is_alone: slot.is_exclusive,
            not_send: PhantomData,
        }
    }

    /// Every stripe, in a fixed order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.0.iter().map(|stripe| &stripe.0)
    }
}

impl<T> Mine<'_, T> {
    /// Whether no other thread writes to this stripe for as long as this thread lives.
    #[inline]
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// The place of this stripe in [`Striped::iter`].
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Adds `n` to `count`, which is part of this stripe and is written through `Mine` alone. Relaxed.
    #[inline]
    pub fn add(&self, count: &AtomicU64, n: u64) {
        if self.is_alone {
            count.store(count.load(Relaxed).wrapping_add(n), Relaxed);
        } else {
            count.fetch_add(n, Relaxed);
        }
    }
}

impl<T> std::ops::Deref for Mine<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.stripe
    }
}

impl<T: fmt::Debug> fmt::Debug for Striped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
