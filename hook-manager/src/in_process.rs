//! A hook that is a service of this process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use hook_monitor::BoxError;
use tokio::time;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    error::HookError,
    output::HookOutput,
    plan::message,
    request::HookRequest,
    slots::{Slots, Turn, turn},
};

/// A user's service, its type forgotten.
pub(crate) type UserService = BoxCloneSyncService<HookRequest, HookOutput, BoxError>;

/// The innermost service of an in-process hook's stack: a turn, a deadline, the user's service.
#[derive(Clone, Debug)]
pub(crate) struct InProcessHook {
    pub(crate) inner: UserService,
    pub(crate) timeout: Duration,
    pub(crate) slots: Slots,
}

impl Service<HookRequest> for InProcessHook {
    type Response = Arc<HookOutput>;
    type Error = HookError;
    // The user's service is boxed already; this wraps its wait for a turn around it.
    type Future = BoxFuture<'static, Result<Arc<HookOutput>, HookError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), HookError>> {
        // Its readiness is awaited within its turn and its timeout, like everything it does.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: HookRequest) -> Self::Future {
        let Self {
            inner,
            timeout,
            slots,
        } = self.clone();
        Box::pin(async move {
            let Turn {
                permit: _permit,
                timeout,
                by_deadline,
                waited,
            } = turn(&slots, &req, timeout).await?;
            let called = async move {
                let mut inner = Contained(Some(inner));
                let mut call = Contained(Some(inner.get().ready().await?.call(req)));
                call.get().await
            };
            let called = AssertUnwindSafe(called).catch_unwind();
            match time::timeout(timeout, called).await {
                Ok(Ok(Ok(output))) => Ok(Arc::new(output)),
                Ok(Ok(Err(err))) => Err(own(err)),
                // Nothing of the call is used after it; the service itself is the user's to keep whole.
                Ok(Err(panic)) => Err(HookError::Panicked(message(&*panic))),
                Err(_) => Err(HookError::TimedOut {
                    after: timeout,
                    by_deadline,
                    waited,
                }),
            }
        })
    }
}

/// Something of the user's. That it panics when it is dropped is nobody's trouble: it has answered by then, or is no
/// longer wanted.
struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    fn get(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(inner)));
    }
}

/// A user's error in our words: a [`HookError`] as it is, anything else by what it says.
fn own(err: BoxError) -> HookError {
    match err.downcast::<HookError>() {
        Ok(err) => *err,
        Err(err) => HookError::Failed(err.to_string().into()),
    }
}
