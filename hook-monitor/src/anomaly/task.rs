use std::{fmt, time::Duration};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{AnomalyEvent, AnomalyWatch};

/// The background task of an [`AnomalyWatch`]; it ends when this is dropped.
#[must_use = "the task ends when this is dropped"]
pub struct AnomalyTask {
    task: JoinHandle<()>,
}

impl AnomalyTask {
    #[track_caller]
    pub(super) fn new(watch: AnomalyWatch, period: Duration) -> Self {
        let task = tokio::spawn(async move {
            let mut ticks = interval(period);
            // After a stall, one tick has all the calls; those that follow at once would have none.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                watch.tick(Instant::now().into_std());
            }
        });
        Self { task }
    }

    /// Whether it has ended without being dropped: with its runtime.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for AnomalyTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for AnomalyTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyTask")
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

/// What happens to the targets of a watch, in order. From [`AnomalyWatch::subscribe`].
pub struct AnomalyEvents {
    receiver: broadcast::Receiver<AnomalyEvent>,
    missed: u64,
}

impl AnomalyEvents {
    pub(super) fn new(receiver: broadcast::Receiver<AnomalyEvent>) -> Self {
        Self { receiver, missed: 0 }
    }

    /// The next event, or `None` when the watch is gone: every clone, and the task.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn next(&mut self) -> Option<AnomalyEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(missed)) => self.missed += missed,
            }
        }
    }

    /// How many events this subscriber has lost because it was too far behind.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl fmt::Debug for AnomalyEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyEvents")
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
