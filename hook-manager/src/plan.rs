//! Which hooks are for an event, and one hook's way from there to its result.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tower::ServiceExt;

use crate::{
    anomalies::Anomaly,
    error::HookError,
    event::HookEvent,
    execute::Part,
    hook::{HookSpec, IfDependencyFails, OnFailure, OnOpen, Origin, Priority},
    output::HookOutput,
    policy,
    request::HookRequest,
    result::{Ended, HookResult},
    rule::Rule,
    source::BrokenHook,
    stack::own::Own,
};

/// Every part of a stack ends by the event's deadline of itself and says why; this much later the
/// manager ends it from outside.
const SLACK: Duration = Duration::from_millis(50);

/// A hook that can be run, or cannot: it has its place in the declared order either way.
pub(crate) struct Entry {
    pub(crate) what: What,
    standing: Standing,
    /// The first place with the same handler: of those that apply to one input, one runs.
    pub(crate) twin: usize,
    /// The twins of the hooks it waits for.
    pub(crate) needs: Vec<usize>,
}

pub(crate) enum What {
    Hook(Box<HookSpec>, Way),
    Broken(Box<BrokenHook>),
}

pub(crate) enum Way {
    Run(Box<Own>),
    HostOnly { why: Arc<str> },
}

/// What holds for a hook whatever the input is.
#[derive(Clone)]
struct Standing {
    name: Arc<str>,
    origin: Arc<Origin>,
    guard: bool,
    priority: Priority,
    on_failure: OnFailure,
    on_open: OnOpen,
    background: bool,
    if_dependency_fails: IfDependencyFails,
}

/// A hook that will yield a result.
pub(crate) struct Planned<'a> {
    entry: &'a Entry,
    pub(crate) guard: bool,
    pub(crate) priority: Priority,
    pub(crate) score: f64,
    on_failure: OnFailure,
    on_open: OnOpen,
    todo: Todo<'a>,
    /// Whom it waits for, and their names.
    waits: Vec<(Arc<str>, watch::Receiver<Progress>)>,
    /// Told when it has ended, if anyone waits.
    done: Option<watch::Sender<Progress>>,
    /// Whether nobody waits for it: it is `async`, and so are all that it waits for, and that wait for it.
    is_background: bool,
}

enum Todo<'a> {
    Run(&'a Own),
    Known(Ended),
}

/// How far a hook is that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    UnderWay,
    Answered,
    NotAnswered,
}

impl Entry {
    pub(crate) fn new(what: What, twin: usize, needs: Vec<usize>) -> Self {
        let standing = match &what {
            What::Hook(spec, _) => Standing {
                name: Arc::clone(&spec.name),
                origin: Arc::new(spec.origin.clone()),
                guard: spec.is_guard(),
                priority: spec.effective_priority(),
                on_failure: spec.effective_on_failure(),
                on_open: spec.effective_on_open(),
                background: spec.background,
                if_dependency_fails: spec.effective_if_dependency_fails(),
            },
            What::Broken(hook) => {
                let on_failure = policy::on_failure(&hook.event, hook.guard, hook.on_failure);
                Standing {
                    name: Arc::clone(&hook.name),
                    origin: Arc::new(hook.origin.clone()),
                    guard: hook.guard,
                    priority: Priority::Critical,
                    on_failure,
                    on_open: OnOpen::of_failure(on_failure),
                    background: false,
                    if_dependency_fails: IfDependencyFails::Fail,
                }
            }
        };
        Self {
            what,
            standing,
            twin,
            needs,
        }
    }

    pub(crate) fn event(&self) -> &HookEvent {
        match &self.what {
            What::Hook(spec, _) => &spec.event,
            What::Broken(hook) => &hook.event,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.standing.name
    }

    /// Its name with its event's: no two hooks have the same.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.event(), self.name())
    }

    pub(crate) fn priority(&self) -> Priority {
        self.standing.priority
    }

    pub(crate) fn is_guard(&self) -> bool {
        self.standing.guard
    }

    /// Its stack, if it is one that we run.
    pub(crate) fn own(&self) -> Option<&Own> {
        match &self.what {
            What::Hook(_, Way::Run(own)) => Some(own),
            _ => None,
        }
    }

