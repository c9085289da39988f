use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How late a runtime is, readable from any thread, also while the runtime itself is stuck.
///
/// A task on the runtime beats every 250 ms. How long the last beat is overdue is how long a task
/// that is ready has waited to run. On a runtime of many threads this tells that *all* are busy.
#[derive(Clone)]
pub struct RuntimeLag(Arc<Beat>);

struct Beat {
    base: Instant,
    /// Microseconds from `base` to the last beat. Publishes nothing else: relaxed.
    last: AtomicU64,
}

pub(super) const BEAT: Duration = Duration::from_millis(250);

impl RuntimeLag {
    pub(super) fn new() -> Self {
        Self(Arc::new(Beat {
            base: Instant::now(),
            last: AtomicU64::new(0),
        }))
    }

    pub(super) fn beat(&self) {
        let now = self.0.base.elapsed().as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        // Never back: a beat may be under way on another thread when `end` is called.
        self.0.last.fetch_max(now, Ordering::Relaxed);
    }

    /// Nobody beats any more, which says nothing about the runtime.
    pub(super) fn end(&self) {
        self.0.last.store(u64::MAX, Ordering::Relaxed);
    }

    /// How long the runtime has kept a ready task waiting; zero when it is in time, and when the last
    /// handle of the engine is gone.
    pub fn lag(&self) -> Duration {
        let last = Duration::from_micros(self.0.last.load(Ordering::Relaxed));
        self.0.base.elapsed().saturating_sub(last).saturating_sub(BEAT)
    }
}

impl fmt::Debug for RuntimeLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuntimeLag").field(&self.lag()).finish()
    }
}
