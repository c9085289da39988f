use std::{fmt, sync::Arc, time::Duration};

use futures::future::join_all;
use hook_monitor::Source;
use hook_pool::PoolHandle;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    builder::HookManagerBuilder,
    command::{CommandHook, Parts, Recipe},
    config::{self, Config},
    event::{HandlerKind, HookEvent},
    hook::{Handler, HookSpec},
    http::HttpHook,
    in_process::{InProcessHook, UserService},
    merge::merge,
    plan::{Entry, Planned, Way, plan_all},
    process::{self, Limits},
    request::HookRequest,
    result::{EventReport, HookResult},
    source::{BrokenHook, Loaded, Problem},
    stack,
    worker::{self, WorkerHook},
};

/// Runs the hooks of events: each in its own stack, all within one deadline, to one merged answer.
///
/// Cheap to clone; clones share everything. See the [crate page](crate) for what happens to an event.
///
/// ```
/// use hook_manager::{Decision, Hook, HookEvent, HookManager, HookRequest};
///
/// # tokio::runtime::Runtime::new().map(|rt| rt.block_on(async {
/// let guard = Hook::shell("no-env", HookEvent::PreToolUse, "grep -q '\\.env' && exit 2; true").guard();
/// let manager = HookManager::builder().hook(guard).build()?;
///
/// let input = br#"{"tool_name": "Read", "tool_input": {"file_path": ".env"}}"#;
/// let report = manager.execute(HookRequest::parse(HookEvent::PreToolUse, input)?).await;
/// assert_eq!(report.merged.decision, Decision::Deny);
/// # manager.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).expect("the example above works"));
/// ```
#[derive(Clone)]
pub struct HookManager(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    slots: Arc<Semaphore>,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    /// What outlives a call: processes and connections.
    pools: Vec<PoolHandle>,
}

impl HookManager {
    /// A manager with defaults and no hooks, to be told what it should have.
    pub fn builder() -> HookManagerBuilder {
        HookManagerBuilder::default()
    }

    pub(crate) fn new(
        config: Arc<Config>,
        declared: Vec<(HookSpec, Option<UserService>)>,
        loaded: Loaded,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(config.max_concurrent_hooks));
        let mut pools = Vec::new();
        let found = loaded.hooks.into_iter().map(|spec| (spec, None));
        let entries = declared
            .into_iter()
            .chain(found)
            .map(|(spec, service)| hook(spec, service, &config, &slots, &mut pools));
        let entries = entries.collect::<Vec<_>>();
        let broken = loaded.broken.into_iter().map(Entry::Broken);
        let entries = entries.into_iter().chain(broken).collect();
        let problems = config::worst_first(loaded.problems);
        Self(Arc::new(Inner {
            config,
            slots,
            entries,
            problems,
            pools,
        }))
    }

    /// The hooks that can be used, in declared order.
    pub fn hooks(&self) -> impl Iterator<Item = &HookSpec> {
        self.0.entries.iter().filter_map(|entry| match entry {
            Entry::Hook { spec, .. } => Some(&**spec),
            Entry::Broken(_) => None,
        })
    }

    /// The hooks that are declared but cannot be used. At their event each yields a failure.
    pub fn broken_hooks(&self) -> impl Iterator<Item = &BrokenHook> {
        self.0.entries.iter().filter_map(|entry| match entry {
            Entry::Broken(hook) => Some(hook),
            Entry::Hook { .. } => None,
        })
    }

    /// What is wrong with the sources of hooks, or at least worth knowing, worst first.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// The figures this manager works with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The layers of every hook's stack, outermost first: what each has counted, and its health.
    /// A hook's layers bear the hook's name.
    pub fn layers(&self) -> impl Iterator<Item = &dyn Source> {
        self.0
            .entries
            .iter()
            .flat_map(|entry| match entry {
                Entry::Hook {
                    way: Way::Run { layers, .. },
                    ..
                } => layers.as_slice(),
                _ => &[],
            })
            .map(|layer| &**layer)
    }

    /// Runs every hook that is for this event and merges their answers.
    ///
    /// All hooks start at once, guards first, as far as [`max_concurrent_hooks`] lets them; a denial
    /// does not stop the others. The report has one result a hook, in declared order, also for a hook
    /// that did not run. Without hooks for the event it is empty.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the hooks that run: processes are terminated with their groups, in the
    /// background. [`shutdown`](Self::shutdown) waits for that.
    ///
    /// [`max_concurrent_hooks`]: crate::HookManagerBuilder::max_concurrent_hooks
    pub async fn execute(&self, req: HookRequest) -> EventReport {
        self.execute_within(self.0.config.deadline, req).await
    }

    /// [Executes](Self::execute) with less time than the manager's deadline, where some of it has passed
    /// already. More than the deadline counts as the deadline.
    pub async fn execute_within(&self, total: Duration, req: HookRequest) -> EventReport {
        let req = req.within(self.0.config.project.as_deref());
        let started = Instant::now();
        let deadline = started + total.min(self.0.config.deadline);
        let mut planned: Vec<(usize, Planned<'_>)> = plan_all(self.0.entries.iter(), &req)
            .into_iter()
            .enumerate()
            .collect();
        // Guards take their slots first: the sort is stable and the slots are first come, first served.
        planned.sort_by_key(|(_, hook)| !hook.guard);
        let runs = planned.into_iter().map(|(at, hook)| {
            let req = req.for_one_hook(deadline.into_std());
            async move { (at, hook.run(req, started, deadline).await) }
        });
        let mut results = join_all(runs).await;
        results.sort_by_key(|(at, _)| *at);
        let results: Vec<HookResult> = results.into_iter().map(|(_, result)| result).collect();
        EventReport {
            event: req.event().clone(),
            project: self.0.config.project.clone(),
            merged: merge(req.input().get("tool_input"), &results),
            results,
            took: started.elapsed(),
        }
    }

    /// The report of an event that could not be run at all, because its input cannot be read, say: every
    /// hook of the event has failed for the cause `why`, and what that means is each hook's own policy.
    pub fn not_run(&self, event: &HookEvent, why: impl Into<Arc<str>>) -> EventReport {
        let why = why.into();
        let entries = self.0.entries.iter().filter(|entry| entry.is_for(event));
        let results: Vec<HookResult> = entries.map(|entry| entry.not_run(&why)).collect();
        EventReport {
            event: event.clone(),
            project: self.0.config.project.clone(),
            merged: merge(None, &results),
            results,
            took: Duration::ZERO,
        }
    }

    /// Takes no more hooks in, and waits until every process that is being ended is gone.
    ///
    /// Hooks that wait for a slot end as cancelled; those that run go on to their own end. Returns the
    /// number of process groups that are still there after the grace period.
    ///
    /// The processes are those of this whole program: with several managers, shut down the last one last.
    pub async fn shutdown(&self) -> usize {
        self.0.slots.close();
        let grace = self.0.config.grace;
        join_all(self.0.pools.iter().map(|pool| pool.drain(grace))).await;
        process::quiesce(self.0.config.grace + Duration::from_secs(1)).await
    }
}

