//! A hook that is a service of this process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;
use hook_monitor::BoxError;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    error::HookError, leaf::Kind, output::HookOutput, plan::message, request::HookRequest, slots::Turn,
};

/// A user's service, its type forgotten.
pub(crate) type UserService = BoxCloneSyncService<HookRequest, HookOutput, BoxError>;

/// A service of this process.
#[derive(Debug)]
pub(crate) struct InProcessHook(pub(crate) UserService);

impl Kind for InProcessHook {
    async fn run(&self, req: HookRequest, turn: Turn) -> Result<HookOutput, HookError> {
        let called = async {
            let mut inner = Contained(Some(self.0.clone()));
            let mut call = Contained(Some(inner.get().ready().await?.call(req)));
            call.get().await
        };
        let called = async {
            match AssertUnwindSafe(called).catch_unwind().await {
                Ok(Ok(output)) => Ok(output),
                Ok(Err(err)) => Err(own(err)),
                // Nothing of the call is used after it; the service itself is the user's to keep whole.
                Err(panic) => Err(HookError::Panicked(message(&*panic))),
            }
        };
        turn.within(called).await
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
