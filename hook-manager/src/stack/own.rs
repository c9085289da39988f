//! One hook's own stack: the layers of a [`Stack`], and the hook. The timeout of each attempt and the wait for a
//! place are the hook's innermost part, because a process has to be killed by whoever started it.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hook_breaker::{CircuitBreaker, CircuitBreakerLayer, DroppedCall};
use hook_cache::{CacheHandle, CacheLayer};
use hook_monitor::{MonitorHandle, MonitorLayer, OnReject, Outcome, Rejected, Source};
use hook_pool::PoolHandle;
use hook_retry::{Attempt, RetryHandle, RetryLayer, RetryPolicy, Verdict};
use serde_json::Value;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{
    Stack,
    stamp::{Files, Stamp},
};
use crate::{
    anomalies::Runs,
    config::Config,
    error::{HookError, ending, judge},
    estimate::Estimate,
    event::HookEvent,
    hook::{CacheKey, CacheRule, HookSpec, estimate_by_name, ttl_by_name},
    manage::Totals,
    output::HookOutput,
    request::HookRequest,
};

/// What a hook's stack looks like from the manager, whatever is in it.
pub(crate) type HookService = BoxCloneSyncService<HookRequest, Answer, HookError>;

/// What a hook answered, and when it did.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) output: Arc<HookOutput>,
    pub(crate) at: Instant,
}

/// A hook's stack, and what can be seen of it from outside.
pub(crate) struct Own {
    pub(crate) service: HookService,
    pub(crate) monitor: Option<MonitorHandle>,
    pub(crate) cache: Option<CacheHandle<Key, Answer>>,
    pub(crate) retry: Option<RetryHandle>,
    pub(crate) breaker: Option<CircuitBreaker>,
    /// The connections, or the worker processes, of a hook that has any.
    pub(crate) pool: Option<PoolHandle>,
    pub(crate) estimate: Arc<Estimate>,
    /// With monitoring: its runs, as the detector wants them.
    pub(crate) watched: Option<Arc<Runs>>,
    /// Which break of the circuit the user was told of: its generation, and one.
    pub(crate) told: AtomicU64,
    /// How often the hook was really run.
    pub(crate) ran: Arc<AtomicU64>,
    /// What a saved state tells of.
    pub(crate) past: OnceLock<Totals>,
    /// For how long answers are kept.
    pub(crate) ttl: Option<Duration>,
}

impl Own {
    /// The layers, outermost first.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &dyn Source> {
        fn source<S: Source>(layer: &S) -> &dyn Source {
            layer
        }
        let outer = [
            self.monitor.as_ref().map(source),
            self.cache.as_ref().map(source),
            self.retry.as_ref().map(source),
            self.breaker.as_ref().map(source),
            self.pool.as_ref().map(source),
        ];
        outer.into_iter().flatten()
    }

    /// The same, to be kept.
    pub(crate) fn sources(&self) -> Vec<Arc<dyn Source>> {
        fn source<S: Source + Clone + 'static>(layer: &S) -> Arc<dyn Source> {
            Arc::new(layer.clone())
        }
        let outer = [
            self.monitor.as_ref().map(source),
            self.cache.as_ref().map(source),
            self.retry.as_ref().map(source),
            self.breaker.as_ref().map(source),
            self.pool.as_ref().map(source),
        ];
        outer.into_iter().flatten().collect()
    }

    /// Whether nobody was told of this break yet; somebody is now.
    pub(crate) fn tell_once(&self) -> bool {
        let Some(breaker) = &self.breaker else {
            return false;
        };
        let generation = u64::from(breaker.snapshot().generation) + 1;
        self.told.swap(generation, Relaxed) != generation
    }
}

