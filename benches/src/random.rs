//! Streams that are the same in every run: what is drawn depends on the seed alone.

/// A generator after Sebastiano Vigna's SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, and without, 1.
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.share() * n as f64) as u64
    }

    /// Lognormal: half of what is drawn is below `median`, and `sigma` is the spread of its logarithm.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller's transformation.
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.share()).cos();
        median * (sigma * normal).exp()
    }
}

/// Draws the n-th of so many things in proportion to 1 / n^skew, by inverting the distribution.
#[derive(Clone, Debug)]
pub struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    /// Over so many things.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn new(distinct: usize, skew: f64) -> Self {
        assert!(distinct > 0, "a choice of nothing");
        let mut sum = 0.0;
        let sums = (1..=distinct)
            .map(|n| {
                sum += (n as f64).powf(-skew);
                sum
            })
            .collect();
        Self { sums }
    }

    /// One of them, counted from 0.
    pub fn draw(&self, random: &mut Random) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let drawn = random.share() * all;
        self.sums
            .partition_point(|sum| *sum <= drawn)
            .min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lognormal_has_its_median_and_its_spread() {
        let mut random = Random::seeded(1);
        let mut drawn: Vec<f64> = (0..100_000).map(|_| random.lognormal(10.0, 0.5)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[50_000] - 10.0).abs() < 0.1, "{}", drawn[50_000]);
        // One sigma up: 84.13 % are below.
        let upper = drawn[84_134] / 10.0;
        assert!((upper.ln() - 0.5).abs() < 0.02, "{upper}");
    }

    #[test]
    fn zipf_draws_in_proportion() {
        let (zipf, mut random) = (Zipf::new(100, 1.0), Random::seeded(2));
        let mut drawn = [0u32; 100];
        (0..200_000).for_each(|_| drawn[zipf.draw(&mut random)] += 1);
        let first_by_tenth = f64::from(drawn[0]) / f64::from(drawn[9]);
        assert!((first_by_tenth - 10.0).abs() < 1.0, "{first_by_tenth}");
        assert!(drawn[99] > 0);
    }
}
