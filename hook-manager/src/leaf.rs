//! What the innermost services of all stacks have in common: a call waits for its turn, and then runs within its time.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tower::Service;

use crate::{
    error::HookError,
    output::HookOutput,
    request::HookRequest,
    slots::{Slots, Turn, turn},
};

/// A kind of hook: what it does once it is its turn.
pub(crate) trait Kind: Send + Sync + 'static {
    /// `turn` says how long it may take, and holds its place for as long as it is not dropped.
    fn run(
        &self,
        req: HookRequest,
        turn: Turn,
    ) -> impl Future<Output = Result<HookOutput, HookError>> + Send + '_;
}

/// The innermost service of a hook's stack.
pub(crate) struct Leaf<K>(Arc<Inner<K>>);

struct Inner<K> {
    kind: K,
    timeout: Duration,
    slots: Slots,
}

impl<K> Leaf<K> {
    pub(crate) fn new(kind: K, timeout: Duration, slots: Slots) -> Self {
        Self(Arc::new(Inner { kind, timeout, slots }))
    }
}

impl<K: Kind> Service<HookRequest> for Leaf<K> {
    type Response = Arc<HookOutput>;
    type Error = HookError;
    // A box is nothing beside what the caller is about to wait for.
    type Future = BoxFuture<'static, Result<Arc<HookOutput>, HookError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), HookError>> {
        // Whatever has to be ready is awaited within the turn and its time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: HookRequest) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let turn = turn(&inner.slots, &req, inner.timeout).await?;
            inner.kind.run(req, turn).await.map(Arc::new)
        })
    }
}

impl Turn {
    /// Runs `call` in this turn, and no longer than it may take.
    pub(crate) async fn within(
        self,
        call: impl Future<Output = Result<HookOutput, HookError>>,
    ) -> Result<HookOutput, HookError> {
        let started = Instant::now();
        match timeout(self.timeout, call).await {
            Ok(ended) => ended,
            Err(_) => Err(self.timed_out(started.elapsed())),
        }
    }

    /// How a call ends that has run for so long and is out of time.
    pub(crate) fn timed_out(&self, after: Duration) -> HookError {
        HookError::TimedOut {
            after,
            by_deadline: self.by_deadline,
            waited: self.waited,
        }
    }
}

// By hand: a clone is the same service, whatever it runs.
impl<K> Clone for Leaf<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// By hand: what it runs may be a user's.
impl<K> fmt::Debug for Leaf<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("timeout", &self.0.timeout)
            .field("slots", &self.0.slots)
            .finish_non_exhaustive()
    }
}