/// `pool`: the connections that `hook` uses, if it has any.
pub(crate) fn build<S>(spec: &HookSpec, config: &Config, hook: S, pool: Option<PoolHandle>) -> Own
where
    S: Service<HookRequest, Response = Arc<HookOutput>, Error = HookError> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let name: Arc<str> = Arc::clone(&spec.name);
    let estimate = Arc::new(Estimate::new(estimate_by_name(&name)));
    let runs = Arc::new(AtomicU64::new(0));
    let watched = config.monitoring.then(|| Arc::new(Runs::default()));
    let (learned, counted, recorded) = (Arc::clone(&estimate), Arc::clone(&runs), watched.clone());
    let hook = service_fn(move |req: HookRequest| {
        let called = hook.clone().oneshot(req.clone());
        let (learned, counted, recorded) = (Arc::clone(&learned), Arc::clone(&counted), recorded.clone());
        async move {
            let result = called.await;
            let at = Instant::now();
            let result = result.map(|output| Answer { output, at });
            let ran = req.trace().attempted(&result, at.into_std());
            counted.fetch_add(u64::from(ran.is_some()), Relaxed);
            // What was cut off, or never ran, says nothing about how long the hook takes.
            let outcome = judge(result.as_ref(), ran.unwrap_or_default());
            if let (Some(ran), true) = (ran, outcome != Outcome::Ignored) {
                let success = outcome == Outcome::Success;
                if let Some(runs) = recorded {
                    runs.record(ran, success);
                }
                if let Some(outlier) = learned.learn(ran, success) {
                    req.trace().note_outlier(outlier);
                }
            }
            result
        }
    });

    let monitor = config
        .monitoring
        .then(|| MonitorLayer::new(Arc::clone(&name)).endings_with(ending));
    let cache = spec.cache.as_ref().filter(|_| config.cache).map(|rule| {
        let key = rule.key.clone();
        let files = Arc::new(Files::of(&spec.handler, rule, config.project.as_deref()));
        let after = Arc::clone(&files);
        CacheLayer::keyed_by(move |req: &HookRequest| key_of(&key, &files, req))
            .store_if_key(move |key: &Key, answer: &Answer| {
                // Nobody knows which contents the hook has seen, where they changed meanwhile.
                size(key, answer) <= LARGEST && after.stamp(key.place()) == Some(key.files)
            })
            .name(Arc::clone(&name))
            .ttl(ttl(&name, rule, config))
            .capacity(config.cache_capacity)
            .stale_if_error(rule.stale_if_error.unwrap_or_default())
    });
    let retry = (spec.idempotent && config.retries > 0).then(|| {
        let policy = RetryPolicy::new()
            .retries(config.retries)
            .classify_with(again)
            .deadline_by(|req: &HookRequest| req.deadline());
        RetryLayer::new(policy).name(&*name)
    });
    let breaker = config.breaker.then(|| {
        CircuitBreakerLayer::new()
            .name(&*name)
            .consecutive_failures(config.breaker_threshold)
            .open_for(config.breaker_open_for)
            .classify_with(judge)
            // An attempt ends by its own timeout, inside. Who drops it is the event's caller.
            .dropped_call(DroppedCall::Neutral)
            .on_reject(RefuseAsHookError)
    });
    let own = |service| Own {
        service,
        monitor: monitor.as_ref().map(MonitorLayer::handle),
        cache: cache.as_ref().map(CacheLayer::handle),
        retry: retry.as_ref().map(RetryLayer::handle),
        breaker: breaker.as_ref().map(CircuitBreakerLayer::handle),
        pool,
        estimate,
        watched,
        told: AtomicU64::new(0),
        ran: runs,
        past: OnceLock::new(),
        ttl: spec.cache.as_ref().map(|rule| ttl(&name, rule, config)),
    };
    // One box for each hook, whatever is in its stack: a layer that is not there costs nothing at all.
    macro_rules! fill {
        ($stack:expr;) => { own(HookService::new($stack.layer(hook))) };
        ($stack:expr; $slot:ident $($rest:ident)*) => {
            match $slot.clone() {
                Some(layer) => fill!($stack.$slot(layer); $($rest)*),
                None => fill!($stack; $($rest)*),
            }
        };
    }
    fill!(Stack::new(); monitor cache retry breaker)
}

/// The largest input and answer together that are kept, in bytes: they are counted by number, and a thousand of them
/// must not be all the memory there is.
const LARGEST: usize = 256 * 1024;

