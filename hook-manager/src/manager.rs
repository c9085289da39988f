use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use hook_monitor::Source;
use hook_pool::PoolHandle;
use tokio::sync::watch;

use crate::{
    anomalies::Watch,
    builder::HookManagerBuilder,
    command::{self, CommandHook, Recipe},
    config::{self, BuildError, Config},
    dependencies::{self, Candidate},
    event::{HandlerKind, HookEvent},
    execute::Flights,
    hook::{Handler, HookSpec, Identity, Worker},
    http::HttpHook,
    in_process::{InProcessHook, UserService},
    leaf::Leaf,
    manage::Tallies,
    plan::{Entry, Way, What},
    process::Limits,
    runaway::{Gauge, Runaway},
    slots::Lanes,
    source::{BrokenHook, Loaded, Problem},
    stack::own,
    state::Store,
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
pub struct HookManager(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    pub(crate) project: Option<Arc<Path>>,
    pub(crate) lanes: Lanes,
    pub(crate) entries: Vec<Entry>,
    by_event: HashMap<HookEvent, Vec<usize>>,
    /// Those that stand for a source that cannot be read: at every event.
    everywhere: Vec<usize>,
    problems: Vec<Problem>,
    pub(crate) runaway: Arc<Runaway>,
    /// Why no hook is run at all, if so.
    pub(crate) too_deep: Option<Arc<str>>,
    pub(crate) flights: Flights,
    /// Set when events under way are to be called off.
    pub(crate) off: watch::Sender<bool>,
    pub(crate) tallies: Tallies,
    pub(crate) store: Option<Store>,
    pub(crate) watch: Option<Watch>,
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
    ) -> Result<Self, BuildError> {
        let mut problems = loaded.problems;
        let own = declared
            .into_iter()
            .map(|(spec, service)| Candidate::Hook(Box::new(spec), service));
        let found = loaded
            .hooks
            .into_iter()
            .map(|spec| Candidate::Hook(Box::new(spec), None));
        let broken = loaded
            .broken
            .into_iter()
            .map(|hook| Candidate::Broken(Box::new(hook)));
        let mut hooks: Vec<_> = own.chain(found).chain(broken).collect();
        let needs = dependencies::resolve(&mut hooks, &mut problems)?;

        let specs = hooks.iter().filter_map(|hook| match hook {
            Candidate::Hook(spec, _) => Some(&**spec),
            Candidate::Broken(_) => None,
        });
        let lanes = Lanes::new(config.max_concurrent_hooks, specs);
        let runaway = Runaway::new(config.max_context_per_session, hooks.len());
        let mut first: HashMap<Identity, usize> = HashMap::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(hooks.len());
        for (at, (hook, needs)) in hooks.into_iter().zip(needs).enumerate() {
            let (what, twin) = match hook {
                Candidate::Broken(hook) => (What::Broken(hook), at),
                Candidate::Hook(spec, service) => {
                    let twin = *first.entry(spec.identity()).or_insert(at);
                    let schedule = &spec.schedule;
                    let gauge = Gauge::new(
                        &runaway,
                        at,
                        schedule.max_runs_per_minute.unwrap_or(config.max_runs_per_minute),
                        schedule
                            .max_runs_per_session
                            .unwrap_or(config.max_runs_per_session),
                    );
                    let way = way(&spec, service, &config, &lanes, gauge);
                    (What::Hook(spec, way), twin)
                }
            };
            entries.push(Entry::new(what, twin, needs));
        }
        let mut by_event: HashMap<HookEvent, Vec<usize>> = HashMap::new();
        let mut everywhere = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match &entry.what {
                What::Broken(hook) if hook.is_whole_source => everywhere.push(at),
                _ => by_event.entry(entry.event().clone()).or_default().push(at),
            }
        }
        let depth = command::depth();
        let too_deep = (depth >= config.max_depth).then(|| {
            format!(
                "{depth} hook managers run in each other's hooks; expected fewer than {} (max_depth)",
                config.max_depth
            )
            .into()
        });
        let tallies = Tallies::default();
        let store = config
            .state_dir
            .as_deref()
            .map(|dir| Store::open(dir, &entries, &runaway, &tallies, &config, &mut problems));
        Ok(Self(Arc::new(Inner {
            watch: config.monitoring.then(Watch::default),
            project: config.project.as_deref().map(Arc::from),
            config,
            lanes,
            entries,
            by_event,
            everywhere,
            problems: config::worst_first(problems),
            runaway,
            too_deep,
            flights: Flights::default(),
            off: watch::Sender::new(false),
            tallies,
            store,
        })))
    }

    /// The hooks that can be used, in declared order.
    pub fn hooks(&self) -> impl Iterator<Item = &HookSpec> {
        self.0.entries.iter().filter_map(Entry::spec)
    }

    /// The hooks that are declared but cannot be used. At their event each yields a failure.
    pub fn broken_hooks(&self) -> impl Iterator<Item = &BrokenHook> {
        self.0.entries.iter().filter_map(|entry| match &entry.what {
            What::Broken(hook) => Some(&**hook),
            What::Hook(..) => None,
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
            .filter_map(Entry::own)
            .flat_map(own::Own::layers)
    }
}

impl Inner {
    /// What outlives a call: connections, and processes that stay.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &PoolHandle> {
        self.entries
            .iter()
            .filter_map(Entry::own)
            .filter_map(|own| own.pool.as_ref())
    }

    /// The hooks of an event, in declared order.
    pub(crate) fn of_event(&self, event: &HookEvent) -> impl Iterator<Item = &Entry> {
        let places = self.by_event.get(event).map(Vec::as_slice).unwrap_or_default();
        places.iter().chain(&self.everywhere).map(|at| &self.entries[*at])
    }
}

