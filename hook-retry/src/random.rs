use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The step of SplitMix64: odd, so that every state comes once in 2^64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64: spreads retries over time. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number from 0 to `max`, both included, each as likely as the other to one part in 2^64 / `max`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        let wide = u128::from(self.next()) * (u128::from(max) + 1);
        // The upper half of 64 bits times at most 2^64 fits.
        (wide >> 64) as u64
    }
}

/// Where each call gets its own seed from, without a lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seeds {
    /// Shared by all clones: calls must differ from each other through whichever clone they come.
    /// Publishes nothing but itself.
    state: Option<Arc<AtomicU64>>,
}

impl Seeds {
    /// The same seeds in the same order each time.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self {
            state: Some(Arc::new(AtomicU64::new(mix(seed)))),
        }
    }

    pub(crate) fn draw(&self) -> u64 {
        static PROCESS: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(std::process::id())));
        let state = self.state.as_deref().unwrap_or_else(|| &PROCESS);
        // Mixed twice as far apart as a sequence steps: neighbours' sequences must not overlap.
        mix(mix(state.fetch_add(STEP, Relaxed)) ^ STEP)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The reference sequence of seed 1234567.
        let mut random = Random::new(1_234_567);
        for expected in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ] {
            assert_eq!(random.next(), expected);
        }
    }

    #[test]
    fn up_to_reaches_both_ends_and_never_passes_them() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 4];
        for _ in 0..4_000 {
            seen[random.up_to(3) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (800..1_200).contains(n)), "{seen:?}");
        assert_eq!(random.up_to(0), 0);
        random.up_to(u64::MAX);
    }

    #[test]
    fn a_seed_repeats_itself_and_no_two_draws_are_alike() {
        let (one, same) = (Seeds::from_seed(7), Seeds::from_seed(7));
        let mut all = vec![];
        for _ in 0..100 {
            let seed = one.draw();
            assert_eq!(seed, same.clone().draw());
            all.push(seed);
            all.push(Seeds::default().draw());
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
    }
}
