//! Hours in virtual time: what share of a stream the cache answers, and what a backend that fails in bursts gets to bear.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use benches::{Mode, claims::Suite};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    average::execute,
    phase1::Phase1,
    workload::{Backend, STALE, Stream, manager, plans},
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
    failed: usize,
    executions: usize,
    /// Calls the backend got while it was down, by burst.
    borne: BTreeMap<u64, u64>,
    /// From the end of a burst to the first call that the backend was asked for again.
    recovery: Vec<Duration>,
}

pub(crate) fn bursts(suite: &mut Suite) {
    let bursts = match suite.mode() {
        Mode::Smoke => 1,
        Mode::Quick | Mode::Full => 16,
    };
    let before = through(bursts, false);
    let after = through(bursts, true);
    let prevented = before
        .borne
        .iter()
        .filter(|(burst, calls)| after.borne.get(burst).copied().unwrap_or(0) * 4 <= **calls)
        .count();
    let total = |aftermath: &Aftermath| aftermath.borne.values().sum::<u64>();
    suite.value(
        "phase2.cascades",
        prevented as f64,
        format!(
            "of {bursts} bursts of {DOWN:?}: those in which the backend got a quarter of Phase 1's calls or less; {} calls in all \
             -> {}",
            total(&before),
            total(&after)
        ),
    );
    let mut recovery = after.recovery;
    recovery.sort();
    let median = recovery.get(recovery.len() / 2).copied().unwrap_or_default();
    let worst = recovery.last().copied().unwrap_or_default();
    suite.value(
        "phase2.recovery",
        worst.as_secs_f64() / OPEN.as_secs_f64(),
        format!("{median:.1?} in the median, {worst:.1?} at worst, of {} bursts; a circuit stays open for {OPEN:?}", recovery.len()),
    );
    let share = |failed: usize, all: usize| failed as f64 / all as f64;
    let (was, is) = (
        share(before.failed, before.executions),
        share(after.failed, after.executions),
    );
    suite.value(
        "phase2.reliability",
        100.0 * (1.0 - is / was),
        format!(
            "failed executions as the caller sees them: {:.2} % -> {:.2} %, of {}; the backend is down for {DOWN:?} in every \
             {PERIOD:?} and fails one call in a hundred besides; an old answer stands in for a failure for {STALE:?} where a hook \
             may be cached, which one in five may not",
            100.0 * was,
            100.0 * is,
            before.executions
        ),
    );
}

fn through(bursts: u32, managed: bool) -> Aftermath {
    virtual_time().block_on(async {
        let plans = plans(false);
        let backend = Backend::failing(DOWN, PERIOD, 0.01);
        let manager = manager(&plans, &backend, true);
        let phase1 = Phase1::new(&plans, &backend);
        let (mut stream, began) = (Stream::new(), Instant::now());
        let mut aftermath = Aftermath::default();
        let mut seen = (0, 0);
        let mut was_down = None;
        let mut next = began;
        while began.elapsed() < PERIOD * bursts + Duration::from_secs(60) {
            let (event, input) = stream.next();
            let runs = match managed {
                true => execute(&manager, &plans, &event, input).await,
                false => phase1.execute(&event, input).await,
            };
            aftermath.executions += runs.len();
            aftermath.failed += runs.iter().filter(|run| !run.good).count();
            let (calls, down) = counts(&backend);
            let burst = backend.burst();
            if let Some(of) = burst.or(was_down) {
                *aftermath.borne.entry(of).or_default() += down - seen.1;
            }
            if burst.is_some() {
                was_down = burst;
            } else if let Some(of) = was_down {
                // Up again: the first call that it gets and that is not one of the dying burst's.
                if calls - seen.0 > down - seen.1 {
                    let back = began + PERIOD * (of as u32 + 1);
                    aftermath
                        .recovery
                        .push(Instant::now().saturating_duration_since(back));
                    was_down = None;
                }
            }
            seen = (calls, down);
            // What takes longer than the pause between two events holds up the next, as it would an agent.
            next = (next + EVERY).max(Instant::now());
            sleep_until(next).await;
        }
        aftermath
    })
}

fn counts(backend: &Arc<Backend>) -> (u64, u64) {
    (
        backend.calls.load(Relaxed),
        backend.calls_while_down.load(Relaxed),
    )
}
