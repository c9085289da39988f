//! What is claimed, and what would make each claim true.

use std::fmt;

/// A claim, known before anything is measured.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called: its area, a full stop, and the rest.
    pub id: &'static str,
    /// The claim in words.
    pub claim: &'static str,
    /// What the figure has to be.
    pub bound: Bound,
    /// What kind of figure it is.
    pub unit: Unit,
    /// The crate it is measured beside, or what else it is compared with.
    pub peer: &'static str,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Bound {
    /// Whether a figure is within it. What is no number never is.
    pub fn admits(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

/// The kinds of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Ours by the peer's.
    Ratio,
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Parts of a hundred.
    Percent,
    /// The difference of two percentages.
    Points,
    /// 2^20 bytes.
    Mebibytes,
    /// A number of things.
    Count,
}

impl Unit {
    /// A figure as people read it. A ratio below one is a fraction: `1/12`.
    pub fn show(self, figure: f64) -> String {
        let unit = match self {
            Self::Ratio if figure < 0.95 && figure > 0.0 => {
                return format!("1/{}", digits(1.0 / figure));
            }
            Self::Ratio => "x",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Percent => "%",
            Self::Points => "points",
            Self::Mebibytes => "MiB",
            Self::Count => return digits(figure),
        };
        format!("{} {unit}", digits(figure))
    }
}

/// Three digits, as far as they say anything.
fn digits(figure: f64) -> String {
    let places = match figure.abs() {
        size if size >= 99.95 || size.fract() == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{figure:.places$}");
    match places {
        0 => text,
        _ => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::AtMost(most) => write!(f, "<= {}", self.unit.show(most)),
            Bound::AtLeast(least) => write!(f, ">= {}", self.unit.show(least)),
        }
    }
}

/// The target of that name.
///
/// # Panics
///
/// If there is none: a suite has measured something that nobody claims.
pub fn target(id: &str) -> &'static Target {
    TARGETS
        .iter()
        .find(|target| target.id == id)
        .unwrap_or_else(|| panic!("no claim is called {id:?}; they are listed in src/claims/targets.rs"))
}

const fn at_most(id: &'static str, most: f64, unit: Unit, peer: &'static str, claim: &'static str) -> Target {
    let bound = Bound::AtMost(most);
    Target {
        id,
        claim,
        bound,
        unit,
        peer,
    }
}

const fn at_least(
    id: &'static str,
    least: f64,
    unit: Unit,
    peer: &'static str,
    claim: &'static str,
) -> Target {
    let bound = Bound::AtLeast(least);
    Target {
        id,
        claim,
        bound,
        unit,
        peer,
    }
}

const TR: &str = "tower-resilience";
const ORIGINAL: &str = "Phase 2, as published";

use Unit::{Count, Mebibytes, Microseconds, Milliseconds, Nanoseconds, Percent, Points, Ratio};

