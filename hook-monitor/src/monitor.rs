use std::{fmt, future::Future, sync::Arc};

use crate::{
    Call, Classify, Clock, ErrorsAsFailures, Lanes, MonitorHandle,
    call::{Share, Ticket},
    future::Watch,
    tally::Tally,
};

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
    pub(crate) lanes: Lanes<Share<()>>,
}

impl CallMonitor {
    /// A monitor called `name` in figures and listings.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let tally = Arc::new(Tally::new(name.into()));
        Self {
            lanes: Lanes::new(&Share {
                tally,
                clock: Clock::default(),
                judge: (),
            }),
        }
    }

    /// Reads time from the kernel's tick, see
    /// [`MonitorLayer::coarse_clock`](crate::MonitorLayer::coarse_clock). Default: tokio's clock.
    #[cfg(feature = "coarse-clock")]
    #[must_use]
    pub fn coarse_clock(self) -> Self {
        Self {
            lanes: Lanes::new(&Share {
                clock: Clock::coarse(),
                ..self.lanes.any().clone()
            }),
        }
    }

    /// A call begins now, and ends with [`Call::finish`] or when the [`Call`] is dropped.
    #[inline]
    pub fn start(&self) -> Call {
        Call::new(Ticket::new(self.lanes.mine()))
    }

    /// Counts `future` as one call. `Ok` is a success, `Err` a failure.
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
    {
        self.watch_with(ErrorsAsFailures, future)
    }

    /// Counts `future` like [`watch`](CallMonitor::watch), and lets `classify` judge its result.
    #[inline]
    pub fn watch_with<C, F, T, E>(&self, classify: C, future: F) -> Watch<F, C>
    where
        C: Classify<T, E>,
        F: Future<Output = Result<T, E>>,
    {
        Watch::new(future, classify, Ticket::new(self.lanes.mine()))
    }

    /// The figures, to look at.
    pub fn handle(&self) -> MonitorHandle {
        MonitorHandle::new(Arc::clone(&self.lanes.any().tally))
    }
}

impl fmt::Debug for CallMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallMonitor")
            .field("name", &self.lanes.any().tally.name)
            .finish_non_exhaustive()
    }
}
