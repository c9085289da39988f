use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::{Gather, HistogramSnapshot, Label, Source, Status};

/// One look at a stack: the layers in it, and whatever else is a [`Source`], under the names they were given.
///
/// Snapshots, metrics, health and anomalies all read what is registered here. A clone is the same monitor.
///
/// It holds on to the sources, which are handles: they do not keep a service alive, nor do they hold up a call. How
/// many there may be is bounded ([`limit_per_layer`](Self::limit_per_layer)), and so is the length of their names, so
/// that names which come from outside after all do not fill the memory.
///
/// ```
/// use hook_monitor::{Gather, Monitor, Source, Value};
///
/// struct Queue;
/// impl Source for Queue {
///     fn layer(&self) -> &'static str { "queue" }
///     fn name(&self) -> &str { "orders" }
///     fn read(&self, into: &mut dyn Gather) {
///         into.gauge("hook_queue_length", &[], 3.0);
///     }
/// }
///
/// # fn main() -> Result<(), hook_monitor::NotRegistered> {
/// let monitor = Monitor::new();
/// monitor.register(Queue)?;
/// let seen = monitor.snapshot();
/// let queue = seen.source("queue", "orders").expect("it was registered");
/// assert_eq!(queue.gauge("hook_queue_length", &[]), Some(3.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Monitor {
    registry: Arc<Mutex<Registry>>,
}

/// A source under the name it had when it was registered, which is its name from then on: one that changes its mind, or
/// panics when it is asked, is told apart from the others all the same.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) layer: &'static str,
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<dyn Source>,
}

struct Registry {
    sources: Vec<Registered>,
    limit: usize,
    refused: u64,
    changes: u64,
}

/// Kinds of layers there may be at a time.
const KINDS: usize = 16;
/// Bytes of a name.
const LONGEST_NAME: usize = 256;
/// Figures of one source that are looked at.
const FIGURES: usize = 1_024;

impl Monitor {
    /// A monitor of nothing yet, for up to 200 sources of each kind of layer.
    pub fn new() -> Self {
        Self {
            registry: Arc::new(Mutex::new(Registry {
                sources: Vec::new(),
                limit: 200,
                refused: 0,
                changes: 0,
            })),
        }
    }

    /// How many sources there may be of each kind of layer (default: 200). What is registered already stays.
    #[must_use]
    pub fn limit_per_layer(self, limit: usize) -> Self {
        self.lock().limit = limit;
        self
    }

    /// Looks at `source` from now on: the handle of a layer, say.
    ///
    /// # Errors
    ///
    /// If there is one of the same layer and name (it goes by those it has now), or no room for another. What is refused is dropped, and counts in
    /// [`refused`](Self::refused).
    pub fn register(&self, source: impl Source + 'static) -> Result<&Self, NotRegistered> {
        self.register_shared(Arc::new(source))
    }

    /// The same for a source that is shared already.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_shared(&self, source: Arc<dyn Source>) -> Result<&Self, NotRegistered> {
        // The source's own code, so not under the lock.
        let (layer, name) = (source.layer(), source.name().to_owned());
        let mut registry = self.lock();
        let limit = registry.limit;
        let of_kind = || registry.sources.iter().filter(|other| other.layer == layer);
        let same = of_kind().count();
        let refusal = if of_kind().any(|other| *other.name == *name) {
            NotRegistered::Twin { layer, name }
        } else if name.len() > LONGEST_NAME {
            let length = name.len();
            NotRegistered::LongName { layer, length }
        } else if same >= limit || (same == 0 && kinds(&registry.sources) >= KINDS) {
            NotRegistered::Full { layer, name, limit }
        } else {
            let name = name.into();
            registry.sources.push(Registered { layer, name, source });
            registry.changes += 1;
            return Ok(self);
        };
        registry.refused += 1;
        // The refused source is dropped after the lock.
        drop(registry);
        Err(refusal)
    }

    /// Looks at this source no more, and gives it back. Its name is free again.
    pub fn remove(&self, layer: &str, name: &str) -> Option<Arc<dyn Source>> {
        let mut registry = self.lock();
        let place = registry
            .sources
            .iter()
            .position(|known| known.layer == layer && *known.name == *name)?;
        registry.changes += 1;
        Some(registry.sources.remove(place).source)
    }

    /// What is registered, in that order.
    pub fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.registered().into_iter().map(|known| known.source).collect()
    }

    pub(crate) fn registered(&self) -> Vec<Registered> {
        self.lock().sources.clone()
    }

    /// Sources that were not registered, for want of room or because of their names.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Grows whenever a source comes or goes: for whoever remembers something about each.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Everything every source has to say. A source that panics is reported as such, and the others all the same.
    pub fn snapshot(&self) -> StackSnapshot {
        let sources: Vec<_> = self.registered().iter().map(look).collect();
        StackSnapshot {
            taken: SystemTime::now(),
            status: sources
                .iter()
                .map(|source| source.status)
                .max()
                .unwrap_or_default(),
            sources,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kinds(sources: &[Registered]) -> usize {
    let mut kinds: Vec<_> = sources.iter().map(|known| known.layer).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len()
}

fn look(Registered { layer, name, source }: &Registered) -> SourceSnapshot {
    let mut figures = Figures::default();
    let status = catch_unwind(AssertUnwindSafe(|| {
        source.read(&mut figures);
        source.status()
    }));
    SourceSnapshot {
        layer,
        name: name.to_string(),
        status: *status.as_ref().unwrap_or(&Status::Unhealthy),
        has_panicked: status.is_err(),
        figures: figures.0,
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .registered()
            .iter()
            .map(|known| format!("{}/{}", known.layer, known.name))
            .collect();
        f.debug_tuple("Monitor").field(&names).finish()
    }
}

/// Why a source was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRegistered {
    /// There is one of this layer and name. Two of them would be told apart nowhere.
    Twin {
        /// The kind of layer.
        layer: &'static str,
        /// The name.
        name: String,
    },
    /// There are as many of this kind of layer as there may be, or as many kinds.
    Full {
        /// The kind of layer.
        layer: &'static str,
        /// The name.
        name: String,
        /// How many there may be.
        limit: usize,
    },
    /// The name is longer than 256 bytes.
    LongName {
        /// The kind of layer.
        layer: &'static str,
        /// How long the name is, in bytes.
        length: usize,
    },
}

impl fmt::Display for NotRegistered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twin { layer, name } => write!(f, "a {layer} called {name:?} is registered already"),
            Self::Full { layer, name, limit } => {
                write!(
                    f,
                    "no room for the {layer} {name:?}, {limit} of a kind are the limit"
                )
            }
            Self::LongName { layer, length } => {
                write!(
                    f,
                    "the name of a {layer} has {length} bytes, {LONGEST_NAME} are the limit"
                )
            }
        }
    }
}

