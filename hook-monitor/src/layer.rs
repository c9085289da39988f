use std::{fmt, sync::Arc};

use tower_layer::Layer;

use crate::{CallMonitor, EndingsBy, ErrorsAsFailures, MonitorHandle, service::Monitored, shared::Core};

/// Counts every call of a service exactly once.
///
/// The figures are the layer's: every service it makes, every clone of it, and every layer its setters
/// make of it count in the same place, however often `layer` is called. Figures of their own need a
/// `MonitorLayer` of their own. See the [crate page](crate) for what is counted as what.
///
/// A monitor takes about 6 KiB, made once and used again when it is gone; a clone, a service and a call allocate
/// nothing. Each call takes a clone of the classifier along, which for most is nothing at all.
pub struct MonitorLayer<C = ErrorsAsFailures> {
    core: Core,
    judge: C,
}

impl MonitorLayer {
    /// A monitor called `name` in figures and listings, to which `Ok` is a success and `Err` a failure, a refusal or a
    /// timeout.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        CallMonitor::new(name).into()
    }
}

impl<C> MonitorLayer<C> {
    /// Judges results with `classify`: a [`Classify`](crate::Classify) or a closure
    /// `Fn(Result<&Res, &Err>, Duration) -> Outcome`, whose arguments need their types written out.
    ///
    /// A panic in it counts the call as panicked, and goes on unwinding.
    ///
    /// ```
    /// use hook_monitor::{MonitorLayer, Outcome};
    /// use std::{io, time::Duration};
    ///
    /// let layer = MonitorLayer::new("files").classify_with(
    ///     |result: Result<&Vec<u8>, &io::Error>, took: Duration| match result {
    ///         Ok(_) if took > Duration::from_secs(2) => Outcome::Failure,
    ///         Ok(_) => Outcome::Success,
    ///         Err(err) if err.kind() == io::ErrorKind::NotFound => Outcome::Ignored,
    ///         Err(_) => Outcome::Failure,
    ///     },
    /// );
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify_with<D>(self, classify: D) -> MonitorLayer<D> {
        MonitorLayer {
            core: self.core,
            judge: classify,
        }
    }

    /// Judges results with a closure `Fn(Result<&Res, &Err>, Duration) -> Ending`: where refusals and timeouts are
    /// answers. In errors they are found without that: one that the closure calls [`Ending::Error`], and that is or holds a
    /// refusal or a timeout, counts as such.
    ///
    /// ```
    /// use hook_monitor::{BoxError, Ending, MonitorLayer};
    /// use std::time::Duration;
    ///
    /// let layer = MonitorLayer::new("client").endings_with(
    ///     |result: Result<&u16, &BoxError>, _: Duration| match result {
    ///         Ok(503) => Ending::Rejected,
    ///         Ok(504) => Ending::Timeout,
    ///         Ok(500..) | Err(_) => Ending::Error,
    ///         Ok(_) => Ending::Ok,
    ///     },
    /// );
    /// # let _ = layer;
    /// ```
    ///
    /// [`Ending::Error`]: crate::Ending::Error
    #[must_use]
    pub fn endings_with<F>(self, judge: F) -> MonitorLayer<EndingsBy<F>> {
        self.classify_with(EndingsBy(judge))
    }

    /// Reads time from the kernel's tick: a few nanoseconds a reading, exact to 1 to 10 ms, and deaf to
    /// tokio's paused time. Default: tokio's clock.
    ///
    /// A call that takes less than a tick has a latency of zero most of the time, and of a tick otherwise:
    /// the mean stays right, the quantiles below a tick do not.
    #[cfg(feature = "coarse-clock")]
    #[must_use]
    pub fn coarse_clock(mut self) -> Self {
        self.core.clock = crate::Clock::coarse();
        self
    }

    /// The figures, to look at.
    pub fn handle(&self) -> MonitorHandle {
        MonitorHandle::new(self.core.clone())
    }
}

impl<S, C: Clone> Layer<S> for MonitorLayer<C> {
    type Service = Monitored<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Monitored::new(inner, self.core.clone(), self.judge.clone())
    }
}

/// A layer that counts where `monitor` counts, for services and other code that share their figures.
impl From<CallMonitor> for MonitorLayer {
    fn from(monitor: CallMonitor) -> Self {
        Self {
            core: monitor.core,
            judge: ErrorsAsFailures,
        }
    }
}

impl<C: Clone> Clone for MonitorLayer<C> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            judge: self.judge.clone(),
        }
    }
}

// By hand: a closure is not `Debug`.
impl<C> fmt::Debug for MonitorLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorLayer")
            .field("name", &self.core.name())
            .finish_non_exhaustive()
    }
}
