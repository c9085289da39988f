use std::{fmt, future::Future, sync::Arc};

use crate::{Call, Classify, ErrorsAsFailures, MonitorHandle, call::Ticket, future::Watch, shared::Core};

/// Counts calls of any kind; the core of [`MonitorLayer`](crate::MonitorLayer), usable without tower.
///
/// A clone counts in the same place. Neither a clone nor a call allocates.
///
/// ```
/// use hook_monitor::{CallMonitor, Outcome};
///
/// # tokio_test::block_on(async {
/// # async fn fetch() -> Result<u32, std::io::Error> { Ok(7) }
/// let monitor = CallMonitor::new("fetch");
///
/// // A future, judged by its result ...
/// let answer = monitor.watch(fetch()).await;
/// assert!(answer.is_ok());
///
/// // ... or any stretch of code.
/// let call = monitor.start();
/// let found = "a needle in hay".contains("needle");
/// call.finish(if found { Outcome::Success } else { Outcome::Failure });
///
/// assert_eq!(monitor.handle().snapshot().successes, 2);
/// # });
/// ```
#[derive(Clone)]
pub struct CallMonitor {
    pub(crate) core: Core,
}

impl CallMonitor {
    /// A monitor called `name` in figures and listings.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            core: Core::new(name.into()),
        }
    }

    /// Reads time from the kernel's tick, see
    /// [`MonitorLayer::coarse_clock`](crate::MonitorLayer::coarse_clock). Default: tokio's clock.
    #[cfg(feature = "coarse-clock")]
    #[must_use]
    pub fn coarse_clock(mut self) -> Self {
        self.core.clock = crate::Clock::coarse();
        self
    }

    /// A call begins now, and ends with [`Call::finish`] or when the [`Call`] is dropped.
    #[inline]
    pub fn start(&self) -> Call {
        Call::new(Ticket::new(&self.core))
    }

    /// Counts `future` as one call. `Ok` is a success, `Err` a failure, a refusal or a timeout.
    ///
    /// The call begins now, not with the first poll: what the future waits for before it runs is part of
    /// what its caller waits for.
    ///
    /// # Cancellation
    ///
    /// Dropped before it gave its result, polled or not, the call counts as cancelled. A `future` whose
    /// poll panics counts as panicked.
    #[inline]
    pub fn watch<F, T, E>(&self, future: F) -> Watch<F, ErrorsAsFailures>
    where
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        self.watch_with(ErrorsAsFailures, future)
    }

    /// Counts `future` like [`watch`](CallMonitor::watch), and lets `classify` judge its result.
    #[inline]
    pub fn watch_with<C, F, T, E>(&self, classify: C, future: F) -> Watch<F, C>
    where
        C: Classify<T, E>,
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        Watch::new(future, classify, Ticket::new(&self.core))
    }

    /// The figures, to look at.
    pub fn handle(&self) -> MonitorHandle {
        MonitorHandle::new(self.core.clone())
    }
}

impl fmt::Debug for CallMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallMonitor")
            .field("name", &self.core.name())
            .finish_non_exhaustive()
    }
}
