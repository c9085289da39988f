use std::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Threads that count at the same time rarely share a stripe up to this many.
pub(crate) const STRIPES: usize = 8;

/// `N` counters that many threads may raise at once for about two nanoseconds each.
///
/// Each thread counts in one of eight stripes, a cache line or more apart; reading adds the stripes
/// up. A group costs 1 KiB for up to sixteen counters. Counters only grow; they wrap after 2^64.
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
    stripes: [Stripe<N>; STRIPES],
}

// 128, not 64: the usual x86 prefetcher and Apple's cores move lines in pairs.
#[repr(align(128))]
struct Stripe<const N: usize>([AtomicU64; N]);

impl<const N: usize> Counters<N> {
    /// All counters at zero.
    pub const fn new() -> Self {
        Self {
            stripes: [const { Stripe([const { AtomicU64::new(0) }; N]) }; STRIPES],
        }
    }

    /// Raises the counter at `index` by `n`.
    ///
    /// # Panics
    ///
    /// If `index` is not below `N`.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        self.stripes[stripe()].0[index].fetch_add(n, Relaxed);
    }

    /// The counter at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is not below `N`.
    pub fn get(&self, index: usize) -> u64 {
        self.stripes
            .iter()
            .fold(0, |sum, stripe| sum.wrapping_add(stripe.0[index].load(Relaxed)))
    }

    /// All the counters, in order.
    pub fn read(&self) -> [u64; N] {
        std::array::from_fn(|index| self.get(index))
    }
}

/// The stripe this thread counts in: threads take turns in the order they first count.
#[inline]
pub(crate) fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES);
    // A destructor of another thread-local may count after ours is gone.
    MINE.try_with(|mine| *mine).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_between_more_threads_than_stripes() {
        let counters = Counters::<2>::new();
        std::thread::scope(|scope| {
            for _ in 0..STRIPES + 3 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counters.add(0, 1);
                        counters.add(1, 2);
                    }
                });
            }
        });
        assert_eq!(counters.read(), [11_000, 22_000]);
    }
}
