use std::{fmt, sync::atomic::Ordering::Relaxed};

use crate::{Striped, sync::AtomicU64};

/// `N` counters that many threads may raise at once for half a nanosecond each, or for about two where there are
/// more threads than stripes: see [`Striped`].
///
/// Reading adds the stripes up. On a machine of two processors a group costs 1 KiB for up to sixteen counters; on
/// one of 32 or more, 8.5 KiB. Counters only grow; they wrap after 2^64.
///
/// Reads are not a snapshot of one instant: two counters raised one after the other may be seen one
/// without the other while calls are under way. Once they have ended, every count is exact.
///
/// ```
/// use hook_monitor::Counters;
///
/// const HITS: usize = 0;
/// const MISSES: usize = 1;
/// let counters = Counters::<2>::new();
/// counters.add(HITS, 1);
/// assert_eq!(counters.read(), [1, 0]);
/// assert_eq!(counters.get(MISSES), 0);
/// ```
pub struct Counters<const N: usize> {
    stripes: Striped<[AtomicU64; N]>,
}

impl<const N: usize> Counters<N> {
    /// All counters at zero. Allocates.
    pub fn new() -> Self {
        Self {
            stripes: Striped::new(|| std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    /// Raises the counter at `index` by `n`.
    ///
    /// # Panics
    ///
    /// If `index` is not below `N`.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        let mine = self.stripes.mine();
        mine.add(&mine[index], n);
    }

    /// Sets every counter to zero. What is counted meanwhile by other threads may be lost or kept.
    pub fn clear(&self) {
        for stripe in self.stripes.iter() {
            stripe.iter().for_each(|count| count.store(0, Relaxed));
        }
    }

    /// The counter at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is not below `N`.
    pub fn get(&self, index: usize) -> u64 {
        self.stripes
            .iter()
            .fold(0, |sum, stripe| sum.wrapping_add(stripe[index].load(Relaxed)))
    }

    /// All the counters, in order.
    pub fn read(&self) -> [u64; N] {
        std::array::from_fn(|index| self.get(index))
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for Counters<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counters").field(&self.read()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_between_more_threads_than_stripes() {
        // More than there can be exclusive stripes for, so that some share.
        const THREADS: u64 = 75;
        let counters = Counters::<2>::new();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counters.add(0, 1);
                        counters.add(1, 2);
                    }
                });
            }
        });
        assert_eq!(counters.read(), [THREADS * 1_000, THREADS * 2_000]);
    }
}
