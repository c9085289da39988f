//! Hours in virtual time: what share of a stream the cache answers, and what a backend that fails in bursts gets to bear.

use std::{collections::HashMap, sync::Arc, time::Duration};

use benches::{Mode, claims::Suite};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    average::execute,
    phase1::Phase1,
    workload::{Backend, Burst, STALE, Stream, manager, plans},
};

/// The original's default, and ours.
const TTL: Duration = Duration::from_secs(300);

/// How far apart events are: for the hit rate as from ten busy agents on one project, for the bursts as from two.
const BUSY: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_millis(500);

/// A runtime whose clock goes on to the next timer as soon as nobody has anything to do.
pub(crate) fn virtual_time() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

pub(crate) fn hit_rate(suite: &mut Suite) {
    let minutes = match suite.mode() {
        Mode::Smoke => 1,
        Mode::Quick => 30,
        Mode::Full => 240,
    };
    virtual_time().block_on(async {
        let plans = plans(false);
        let manager = manager(&plans, &Backend::steady(), true);
        let (mut stream, began) = (Stream::new(), Instant::now());
        let (mut asked, mut hits, mut possible) = (0u64, 0u64, 0u64);
        let mut last: HashMap<_, Instant> = HashMap::new();
        while began.elapsed() < Duration::from_secs(minutes * 60) {
            let (event, input) = stream.next();
            let runs = execute(&manager, &plans, &event, input).await;
            let cacheable = plans.iter().filter(|plan| plan.event == event && plan.cacheable);
            let cacheable = cacheable.count() as u64;
            asked += cacheable;
            hits += runs.iter().filter(|run| run.cached).count() as u64;
            let now = Instant::now();
            let known = last.get(&(event.clone(), input)).is_some_and(|then| now - *then < TTL);
            if known {
                possible += cacheable;
            } else {
                last.insert((event, input), now);
            }
            sleep(BUSY).await;
        }
        let percent = |part: u64| 100.0 * part as f64 / asked as f64;
        suite.value(
            "phase2.hit_rate",
            percent(hits),
            format!(
                "{asked} look-ups of cacheable hooks in {minutes} simulated minutes, an event every {BUSY:?}, Zipf {} over \
                 {} inputs an event, TTL {TTL:?}; a cache without limits: {:.1} %",
                Stream::SKEW,
                Stream::DISTINCT,
                percent(possible)
            ),
        );
    });
}

/// Down for so long in every period.
const DOWN: Duration = Duration::from_secs(90);
const PERIOD: Duration = Duration::from_secs(600);

/// How long a circuit stays open.
const OPEN: Duration = Duration::from_secs(60);

/// What one executor has made of the bursts.
#[derive(Debug, Default)]
struct Aftermath {
    executions: usize,
    failed: usize,
    /// Of these, those of hooks that may not be cached.
    failed_uncacheable: usize,
    bursts: Vec<Burst>,
}

impl Aftermath {
    /// Calls that the backend got while it was down.
    fn borne(&self) -> u64 {
        self.bursts.iter().map(|burst| burst.calls).sum()
    }

    fn failed(&self) -> f64 {
        100.0 * self.failed as f64 / self.executions as f64
    }
}

pub(crate) fn bursts(suite: &mut Suite) {
    let bursts = match suite.mode() {
        Mode::Smoke => 1,
        Mode::Quick | Mode::Full => 16,
    };
    let before = through(bursts, false);
    let after = through(bursts, true);
    let calls = |of: &Aftermath, burst: usize| of.bursts.get(burst).map_or(0, |burst| burst.calls);
    let prevented = (0..bursts as usize)
        .filter(|burst| calls(&after, *burst) * 4 <= calls(&before, *burst))
        .count();
    suite.value(
        "phase2.cascades",
        prevented as f64,
        format!(
            "of {bursts} bursts of {DOWN:?}: those in which the backend got a quarter of Phase 1's calls or less; {} calls in all \
             -> {}",
            before.borne(),
            after.borne()
        ),
    );
    let mut recovery: Vec<Duration> = after.bursts.iter().filter_map(|burst| burst.idle).collect();
    recovery.sort();
    let median = recovery.get(recovery.len() / 2).copied().unwrap_or_default();
    let worst = recovery.last().copied().unwrap_or_default();
    suite.value(
        "phase2.recovery",
        worst.as_secs_f64() / OPEN.as_secs_f64(),
        format!("{median:.1?} in the median, {worst:.1?} at worst, of {} bursts; a circuit stays open for {OPEN:?}", recovery.len()),
    );
    suite.value(
        "phase2.reliability",
        100.0 * (1.0 - after.failed() / before.failed()),
        format!(
            "failed executions as the caller sees them: {:.2} % -> {:.2} %, of {} ({:.0} % of ours by hooks that may not be cached, \
             as one in five may not); an event every {EVERY:?}, the backend is down for {DOWN:?} in every {PERIOD:?} and fails one \
             call in a hundred besides; an old answer stands in for a failure for {STALE:?}",
            before.failed(),
            after.failed(),
            before.executions,
            100.0 * after.failed_uncacheable as f64 / after.failed as f64
        ),
    );
}

/// Events come when they come: one that takes long does not keep the next from being made, or whoever is slow would be
/// asked less often while the backend is down.
fn through(bursts: u32, managed: bool) -> Aftermath {
    virtual_time().block_on(async {
        let plans = Arc::new(plans(false));
        let backend = Backend::failing(DOWN, PERIOD, 0.01);
        let manager = Arc::new(manager(&plans, &backend, true));
        let phase1 = Arc::new(Phase1::new(&plans, &backend));
        let (mut stream, began) = (Stream::new(), Instant::now());
        let mut events = JoinSet::new();
        let end = PERIOD * bursts + OPEN;
        for at in (0..).map(|n| EVERY * n).take_while(|at| *at < end) {
            sleep_until(began + at).await;
            let (event, input) = stream.next();
            let (manager, phase1, plans) = (manager.clone(), phase1.clone(), plans.clone());
            events.spawn(async move {
                match managed {
                    true => execute(&manager, &plans, &event, input).await,
                    false => phase1.execute(&event, input).await,
                }
            });
        }
        let mut aftermath = Aftermath::default();
        while let Some(runs) = events.join_next().await {
            let runs = runs.expect("no event panics");
            let failed = runs.iter().filter(|run| !run.good);
            aftermath.executions += runs.len();
            aftermath.failed += failed.clone().count();
            aftermath.failed_uncacheable += failed.filter(|run| !run.cacheable).count();
        }
        aftermath.bursts = backend.bursts();
        aftermath
    })
}
