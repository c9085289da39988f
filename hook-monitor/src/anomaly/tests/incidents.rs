//! Something changes, and is noticed, and is over.

use std::time::Duration;

use super::sim::{KINDS, Kind, Sim};
use crate::anomaly::{Change, Direction, EndedBy, Limit, Severity, Signal};

/// Calls until the baseline is well known.
const BEFORE: usize = 5_000;

/// After how many calls each run noticed a permanent shift, and after how many it was over.
fn shifted(kind: Kind, by: f64, runs: u64) -> Vec<(usize, usize)> {
    let runs = (0..runs).map(|seed| {
        let mut sim = Sim::new(kind, seed + 100);
        sim.run(BEFORE);
        sim.changes.clear();
        sim.run_with(6_000, |_, ms| ms * by);
        assert!(
            !sim.is_active(Signal::Latency),
            "{kind:?} x{by}, seed {seed}: stuck"
        );
        match (
            sim.begun(Signal::Latency).first(),
            sim.ended(Signal::Latency).last(),
        ) {
            (Some(begun), Some(ended)) => (begun - BEFORE, ended - BEFORE),
            _ => (usize::MAX, 0),
        }
    });
    runs.collect()
}

#[test]
fn twice_as_slow_is_noticed_within_250_calls_and_over_within_1300() {
    for (begun, ended) in shifted(Kind::LogNormal(0.5), 2.0, 60) {
        assert!(begun <= 250, "noticed after {begun} calls");
        assert!(ended <= 1_300, "over after {ended} calls");
    }
}

#[test]
fn no_shift_leaves_any_stream_stuck() {
    for kind in KINDS {
        for by in [1.5, 2.0, 3.0, 10.0, 0.5, 0.1] {
            let runs = shifted(kind, by, 4);
            let missed = runs.iter().filter(|(begun, _)| *begun > 1_000).count();
            let worst = runs.iter().map(|(_, ended)| ended).max();
            println!(
                "{kind:?} x{by}: missed {missed} of {}, over after {worst:?}",
                runs.len()
            );
            if by != 1.5 {
                assert_eq!(missed, 0, "{kind:?} x{by}: {runs:?}");
            }
        }
    }
}

#[test]
fn ten_times_as_slow_for_20000_calls_is_flagged_for_less_than_a_tenth_of_them() {
    for kind in KINDS {
        let mut sim = Sim::new(kind, 7);
        sim.run(BEFORE);
        sim.run_with(20_000, |_, ms| ms * 10.0);
        assert!(
            (50..2_000).contains(&sim.flagged),
            "{kind:?}: {} calls flagged",
            sim.flagged
        );
        assert_eq!(sim.begun(Signal::Latency).len(), 1, "{kind:?}");
    }
}

#[test]
fn a_slow_tail_is_noticed_within_700_calls_and_the_median_stays() {
    for seed in 0..20 {
        let mut sim = Sim::new(Kind::LogNormal(0.5), seed);
        sim.run(BEFORE);
        let usual = sim.detector.baseline().expect("a baseline");
        sim.run_with(
            1_000,
            |stream, ms| if stream.uniform() < 0.05 { ms * 20.0 } else { ms },
        );
        let begun = sim.begun(Signal::Latency);
        assert!(
            begun.first().is_some_and(|begun| begun - BEFORE <= 700),
            "seed {seed}: {begun:?}"
        );
        let Some((_, Change::Began(anomaly))) = sim.changes.first() else {
            panic!("{:?}", sim.changes)
        };
        assert_eq!(
            (anomaly.direction, anomaly.severity),
            (Direction::Slow, Severity::Medium)
        );
        let now = sim.detector.baseline().expect("a baseline");
        let moved = now.p50.as_secs_f64() / usual.p50.as_secs_f64();
        assert!((0.85..1.2).contains(&moved), "the median moved by {moved}");
    }
}

#[test]
fn the_direction_and_the_severity_of_a_shift_are_told() {
    for (by, direction, severity) in [
        (2.0, Direction::Slow, Severity::Medium),
        (10.0, Direction::Slow, Severity::High),
        (0.5, Direction::Fast, Severity::Medium),
        (0.1, Direction::Fast, Severity::High),
    ] {
        let mut sim = Sim::new(Kind::LogNormal(0.1), 3);
        sim.run(BEFORE);
        let usual = sim.detector.baseline().expect("a baseline");
        sim.run_with(3_000, |_, ms| ms * by);
        let changes: Vec<_> = sim.changes.iter().map(|(_, change)| *change).collect();
        let [
            Change::Began(began),
            Change::Ended { anomaly, why },
            Change::BaselineShift(shift),
        ] = changes[..]
        else {
            panic!("x{by}: {changes:?}");
        };
        assert_eq!(
            (began.direction, began.severity, why),
            (direction, severity, EndedBy::Accepted)
        );
        assert_eq!((anomaly.since, shift.old), (began.since, began.usual));
        for (new, old) in [(shift.new.p50, usual.p50), (shift.new.p99, usual.p99)] {
            let moved = new.as_secs_f64() / old.as_secs_f64() / by;
            assert!((0.85..1.18).contains(&moved), "x{by}: {old:?} to {new:?}");
        }
        assert_eq!(shift.is_regression(), direction == Direction::Slow);
    }
}