    pub(crate) fn spec(&self) -> Option<&HookSpec> {
        match &self.what {
            What::Hook(spec, _) => Some(spec),
            What::Broken(_) => None,
        }
    }

    /// What this hook has to do for a request of its event; `None` if it is not meant.
    fn plan(&self, req: &HookRequest) -> Option<Todo<'_>> {
        match &self.what {
            What::Hook(spec, way) => plan(spec, way, req),
            What::Broken(hook) => {
                let matched = hook.matcher.as_ref().map(|matcher| matcher.matches(req.input()));
                (!matches!(matched, Some(Ok(false))))
                    .then(|| Todo::Known(Ended::Failed(HookError::Unusable(hook.reason.as_str().into()))))
            }
        }
    }

    /// This hook's failure for a cause that is none of its own.
    pub(crate) fn not_run(&self, why: &Arc<str>) -> HookResult {
        self.result(Ended::Failed(HookError::NotRun(Arc::clone(why))))
    }

    /// This hook's end when its event was called off.
    pub(crate) fn cancelled(&self, started: Instant) -> HookResult {
        HookResult {
            took: started.elapsed(),
            ..self.result(Ended::Failed(HookError::Cancelled))
        }
    }

    /// A result of no time.
    fn result(&self, ended: Ended) -> HookResult {
        let standing = &self.standing;
        HookResult {
            hook: Arc::clone(&standing.name),
            origin: Arc::clone(&standing.origin),
            ended,
            guard: standing.guard,
            on_failure: standing.on_failure,
            on_open: standing.on_open,
            took: Duration::ZERO,
            ran: Duration::ZERO,
            queued: Duration::ZERO,
            attempts: 0,
            cached: false,
            breaker: self
                .own()
                .and_then(|own| own.breaker.as_ref())
                .map(hook_breaker::CircuitBreaker::state),
            anomaly: None,
            notice: None,
        }
    }
}

/// The hooks for a request, in declared order. The same handler declared twice runs once, under the
/// stricter of its policies.
pub(crate) fn plan_all<'a>(entries: impl Iterator<Item = &'a Entry>, req: &HookRequest) -> Vec<Planned<'a>> {
    let mut planned: Vec<Planned<'a>> = Vec::new();
    for entry in entries {
        let Some(todo) = entry.plan(req) else { continue };
        let standing = &entry.standing;
        match planned.iter_mut().find(|first| first.entry.twin == entry.twin) {
            Some(first) => {
                first.on_failure = first.on_failure.max(standing.on_failure);
                first.on_open = first.on_open.max(standing.on_open);
                first.guard |= standing.guard;
                first.priority = first.priority.min(standing.priority);
            }
            None => planned.push(Planned {
                entry,
                guard: standing.guard,
                priority: standing.priority,
                score: match &todo {
                    Todo::Run(own) => own.estimate.score(standing.priority),
                    Todo::Known(_) => 0.0,
                },
                on_failure: standing.on_failure,
                on_open: standing.on_open,
                todo,
                waits: Vec::new(),
                done: None,
                is_background: standing.background,
            }),
        }
    }
    if planned.iter().any(|hook| !hook.entry.needs.is_empty()) {
        link(&mut planned);
    }
    planned
}

