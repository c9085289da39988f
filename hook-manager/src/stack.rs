//! One hook's own stack: Monitor, Cache, Retry, Breaker, and the hook. The timeout of each attempt
//! and the wait for a slot are the hook's innermost part, because a process has to be killed by
//! whoever started it.

use std::sync::Arc;

use hook_breaker::CircuitBreakerLayer;
use hook_cache::CacheLayer;
use hook_monitor::{MonitorLayer, OnReject, Rejected, Source};
use hook_retry::{Attempt, RetryLayer, RetryPolicy, Verdict};
use serde_json::Value;
use tower::{Layer, Service, util::BoxCloneSyncService};

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

/// The whole input, or the fields that the hook's owner says matter. Objects are sorted by name, so
/// that the same input written in another order is the same key.
fn key(rule: &CacheKey, req: &HookRequest) -> Option<String> {
    let input = req.input();
    Some(match rule {
        CacheKey::WholeInput => input.to_string(),
        CacheKey::Fields(pointers) => {
            let fields: Vec<&Value> = pointers
                .iter()
                .map(|at| input.pointer(at).unwrap_or(&Value::Null))
                .collect();
            serde_json::to_string(&fields).ok()?
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
