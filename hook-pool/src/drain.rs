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
    /// Connections that were closed in time: idle ones at once, the others as they came back.
    pub drained: usize,
    /// Connections that were still in use at the deadline. They are cut off from the pool, and closed as soon as
    /// their holders let go of them.
    pub forced: usize,
}

pub(crate) fn drain(
    pool: Arc<dyn Inspect>,
    deadline: Duration,
) -> impl Future<Output = DrainReport> + Send + use<> {
    let before = pool.stats().total;
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
        let forced = watch.pool.stats().active;
        DrainReport {
            drained: before.saturating_sub(forced),
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
