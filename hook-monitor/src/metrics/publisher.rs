use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use metrics::Recorder;

use super::{
    catalog::{INVALID, OVERFLOW},
    feed::{self, Feed, Mishaps, Said, Series},
    rules::Nonsense,
};
use crate::{Monitor, stack::Registered};

/// Passes the figures of all sources of a [`Monitor`] on to a recorder of the [`metrics`] facade, when it is told to.
///
/// Tell it once a second or so, or before each scrape. Counters are set, not raised, and of histograms what came in
/// since the last time is recorded, so nothing is counted twice and nothing is lost, also if the recorder is installed
/// late. Every series is there from the first time on, with a value of zero where nothing happened yet.
///
/// What makes no sense (NaN, names that an exporter would rewrite) is dropped and counted in
/// `hook_monitor_invalid_samples_total{reason}`; label sets beyond 256 for one metric of one source are added up under
/// `other`, and counted in `hook_monitor_label_overflow_total` each time.
///
/// Of a source that is [removed](Monitor::remove), counts stay where they were and gauges go to zero; another of the same
/// layer and name counts on from there.
///
/// The recorder must not forget idle series, for this keeps what it registered: with `metrics-exporter-prometheus`,
/// leave `idle_timeout` alone.
///
/// ```
/// use hook_monitor::{Monitor, MonitorLayer, metrics::Publisher};
///
/// # fn main() -> Result<(), hook_monitor::NotRegistered> {
/// let layer = MonitorLayer::new("api");
/// let monitor = Monitor::new();
/// monitor.register(layer.handle())?;
///
/// let mut publisher = Publisher::new(&monitor);
/// // Nobody has installed a recorder: nothing happens, and nothing is lost.
/// assert!(!publisher.publish());
/// # Ok(())
/// # }
/// ```
pub struct Publisher {
    monitor: Monitor,
    sources: Vec<(Registered, Series)>,
    /// What was told of sources that are gone, for others of the same name. The oldest first.
    gone: VecDeque<(&'static str, Arc<str>, Series)>,
    changes: Option<u64>,
    /// Where the recorder is that knows of all this.
    recorder: Option<usize>,
    said: Said,
    mishaps: Mishaps,
}

/// How many sources that are gone are remembered.
const GONE: usize = 200;

impl Publisher {
    /// A publisher of what is and will be registered with `monitor`.
    pub fn new(monitor: &Monitor) -> Self {
        Self {
            monitor: monitor.clone(),
            sources: Vec::new(),
            gone: VecDeque::new(),
            changes: None,
            recorder: None,
            said: Said::default(),
            mishaps: Mishaps::default(),
        }
    }

    /// Passes everything on to the recorder that is installed, in this thread or else globally. Says whether there is
    /// one.
    pub fn publish(&mut self) -> bool {
        metrics::with_recorder(|recorder| {
            // What the facade gives when there is none has no size. One of the user's that has none either merely
            // misses this.
            let is_there = size_of_val(recorder) > 0;
            if is_there {
                self.publish_to(recorder);
            }
            is_there
        })
    }

    /// Passes everything on to `recorder`. If that is another than the last time, it is told everything from the
    /// beginning.
    pub fn publish_to(&mut self, recorder: &dyn Recorder) {
        let place = std::ptr::from_ref(recorder).cast::<()>() as usize;
        if self.recorder != Some(place) {
            self.forget();
            self.recorder = Some(place);
        }
        self.follow();
        for (Registered { layer, name, source }, series) in &mut self.sources {
            let whose = (*layer, &**name);
            let mut feed = Feed::new(recorder, whose, series, &mut self.said, &mut self.mishaps);
            let read = catch_unwind(AssertUnwindSafe(|| source.read(&mut feed)));
            feed.flush();
            if read.is_err() {
                self.mishaps.count(Nonsense::Panic, 1);
            }
        }
        let overflow = self.mishaps.overflow + self.monitor.refused();
        feed::own(recorder, OVERFLOW, &[], overflow);
        for what in Nonsense::ALL {
            let labels = [("reason", what.as_str())];
            feed::own(recorder, INVALID, &labels, self.mishaps.invalid[what as usize]);
        }
    }

    /// Takes the next recorder for a new one, even if it is in the place of the last one.
    pub fn forget(&mut self) {
        self.recorder = None;
        self.said = Said::default();
        self.gone.clear();
        for (_, series) in &mut self.sources {
            *series = Series::default();
        }
    }

    /// Takes note of sources that came and went.
    fn follow(&mut self) {
        let changes = self.monitor.changes();
        if self.changes == Some(changes) {
            return;
        }
        self.changes = Some(changes);
        let mut before = std::mem::take(&mut self.sources);
        for source in self.monitor.registered() {
            let known = before
                .iter()
                .position(|(old, _)| Arc::ptr_eq(&old.source, &source.source));
            let series = known.map(|place| before.swap_remove(place).1).unwrap_or_default();
            self.sources.push((source, series));
        }
        for (old, mut series) in before {
            series.retire();
            self.gone.push_back((old.layer, old.name, series));
        }
        for (source, series) in &mut self.sources {
            let is_it = |gone: &(&str, Arc<str>, Series)| gone.0 == source.layer && gone.1 == source.name;
            if let Some(place) = series
                .is_new()
                .then(|| self.gone.iter().position(is_it))
                .flatten()
            {
                if let Some((_, _, before)) = self.gone.remove(place) {
                    *series = before;
                }
            }
        }
        self.gone.drain(..self.gone.len().saturating_sub(GONE));
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("sources", &self.sources.len())
            .field("mishaps", &self.mishaps)
            .finish_non_exhaustive()
    }
}