impl Error for NotRegistered {}

// ===== snapshots =====

/// A whole stack when it was looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StackSnapshot {
    /// When that was.
    pub taken: SystemTime,
    /// The worst of the sources' states.
    pub status: Status,
    /// Every source, in the order in which they were registered.
    pub sources: Vec<SourceSnapshot>,
}

/// One source when it was looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceSnapshot {
    /// The kind of layer.
    pub layer: &'static str,
    /// Its name.
    pub name: String,
    /// How well it is; unhealthy if looking at it panicked.
    pub status: Status,
    /// Whether looking at it panicked. Its figures are those it told before.
    pub has_panicked: bool,
    /// What it told, in its own order; the first 1,024.
    pub figures: Vec<Figure>,
}

/// One figure of a source.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// Its name, as in Prometheus.
    pub name: &'static str,
    /// Its labels, without `layer` and `name`.
    pub labels: Vec<Label>,
    /// What it is at.
    pub value: Value,
}

/// What a figure is at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A count that only grows.
    Counter(u64),
    /// A value that goes up and down.
    Gauge(f64),
    /// A distribution of durations.
    Histogram(HistogramSnapshot),
    /// How often each of a few values was seen.
    Distribution(Vec<(f64, u64)>),
}

impl StackSnapshot {
    /// What this source told.
    pub fn source(&self, layer: &str, name: &str) -> Option<&SourceSnapshot> {
        self.sources
            .iter()
            .find(|source| source.layer == layer && source.name == name)
    }
}

impl SourceSnapshot {
    /// The counter of this name and exactly these labels.
    pub fn counter(&self, name: &str, labels: &[Label]) -> Option<u64> {
        match self.value(name, labels)? {
            Value::Counter(value) => Some(*value),
            _ => None,
        }
    }

    /// The gauge of this name and exactly these labels.
    pub fn gauge(&self, name: &str, labels: &[Label]) -> Option<f64> {
        match self.value(name, labels)? {
            Value::Gauge(value) => Some(*value),
            _ => None,
        }
    }

    /// The histogram of this name and exactly these labels.
    pub fn histogram(&self, name: &str, labels: &[Label]) -> Option<&HistogramSnapshot> {
        match self.value(name, labels)? {
            Value::Histogram(value) => Some(value),
            _ => None,
        }
    }

    /// The distribution of this name and exactly these labels.
    pub fn distribution(&self, name: &str, labels: &[Label]) -> Option<&[(f64, u64)]> {
        match self.value(name, labels)? {
            Value::Distribution(seen) => Some(seen),
            _ => None,
        }
    }

    /// All counters of this name added up, whatever their labels.
    pub fn total(&self, name: &str) -> u64 {
        self.figures
            .iter()
            .filter(|figure| figure.name == name)
            .map(|figure| {
                if let Value::Counter(n) = figure.value {
                    n
                } else {
                    0
                }
            })
            .sum()
    }

    /// The counters of this name added up whose label `key` is one of `values`.
    pub(crate) fn counters(&self, name: &str, key: &str, values: &[&str]) -> u64 {
        let is_of = |label: &Label| label.0 == key && values.contains(&label.1);
        self.figures
            .iter()
            .filter(|figure| figure.name == name && figure.labels.iter().any(is_of))
            .map(|figure| {
                if let Value::Counter(n) = figure.value {
                    n
                } else {
                    0
                }
            })
            .sum()
    }

    fn value(&self, name: &str, labels: &[Label]) -> Option<&Value> {
        self.figures
            .iter()
            .find(|figure| figure.name == name && figure.labels == labels)
            .map(|figure| &figure.value)
    }
}

#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn push(&mut self, name: &'static str, labels: &[Label], value: impl FnOnce() -> Value) {
        if self.0.len() < FIGURES {
            self.0.push(Figure {
                name,
                labels: labels.to_vec(),
                value: value(),
            });
        }
    }
}

impl Gather for Figures {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.push(name, labels, || Value::Counter(value));
    }

    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        self.push(name, labels, || Value::Gauge(value));
    }

    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
        self.push(name, labels, || Value::Histogram(value.clone()));
    }

    fn distribution(&mut self, name: &'static str, labels: &[Label], seen: &[(f64, u64)]) {
        self.push(name, labels, || Value::Distribution(seen.to_vec()));
    }
}