fn hook(
    spec: HookSpec,
    service: Option<UserService>,
    config: &Arc<Config>,
    slots: &Arc<Semaphore>,
    pools: &mut Vec<PoolHandle>,
) -> Entry {
    if spec.handler.runs_this_program() {
        let why = "it is hook-manager itself, which runs already".into();
        let (spec, way) = (Box::new(spec), Way::HostOnly { why });
        return Entry::Hook { spec, way };
    }
    let timeout = spec.effective_timeout();
    let slots = Arc::clone(slots);
    let stack = match (service, &spec.handler) {
        (Some(inner), _) => stack::build(
            &spec,
            config,
            InProcessHook {
                inner,
                timeout,
                slots,
            },
        ),
        (None, Handler::Shell { .. } | Handler::Exec { .. }) => {
            let limits = Limits {
                timeout,
                grace: config.grace,
                stdout: config.output_limit,
                stderr: config.output_limit,
                ..Limits::default()
            };
            let recipe = recipe(&spec.handler, config);
            stack::build(
                &spec,
                config,
                CommandHook::new(Parts {
                    recipe,
                    timeout,
                    limits,
                    slots,
                }),
            )
        }
        (None, Handler::Worker(worker)) => {
            let figures = worker::Figures {
                name: &spec.name,
                worker,
                timeout,
                grace: config.grace,
                limit: config.output_limit,
            };
            let hook = WorkerHook::new(recipe(&worker.run, config), &figures, slots);
            let pool = hook.handle();
            pools.push(pool.clone());
            let mut stack = stack::build(&spec, config, hook);
            stack.layers.push(Box::new(pool));
            stack
        }
        (None, Handler::Http(_)) if !spec.event.spec().handlers.contains(&HandlerKind::Http) => {
            let why = format!("the host runs no http hooks on {}", spec.event).into();
            return host_only(spec, why);
        }
        (None, Handler::Http(http)) => {
            let hook = match HttpHook::new(&spec.name, http, timeout, config.output_limit, slots) {
                Ok(hook) => hook,
                Err(err) => {
                    let why = format!("{}: {err}", http.url).into();
                    return host_only(spec, why);
                }
            };
            let pool = hook.handle();
            pools.push(pool.clone());
            let mut stack = stack::build(&spec, config, hook);
            stack.layers.push(Box::new(pool));
            stack
        }
        (None, handler) => {
            let why = format!("only the host can run a {handler} hook").into();
            return host_only(spec, why);
        }
    };
    Entry::Hook {
        spec: Box::new(spec),
        way: Way::Run {
            service: stack.service,
            layers: stack.layers,
        },
    }
}

fn host_only(spec: HookSpec, why: Arc<str>) -> Entry {
    Entry::Hook {
        spec: Box::new(spec),
        way: Way::HostOnly { why },
    }
}

fn recipe(handler: &Handler, config: &Config) -> Recipe {
    Recipe {
        handler: handler.clone(),
        project: config.project.clone(),
    }
}

impl fmt::Debug for HookManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookManager")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