#[test]
fn an_anomaly_that_gets_worse_is_told_again() {
    let mut sim = Sim::new(Kind::LogNormal(0.1), 3);
    sim.run(BEFORE);
    sim.run_with(150, |_, ms| ms * 2.0);
    sim.run_with(600, |_, ms| ms * 20.0);
    let severities: Vec<_> = sim.changes.iter().map(|(_, change)| *change).collect();
    let [Change::Began(began), Change::Worsened(worse)] = severities[..] else {
        panic!("{severities:?}")
    };
    assert_eq!(
        (began.severity, worse.severity, began.since),
        (Severity::Medium, Severity::High, worse.since)
    );
}

#[test]
fn a_short_incident_recovers_and_the_baseline_is_what_it_was() {
    for seed in 0..20 {
        let mut sim = Sim::new(Kind::LogNormal(0.5), seed);
        sim.run(BEFORE);
        let usual = sim.detector.baseline().expect("a baseline");
        sim.run_with(500, |_, ms| ms * 5.0);
        assert!(sim.is_active(Signal::Latency));
        sim.run(500);
        let Some((_, Change::Ended { why, .. })) = sim.changes.last() else {
            panic!("{:?}", sim.changes)
        };
        assert_eq!(*why, EndedBy::Recovered);
        sim.run(2_000);
        let now = sim.detector.baseline().expect("a baseline");
        let moved = now.p50.as_secs_f64() / usual.p50.as_secs_f64();
        assert!((0.85..1.2).contains(&moved), "the median moved by {moved}");
        assert_eq!((sim.detector.totals.slow, sim.detector.totals.fast), (1, 0));
    }
}

#[test]
fn more_failures_are_noticed_and_over_when_they_are() {
    for seed in 0..20 {
        let mut sim = Sim::new(Kind::LogNormal(0.5), seed);
        sim.failing = 0.01;
        sim.run(BEFORE);
        sim.failing = 0.2;
        sim.run(500);
        let begun = sim.begun(Signal::Errors);
        assert!(matches!(begun[..], [begun] if begun - BEFORE <= 250), "{begun:?}");
        let Some((_, Change::Began(anomaly))) = sim.changes.first() else {
            panic!("{:?}", sim.changes)
        };
        assert_eq!(
            (anomaly.direction, anomaly.severity),
            (Direction::Failing, Severity::Medium)
        );
        assert!(anomaly.usual.error_ratio < 0.05 && anomaly.seen.error_ratio > 0.05);
        sim.failing = 0.01;
        sim.run(500);
        let ended = sim.ended(Signal::Errors);
        assert!(matches!(ended[..], [ended] if ended - BEFORE <= 900), "{ended:?}");
        assert_eq!(sim.begun(Signal::Latency), [] as [usize; 0]);
    }
}

#[test]
fn failures_that_stay_are_the_new_baseline() {
    let mut sim = Sim::new(Kind::Constant, 0);
    sim.run(BEFORE);
    sim.failing = 0.7;
    sim.run(20_000);
    let changes: Vec<_> = sim.changes.iter().map(|(_, change)| *change).collect();
    let [
        Change::Began(began),
        Change::Ended { .. },
        Change::BaselineShift(shift),
    ] = changes[..]
    else {
        panic!("{changes:?}");
    };
    assert_eq!((began.severity, shift.signal), (Severity::High, Signal::Errors));
    assert!(
        shift.old.error_ratio < 0.05 && (0.6..0.8).contains(&shift.new.error_ratio) && shift.is_regression()
    );
}

#[test]
fn a_shift_is_noted_for_ten_minutes() {
    let mut sim = Sim::new(Kind::Constant, 0);
    sim.run(BEFORE);
    sim.run_with(2_000, |_, ms| ms * 3.0);
    let shift = sim.detector.shift.expect("a note");
    sim.now = shift.at + Duration::from_secs(598);
    sim.tick();
    assert_eq!(sim.detector.shift, Some(shift));
    sim.tick();
    assert_eq!(sim.detector.shift, None);
}

