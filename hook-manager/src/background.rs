//! A task that works beside a manager, from its first event on.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::runtime::Handle;

/// Whether there is such a task. One that ends, by itself or with its runtime, is begun anew with the next event.
#[derive(Debug, Default)]
pub(crate) struct Background(Arc<AtomicBool>);

/// Held by the task.
struct UnderWay(Arc<AtomicBool>);

impl Background {
    /// Begins the task unless there is one: a relaxed load then. Does nothing outside of a runtime.
    pub(crate) fn begin<F>(&self, task: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.0.load(Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.0.swap(true, Relaxed) {
            return;
        }
        let (under_way, task) = (UnderWay(Arc::clone(&self.0)), task());
        runtime.spawn(async move {
            let _under_way = under_way;
            task.await;
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