/// Has each hook wait for those it depends on, as far as they are for this input.
fn link(planned: &mut [Planned<'_>]) {
    let mut pairs = Vec::new();
    for at in 0..planned.len() {
        let entry = planned[at].entry;
        for need in &entry.needs {
            let Some(place) = planned.iter().position(|other| other.entry.twin == *need) else {
                continue;
            };
            pairs.push((at, place));
            let other = &mut planned[place];
            let done = other
                .done
                .get_or_insert_with(|| watch::Sender::new(Progress::UnderWay));
            let wait = (Arc::clone(other.entry.name()), done.subscribe());
            planned[at].waits.push(wait);
        }
    }
    // Whoever is tied to one that is awaited is awaited, too.
    while let Some((one, other)) = pairs
        .iter()
        .find(|(one, other)| planned[*one].is_background != planned[*other].is_background)
    {
        planned[*one].is_background = false;
        planned[*other].is_background = false;
    }
}

fn plan<'a>(spec: &'a HookSpec, way: &'a Way, req: &HookRequest) -> Option<Todo<'a>> {
    let todo = match (spec.matcher.matches(req.input()), way) {
        (Ok(false), _) => return None,
        // Whether the hook is meant is not known; a guard that was not asked has not said yes.
        (Err(err), _) => Todo::Known(Ended::Failed(HookError::Unusable(err.to_string().into()))),
        // Its owner wants the action blocked when it cannot run, and here it cannot.
        (Ok(true), Way::HostOnly { why }) if spec.on_failure == Some(OnFailure::Block) => {
            Todo::Known(Ended::Failed(HookError::NotRun(Arc::clone(why))))
        }
        (Ok(true), Way::HostOnly { why }) => Todo::Known(Ended::Skipped(Arc::clone(why))),
        (Ok(true), Way::Run(own)) => Todo::Run(own),
    };
    let covered = |rule: &Rule| rule.covers(req.input(), req.project());
    spec.condition.as_ref().is_none_or(covered).then_some(todo)
}

impl<'a> Planned<'a> {
    /// Runs the hook to its result, which is there soon after the deadline at the latest.
    pub(crate) async fn run(mut self, req: HookRequest, started: Instant, deadline: Instant) -> HookResult {
        let standing = &self.entry.standing;
        let waits = std::mem::take(&mut self.waits);
        let ended = match (dependencies(waits, standing).await, &self.todo) {
            (Some(ended), _) => ended,
            (None, Todo::Known(ended)) => ended.clone(),
            (None, Todo::Run(own)) => match run(own, req.clone(), started, deadline).await {
                Ended::Answered(output) if standing.background => Ended::Answered(undecided(&output)),
                ended => ended,
            },
        };
        let now = Instant::now();
        let trace = req.trace();
        let attempts = trace.attempts();
        let mut result = HookResult {
            guard: self.guard,
            on_failure: self.on_failure,
            on_open: self.on_open,
            took: now - started,
            queued: trace.time_queued(),
            attempts,
            ..self.entry.result(ended)
        };
        match attempts {
            0 => result.cached = result.success(),
            _ => {
                result.ran = trace.time_run(now.into_std());
                result.anomaly = trace.outlier().map(|one| Box::new(Anomaly::Outlier(one)));
                // The last attempt failed, and an older answer stands in for it.
                result.cached = result.success() && trace.last_error().is_some();
            }
        }
        if let (
            Todo::Run(Own {
                watched: Some(runs), ..
            }),
            false,
        ) = (&self.todo, result.cached)
        {
            if let Some(unusual) = runs.unusual() {
                result.anomaly = Some(Box::new(Anomaly::Ongoing(unusual)));
            }
        }
        if let (Ended::Failed(HookError::CircuitOpen(_)), Todo::Run(own)) = (&result.ended, &self.todo) {
            if own.tell_once() {
                result.notice = Some(left_alone(&result).into());
            }
        }
        if let Some(done) = &self.done {
            let answered = match result.success() {
                true => Progress::Answered,
                false => Progress::NotAnswered,
            };
            done.send_replace(answered);
        }
        result
    }

    /// Itself, if it belongs to this part of the event: as one to be run, or as one of which it is said that it is
    /// run elsewhere.
    pub(crate) fn in_part(mut self, part: Part) -> Option<Self> {
        match part {
            Part::Background if !self.is_background => return None,
            Part::Awaited if self.is_background && matches!(self.todo, Todo::Run(_)) => {
                self.waits.clear();
                self.todo = Todo::Known(Ended::Skipped(
                    "it is async, and runs on without being waited for".into(),
                ));
            }
            _ => {}
        }
        Some(self)
    }

    /// What becomes of it if its event is called off.
    pub(crate) fn entry(&self) -> &'a Entry {
        self.entry
    }
}

/// Waits for the hooks this one depends on; how it ends if one of them has no answer.
async fn dependencies(
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

async fn run(own: &Own, req: HookRequest, started: Instant, deadline: Instant) -> Ended {
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
fn left_alone(result: &HookResult) -> String {
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