fn size(key: &Key, answer: &Answer) -> usize {
    let output = &answer.output;
    let texts = [
        &output.reason,
        &output.context,
        &output.system_message,
        &output.stop,
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    key.text().len() + texts + output.stdout.bytes().len() + output.stderr.bytes().len()
}

/// How long answers are kept: what the hook's owner says, what its name says, or the manager's figure.
fn ttl(name: &str, rule: &CacheRule, config: &Config) -> Duration {
    rule.ttl.or_else(|| ttl_by_name(name)).unwrap_or(config.cache_ttl)
}

/// Which failures a second try may mend. One that stays what it is whoever tries is not among them,
/// nor one that the event has no more time for.
fn again(result: Result<&Answer, &HookError>, _attempt: &Attempt) -> Verdict {
    match result {
        Err(
            HookError::Crashed { .. }
            | HookError::Panicked(_)
            | HookError::Exit { .. }
            | HookError::Failed(_)
            | HookError::TimedOut {
                by_deadline: false, ..
            },
        ) => Verdict::Retry,
        _ => Verdict::Stop,
    }
}

/// What an answer is good for: the input, and the contents of the files it depends on.
#[derive(Clone)]
pub(crate) struct Key {
    input: Input,
    files: Stamp,
    /// Where relative files are looked for, if there are any and the input does not say. The stamp knows it already.
    place: Option<Box<str>>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.input == other.input
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.files.hash(state);
    }
}

/// The whole input as it was sent, or the fields that the hook's owner says matter.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Input {
    Whole(Whole),
    Fields(Box<[u8]>),
}

/// A request as its bytes, which are not copied.
#[derive(Clone)]
struct Whole(HookRequest);

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Whole {}

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().hash(state);
    }
}

impl Key {
    /// Of a saved answer.
    pub(crate) fn restored(input: SavedInput, files: Stamp) -> Self {
        let input = match input {
            SavedInput::Whole(req) => Input::Whole(Whole(req)),
            SavedInput::Fields(fields) => Input::Fields(fields.into_bytes().into()),
        };
        Self {
            input,
            files,
            place: None,
        }
    }

    /// The session's directory, as far as files are looked for there.
    fn place(&self) -> Option<&str> {
        match &self.input {
            Input::Whole(Whole(req)) => req.field(CWD),
            Input::Fields(_) => self.place.as_deref(),
        }
    }

    pub(crate) fn files(&self) -> Stamp {
        self.files
    }

    /// The event, where the whole input matters.
    pub(crate) fn event(&self) -> Option<&HookEvent> {
        match &self.input {
            Input::Whole(Whole(req)) => Some(req.event()),
            Input::Fields(_) => None,
        }
    }

    /// The part of the input that the answer depends on.
    pub(crate) fn text(&self) -> &[u8] {
        match &self.input {
            Input::Whole(Whole(req)) => req.bytes(),
            Input::Fields(fields) => fields,
        }
    }
}

/// The part of the input that a saved answer depends on.
pub(crate) enum SavedInput {
    Whole(HookRequest),
    Fields(String),
}

/// Where a session is, in its events.
const CWD: &str = "/cwd";

fn key_of(rule: &CacheKey, files: &Files, req: &HookRequest) -> Option<Key> {
    // A look into the input costs as much as all the rest.
    let cwd = match files.has_relative() {
        true => req.field(CWD),
        false => None,
    };
    let files = files.stamp(cwd)?;
    let input = match rule {
        CacheKey::WholeInput => Input::Whole(Whole(req.clone())),
        CacheKey::Fields(pointers) => {
            let input = req.input();
            // In a list each, which tells what is null from what is not there.
            let fields: Vec<Option<[&Value; 1]>> = pointers
                .iter()
                .map(|at| input.pointer(at).map(|value| [value]))
                .collect();
            match fields.iter().flatten().all(|[value]| is_exact(value)) {
                true => Input::Fields(serde_json::to_vec(&fields).ok()?.into()),
                false => Input::Whole(Whole(req.clone())),
            }
        }
    };
    let place = cwd.filter(|_| matches!(input, Input::Fields(_)));
    Some(Key {
        input,
        files,
        place: place.map(Box::from),
    })
}

/// Whether a value is told from every other one as it was read: not where something was no Unicode. Numbers keep their
/// digits.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains(char::REPLACEMENT_CHARACTER),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| !name.contains(char::REPLACEMENT_CHARACTER) && is_exact(value)),
    }
}

/// A refusal in the manager's own words.
#[derive(Clone, Copy, Debug)]
struct RefuseAsHookError;

impl OnReject<Answer, HookError> for RefuseAsHookError {
    type Error = HookError;

    fn reject(&self, rejected: Rejected) -> Result<Answer, HookError> {
        Err(HookError::CircuitOpen(rejected))
    }

    fn inner(err: HookError) -> HookError {
        err
    }
}
