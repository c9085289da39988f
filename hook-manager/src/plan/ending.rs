//! How a hook comes to its end, and what is to be said about it.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tower::ServiceExt;

use super::{Progress, Standing};
use crate::{
    error::HookError,
    hook::{IfDependencyFails, OnOpen},
    output::HookOutput,
    request::HookRequest,
    result::{Ended, HookResult},
    stack::own::Own,
};

/// Every part of a stack ends by the event's deadline of itself and says why; this much later the
/// manager ends it from outside.
const SLACK: Duration = Duration::from_millis(50);

/// Waits for the hooks this one depends on; how it ends if one of them has no answer.
pub(super) async fn dependencies(
    waits: Vec<(Arc<str>, watch::Receiver<Progress>)>,
    standing: &Standing,
) -> Option<Ended> {
    let mut failed = None;
    for (name, mut progress) in waits {
        let ended = progress
            .wait_for(|progress| *progress != Progress::UnderWay)
            .await;
        // A hook that went without a word was called off.
        let answered = ended.is_ok_and(|progress| *progress == Progress::Answered);
        if !answered && failed.is_none() {
            failed = Some(name);
        }
    }
    let why = format!("dependency failed: {}", failed?);
    match standing.if_dependency_fails {
        IfDependencyFails::Run => None,
        IfDependencyFails::Skip => Some(Ended::Skipped(why.into())),
        IfDependencyFails::Fail => Some(Ended::Failed(HookError::NotRun(why.into()))),
    }
}

pub(super) async fn run(own: &Own, req: HookRequest, started: Instant, deadline: Instant) -> Ended {
    let called = own.service.clone().oneshot(req.clone());
    // A panic is this hook's failure, not the event's. Nothing of the hook is used after it.
    match timeout_at(deadline + SLACK, AssertUnwindSafe(called).catch_unwind()).await {
        Ok(Ok(Ok(answer))) => Ended::Answered(answer.output),
        // An attempt came before this refusal: its cause is what is of interest.
        Ok(Ok(Err(HookError::CircuitOpen(refused)))) => Ended::Failed(
            req.trace()
                .last_error()
                .filter(|_| req.trace().attempts() > 0)
                .unwrap_or(HookError::CircuitOpen(refused)),
        ),
        Ok(Ok(Err(err))) => Ended::Failed(err),
        Ok(Err(panic)) => Ended::Failed(HookError::Panicked(message(&*panic))),
        Err(_) if req.trace().attempts() == 0 => Ended::Failed(HookError::OutOfBudget {
            waited: started.elapsed(),
        }),
        Err(_) => Ended::Failed(HookError::TimedOut {
            after: started.elapsed(),
            by_deadline: true,
            waited: req.trace().time_queued(),
        }),
    }
}

/// What the user is told when a circuit was found open for the first time.
pub(super) fn left_alone(result: &HookResult) -> String {
    let means = match result.on_open {
        OnOpen::Skip => "actions go on without it",
        OnOpen::Ask => "you are asked in its place",
        OnOpen::Block => "what it would have been asked about is blocked",
    };
    let err = result.error().map(ToString::to_string).unwrap_or_default();
    format!(
        "hook {} failed again and again and is left alone ({err}); until it is well, {means}",
        result.hook
    )
}

/// The answer of a hook declared `async`, which the host lets say things but not decide them.
pub(super) fn undecided(output: &HookOutput) -> Arc<HookOutput> {
    Arc::new(HookOutput {
        context: output.context.clone(),
        system_message: output.system_message.clone(),
        exit_code: output.exit_code,
        stdout: output.stdout.clone(),
        stderr: output.stderr.clone(),
        ..HookOutput::none()
    })
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with no message")
        .into()
}
