use std::{
    fmt::{self, Display, Write},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{Clock, Source, Status};

/// What is checked, how often, and how much depends on it.
///
/// A check made with [`new`](Self::new) is **required**: while it is unhealthy, so is the process.
/// A check made of a [`source`](Self::source) is **optional**: it degrades the process and no more.
///
/// | | default |
/// |---|---|
/// | interval | 5 s (a source: 1 s), and up to 10 % off it, so that replicas do not knock together |
/// | timeout | 1 s |
pub struct Check {
    pub(super) run: Run,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) required: bool,
    pub(super) component: Option<&'static str>,
}

pub(super) type Pending = Pin<Box<dyn Future<Output = Verdict> + Send>>;

pub(super) enum Run {
    Function(Arc<dyn Fn() -> Pending + Send + Sync>),
    Source(Arc<Watched>),
}

/// A source, and since when it has not been healthy.
pub(super) struct Watched {
    source: Arc<dyn Source>,
    patience: Duration,
    since: Mutex<Option<Instant>>,
}

/// What one run of a check found.
///
/// The output is shown only to those who are allowed to see details. It is cut to 256 bytes, and
/// control characters in it become spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub(super) status: Status,
    pub(super) output: Option<String>,
}

/// What a check function may return: nothing, a [`Status`], a [`Verdict`], or a `Result` of these,
/// whose error is a failure and its text the output.
pub trait IntoVerdict {
    /// Makes it a verdict.
    fn into_verdict(self) -> Verdict;
}

const MAX_OUTPUT: usize = 256;

impl Check {
    /// Runs `check` every so often. It is required.
    ///
    /// A run that is too slow is dropped at its timeout, at an `.await`; a panic is a failure.
    pub fn new<F, Fut>(check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoVerdict> + Send + 'static,
    {
        let run = move || -> Pending {
            let running = check();
            Box::pin(async move { running.await.into_verdict() })
        };
        Self {
            run: Run::Function(Arc::new(run)),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            required: true,
            component: None,
        }
    }

    /// Asks a layer for its [`Status`] every second. It is optional.
    ///
    /// A breaker that refuses is degraded, for that is what it is there for: a dependency that is
    /// down must not take all replicas with it. The same goes for a pool with callers in line, once
    /// they have been for 5 s (see [`patience`](Self::patience)). Made [`required`](Self::required),
    /// either is a failure.
    pub fn source(source: impl Source + 'static) -> Self {
        let component = match source.layer() {
            "pool" => "datastore",
            _ => "component",
        };
        let patience = match source.layer() {
            "pool" => Duration::from_secs(5),
            _ => Duration::ZERO,
        };
        let watched = Watched {
            source: Arc::new(source),
            patience,
            since: Mutex::new(None),
        };
        Self {
            run: Run::Source(Arc::new(watched)),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            required: false,
            component: Some(component),
        }
    }

    /// How long there is between two runs, from end to beginning.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a run may take. Not longer than the interval.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// While this is unhealthy, so is the process.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Degrades the process at worst.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// What kind of thing it is, as `componentType` of `application/health+json`: `datastore`,
    /// `system` or `component`.
    pub fn component(mut self, component: &'static str) -> Self {
        self.component = Some(component);
        self
    }

    /// For how long a source must have been degraded before that counts. Of no effect on functions.
    pub fn patience(mut self, patience: Duration) -> Self {
        if let Run::Source(watched) = &mut self.run {
            if let Some(watched) = Arc::get_mut(watched) {
                watched.patience = patience;
            }
        }
        self
    }
}

impl Run {
    /// Runs user code: may panic, and may block.
    pub(super) fn start(&self, required: bool) -> Pending {
        match self {
            Self::Function(run) => run(),
            Self::Source(watched) => {
                let watched = Arc::clone(watched);
                Box::pin(async move { watched.look(required) })
            }
        }
    }
}

impl Clone for Run {
    fn clone(&self) -> Self {
        match self {
            Self::Function(run) => Self::Function(Arc::clone(run)),
            Self::Source(watched) => Self::Source(Arc::clone(watched)),
        }
    }
}

impl Watched {
    fn look(&self, required: bool) -> Verdict {
        let status = self.source.status();
        let now = Clock::tokio().now();
        let lasted = {
            let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            match status {
                Status::Degraded => now.saturating_duration_since(*since.get_or_insert(now)),
                _ => {
                    *since = None;
                    Duration::ZERO
                }
            }
        };
        let layer = self.source.layer();
        match status {
            Status::Degraded if lasted < self.patience => Verdict::healthy(),
            Status::Degraded if required && matches!(layer, "breaker" | "pool") => {
                Verdict::unhealthy(format_args!("{layer} is degraded"))
            }
            Status::Degraded => Verdict::degraded(format_args!("{layer} is degraded")),
            Status::Unhealthy => Verdict::unhealthy(format_args!("{layer} is unhealthy")),
            Status::Healthy => Verdict::healthy(),
        }
    }
}

// ===== impl Verdict =====

impl Verdict {
    /// All is well.
    pub fn healthy() -> Self {
        Self::default()
    }

    /// Works, but less than it should, and why.
    pub fn degraded(output: impl Display) -> Self {
        Self::with(Status::Degraded, output)
    }

    /// Does not work, and why.
    pub fn unhealthy(output: impl Display) -> Self {
        Self::with(Status::Unhealthy, output)
    }

    /// What was found.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why it is not healthy.
    pub fn output(&self) -> Option<&str> {
        self.output.as_deref()
    }

    fn with(status: Status, output: impl Display) -> Self {
        Self {
            status,
            output: Some(short(output)),
        }
    }
}

/// The first [`MAX_OUTPUT`] bytes of a text, on one line.
pub(super) fn short(text: impl Display) -> String {
    let mut short = Short(String::new());
    // An error says that there was no more room, or that there is no text to be had.
    let _ = write!(short, "{text}");
    short.0
}

/// Takes the first [`MAX_OUTPUT`] bytes, so that an error of megabytes is never held as a whole.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if self.0.len() + c.len_utf8() > MAX_OUTPUT {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

// ===== impl IntoVerdict =====

impl IntoVerdict for Verdict {
    fn into_verdict(self) -> Verdict {
        self
    }
}

impl IntoVerdict for () {
    fn into_verdict(self) -> Verdict {
        Verdict::healthy()
    }
}

impl IntoVerdict for Status {
    fn into_verdict(self) -> Verdict {
        Verdict {
            status: self,
            output: None,
        }
    }
}

impl<T: IntoVerdict, E: Display> IntoVerdict for Result<T, E> {
    fn into_verdict(self) -> Verdict {
        match self {
            Ok(found) => found.into_verdict(),
            Err(err) => Verdict::unhealthy(err),
        }
    }
}

// By hand: what is checked need not be `Debug`.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
