//! What both executors are given to do.
//!
//! A hundred hooks over the seven events of the original. One in ten is a child process (`sh`, which reads the event and
//! answers); the others are services of this process, whose time is drawn from a lognormal distribution with a median of 4 to
//! 20 ms and a sigma of 0.5. Four of five only look, and may be cached.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use benches::{Random, Zipf};
use hook_manager::{CacheRule, Hook, HookEvent, HookManager, HookManagerBuilder, HookOutput, HookRequest};
use serde_json::json;
use tokio::time::{Instant, sleep};

pub(crate) const HOOKS: usize = 100;

/// How many hooks of one event run at once, in either phase: the original's figure.
pub(crate) const AT_ONCE: usize = 5;

/// How often something that has failed is tried again, in either phase: the original's figure.
pub(crate) const RETRIES: u32 = 3;

/// For how long after its time an answer stands in for a failure, where the manager caches. The original had nothing
/// like it, and it is off by default.
pub(crate) const STALE: Duration = Duration::from_secs(3_600);

pub(crate) const EVENTS: [HookEvent; 7] = [
    HookEvent::PreToolUse,
    HookEvent::PostToolUse,
    HookEvent::UserPromptSubmit,
    HookEvent::SessionStart,
    HookEvent::SessionEnd,
    HookEvent::SubagentStart,
    HookEvent::SubagentStop,
];

/// The line of a hook that is a process: reads its event and has nothing against it. The name is in it because the same
/// line twice is one hook.
pub(crate) fn script(name: &str) -> String {
    format!("cat >/dev/null; echo '{{}}' # {name}")
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) event: HookEvent,
    pub(crate) kind: Kind,
    pub(crate) cacheable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Process,
    /// The median of its time, in milliseconds.
    Service(f64),
}

/// The hundred; without processes where time is only simulated.
pub(crate) fn plans(with_processes: bool) -> Vec<Plan> {
    (0..HOOKS)
        .map(|n| Plan {
            name: format!("hook-{n}"),
            event: EVENTS[n % EVENTS.len()].clone(),
            kind: match n % 10 {
                0 if with_processes => Kind::Process,
                place => Kind::Service(4.0 + 16.0 * place as f64 / 9.0),
            },
            cacheable: n % 5 != 4,
        })
        .collect()
}

/// What the services call on. In bursts it is down.
#[derive(Debug)]
pub(crate) struct Backend {
    since: Instant,
    /// Down for the first of these in every second of these; `None`: never.
    bursts: Option<(Duration, Duration)>,
    /// The share of calls that fail for no reason that lasts.
    glitches: f64,
    random: Mutex<Random>,
    seen: Mutex<Vec<Burst>>,
}

/// What the backend has seen of one of its bursts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burst {
    /// Calls that came while it was down.
    pub(crate) calls: u64,
    /// How long it was up again before the first call came.
    pub(crate) idle: Option<Duration>,
}

impl Backend {
    pub(crate) fn steady() -> Arc<Self> {
        Self::new(None, 0.0)
    }

    pub(crate) fn failing(down: Duration, every: Duration, glitches: f64) -> Arc<Self> {
        Self::new(Some((down, every)), glitches)
    }

    fn new(bursts: Option<(Duration, Duration)>, glitches: f64) -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            bursts,
            glitches,
            random: Mutex::new(Random::seeded(7)),
            seen: Mutex::default(),
        })
    }

    /// All bursts so far, but for those in which nobody called at all.
    pub(crate) fn bursts(&self) -> Vec<Burst> {
        self.seen.lock().expect("no panic while it is held").clone()
    }

    /// Whether it is down. Bursts come at the end of their period, so that all starts well.
    fn is_down(&self) -> bool {
        let Some((down, every)) = self.bursts else {
            return false;
        };
        let age = self.since.elapsed().as_nanos();
        let (period, into) = ((age / every.as_nanos()) as usize, age % every.as_nanos());
        let is_down = into >= (every - down).as_nanos();
        let mut seen = self.seen.lock().expect("no panic while it is held");
        if is_down {
            seen.resize(period + 1, Burst::default());
            seen[period].calls += 1;
        } else if let Some(burst) = period.checked_sub(1).and_then(|last| seen.get_mut(last)) {
            burst.idle.get_or_insert(Duration::from_nanos(into as u64));
        }
        is_down
    }

    pub(crate) async fn call(&self, median: f64) -> io::Result<()> {
        let (takes, glitch) = {
            let mut random = self.random.lock().expect("no panic while it is held");
            (random.lognormal(median, 0.5), random.share() < self.glitches)
        };
        if self.is_down() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the backend is down",
            ));
        }
        sleep(Duration::from_secs_f64(takes / 1e3)).await;
        match glitch {
            true => Err(io::Error::other("a glitch")),
            false => Ok(()),
        }
    }
}

/// The requests: which event, and about which of so many inputs, the popular ones far more often.
#[derive(Debug)]
pub(crate) struct Stream {
    random: Random,
    zipf: Zipf,
}

impl Stream {
    pub(crate) const DISTINCT: usize = 50;
    pub(crate) const SKEW: f64 = 1.1;

    pub(crate) fn new() -> Self {
        Self::seeded(42)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            random: Random::seeded(seed),
            zipf: Zipf::new(Self::DISTINCT, Self::SKEW),
        }
    }

    pub(crate) fn next(&mut self) -> (HookEvent, usize) {
        let event = self.random.below(EVENTS.len() as u64) as usize;
        (EVENTS[event].clone(), self.zipf.draw(&mut self.random))
    }
}

pub(crate) fn request(event: &HookEvent, input: usize) -> HookRequest {
    let input = json!({
        "session_id": "bench",
        "hook_event_name": event.as_str(),
        "tool_name": "Read",
        "tool_input": { "file_path": format!("/src/file_{input}.rs") },
    });
    HookRequest::new(event.clone(), input).expect("an object is a fine input")
}

/// The manager over these hooks.
pub(crate) fn manager(plans: &[Plan], backend: &Arc<Backend>, cached: bool) -> HookManager {
    manager_with(plans, backend, cached, |builder| builder)
}

pub(crate) fn manager_with(
    plans: &[Plan],
    backend: &Arc<Backend>,
    cached: bool,
    more: impl FnOnce(HookManagerBuilder) -> HookManagerBuilder,
) -> HookManager {
    let builder = HookManager::builder()
        .max_concurrent_hooks(AT_ONCE)
        .max_runs_per_minute(u32::MAX)
        .max_runs_per_session(u32::MAX)
        .retries(RETRIES);
    let builder = plans.iter().fold(more(builder), |builder, plan| {
        let hook = match plan.kind {
            Kind::Process => Hook::shell(&plan.name, plan.event.clone(), script(&plan.name)),
            Kind::Service(median) => {
                let backend = Arc::clone(backend);
                Hook::function(&plan.name, plan.event.clone(), move |_: HookRequest| {
                    let backend = Arc::clone(&backend);
                    async move { backend.call(median).await.map(|()| HookOutput::none()) }
                })
            }
        };
        let hook = hook.timeout(Duration::from_secs(5)).idempotent();
        builder.hook(match cached && plan.cacheable {
            true => hook.cached(CacheRule::default().stale_if_error(STALE)),
            false => hook,
        })
    });
    builder.build().expect("sensible figures")
}
