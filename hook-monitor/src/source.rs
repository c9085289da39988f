use crate::HistogramSnapshot;

/// A layer as seen from outside: its name, its health and its figures, read at any time.
///
/// The handle of every layer is a `Source`. Whoever wants figures (a `/metrics` endpoint, a health
/// check, a test) hands over a [`Gather`] and is told everything:
///
/// ```
/// use hook_monitor::{Gather, HistogramSnapshot, Label, Source};
///
/// #[derive(Default)]
/// struct Lines(Vec<String>);
///
/// impl Gather for Lines {
///     fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
///         self.0.push(format!("{name} {labels:?} {value}"));
///     }
///     fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
///         self.0.push(format!("{name} {labels:?} {value}"));
///     }
///     fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
///         self.0.push(format!("{name} {labels:?} {}", value.count()));
///     }
/// }
///
/// fn print(source: &dyn Source) {
///     let mut lines = Lines::default();
///     source.read(&mut lines);
///     println!("{} ({}): {:?}", source.name(), source.layer(), source.status());
///     lines.0.iter().for_each(|line| println!("  {line}"));
/// }
/// ```
pub trait Source: Send + Sync {
    /// The kind of layer: `monitor`, `cache`, `retry`, `breaker` or `pool`, or a word of your own.
    fn layer(&self) -> &'static str;

    /// The name this instance was given.
    fn name(&self) -> &str;

    /// Whether what is behind this layer can be relied upon right now.
    fn status(&self) -> Status {
        Status::Healthy
    }

    /// Tells `into` every figure. Cheap enough for a scrape, not meant for the call path.
    fn read(&self, into: &mut dyn Gather);
}

/// A label of a figure: its name, and a value out of a fixed set. Values never come from input.
pub type Label = (&'static str, &'static str);

/// Takes the figures of a [`Source`], under Prometheus-style names in base units.
///
/// The source's own [`layer`](Source::layer) and [`name`](Source::name) are not repeated as labels.
pub trait Gather {
    /// A count that only grows.
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64);
    /// A value that goes up and down.
    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64);
    /// A distribution of durations.
    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot);
    /// A distribution of what is no duration: each of a few fixed values, and how often it was seen since the
    /// beginning. Ignored by whoever does not implement it.
    fn distribution(&mut self, name: &'static str, labels: &[Label], seen: &[(f64, u64)]) {
        let _ = (name, labels, seen);
    }
}

/// How well something is, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Works as it should.
    #[default]
    Healthy,
    /// Works, but less than it should: some calls are refused or slow.
    Degraded,
    /// Does not work.
    Unhealthy,
}

impl Status {
    /// `healthy`, `degraded` or `unhealthy`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}
