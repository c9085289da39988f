//! A source that is fed by hand, and what the watch publishes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hook_monitor::{
    Gather, Histogram, HistogramSnapshot, Label, Source,
    anomaly::{AnomalyTarget, AnomalyWatch, Change, Observed},
};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A target that is fed by hand: `n` calls of a duration.
#[derive(Clone, Default)]
pub(crate) struct Fed(pub(crate) Arc<FedInner>);

#[derive(Default)]
pub(crate) struct FedInner {
    pub(crate) latency: Histogram,
    pub(crate) successes: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Fed {
    pub(crate) fn watched(&self, watch: &AnomalyWatch, name: &str) -> AnomalyTarget {
        let fed = self.clone();
        watch.watch_with(name.into(), move || fed.observed())
    }

    pub(crate) fn observed(&self) -> Observed {
        let latency = self.0.latency.snapshot();
        Observed::new(
            latency,
            self.0.successes.load(Relaxed),
            self.0.failures.load(Relaxed),
        )
    }

    pub(crate) fn calls(&self, n: u32, took: Duration) {
        self.0.latency.record_n(took, n);
        self.0.successes.fetch_add(u64::from(n), Relaxed);
    }
}

/// Ticks once a second, each with fifty calls of that duration.
pub(crate) fn ticks(
    watch: &AnomalyWatch,
    fed: &Fed,
    now: &mut Instant,
    n: usize,
    took: Duration,
) -> Vec<Change> {
    let ticks = (0..n).flat_map(|_| {
        fed.calls(50, took);
        *now += Duration::from_secs(1);
        watch.tick(*now)
    });
    ticks.map(|event| event.change).collect()
}

#[derive(Default)]
pub(crate) struct Figures(Vec<(String, f64)>);

impl Gather for Figures {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.gauge(name, labels, value as f64);
    }
    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.0.push((format!("{name}{{{}}}", labels.join(",")), value));
    }
    fn histogram(&mut self, _: &'static str, _: &[Label], _: &HistogramSnapshot) {}
}

pub(crate) fn figures(watch: &AnomalyWatch) -> Vec<(String, f64)> {
    let mut figures = Figures::default();
    watch.read(&mut figures);
    figures.0
}

pub(crate) fn figure(watch: &AnomalyWatch, name: &str) -> f64 {
    let figures = figures(watch);
    let found = figures.iter().find(|(figure, _)| figure == name);
    found.unwrap_or_else(|| panic!("{name} is not in {figures:?}")).1
}
