//! One hook's own stack: Monitor, Cache, Retry, Breaker, and the hook. The timeout of each attempt
//! and the wait for a slot are the hook's innermost part, because a process has to be killed by
//! whoever started it.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use hook_breaker::CircuitBreakerLayer;
use hook_cache::CacheLayer;
use hook_monitor::{MonitorLayer, OnReject, Rejected, Source};
use hook_retry::{Attempt, RetryLayer, RetryPolicy, Verdict};
use serde_json::Value;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    config::Config,
    error::{HookError, judge},
    hook::{CacheKey, HookSpec},
    output::HookOutput,
    request::HookRequest,
};

/// What a hook's stack looks like from the manager, whatever is in it.
pub(crate) type HookService = BoxCloneSyncService<HookRequest, Arc<HookOutput>, HookError>;

/// A hook's stack, and its layers as seen from outside.
pub(crate) struct Stack {
    pub(crate) service: HookService,
    pub(crate) layers: Vec<Box<dyn Source>>,
}

pub(crate) fn build<S>(spec: &HookSpec, config: &Config, hook: S) -> Stack
where
    S: Service<HookRequest, Response = Arc<HookOutput>, Error = HookError> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let mut layers: Vec<Box<dyn Source>> = Vec::new();

    let breaker = CircuitBreakerLayer::new()
        .name(&*spec.name)
        .consecutive_failures(config.breaker_threshold)
        .open_for(config.breaker_open_for)
        .classify_with(judge)
        .on_reject(RefuseAsHookError);
    layers.push(Box::new(breaker.handle()));
    let hook = service_fn(move |req: HookRequest| {
        let called = hook.clone().oneshot(req.clone());
        async move {
            let result = called.await;
            req.trace().attempted(&result);
            result
        }
    });
    let mut service = HookService::new(breaker.layer(hook));

    if spec.idempotent && config.retries > 0 {
        let policy = RetryPolicy::new()
            .retries(config.retries)
            .classify_with(again)
            .deadline_by(|req: &HookRequest| req.deadline());
        let retry = RetryLayer::new(policy).name(&*spec.name);
        layers.push(Box::new(retry.handle()));
        service = HookService::new(retry.layer(service));
    }
    if let Some(rule) = &spec.cache {
        let fields = rule.key.clone();
        let cache = CacheLayer::keyed_by(move |req: &HookRequest| key(&fields, req))
            .name(&*spec.name)
            .ttl(rule.ttl.unwrap_or(config.cache_ttl))
            .capacity(config.cache_capacity);
        let handle = cache.handle();
        service = HookService::new(cache.layer(service));
        layers.push(Box::new(handle));
    }
    let monitor = MonitorLayer::new(&*spec.name).classify_with(judge);
    layers.push(Box::new(monitor.handle()));
    layers.reverse();
    Stack {
        service: HookService::new(monitor.layer(service)),
        layers,
    }
}

/// Which failures a second try may mend. One that stays what it is whoever tries is not among them,
/// nor one that the event has no more time for.
fn again(result: Result<&Arc<HookOutput>, &HookError>, _attempt: &Attempt) -> Verdict {
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

/// The whole input as it was sent, or the fields that the hook's owner says matter.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Whole(Whole),
    Fields(String),
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

fn key(rule: &CacheKey, req: &HookRequest) -> Option<Key> {
    Some(match rule {
        CacheKey::WholeInput => Key::Whole(Whole(req.clone())),
        CacheKey::Fields(pointers) => {
            let input = req.input();
            let fields: Vec<Option<&Value>> = pointers.iter().map(|at| input.pointer(at)).collect();
            Key::Fields(serde_json::to_string(&fields).ok()?)
        }
    })
}

/// A refusal in the manager's own words.
#[derive(Clone, Copy, Debug)]
struct RefuseAsHookError;

impl OnReject<Arc<HookOutput>, HookError> for RefuseAsHookError {
    type Error = HookError;

    fn reject(&self, rejected: Rejected) -> Result<Arc<HookOutput>, HookError> {
        Err(HookError::CircuitOpen(rejected))
    }

    fn inner(err: HookError) -> HookError {
        err
    }
}
