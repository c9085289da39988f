use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// [SplitMix64](https://prng.di.unimi.it/splitmix64.c), seeded from what std seeds its maps with.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Takes up to `share` off `whole`.
    pub(crate) fn shorten(&mut self, whole: Duration, share: f64) -> Duration {
        // The upper 53 bits make a float below one.
        let chance = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let left = whole.as_secs_f64() * (1.0 - share * chance).clamp(0.0, 1.0);
        // The very longest cannot be said in floats; it stays what it is.
        Duration::try_from_secs_f64(left).map_or(whole, |left| left.min(whole))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_off_is_spread_over_the_whole_share() {
        let mut random = Random::new();
        let whole = Duration::from_secs(100);
        let taken: Vec<_> = (0..1_000)
            .map(|_| (whole - random.shorten(whole, 0.1)).as_secs_f64())
            .collect();
        assert!(taken.iter().all(|off| (0.0..=10.0).contains(off)));
        for tenth in 0..10 {
            let (from, to) = (f64::from(tenth), f64::from(tenth + 1));
            let within = taken.iter().filter(|off| (from..to).contains(*off)).count();
            // A hundred are expected; five standard deviations are 47.
            assert!(
                (53..=147).contains(&within),
                "{within} between {from} s and {to} s"
            );
        }
        assert_eq!(random.shorten(whole, 0.0), whole);
        assert!(random.shorten(Duration::MAX, 1.0) <= Duration::MAX);
    }
}
