//! [`metrics-exporter-prometheus`](metrics_exporter_prometheus), set up as it should be.
//!
//! Left alone, that exporter makes a summary of each histogram, which nobody can aggregate; keeps every sample until
//! someone scrapes, unless it is told to tidy up; and its listener is open to the world and serves metrics under any
//! path. An [`Exporter`] has buckets, tidies up whenever it publishes, and opens no port: it renders, and what serves
//! the text is your own server.

use std::{fmt, sync::Mutex, sync::PoisonError};

use metrics::SetRecorderError;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::{Monitor, metrics::Publisher};

/// The content type of what [`Exporter::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper bounds of the buckets for times, in seconds: half a millisecond to half a minute.
pub const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// The upper bounds of the buckets for attempts.
const ATTEMPTS: [f64; 5] = [1.0, 2.0, 3.0, 5.0, 8.0];

/// A builder with buckets for everything that ends in `_seconds` and for `hook_retry_attempts`, and no idle timeout, to add to.
pub fn builder() -> PrometheusBuilder {
    let matcher = Matcher::Suffix("_seconds".into());
    PrometheusBuilder::new()
        .set_buckets_for_metric(matcher, &BUCKETS)
        .and_then(|builder| {
            let attempts = Matcher::Full("hook_retry_attempts".into());
            builder.set_buckets_for_metric(attempts, &ATTEMPTS)
        })
        // It refuses no buckets at all, and nothing else.
        .unwrap_or_default()
}

/// Renders the figures of a [`Monitor`] in the text format of Prometheus.
///
/// ```
/// use hook_monitor::{Monitor, MonitorLayer, prometheus::Exporter};
///
/// # fn main() -> Result<(), hook_monitor::NotRegistered> {
/// let layer = MonitorLayer::new("api");
/// let monitor = Monitor::new();
/// monitor.register(layer.handle())?;
///
/// let exporter = Exporter::new(&monitor);
/// let text = exporter.render();
/// assert!(text.contains(r#"hook_calls_total{layer="monitor",name="api",outcome="ok"} 0"#));
/// # Ok(())
/// # }
/// ```
pub struct Exporter {
    /// `None` if it is the global one.
    recorder: Option<PrometheusRecorder>,
    handle: PrometheusHandle,
    publisher: Mutex<Publisher>,
}

impl Exporter {
    /// An exporter with a recorder of its own, which knows of nothing but `monitor`.
    pub fn new(monitor: &Monitor) -> Self {
        Self::of(builder().build_recorder(), monitor)
    }

    /// An exporter with a recorder that was set up otherwise. See [`builder`] for what to begin with.
    pub fn of(recorder: PrometheusRecorder, monitor: &Monitor) -> Self {
        Self {
            handle: recorder.handle(),
            recorder: Some(recorder),
            publisher: Mutex::new(Publisher::new(monitor)),
        }
    }

    /// An exporter whose recorder is the global one from here on, so that what the rest of the program tells by the
    /// macros of [`metrics`] is in the text, too. For programs; a library installs nothing.
    ///
    /// # Errors
    ///
    /// If there is a global recorder already.
    pub fn install(monitor: &Monitor) -> Result<Self, SetRecorderError<PrometheusRecorder>> {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        Ok(Self {
            recorder: None,
            handle,
            publisher: Mutex::new(Publisher::new(monitor)),
        })
    }

    /// Passes on what is new, and tidies up. Scrapes at the same time wait for each other, so a source must not render while
    /// it is read. To be called every few seconds where scrapes may stay away, so that samples
    /// do not pile up; [`render`](Self::render) does it as well.
    pub fn tick(&self) {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.recorder {
            Some(recorder) => publisher.publish_to(recorder),
            None => drop(publisher.publish()),
        }
        drop(publisher);
        self.handle.run_upkeep();
    }

    /// The figures of this moment, as text. Takes about a microsecond for a series; not meant for a thread that others
    /// wait for if there are tens of thousands.
    pub fn render(&self) -> String {
        self.tick();
        self.handle.render()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}
