//! A day in virtual time with faults in it, and a minute in real time with processes: nothing lost, nothing grown.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant as Wall},
};

use benches::{Mode, Random, claims::Suite};
use futures::future::join_all;
use hook_manager::{Hook, HookManager, HookManagerBuilder, HookOutput, HookRequest};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    average::memory,
    stream::virtual_time,
    workload::{AT_ONCE, EVENTS, Stream, request},
};

/// A hook for each way to go wrong, at every event.
const WAYS: [&str; 7] = ["fine", "cached", "slow", "fails", "panics", "hangs", "flaps"];

/// Each attempt may take `timeout`.
fn faulty(timeout: Duration, more: Option<Hook>) -> HookManager {
    let random = Arc::new(Mutex::new(Random::seeded(3)));
    let builder = HookManager::builder()
        .max_concurrent_hooks(AT_ONCE)
        .max_runs_per_minute(u32::MAX)
        .max_runs_per_session(u32::MAX)
        .deadline(Duration::from_secs(10));
    let builder = EVENTS.iter().fold(builder, |builder, event| {
        WAYS.iter().fold(builder, |builder, way| {
            let name = format!("{way}-{event}");
            let random = Arc::clone(&random);
            let hook = Hook::function(name, event.clone(), move |_: HookRequest| {
                let (lot, takes) = {
                    let mut random = random.lock().expect("no panic while it is held");
                    (random.share(), random.lognormal(5.0, 1.0))
                };
                async move {
                    tokio::time::sleep(Duration::from_secs_f64(takes / 1e3)).await;
                    match *way {
                        "slow" if lot < 0.05 => tokio::time::sleep(timeout * 3 / 2).await,
                        "fails" if lot < 0.2 => return Err(io::Error::other("as it was told to")),
                        "panics" if lot < 0.02 => panic!("as it was told to"),
                        "hangs" if lot < 0.01 => std::future::pending().await,
                        "flaps" if lot < 0.5 => return Err(io::Error::other("again")),
                        _ => {}
                    }
                    Ok(HookOutput::none())
                }
            });
            let hook = hook.timeout(timeout).idempotent();
            builder.hook(match *way {
                "cached" => hook.cached(hook_manager::CacheRule::default()),
                _ => hook,
            })
        })
    });
    let builder = more.into_iter().fold(builder, HookManagerBuilder::hook);
    builder.build().expect("sensible figures")
}

/// Panics of hooks that were told to are no news.
pub(crate) fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let told = info.payload().downcast_ref::<&str>();
        if told.is_none_or(|message| *message != "as it was told to") {
            usual(info);
        }
    }));
}

pub(crate) fn simulated(suite: &mut Suite) {
    let hours = match suite.mode() {
        Mode::Smoke => 1,
        Mode::Quick | Mode::Full => 24,
    };
    virtual_time().block_on(async {
        let manager = faulty(Duration::from_secs(2), None);
        let (mut stream, began) = (Stream::new(), Instant::now());
        let (mut events, mut runs, mut failed, mut lost) = (0u64, 0u64, 0u64, 0u64);
        let mut good_until = None;
        let early = Duration::from_secs(3600);
        let mut memory_after_an_hour = 0.0;
        while began.elapsed() < Duration::from_secs(hours * 3600) {
            let (event, input) = stream.next();
            let asked = Instant::now();
            let report = manager.execute(request(&event, input)).await;
            events += 1;
            runs += report.results.len() as u64;
            failed += report.failures().count() as u64;
            // A second for the sleep's granularity: the deadline is ten.
            if report.results.len() != WAYS.len() || asked.elapsed() > Duration::from_secs(11) {
                lost += 1;
                good_until.get_or_insert(began.elapsed());
            }
            if memory_after_an_hour == 0.0 && began.elapsed() > early {
                memory_after_an_hour = memory("VmRSS:");
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let good = good_until.unwrap_or_else(|| began.elapsed());
        suite.value(
            "phase2.soak.simulated",
            (good.as_secs_f64() / 3600.0).floor(),
            format!(
                "{events} events, {runs} executions, {failed} of them failed as they were told to, {lost} events without all their \
                 results in time; memory {:+.1} MiB after the first hour",
                memory("VmRSS:") - memory_after_an_hour
            ),
        );
        manager.shutdown().await;
    });
}

/// For so many seconds: `HOOK_SOAK`, or else 60; 10 in quick mode.
fn seconds(mode: Mode) -> u64 {
    match std::env::var("HOOK_SOAK") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("HOOK_SOAK: expected a number of seconds, found {text:?}")),
        Err(_) => match mode {
            Mode::Smoke => 0,
            Mode::Quick => 10,
            Mode::Full => 60,
        },
    }
}

pub(crate) fn real(suite: &mut Suite, runtime: &Runtime) {
    let length = Duration::from_secs(seconds(suite.mode()));
    runtime.block_on(async {
        let process = Hook::shell("process", EVENTS[0].clone(), crate::workload::script("process"));
        let manager = faulty(Duration::from_millis(200), Some(process));
        let began = Wall::now();
        let (events, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        let early = Mutex::new(f64::NAN);
        // Eight sessions, each with one event after the other.
        join_all((0..8).map(|session| {
            let (manager, events, lost, early) = (&manager, &events, &lost, &early);
            async move {
                let mut stream = Stream::seeded(session);
                loop {
                    let (event, input) = stream.next();
                    let report = manager.execute(request(&event, input)).await;
                    let hooks = WAYS.len() + usize::from(event == EVENTS[0]);
                    events.fetch_add(1, Relaxed);
                    lost.fetch_add(u64::from(report.results.len() != hooks), Relaxed);
                    if began.elapsed() >= length / 3 {
                        let mut early = early.lock().expect("no panic while it is held");
                        if early.is_nan() {
                            *early = memory("VmRSS:");
                        }
                    }
                    if began.elapsed() >= length {
                        break;
                    }
                }
            }
        }))
        .await;
        let (events, lost) = (events.into_inner(), lost.into_inner());
        let early = early.into_inner().expect("no panic while it was held");
        let left = manager.shutdown().await;
        let grown = memory("VmRSS:") - early;
        let figure = if lost == 0 && left == 0 { grown.max(0.0) } else { f64::INFINITY };
        suite.value(
            "phase2.soak.growth",
            figure,
            format!("{events} events in {length:?}, {lost} lost, {left} process groups left; {early:.1} MiB after the first third, {grown:+.1} since"),
        );
    });
}
