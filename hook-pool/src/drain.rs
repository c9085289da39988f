use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use crate::handle::Inspect;

/// What came of a [`drain`](crate::PoolHandle::drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that were closed in time: idle ones at once, the others as they came back. Those that were
    /// detached meanwhile are not among them.
    pub drained: usize,
    /// Connections that were still in use at the deadline. They are cut off from the pool, and closed as soon as
    /// their holders let go of them.
    pub forced: usize,
}

pub(crate) fn drain(
    pool: Arc<dyn Inspect>,
    deadline: Duration,
) -> impl Future<Output = DrainReport> + Send + use<> {
    let before = pool.stats();
    pool.close();
    async move {
        let mut watch = Watch { pool, place: None };
        let empty = poll_fn(|cx| match watch.pool.watch_used(&mut watch.place, cx) {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        });
        match deadline {
            Duration::MAX => empty.await,
            // Whether it was in time is seen by what is left.
            deadline => drop(timeout(deadline, empty).await),
        }
        let left = watch.pool.stats();
        let forced = left.active;
        // Those belong to somebody else now, and are still open.
        let detached = left.detached.saturating_sub(before.detached);
        let kept = usize::try_from(detached)
            .unwrap_or(usize::MAX)
            .saturating_add(forced);
        DrainReport {
            drained: before.total.saturating_sub(kept),
            forced,
        }
    }
}

/// Takes its waker away again.
struct Watch {
    pool: Arc<dyn Inspect>,
    place: Option<usize>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.pool.unwatch(place);
        }
    }
}
