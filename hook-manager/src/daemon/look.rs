//! What a manager says about itself, as JSON: the same from a daemon and from the saved state.

use std::time::Duration;

use hook_manager::{HookManager, Invalidate, Totals, layers::Status};
use serde_json::{Value, json};

use super::wire::{Brake, Look};

/// Looks at a manager, or lays a hand on it. An error is a sentence on what was asked for.
pub(crate) fn look(manager: &HookManager, look: &Look) -> Result<Value, String> {
    Ok(match look {
        Look::Stats => stats(manager),
        Look::Health => health(manager),
        Look::Breakers => breakers(manager),
        Look::SetBreakers { to, hook } => {
            let changed = match (to, hook) {
                (Brake::Reset, None) => manager.reset_breakers(),
                (Brake::Reset, Some(hook)) => manager.reset_breaker(hook),
                (Brake::Open, Some(hook)) => manager.force_open(hook),
                (Brake::Close, Some(hook)) => manager.force_close(hook),
                (Brake::Open | Brake::Close, None) => {
                    return Err("which hook's? Expected its name".into());
                }
            };
            if let (0, Some(hook)) = (changed, hook) {
                return Err(unknown(manager, hook));
            }
            json!({ "changed": changed, "breakers": breakers(manager)["breakers"] })
        }
        Look::Cache => cache(manager),
        Look::Invalidate(pattern) => {
            let what = pattern.as_deref().map_or(Invalidate::All, Invalidate::Matching);
            json!({ "thrown_away": manager.invalidate(what) })
        }
        Look::Optimize => optimize(manager),
        Look::Trace(_) => {
            return Err(
                "only a daemon remembers the last events; expected one that runs: `hook-manager serve`"
                    .into(),
            );
        }
    })
}

fn unknown(manager: &HookManager, hook: &str) -> String {
    let names: Vec<String> = manager
        .breakers()
        .iter()
        .map(|one| one.hook.to_string())
        .collect();
    match names.is_empty() {
        true => format!("no hook is named {hook:?}, and none has a circuit"),
        false => format!("no hook is named {hook:?}; expected one of {}", names.join(", ")),
    }
}

fn stats(manager: &HookManager) -> Value {
    let metrics = manager.metrics();
    let events: Vec<Value> = metrics
        .events
        .iter()
        .map(|(event, figures)| {
            json!({
                "event": event.as_str(),
                "count": figures.count,
                "failures": figures.failures,
                "skipped": figures.skipped,
                "blocked": figures.blocked,
                "mean_ms": ms(figures.time) / figures.count.max(1) as f64,
            })
        })
        .collect();
    let hooks: Vec<Value> = metrics
        .hooks
        .iter()
        .map(|hook| {
            let mut value = totals(&hook.total);
            value["hook"] = json!(&*hook.hook);
            value["event"] = json!(hook.event.as_str());
            value["guard"] = json!(hook.guard);
            value["score"] = json!(hook.score);
            value["estimate_ms"] = json!(ms(hook.estimate));
            value["reliability"] = json!(hook.reliability);
            value
        })
        .collect();
    let pools: Vec<Value> = manager
        .pool_stats()
        .iter()
        .map(|(hook, pool)| {
            json!({
                "hook": &**hook,
                "active": pool.active,
                "available": pool.available,
                "waiting": pool.waiting,
                "created": pool.created,
                "checkouts": pool.checkouts,
            })
        })
        .collect();
    let layers: Vec<Value> = manager
        .layers()
        .map(|layer| json!({ "hook": layer.name(), "layer": layer.layer(), "status": word(layer.status()) }))
        .collect();
    json!({ "total": totals(&metrics.total), "events": events, "hooks": hooks, "pools": pools, "layers": layers })
}

fn totals(totals: &Totals) -> Value {
    json!({
        "calls": totals.calls,
        "successes": totals.successes,
        "failures": totals.failures,
        "runs": totals.runs,
        "retries": totals.retries,
        "trips": totals.trips,
        "cache_hits": totals.cache_hits,
        "cache_misses": totals.cache_misses,
        "success_rate": totals.success_rate(),
        "hit_rate": totals.hit_rate(),
        "mean_ms": ms(totals.average()),
    })
}

fn health(manager: &HookManager) -> Value {
    let health = manager.health();
    let checks: Vec<Value> = health
        .checks
        .iter()
        .map(|check| json!({ "check": check.name, "status": word(check.status), "output": check.output }))
        .collect();
    json!({ "status": word(health.status), "checks": checks })
}

fn breakers(manager: &HookManager) -> Value {
    let breakers: Vec<Value> = manager
        .breakers()
        .iter()
        .map(|one| {
            json!({
                "hook": &*one.hook,
                "event": one.event.as_str(),
                "state": one.circuit.state.as_str(),
                "failures_in_a_row": one.circuit.consecutive_failures,
                "retry_after_ms": one.circuit.retry_after.map(ms),
                "opened": one.circuit.opened,
                "refused": one.circuit.not_permitted,
                "successes": one.circuit.successes,
                "failures": one.circuit.failures,
            })
        })
        .collect();
    json!({ "breakers": breakers })
}

fn cache(manager: &HookManager) -> Value {
    let caches: Vec<Value> = manager
        .cache_stats()
        .iter()
        .map(|(hook, stats)| {
            let hits = stats.hits + stats.stale_hits + stats.coalesced;
            let asked = hits + stats.misses;
            json!({
                "hook": &**hook,
                "entries": stats.entries,
                "capacity": stats.capacity,
                "hits": hits,
                "misses": stats.misses,
                "hit_rate": (asked > 0).then(|| hits as f64 / asked as f64),
                "expired": stats.expired,
                "evicted": stats.evicted,
                "invalidated": stats.invalidated,
            })
        })
        .collect();
    json!({ "caches": caches })
}

fn optimize(manager: &HookManager) -> Value {
    let done = manager.optimize();
    let advice: Vec<String> = done.recommendations.iter().map(ToString::to_string).collect();
    json!({
        "status": word(done.health.status),
        "swept": done.swept,
        "total": totals(&done.total),
        "recommendations": advice,
    })
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Healthy => "healthy",
        Status::Degraded => "degraded",
        _ => "unhealthy",
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