fn way(
    spec: &HookSpec,
    service: Option<UserService>,
    config: &Arc<Config>,
    lanes: &Lanes,
    gauge: Gauge,
) -> Way {
    if spec.handler.runs_this_program() {
        let why = "it is hook-manager itself, which runs already".into();
        return Way::HostOnly { why };
    }
    let timeout = spec.effective_timeout();
    let slots = lanes.slots(spec, gauge);
    Way::Run(Box::new(match (service, &spec.handler) {
        (Some(inner), _) => {
            let hook = InProcessHook(inner);
            own::build(spec, config, Leaf::new(hook, timeout, slots), None)
        }
        (None, Handler::Shell { .. } | Handler::Exec { .. }) => {
            let limits = Limits {
                timeout,
                grace: config.grace,
                stdout: config.output_limit,
                stderr: config.output_limit,
                ..Limits::default()
            };
            let hook = CommandHook {
                recipe: recipe(spec, &spec.handler, config),
                limits,
            };
            own::build(spec, config, Leaf::new(hook, timeout, slots), None)
        }
        (None, Handler::Worker(worker)) => {
            let worker = Worker {
                processes: worker.processes.min(config.pool_size),
                ..worker.clone()
            };
            let figures = worker::Figures {
                name: &spec.name,
                worker: &worker,
                timeout,
                grace: config.grace,
                limit: config.output_limit,
            };
            let hook = WorkerHook::new(recipe(spec, &worker.run, config), &figures);
            let pool = hook.handle();
            own::build(spec, config, Leaf::new(hook, timeout, slots), Some(pool))
        }
        (None, Handler::Http(_)) if !spec.event.spec().handlers.contains(&HandlerKind::Http) => {
            let why = format!("the host runs no http hooks on {}", spec.event).into();
            return Way::HostOnly { why };
        }
        (None, Handler::Http(http)) => {
            let hook = match HttpHook::new(&spec.name, http, timeout, config.output_limit, config.pool_size) {
                Ok(hook) => hook,
                Err(err) => {
                    let why = format!("{}: {err}", http.url).into();
                    return Way::HostOnly { why };
                }
            };
            let pool = hook.handle();
            own::build(spec, config, Leaf::new(hook, timeout, slots), Some(pool))
        }
        (None, Handler::HostOnly { kind }) if HandlerKind::find(kind).is_none() => {
            let why = format!("the host runs it, from its own settings: {kind}").into();
            return Way::HostOnly { why };
        }
        (None, handler) => {
            let why = format!("only the host can run a {handler} hook").into();
            return Way::HostOnly { why };
        }
    }))
}

fn recipe(spec: &HookSpec, handler: &Handler, config: &Config) -> Recipe {
    Recipe {
        handler: handler.clone(),
        project: config.project.clone(),
        env_allow: spec.env_allow.clone(),
        file_check: config.file_check,
        trusted: config.trusted.clone(),
    }
}

impl fmt::Debug for HookManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookManager")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
