use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{ResultCache, core::Core};

/// How long a sweeper works before it lets others.
const TURN: Duration = Duration::from_millis(1);

/// How long a sweeper that has not got round lets others work.
const REST: Duration = Duration::from_millis(10);

pin_project! {
    /// Sweeps a cache from time to time; see [`ResultCache::sweeper`].
    ///
    /// Ends when the cache is gone, which it notices at its next turn.
    #[must_use = "a sweeper does nothing unless it is spawned"]
    pub struct Sweeper<K, V> {
        core: Weak<Core<K, V>>,
        period: Duration,
        // `None` before the first poll: a timer needs a runtime.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<K, V> Sweeper<K, V> {
    pub(crate) fn new(core: Weak<Core<K, V>>, period: Duration) -> Self {
        Self {
            core,
            period,
            sleep: None,
        }
    }
}

impl<K: Hash + Eq, V: Clone> Future for Sweeper<K, V> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let pause = match this.sleep.as_mut().as_pin_mut() {
                None => *this.period,
                Some(sleep) => {
                    ready!(sleep.poll(cx));
                    let Some(core) = this.core.upgrade() else {
                        return Poll::Ready(());
                    };
                    match sweep(core) {
                        true => *this.period,
                        false => REST.min(*this.period),
                    }
                }
            };
            // Never zero: it would not let others work.
            this.sleep.set(Some(sleep(pause.max(Duration::from_millis(1)))));
        }
    }
}

/// Whether it got round.
fn sweep<K: Hash + Eq, V: Clone>(core: Arc<Core<K, V>>) -> bool {
    let start = Instant::now();
    ResultCache { core }.sweep_while(|| start.elapsed() < TURN)
}

impl<K, V> fmt::Debug for Sweeper<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweeper")
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}
