//! Real time, real processes: the same events for Phase 1, for the manager, and for the manager without its cache, in turns.

use std::{fs, time::Duration};

use benches::{
    Mode,
    claims::{Suite, Unit},
};
use hook_manager::{HookEvent, HookManager};
use tokio::runtime::Runtime;

use crate::{
    phase1::{Phase1, Run},
    workload::{Backend, Kind, Plan, Stream, manager, plans, request},
};

/// What one executor has been measured at.
#[derive(Clone, Debug, Default)]
struct Sum {
    took: Vec<Duration>,
    failed: usize,
    processes: u32,
    cpu: f64,
    hits: usize,
}

impl Sum {
    fn add(&mut self, runs: &[Run], cpu: f64) {
        self.took.extend(runs.iter().map(|run| run.took));
        self.failed += runs.iter().filter(|run| !run.good).count();
        self.hits += runs.iter().filter(|run| run.cached).count();
        self.processes += runs.iter().map(|run| run.processes).sum::<u32>();
        self.cpu += cpu;
    }

    /// Milliseconds.
    fn average(&self) -> f64 {
        self.took.iter().sum::<Duration>().as_secs_f64() * 1e3 / self.took.len() as f64
    }
}

/// Runs one event through the manager, and says of each hook what Phase 1 would say.
pub(crate) async fn execute(
    manager: &HookManager,
    plans: &[Plan],
    event: &HookEvent,
    input: usize,
) -> Vec<Run> {
    let report = manager.execute(request(event, input)).await;
    let plan_of = |name: &str| plans.iter().find(|plan| plan.name == name);
    report
        .results
        .iter()
        .map(|result| {
            let plan = plan_of(&result.hook).expect("no hook but those of the plan");
            let is_process = plan.kind == Kind::Process;
            Run {
                took: result.took.saturating_sub(result.queued),
                good: result.error().is_none(),
                processes: if is_process { result.attempts } else { 0 },
                cached: result.cached,
                cacheable: plan.cacheable,
            }
        })
        .collect()
}

pub(crate) fn measure(suite: &mut Suite, runtime: &Runtime) {
    let (chunks, events) = match suite.mode() {
        Mode::Smoke => (1, 1),
        Mode::Quick => (9, 24),
        Mode::Full => (30, 40),
    };
    let plans = plans(true);
    let backend = Backend::steady();
    let [mut before, mut after, mut uncached] = [(); 3].map(|()| Sum::default());
    let mut stream = Stream::new();
    runtime.block_on(async {
        let phase1 = Phase1::new(&plans, &backend);
        let cached = manager(&plans, &backend, true);
        let plain = manager(&plans, &backend, false);
        // What a manager that has just been started answers is no steady state.
        for _ in 0..chunks * events {
            let (event, input) = stream.next();
            execute(&cached, &plans, &event, input).await;
        }
        for chunk in 0..chunks {
            let requests: Vec<_> = (0..events).map(|_| stream.next()).collect();
            for turn in 0..3 {
                let begun = cpu_seconds();
                let mut runs = Vec::new();
                let who = (chunk + turn) % 3;
                for (event, input) in &requests {
                    runs.extend(match who {
                        0 => phase1.execute(event, *input).await,
                        1 => execute(&cached, &plans, event, *input).await,
                        _ => execute(&plain, &plans, event, *input).await,
                    });
                }
                let sum = [&mut before, &mut after, &mut uncached];
                sum.into_iter()
                    .nth(who)
                    .expect("there are three")
                    .add(&runs, cpu_seconds() - begun);
            }
        }
        cached.shutdown().await;
        plain.shutdown().await;
    });
    claims(suite, &before, &after, &uncached);
    assert_eq!(
        before.took.len(),
        after.took.len(),
        "one result a hook in either phase"
    );
}

fn claims(suite: &mut Suite, before: &Sum, after: &Sum, uncached: &Sum) {
    let of = |sum: &Sum| {
        format!(
            "{:.1} ms ({:.0} % from the cache)",
            sum.average(),
            100.0 * sum.hits as f64 / sum.took.len() as f64
        )
    };
    let runs = before.took.len();
    suite.value(
        "phase2.average",
        after.average() / before.average(),
        format!(
            "{:.1} ms -> {}; {runs} executions each, in turns",
            before.average(),
            of(after)
        ),
    );
    suite.value(
        "phase2.average.uncached",
        uncached.average() / before.average(),
        format!("{:.1} ms -> {:.1} ms", before.average(), uncached.average()),
    );
    let less = |after: f64, before: f64| 100.0 * (1.0 - after / before);
    suite.value(
        "phase2.cpu",
        less(after.cpu, before.cpu),
        format!(
            "{:.2} s -> {:.2} s, children included; {:.2} s without the cache ({} of Phase 1)",
            before.cpu,
            after.cpu,
            uncached.cpu,
            Unit::Ratio.show(uncached.cpu / before.cpu)
        ),
    );
    suite.value(
        "phase2.processes",
        less(f64::from(after.processes), f64::from(before.processes)),
        format!(
            "{} -> {}; resident memory at the end {:.0} MiB, at its peak {:.0} MiB",
            before.processes,
            after.processes,
            memory("VmRSS:"),
            memory("VmHWM:")
        ),
    );
}

/// CPU time of this process and of the children it has waited for, in seconds; not a number where nobody says.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    // From the twelfth word on: user and system time, and both of the children, in hundredths of a second.
    let ticks: Vec<f64> = after
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|word| word.parse().ok())
        .collect();
    match ticks.len() {
        4 => ticks.iter().sum::<f64>() / 100.0,
        _ => f64::NAN,
    }
}

/// A line of this process's status, in MiB; not a number where nobody says.
pub(crate) fn memory(field: &str) -> f64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with(field))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        })
        .map_or(f64::NAN, |kib| kib / 1024.0)
}
