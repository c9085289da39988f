//! Two things measured in turns, so that whatever the machine does meanwhile happens to both.

use std::time::{Duration, Instant};

use crate::Mode;

/// A median and the quartiles around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter of the rounds was below this.
    pub low: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters.
    pub high: f64,
}

impl Spread {
    /// Of these figures, in any order.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn of(mut figures: Vec<f64>) -> Self {
        assert!(!figures.is_empty(), "a spread needs at least one figure");
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
        Self {
            low: at(0.25),
            median: at(0.5),
            high: at(0.75),
        }
    }
}

/// What came of a pair. Times are nanoseconds an operation.
#[derive(Clone, Copy, Debug)]
pub struct Paired {
    /// The first side.
    pub ours: Spread,
    /// The second.
    pub peer: Spread,
    /// Ours by the peer's, of each round.
    pub ratio: Spread,
    /// Ours less the peer's, of each round.
    pub over: Spread,
}

/// Measures two things in turns. Each is told how many operations to make and says how long they took; how many there
/// are in a batch is found out first, which also warms both up.
pub fn side_by_side(
    mode: Mode,
    mut ours: impl FnMut(u64) -> Duration,
    mut peer: impl FnMut(u64) -> Duration,
) -> Paired {
    let (rounds, batch) = mode.rounds();
    let mine = operations(batch, &mut ours);
    let theirs = operations(batch, &mut peer);
    let each = |took: Duration, n: u64| took.as_secs_f64() * 1e9 / n as f64;
    let pairs: Vec<(f64, f64)> = (0..rounds)
        .map(|round| {
            // Neither is always the one that finds the caches as the other left them.
            if round % 2 == 0 {
                let first = each(ours(mine), mine);
                (first, each(peer(theirs), theirs))
            } else {
                let first = each(peer(theirs), theirs);
                (each(ours(mine), mine), first)
            }
        })
        .collect();
    let of = |figure: fn(&(f64, f64)) -> f64| Spread::of(pairs.iter().map(figure).collect());
    Paired {
        ours: of(|pair| pair.0),
        peer: of(|pair| pair.1),
        ratio: of(|pair| pair.0 / pair.1.max(f64::MIN_POSITIVE)),
        over: of(|pair| pair.0 - pair.1),
    }
}

/// Measures one thing that has no peer.
pub fn alone(mode: Mode, mut it: impl FnMut(u64) -> Duration) -> Spread {
    let (rounds, batch) = mode.rounds();
    let n = operations(batch, &mut it);
    Spread::of(
        (0..rounds)
            .map(|_| it(n).as_secs_f64() * 1e9 / n as f64)
            .collect(),
    )
}

/// How many operations take about as long as `batch`.
fn operations(batch: Duration, it: &mut dyn FnMut(u64) -> Duration) -> u64 {
    let mut n = 1;
    loop {
        let began = Instant::now();
        let took = it(n).max(Duration::from_nanos(1));
        // What a batch needs around it (threads to start, say) counts towards its time, or a batch never ends.
        if took.max(began.elapsed()) >= batch / 2 {
            let fitting = n as f64 * batch.as_secs_f64() / took.as_secs_f64();
            return (fitting as u64).clamp(1, n.saturating_mul(2));
        }
        n = n.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_what_was_measured_in_the_same_round() {
        let took = |each: u64| move |n: u64| Duration::from_nanos(each * n);
        let pair = side_by_side(Mode::Quick, took(30), took(10));
        assert!((pair.ratio.median - 3.0).abs() < 1e-9, "{pair:?}");
        assert!((pair.over.median - 20.0).abs() < 1e-9, "{pair:?}");
        assert!((pair.ours.low - 30.0).abs() < 1e-9, "{pair:?}");
    }

    #[test]
    fn the_spread_is_the_middle_half() {
        let spread = Spread::of((1..=101).rev().map(f64::from).collect());
        assert_eq!((spread.low, spread.median, spread.high), (26.0, 51.0, 76.0));
    }

    #[test]
    fn a_smoke_run_asks_once_or_twice() {
        let mut asked = 0;
        let it = |n: u64| {
            asked += n;
            Duration::ZERO
        };
        alone(Mode::Smoke, it);
        assert_eq!(asked, 2);
    }
}
