//! The circuit in the eyes of whoever scrapes it.

use std::time::Duration;

use hook_breaker::{CircuitBreaker, CircuitBreakerLayer};
use hook_monitor::{Gather, HistogramSnapshot, Label, Source, Status};

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn push(&mut self, name: &str, labels: &[Label], value: &dyn std::fmt::Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.0.push(format!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn of(breaker: &CircuitBreaker) -> Vec<String> {
        let mut lines = Self::default();
        breaker.read(&mut lines);
        lines.0
    }
}

impl Gather for Lines {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.push(name, labels, &value);
    }
    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        self.push(name, labels, &value);
    }
    fn histogram(&mut self, _: &'static str, _: &[Label], _: &HistogramSnapshot) {
        panic!("a breaker has no histogram");
    }
}

#[test]
fn every_figure_is_there_from_the_start() {
    let breaker = CircuitBreakerLayer::new().name("inventory").handle();
    assert_eq!((breaker.layer(), breaker.name()), ("breaker", "inventory"));
    assert_eq!(
        Lines::of(&breaker)
            .into_iter()
            .filter(|line| !line.starts_with("hook_breaker_transitions"))
            .collect::<Vec<_>>(),
        [
            "hook_breaker_state{state=closed} 1",
            "hook_breaker_state{state=open} 0",
            "hook_breaker_state{state=half_open} 0",
            "hook_breaker_state{state=forced_open} 0",
            "hook_breaker_state{state=disabled} 0",
            "hook_breaker_state{state=metrics_only} 0",
            "hook_breaker_state_seconds_total{state=closed} 0",
            "hook_breaker_state_seconds_total{state=open} 0",
            "hook_breaker_state_seconds_total{state=half_open} 0",
            "hook_breaker_state_seconds_total{state=forced_open} 0",
            "hook_breaker_state_seconds_total{state=disabled} 0",
            "hook_breaker_state_seconds_total{state=metrics_only} 0",
            "hook_breaker_calls_total{kind=success} 0",
            "hook_breaker_calls_total{kind=failure} 0",
            "hook_breaker_calls_total{kind=slow} 0",
            "hook_breaker_calls_total{kind=ignored} 0",
            "hook_breaker_calls_total{kind=not_permitted} 0",
            "hook_breaker_calls_in_flight{} 0",
            "hook_breaker_waiting{} 0",
            "hook_breaker_failure_ratio{} 0",
            "hook_breaker_slow_call_ratio{} 0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_gauge_shows_one_state_at_a_time_and_the_status_follows() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(Duration::from_secs(1))
        .probes(1)
        .build();
    let check = |state: &str, status: Status| {
        let on: Vec<_> = Lines::of(&breaker)
            .into_iter()
            .filter(|line| line.starts_with("hook_breaker_state{") && line.ends_with(" 1"))
            .collect();
        assert_eq!(on, [format!("hook_breaker_state{{state={state}}} 1")]);
        assert_eq!(breaker.status(), status);
    };

    check("closed", Status::Healthy);
    breaker.try_acquire().unwrap().failure();
    check("open", Status::Degraded);
    breaker.try_acquire().unwrap_err();
    tokio::time::advance(Duration::from_secs(1)).await;
    let probe = breaker.try_acquire().unwrap();
    check("half_open", Status::Degraded);
    probe.failure();
    tokio::time::advance(Duration::from_secs(1)).await;
    breaker.try_acquire().unwrap().success();
    check("closed", Status::Healthy);
    breaker.try_acquire().unwrap().ignore();
    breaker.try_acquire().unwrap().failure();
    breaker.reset();
    // From closed to closed is no transition.
    breaker.reset();

    assert_eq!(
        Lines::of(&breaker)
            .into_iter()
            .filter(|line| line.contains("_total") && !line.ends_with(" 0"))
            .collect::<Vec<_>>(),
        [
            "hook_breaker_state_seconds_total{state=open} 2",
            "hook_breaker_calls_total{kind=success} 1",
            "hook_breaker_calls_total{kind=failure} 3",
            "hook_breaker_calls_total{kind=ignored} 1",
            "hook_breaker_calls_total{kind=not_permitted} 1",
            "hook_breaker_transitions_total{from=closed,to=open} 2",
            "hook_breaker_transitions_total{from=open,to=closed} 1",
            "hook_breaker_transitions_total{from=open,to=half_open} 2",
            "hook_breaker_transitions_total{from=half_open,to=closed} 1",
            "hook_breaker_transitions_total{from=half_open,to=open} 1",
        ]
    );
    assert_eq!(breaker.snapshot().opened, 3);
}
