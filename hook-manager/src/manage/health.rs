use std::fmt;

use hook_monitor::{Source, Status};

use super::{Totals, word};
use crate::manager::HookManager;

/// How a manager is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The worst of the checks.
    pub status: Status,
    /// Each part of it, always the same ones in the same order.
    pub checks: Vec<Check>,
}

/// How one part of a manager is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Check {
    /// The part: `hooks`, `breakers`, `success_rate`, `pools`, `anomalies`, `state`.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What makes it so, as a sentence; empty while it is healthy.
    pub output: String,
}

impl Health {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.status == Status::Healthy
    }
}

pub(super) fn of(manager: &HookManager) -> Health {
    let mut checks = vec![
        hooks(manager),
        breakers(manager),
        success_rate(manager),
        pools(manager),
    ];
    checks.push(anomalies(manager));
    checks.push(match manager.state_error() {
        Some(what) => degraded("state", what),
        None => healthy("state"),
    });
    let worst = |one: Status, other: Status| if rank(other) > rank(one) { other } else { one };
    Health {
        status: checks
            .iter()
            .map(|check| check.status)
            .fold(Status::Healthy, worst),
        checks,
    }
}

fn rank(status: Status) -> u8 {
    match status {
        Status::Healthy => 0,
        Status::Degraded => 1,
        _ => 2,
    }
}

/// A hook that cannot be used fails at its event; where it is a guard nobody guards.
fn hooks(manager: &HookManager) -> Check {
    let broken: Vec<_> = manager.broken_hooks().collect();
    if broken.is_empty() {
        return healthy("hooks");
    }
    let names: Vec<&str> = broken.iter().map(|hook| &*hook.name).collect();
    let check = degraded("hooks", format!("cannot be used: {}", names.join(", ")));
    match broken.iter().any(|hook| hook.guard) {
        true => Check {
            status: Status::Unhealthy,
            ..check
        },
        false => check,
    }
}

/// Degraded, for it is hooks that are ill, and not this process.
fn breakers(manager: &HookManager) -> Check {
    let all = manager
        .runnable()
        .filter_map(|(entry, own)| Some((entry, own.breaker.as_ref()?)));
    let open: Vec<&str> = all
        .filter(|(_, breaker)| breaker.status() != Status::Healthy)
        .map(|(entry, _)| &**entry.name())
        .collect();
    match open.is_empty() {
        true => healthy("breakers"),
        false => degraded("breakers", format!("left alone: {}", open.join(", "))),
    }
}

/// From ten calls on: degraded below 90 %, unhealthy below 70 %.
fn success_rate(manager: &HookManager) -> Check {
    let total: Totals = manager.runnable().map(|(_, own)| own.live()).sum();
    let rate = total
        .success_rate()
        .filter(|_| total.successes + total.failures >= 10);
    let Some(rate) = rate.filter(|rate| *rate < 0.9) else {
        return healthy("success_rate");
    };
    let status = if rate < 0.7 {
        Status::Unhealthy
    } else {
        Status::Degraded
    };
    Check {
        name: "success_rate",
        status,
        output: format!("{:.0} % of calls are answered, expected 90 %", rate * 100.0),
    }
}

fn pools(manager: &HookManager) -> Check {
    let pools = manager
        .runnable()
        .filter_map(|(entry, own)| Some((entry, own.pool.as_ref()?)));
    let crowded: Vec<&str> = pools
        .filter(|(_, pool)| pool.status() != Status::Healthy)
        .map(|(entry, _)| &**entry.name())
        .collect();
    match crowded.is_empty() {
        true => healthy("pools"),
        false => degraded(
            "pools",
            format!("calls wait for a connection: {}", crowded.join(", ")),
        ),
    }
}

/// Degraded while a hook is not what it was, and for ten minutes after it has become worse for good.
fn anomalies(manager: &HookManager) -> Check {
    let anomalies = manager.anomalies();
    if anomalies.status() == Status::Healthy {
        return healthy("anomalies");
    }
    let now = anomalies.now.iter().map(ToString::to_string);
    let worse = anomalies
        .shifts
        .iter()
        .filter(|shift| shift.shift.is_regression());
    let all: Vec<String> = now.chain(worse.map(ToString::to_string)).collect();
    degraded("anomalies", all.join("; "))
}

fn healthy(name: &'static str) -> Check {
    Check {
        name,
        status: Status::Healthy,
        output: String::new(),
    }
}

fn degraded(name: &'static str, output: String) -> Check {
    Check {
        name,
        status: Status::Degraded,
        output,
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self.status))?;
        for check in self.checks.iter().filter(|check| !check.output.is_empty()) {
            write!(f, "\n{}: {}: {}", check.name, word(check.status), check.output)?;
        }
        Ok(())
    }
}