#[test]
fn a_limit_begins_and_ends_with_so_many_ticks_in_a_row() {
    let mut sim = Sim::new(Kind::Constant, 0);
    sim.detector.limit = Some(Limit::p99(Duration::from_millis(15)).for_ticks(3));
    // There is no baseline yet, and none is needed.
    sim.run_with(100, |_, _| 20.0);
    assert!(!sim.is_active(Signal::Limit));
    sim.run_with(50, |_, _| 20.0);
    assert!(sim.is_active(Signal::Limit));
    // Two ticks are not enough to end it, and begin anew after one that is over.
    sim.run(100);
    sim.run_with(50, |_, _| 60.0);
    sim.run(100);
    assert!(sim.is_active(Signal::Limit));
    sim.run(50);
    assert!(!sim.is_active(Signal::Limit));
    let limits: Vec<_> = sim.changes.iter().map(|(_, change)| *change).collect();
    let [
        Change::Began(began),
        Change::Worsened(worse),
        Change::Ended { why, .. },
        ..,
    ] = limits[..]
    else {
        panic!("{limits:?}");
    };
    assert_eq!(
        (began.severity, worse.severity, why),
        (Severity::Medium, Severity::High, EndedBy::Recovered)
    );
}

#[test]
fn a_limit_sees_the_slow_drift_that_a_baseline_follows() {
    let mut sim = Sim::new(Kind::LogNormal(0.3), 5);
    sim.detector.limit = Some(Limit::p99(Duration::from_millis(60)));
    let mut factor = 1.0;
    sim.run_with(300_000, |_, ms| {
        factor += 4.0 / 300_000.0;
        ms * factor
    });
    assert_eq!(sim.begun(Signal::Latency), [] as [usize; 0]);
    assert!(sim.is_active(Signal::Limit));
    // And the slow baseline tells of it.
    let (p50, p99) = sim.detector.against_the_day().expect("a day");
    assert!(p50 > 1.4 && p99 > 1.1, "{p50} {p99}");
}

#[test]
fn an_anomaly_that_nobody_calls_any_more_is_over_after_five_minutes() {
    let mut sim = Sim::new(Kind::Constant, 0);
    sim.detector.limit = Some(Limit::p99(Duration::from_millis(15)));
    sim.run(BEFORE);
    sim.failing = 1.0;
    sim.run_with(300, |_, ms| ms * 3.0);
    assert_eq!(sim.detector.active.iter().flatten().count(), 3);
    (0..299).for_each(|_| sim.tick());
    assert_eq!(sim.detector.active.iter().flatten().count(), 3);
    sim.tick();
    let silent = |(_, change): &&(usize, Change)| {
        matches!(
            change,
            Change::Ended {
                why: EndedBy::Silent,
                ..
            }
        )
    };
    assert_eq!(sim.changes.iter().filter(silent).count(), 3);
    // And there is a verdict again when calls come back.
    sim.failing = 0.0;
    sim.run(1_000);
    assert_eq!(sim.detector.active.iter().flatten().count(), 0);
}

#[test]
fn a_quiet_target_accepts_after_a_minute_and_200_calls() {
    let mut sim = Sim::new(Kind::LogNormal(0.5), 2);
    sim.run(BEFORE);
    // Five calls a second: a judged tick takes four.
    sim.per_tick = 5;
    sim.run_with(600, |_, ms| ms * 3.0);
    let (begun, ended) = (sim.begun(Signal::Latency), sim.ended(Signal::Latency));
    assert!(begun[0] - BEFORE <= 60, "{begun:?}");
    assert!(
        (60 * 5..80 * 5).contains(&(ended[0] - begun[0])),
        "{begun:?} {ended:?}"
    );
}

/// The limits that the crate page admits. Should one of these fail because the detector got better, say so there.
#[test]
fn what_it_cannot_see_is_as_the_crate_page_says() {
    // One in twenty of the hits slower than a hit and faster than a miss.
    for seed in 0..10 {
        let mut sim = Sim::new(Kind::Bimodal, seed);
        sim.run(BEFORE);
        sim.run_with(1_000, |stream, ms| {
            if ms < 50.0 && stream.uniform() < 0.05 {
                ms * 20.0
            } else {
                ms
            }
        });
        assert_eq!(sim.changes, [], "seed {seed}");
    }
    let found = |kind, by| {
        let runs = shifted(kind, by, 20);
        runs.iter().filter(|(begun, _)| *begun <= 1_000).count()
    };
    assert_eq!(found(Kind::LogNormal(0.1), 1.25), 20);
    assert!((5..20).contains(&found(Kind::LogNormal(0.5), 1.25)));
    assert!((5..20).contains(&found(Kind::LogNormal(1.0), 1.5)));
    // Calls that depend on each other more than it can learn.
    let mut sim = Sim::new(Kind::Autocorrelated(0.9), 1);
    sim.run(300_000);
    assert!((1..15).contains(&sim.begun(Signal::Latency).len()));
}
