//! Which hooks are for an event, and one hook's way from there to its result.

use std::{any::Any, collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use hook_monitor::Source;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use crate::{
    error::HookError,
    event::HookEvent,
    hook::{HookSpec, Identity, OnFailure, Origin},
    output::HookOutput,
    policy,
    request::HookRequest,
    result::{Ended, HookResult},
    rule::Rule,
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
    pub(crate) fn is_for(&self, event: &HookEvent) -> bool {
        match self {
            Self::Hook { spec, .. } => spec.event == *event,
            Self::Broken(hook) => hook.is_for(event),
        }
    }

    /// What this hook has to do for a request of its event; `None` if it is not meant.
    fn plan(&self, req: &HookRequest) -> Option<Planned<'_>> {
        match self {
            Self::Hook { spec, way } => plan(spec, way, req),
            Self::Broken(hook) => plan_broken(hook, req),
        }
    }

    /// This hook's failure for a cause that is none of its own.
    pub(crate) fn not_run(&self, why: &Arc<str>) -> HookResult {
        let ended = Ended::Failed(HookError::NotRun(Arc::clone(why)));
        let (hook, origin, guard, on_failure) = match self {
            Self::Hook { spec, .. } => (
                &spec.name,
                &spec.origin,
                spec.is_guard(),
                spec.effective_on_failure(),
            ),
            Self::Broken(hook) => (&hook.name, &hook.origin, hook.guard, broken_policy(hook)),
        };
        HookResult {
            hook: Arc::clone(hook),
            origin: origin.clone(),
            ended,
            guard,
            on_failure,
            took: Duration::ZERO,
            queued: Duration::ZERO,
            attempts: 0,
            cached: false,
        }
    }
}

/// The hooks for a request, in declared order. The same handler declared twice runs once, under the
/// stricter of its policies.
pub(crate) fn plan_all<'a>(entries: impl Iterator<Item = &'a Entry>, req: &HookRequest) -> Vec<Planned<'a>> {
    let mut planned: Vec<Planned<'a>> = Vec::new();
    let mut seen: HashMap<Identity, usize> = HashMap::new();
    for entry in entries.filter(|entry| entry.is_for(req.event())) {
        let Some(hook) = entry.plan(req) else { continue };
        let identity = match entry {
            Entry::Hook { spec, .. } => Some(spec.identity()),
            Entry::Broken(_) => None,
        };
        match identity.as_ref().and_then(|identity| seen.get(identity)) {
            Some(first) => {
                let first = &mut planned[*first];
                first.on_failure = first.on_failure.max(hook.on_failure);
                first.guard |= hook.guard;
            }
            None => {
                seen.extend(identity.map(|identity| (identity, planned.len())));
                planned.push(hook);
            }
        }
    }
    planned
}

fn plan<'a>(spec: &'a HookSpec, way: &Way, req: &HookRequest) -> Option<Planned<'a>> {
    let todo = match (spec.matcher.matches(req.input()), way) {
        (Ok(false), _) => return None,
        // Whether the hook is meant is not known; a guard that was not asked has not said yes.
        (Err(err), _) => Todo::Known(Ended::Failed(HookError::Unusable(err.to_string().into()))),
        // Its owner wants the action blocked when it cannot run, and here it cannot.
        (Ok(true), Way::HostOnly { why }) if spec.on_failure == Some(OnFailure::Block) => {
            Todo::Known(Ended::Failed(HookError::NotRun(Arc::clone(why))))
        }
        (Ok(true), Way::HostOnly { why }) => Todo::Known(Ended::Skipped(Arc::clone(why))),
        (Ok(true), Way::Run { service, .. }) => Todo::Run(service.clone()),
    };
    let covered = |rule: &Rule| rule.covers(req.input(), req.project());
    if !spec.condition.as_ref().is_none_or(covered) {
        return None;
    }
    Some(Planned {
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
        on_failure: broken_policy(hook),
        background: false,
        todo: Todo::Known(Ended::Failed(HookError::Unusable(hook.reason.as_str().into()))),
    })
}

fn broken_policy(hook: &BrokenHook) -> OnFailure {
    policy::on_failure(&hook.event, hook.guard, hook.on_failure)
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
        // An attempt came before this refusal: its cause is what is of interest.
        Ok(Ok(Err(HookError::CircuitOpen(refused)))) => Ended::Failed(
            req.trace()
                .last_error()
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

/// The answer of a hook declared `async`, which the host lets say things but not decide them.
fn undecided(output: &HookOutput) -> Arc<HookOutput> {
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
