//! Which hooks are for an event, and one hook's way from there to its result.

use std::{any::Any, collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use hook_monitor::Source;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use crate::{
    error::HookError,
    event::HookEvent,
    hook::{HookSpec, Identity, OnFailure, Origin},
    output::{Decision, HookOutput},
    policy,
    request::HookRequest,
    result::{Ended, HookResult},
    source::BrokenHook,
    stack::HookService,
};

/// Every part of a stack ends by the event's deadline of itself and says why; this much later the
/// manager ends it from outside.
const SLACK: Duration = Duration::from_millis(50);

/// A hook that can be run, or cannot: it has its place in the declared order either way.
pub(crate) enum Entry {
    Hook { spec: Box<HookSpec>, way: Way },
    Broken(BrokenHook),
}

pub(crate) enum Way {
    Run {
        service: HookService,
        layers: Vec<Box<dyn Source>>,
    },
    HostOnly {
        why: Arc<str>,
    },
}

/// A hook that will yield a result.
pub(crate) struct Planned<'a> {
    name: &'a Arc<str>,
    origin: &'a Origin,
    pub(crate) guard: bool,
    on_failure: OnFailure,
    background: bool,
    todo: Todo,
}

enum Todo {
    Run(HookService),
    Known(Ended),
}

impl Entry {
    pub(crate) fn event(&self) -> &HookEvent {
        match self {
            Self::Hook { spec, .. } => &spec.event,
            Self::Broken(hook) => &hook.event,
        }
    }

    /// What this hook has to do for a request of its event; `None` if it is not meant. `seen` are the
    /// handlers that run already: the same one declared twice runs once.
    pub(crate) fn plan(&self, req: &HookRequest, seen: &mut HashSet<Identity>) -> Option<Planned<'_>> {
        match self {
            Self::Hook { spec, way } => plan(spec, way, req, seen),
            Self::Broken(hook) => plan_broken(hook, req),
        }
    }
}

fn plan<'a>(
    spec: &'a HookSpec,
    way: &Way,
    req: &HookRequest,
    seen: &mut HashSet<Identity>,
) -> Option<Planned<'a>> {
    let todo = match (spec.matcher.matches(req.input()), way) {
        (Ok(false), _) => return None,
        // Whether the hook is meant is not known; a guard that was not asked has not said yes.
        (Err(err), _) => Todo::Known(Ended::Failed(HookError::Unusable(err.to_string().into()))),
        (Ok(true), Way::HostOnly { why }) => Todo::Known(Ended::Skipped(Arc::clone(why))),
        (Ok(true), Way::Run { service, .. }) => Todo::Run(service.clone()),
    };
    let project = req.project();
    if spec
        .condition
        .as_ref()
        .is_some_and(|rule| !rule.covers(req.input(), project))
    {
        return None;
    }
    seen.insert(spec.identity()).then(|| Planned {
        name: &spec.name,
        origin: &spec.origin,
        guard: spec.is_guard(),
        on_failure: spec.effective_on_failure(),
        background: spec.background,
        todo,
    })
}

fn plan_broken<'a>(hook: &'a BrokenHook, req: &HookRequest) -> Option<Planned<'a>> {
    let matched = hook.matcher.as_ref().map(|matcher| matcher.matches(req.input()));
    (!matches!(matched, Some(Ok(false)))).then(|| Planned {
        name: &hook.name,
        origin: &hook.origin,
        guard: hook.guard,
        on_failure: policy::on_failure(&hook.event, hook.guard, hook.on_failure),
        background: false,
        todo: Todo::Known(Ended::Failed(HookError::Unusable(hook.reason.as_str().into()))),
    })
}

impl Planned<'_> {
    /// Runs the hook to its result, which is there soon after the deadline at the latest.
    pub(crate) async fn run(self, req: HookRequest, started: Instant, deadline: Instant) -> HookResult {
        let ended = match self.todo {
            Todo::Known(ended) => ended,
            Todo::Run(service) => match run(service, req.clone(), started, deadline).await {
                Ended::Answered(output) if self.background => Ended::Answered(undecided(&output)),
                ended => ended,
            },
        };
        let attempts = req.trace().attempts();
        HookResult {
            hook: Arc::clone(self.name),
            origin: self.origin.clone(),
            cached: attempts == 0 && matches!(ended, Ended::Answered(_)),
            ended,
            guard: self.guard,
            on_failure: self.on_failure,
            took: started.elapsed(),
            queued: req.trace().time_queued(),
            attempts,
        }
    }
}

async fn run(service: HookService, req: HookRequest, started: Instant, deadline: Instant) -> Ended {
    let called = service.oneshot(req.clone());
    // A panic is this hook's failure, not the event's. Nothing of the hook is used after it.
    match timeout_at(deadline + SLACK, AssertUnwindSafe(called).catch_unwind()).await {
        Ok(Ok(Ok(output))) => Ended::Answered(output),
        Ok(Ok(Err(err))) => Ended::Failed(err),
        Ok(Err(panic)) => Ended::Failed(HookError::Panicked(message(&*panic))),
        Err(_) if req.trace().attempts() == 0 => Ended::Failed(HookError::OutOfBudget {
            waited: started.elapsed(),
        }),
        Err(_) => Ended::Failed(HookError::TimedOut {
            after: started.elapsed(),
            by_deadline: true,
        }),
    }
}

/// The answer of a hook declared `async`, which the host lets say things but not decide them.
fn undecided(output: &HookOutput) -> Arc<HookOutput> {
    let (decision, reason) = (Decision::None, None);
    Arc::new(HookOutput {
        decision,
        reason,
        updated_input: None,
        stop: None,
        ..output.clone()
    })
}

fn message(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with no message")
        .into()
}
