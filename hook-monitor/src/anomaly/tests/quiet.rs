//! Nothing changes, and nothing is said.

use super::sim::{KINDS, Kind, Sim};
use crate::anomaly::Signal;

/// A million calls of one kind, in two halves of different seeds, of 50 and of 200 calls a tick: how many anomalies.
fn a_million(kind: Kind) {
    let mut begun = 0;
    for (seed, per_tick) in [(0, 50), (1, 200)] {
        let mut sim = Sim::new(kind, seed);
        sim.per_tick = per_tick;
        sim.failing = 0.01;
        sim.run(500_000);
        begun += sim.begun(Signal::Latency).len() + sim.begun(Signal::Errors).len();
        assert!(sim.detector.baseline().is_some());
    }
    println!("{kind:?}: {begun} anomalies in a million calls");
    assert!(begun <= 3, "{kind:?}: {begun} anomalies in a million calls");
}

#[test]
fn a_million_constant_latencies_are_no_anomaly() {
    a_million(Kind::Constant);
}

#[test]
fn a_million_narrow_lognormal_latencies_are_three_anomalies_at_most() {
    a_million(Kind::LogNormal(0.1));
}

#[test]
fn a_million_lognormal_latencies_are_three_anomalies_at_most() {
    a_million(Kind::LogNormal(0.5));
}

#[test]
fn a_million_wide_lognormal_latencies_are_three_anomalies_at_most() {
    a_million(Kind::LogNormal(1.0));
}

#[test]
fn a_million_hits_and_misses_are_three_anomalies_at_most() {
    a_million(Kind::Bimodal);
}

#[test]
fn a_million_pareto_latencies_are_three_anomalies_at_most() {
    a_million(Kind::Pareto(1.8));
}

#[test]
fn a_million_latencies_that_depend_on_each_other_are_three_anomalies_at_most() {
    a_million(Kind::Autocorrelated(0.5));
}

#[test]
fn a_million_erlang_latencies_are_three_anomalies_at_most() {
    a_million(Kind::Erlang3);
}

#[test]
fn a_busy_service_with_thousands_of_calls_a_tick_is_no_anomaly() {
    for kind in KINDS {
        let mut sim = Sim::new(kind, 5);
        (sim.per_tick, sim.failing) = (2_000, 0.01);
        sim.run(200_000);
        assert_eq!(sim.changes, [], "{kind:?}");
        sim.run_with(6_000, |_, ms| ms * 3.0);
        assert!(sim.is_active(Signal::Latency), "{kind:?}");
    }
}

#[test]
fn young_targets_raise_no_false_alarm() {
    let mut begun = 0;
    for seed in 0..400 {
        let mut sim = Sim::new(KINDS[seed as usize % KINDS.len()], seed);
        sim.failing = 0.01;
        sim.run(1_500);
        begun += sim.changes.len();
    }
    println!("{begun} changes in the first 1,500 calls of 400 targets");
    // In 600,000 calls, each of which is judged by a baseline that knows little yet.
    assert!(begun <= 2, "{begun}");
}

#[test]
fn there_is_no_verdict_before_two_hundred_calls() {
    for kind in KINDS {
        let mut sim = Sim::new(kind, 1);
        sim.per_tick = 20;
        // Whatever they do.
        sim.run(60);
        sim.failing = 1.0;
        sim.run_with(120, |_, ms| ms * 1_000.0);
        assert_eq!(sim.changes, [], "{kind:?}");
        assert_eq!(
            (sim.detector.baseline(), sim.detector.threshold()),
            (None, u64::MAX)
        );
    }
}

#[test]
fn one_call_of_a_minute_among_ten_thousand_is_an_exemplar_and_no_anomaly() {
    for seed in 0..20 {
        let mut sim = Sim::new(Kind::LogNormal(0.5), seed);
        sim.run(5_000);
        let mut slow = Some(60_000.0);
        sim.run_with(5_000, |_, ms| slow.take().unwrap_or(ms));
        assert_eq!(sim.changes, []);
        let slowest = sim.detector.exemplars.iter().max_by_key(|exemplar| exemplar.took);
        let slowest = slowest.expect("the call of a minute");
        assert_eq!(
            (slowest.took.as_secs(), slowest.took.subsec_nanos(), slowest.calls),
            (60, 0, 1)
        );
        assert!(slowest.usual_p99.as_millis() < 60);
    }
}

#[test]
fn no_more_than_64_exemplars_are_kept_and_all_are_counted() {
    let mut sim = Sim::new(Kind::Constant, 0);
    sim.run(1_000);
    for _ in 0..100 {
        let mut slow = Some(1_000.0);
        sim.run_with(1_000, |_, ms| slow.take().unwrap_or(ms));
    }
    assert_eq!(
        (sim.detector.exemplars.len(), sim.detector.totals.outliers),
        (64, 100)
    );
    assert_eq!(sim.changes, []);
}