/// All claims, in the order of the table.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    at_most("breaker.closed.consecutive", 1.0 / 40.0, Ratio, TR, "closed circuit, consecutive failures: a call"),
    at_most("breaker.closed.rate", 1.0 / 15.0, Ratio, TR, "closed circuit, failure rate of 100 calls: a call"),
    at_most("breaker.closed.two_threads", 1.0 / 15.0, Ratio, TR, "the same, shared by two threads"),
    at_most("breaker.open", 1.0 / 10.0, Ratio, TR, "open circuit: a refusal"),
    at_most("breaker.window", 1.2, Ratio, "itself", "time window: a call among 100,000 by one among 1,000, dearest by cheapest"),
    at_most("retry.first_try.tower", 2.0, Ratio, "tower", "first try succeeds: a call"),
    at_most("retry.first_try", 1.0 / 12.0, Ratio, TR, "first try succeeds: a call"),
    at_most("retry.amplification", 1.2, Ratio, "one attempt a call", "half of all attempts fail, budget of 0.2: attempts a call"),
    at_most("cache.hit", 0.5, Ratio, TR, "a hit, default clock"),
    at_most("cache.hit.coarse", 0.25, Ratio, TR, "a hit, coarse clock"),
    at_most("cache.hit.quick_cache", 3.0, Ratio, "quick_cache", "a hit with TTL and statistics, coarse clock, beside a bare get"),
    at_most("cache.hit.moka", 1.0, Ratio, "moka", "a hit, coarse clock"),
    at_most("cache.hit.two_threads", 0.25, Ratio, TR, "a hit, coarse clock, two threads"),
    at_most("cache.hit.string", 0.5, Ratio, TR, "a hit, default clock, keys of 22 bytes"),
    at_most("cache.stampede", 1.0, Count, "one call", "calls of the backend for 512 callers at the end of a TTL"),
    at_most("cache.invalidate_tag", 1_000.0, Microseconds, "moka", "100,000 entries invalidated by their tag"),
    at_most("cache.hit_ratio", 0.5, Points, "quick_cache", "hit ratio behind bare quick_cache's, the worst of all streams"),
    at_most("pool.checkout.deadpool", 0.5, Ratio, "deadpool", "an idle connection taken and given back"),
    at_most("pool.checkout.bb8", 0.5, Ratio, "bb8", "an idle connection taken and given back"),
    at_most("pool.contended.deadpool", 0.5, Ratio, "deadpool", "40 tasks on 10 connections: a checkout"),
    at_most("pool.contended.bb8", 0.5, Ratio, "bb8", "40 tasks on 10 connections: a checkout"),
    at_most("pool.spike", 35.0, Milliseconds, "deadpool", "50 at once, 5 warm, connect 150 ms, query 2 ms: all served after"),
    at_most("pool.spike.connections", 8.0, Count, "deadpool", "the same: connections at the end"),
    at_least("pool.impatient", 13.0, Count, "deadpool", "20 callers of 20 ms patience, connect 150 ms: served"),
    at_most("pool.impatient.connects", 1.0, Count, "deadpool", "the same: connects begun"),
    at_most("monitor.call", 60.0, Nanoseconds, "the bare service", "a monitored call, over the bare one"),
    at_most("monitor.call.coarse", 25.0, Nanoseconds, "the bare service", "the same, coarse clock"),
    at_most("monitor.publish", 1.0, Milliseconds, "one scrape", "publishing 1,000 series"),
    at_most("monitor.health", 1.0, Milliseconds, "loopback", "`/health`, p99 of 1,000 concurrent requests"),
    at_most("stack.five", 0.5, Ratio, TR, "all five layers, nothing cached, beside breaker and retry of the peer"),
    at_most("stack.five.coarse", 0.5, Ratio, TR, "the same, coarse clock"),
    at_most("manager.warm", 1.0 / 50.0, Ratio, "the original, 277 us", "an event with four cached hooks"),
    at_most("manager.cold", 1.1, Ratio, "tokio::process", "a cold command hook, beside the program spawned by hand"),
    at_most("manager.worker", 0.5, Ratio, "spawned per call", "a worker hook, beside the same script spawned for each call"),
    at_most("manager.idle", 15.0, Mebibytes, "an idle daemon", "memory of the idle daemon"),
    at_most("phase2.average", 8.0 / 15.2, Ratio, ORIGINAL, "average hook execution, by that of Phase 1 (15.2 ms -> 8.0 ms)"),
    at_most("phase2.average.uncached", 1.1, Ratio, "Phase 1", "the same with the cache off"),
    at_least("phase2.hit_rate", 85.0, Percent, ORIGINAL, "cache hit rate"),
    at_least("phase2.cascades", 12.0, Count, ORIGINAL, "cascade failures prevented: bursts in which the backend was spared"),
    at_most("phase2.recovery", 1.5, Ratio, "the time a circuit stays open", "the backend is back: until it is asked again, the worst of all bursts"),
    at_least("phase2.reliability", 90.0, Percent, ORIGINAL, "fewer failed executions, as the caller sees them"),
    at_least("phase2.cpu", 35.0, Percent, ORIGINAL, "less CPU time"),
    at_least("phase2.processes", 35.0, Percent, ORIGINAL, "fewer processes started"),
    at_least("phase2.soak.simulated", 24.0, Count, ORIGINAL, "simulated hours with faults, no request lost"),
    at_most("phase2.soak.growth", 4.0, Mebibytes, "no growth", "real-time soak: memory gained after its first third, no request lost"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_people_say_them() {
        let of = |unit: Unit, figure: f64| unit.show(figure);
        assert_eq!(of(Ratio, 1.0 / 15.0), "1/15");
        assert_eq!(of(Ratio, 0.5), "1/2");
        assert_eq!(of(Ratio, 1.2), "1.2 x");
        assert_eq!(of(Ratio, 1.0), "1 x");
        assert_eq!(of(Nanoseconds, 9.34), "9.34 ns");
        assert_eq!(of(Nanoseconds, 123.4), "123 ns");
        assert_eq!(of(Count, 12.0), "12");
        assert_eq!(of(Percent, 85.04), "85 %");
    }

    #[test]
    fn ids_are_unique_and_begin_with_an_area() {
        let areas = [
            "breaker", "retry", "cache", "pool", "monitor", "stack", "manager", "phase2",
        ];
        for (at, target) in TARGETS.iter().enumerate() {
            let (area, rest) = target.id.split_once('.').expect("an area and a name");
            assert!(areas.contains(&area) && !rest.is_empty(), "{}", target.id);
            assert!(
                TARGETS[..at].iter().all(|other| other.id != target.id),
                "{}",
                target.id
            );
        }
    }

    #[test]
    fn nothing_that_is_no_number_meets_a_target() {
        for target in TARGETS {
            assert!(!target.bound.admits(f64::NAN), "{}", target.id);
        }
    }
}
