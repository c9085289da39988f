use std::{io, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::timeout;

use crate::{manager::HookManager, process};

/// What a [shutdown](HookManager::shutdown_within) came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Events that were under way, and ended by themselves in time.
    pub drained: usize,
    /// Events that were called off: their hooks were stopped, and ended as
    /// [`Cancelled`](crate::HookError::Cancelled).
    pub called_off: usize,
    /// Process groups that are still there after the grace period.
    pub left: usize,
    /// Whether the state was saved; `Ok` also where there is none to save.
    pub saved: io::Result<()>,
}

impl HookManager {
    /// Takes no more hooks in, waits until every process that is being ended is gone, and saves the state.
    ///
    /// Hooks that wait for a slot end as cancelled; those that run go on to their own end. Returns the
    /// number of process groups that are still there after the grace period.
    ///
    /// The processes are those of this whole program: with several managers, shut down the last one last.
    pub async fn shutdown(&self) -> usize {
        self.0.lanes.close();
        self.close_pools().await;
        let left = process::quiesce(self.0.config.grace + Duration::from_secs(1)).await;
        // What went wrong is in the health.
        let _ = self.save_aside().await;
        left
    }

    /// Takes no more hooks in, gives the events under way until `deadline` to end by themselves, and calls off those that
    /// have not: their processes are killed with their groups. Then waits until those are gone, saves the state,
    /// and reports.
    ///
    /// # Cancellation
    ///
    /// What was begun goes on: no hook is taken in any more. Call it again to wait on.
    pub async fn shutdown_within(&self, deadline: Duration) -> ShutdownReport {
        self.0.lanes.close();
        let flights = &self.0.flights;
        let before = flights.count();
        let drained = timeout(deadline, flights.all_landed()).await.is_ok();
        let called_off = if drained { 0 } else { flights.count() };
        if !drained {
            self.0.off.send_replace(true);
            // They are only dropped: whoever awaits them has to be polled once.
            let _ = timeout(self.0.config.grace, flights.all_landed()).await;
        }
        self.close_pools().await;
        let left = process::quiesce(self.0.config.grace + Duration::from_secs(1)).await;
        ShutdownReport {
            drained: before.saturating_sub(called_off),
            called_off,
            left,
            saved: self.save_aside().await,
        }
    }

    /// Closes what outlives a call: connections, and workers, of which those that are being asked have their grace.
    async fn close_pools(&self) {
        let grace = self.0.config.grace;
        join_all(self.0.pools().map(|pool| pool.drain(grace))).await;
    }

    /// Saves on a thread that may block.
    async fn save_aside(&self) -> io::Result<()> {
        if self.0.store.is_none() {
            return Ok(());
        }
        let manager = Self(Arc::clone(&self.0));
        let saved = tokio::task::spawn_blocking(move || manager.save()).await;
        saved.unwrap_or_else(|err| Err(io::Error::other(err)))
    }
}
