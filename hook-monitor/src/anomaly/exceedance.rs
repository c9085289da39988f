/// From here on a score is an alarm. A score is the logarithm of how much likelier the latest calls are if
/// something changed than if nothing did.
pub(super) const ALARM: f64 = 10.0;
/// Below this score an alarm is over.
pub(super) const CALM: f64 = ALARM / 4.0;
/// What one tick adds at most, so that no single tick is an alarm, whatever happens in it.
const STEP: f64 = 0.9 * ALARM;
/// A score goes no higher, so that the end of an anomaly is not held up by how bad it was.
const CEILING: f64 = 1.5 * ALARM;
/// A usual share below this cannot be told from none in a few thousand calls.
const LEAST: f64 = 0.002;
/// A usual share above this leaves nothing to exceed.
const MOST: f64 = 0.9;
/// Nothing is surer than this.
const SURE: f64 = 0.999;

/// Watches one share: of the calls beyond a quantile of the baseline, or of the failures.
///
/// While nothing changes, that share is binomial whatever the distribution of the latencies is. This is the
/// CUSUM of its log-likelihood ratio, against odds that are `odds` times as high.
#[derive(Clone, Debug)]
pub(super) struct Exceedance {
    odds: f64,
    score: f64,
    /// How much wilder the share is than a binomial one: 1 for calls that know nothing of each other.
    dispersion: f64,
}

impl Exceedance {
    pub(super) const fn new(odds: f64) -> Self {
        Self {
            odds,
            score: 0.0,
            dispersion: 1.0,
        }
    }

    pub(super) const fn score(&self) -> f64 {
        self.score
    }

    /// The baseline is a new one. What was learned about the calls' dependence stays.
    pub(super) fn reset(&mut self) {
        self.score = 0.0;
    }

    /// Of `n` new calls, `beyond` were beyond, and `usual` is the share that is usual. `n` is not zero.
    ///
    /// In an anomaly, `seen` is the share in it. What is asked then is whether the calls are as usual again or as
    /// they are in the anomaly: the odds alone would take thirty ticks to believe that a rare thing stopped, and meanwhile
    /// an incident that is over would become the baseline. And dispersion is not learned from an anomaly, which would make
    /// the next one look usual.
    pub(super) fn update(&mut self, usual: f64, beyond: f64, n: f64, seen: Option<f64>) {
        if usual > MOST {
            self.score = 0.0;
            return;
        }
        let usual = usual.max(LEAST);
        let odds = usual / (1.0 - usual) * self.odds;
        let changed = (odds / (1.0 + odds)).max(seen.unwrap_or(0.0)).min(SURE);
        let evidence =
            beyond * (changed / usual).ln() + (n - beyond) * ((1.0 - changed) / (1.0 - usual)).ln();
        if seen.is_none() && self.score < CALM {
            let off = beyond - n * usual;
            let chi = (off * off / (n * usual * (1.0 - usual))).min(30.0);
            self.dispersion += 0.02 * (chi - self.dispersion);
        }
        let evidence = (evidence / (1.3 * self.dispersion).max(1.0)).min(STEP);
        self.score = (self.score + evidence).clamp(0.0, CEILING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_input_gives_anything_but_a_score_in_range() {
        let shares = [0.0, 1e-300, 0.002, 0.5, 0.9, 0.99, 1.0];
        for usual in shares {
            for n in [1.0, 50.0, 1e6, u64::MAX as f64] {
                for share in shares {
                    let mut watched = Exceedance::new(5.0);
                    for seen in [None, Some(0.0), Some(share), Some(1.0), None] {
                        watched.update(usual, share * n, n, seen);
                        let score = watched.score();
                        assert!((0.0..=CEILING).contains(&score), "{usual} {share} {n}: {score}");
                        assert!(watched.dispersion.is_finite() && watched.dispersion > 0.0);
                    }
                }
            }
        }
    }

    #[test]
    fn no_single_tick_is_an_alarm_and_two_can_be() {
        let mut watched = Exceedance::new(4.0);
        watched.update(0.5, 1e9, 1e9, None);
        assert!(watched.score() < ALARM);
        watched.update(0.5, 1e9, 1e9, None);
        assert!(watched.score() > ALARM);
    }

    #[test]
    fn a_rare_thing_that_stopped_is_believed_to_have_stopped() {
        let mut watched = Exceedance::new(5.0);
        (0..10).for_each(|_| watched.update(0.002, 15.0, 50.0, Some(0.3)));
        assert_eq!(watched.score(), CEILING);
        (0..2).for_each(|_| watched.update(0.002, 0.0, 50.0, Some(0.3)));
        assert!(watched.score() < CALM);
    }

    #[test]
    fn nothing_is_learned_from_an_anomaly() {
        let mut watched = Exceedance::new(5.0);
        for _ in 0..100 {
            watched.update(0.01, 30.0, 50.0, Some(0.6));
        }
        assert_eq!(watched.dispersion, 1.0);
    }

    #[test]
    fn where_nearly_everything_fails_already_there_is_no_more_to_say() {
        for usual in [0.95, 1.0] {
            let mut watched = Exceedance::new(5.0);
            (0..1_000).for_each(|_| watched.update(usual, 50.0, 50.0, None));
            assert_eq!(watched.score(), 0.0);
        }
    }
}
