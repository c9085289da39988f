//! The manager as a library: what an event costs when all its hooks are answered from memory, and when none is.

use std::{
    convert::Infallible,
    hint::black_box,
    time::{Duration, Instant},
};

use benches::{Mode, alone, claims::Suite};
use criterion::Criterion;
use hook_manager::{CacheRule, Hook, HookEvent, HookManager, HookManagerBuilder, HookOutput, HookRequest};
use tokio::runtime::Runtime;

/// The Python original, for four cached hooks.
const ORIGINAL: f64 = 277_000.0;

/// A tool call as hosts send it.
const INPUT: &str = r#"{"session_id": "2f1c", "cwd": "/srv/app", "hook_event_name": "PreToolUse", "tool_name": "Bash",
"tool_input": {"command": "cargo test --workspace", "description": "Run the tests", "timeout": 120000}}"#;

fn request() -> HookRequest {
    HookRequest::parse(HookEvent::PreToolUse, INPUT).expect("an object")
}

/// Four hooks that are ready at once.
fn manager(cached: bool, more: impl FnOnce(HookManagerBuilder) -> HookManagerBuilder) -> HookManager {
    let builder = HookManager::builder()
        .max_runs_per_minute(u32::MAX)
        .max_runs_per_session(u32::MAX);
    let builder = (0..4).fold(more(builder), |builder, n| {
        let hook = Hook::function(format!("hook-{n}"), HookEvent::PreToolUse, |_| async {
            Ok::<_, Infallible>(HookOutput::none())
        });
        builder.hook(match cached {
            true => hook.cached(CacheRule::default()),
            false => hook,
        })
    });
    builder.build().expect("sensible figures")
}

/// So many events, one after the other.
fn events<'a>(runtime: &'a Runtime, manager: &'a HookManager) -> impl FnMut(u64) -> Duration + 'a {
    let req = request();
    move |n| {
        let start = Instant::now();
        runtime.block_on(async {
            for _ in 0..n {
                black_box(manager.execute(req.clone()).await);
            }
        });
        start.elapsed()
    }
}

fn lines(c: &mut Criterion, runtime: &Runtime) {
    let mut group = c.benchmark_group("manager/event, 4 hooks");
    let dir = std::env::temp_dir().join(format!("hook-bench-{}", std::process::id()));
    let lines: [(&str, HookManager); 4] = [
        ("cached", manager(true, |builder| builder)),
        (
            "cached, without monitoring",
            manager(true, |builder| builder.monitoring(false)),
        ),
        (
            "cached, with a state",
            manager(true, |builder| builder.state_dir(&dir)),
        ),
        ("run", manager(false, |builder| builder)),
    ];
    for (id, manager) in &lines {
        group.bench_function(*id, |b| b.iter_custom(events(runtime, manager)));
    }
    group.bench_function("parsing the event alone", |b| b.iter(|| black_box(request())));
    group.finish();
    let _ = std::fs::remove_dir_all(dir);
}

fn main() {
    let mut suite = Suite::named("manager_library");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if suite.wants("manager.warm") {
        let manager = manager(true, |builder| builder);
        let warm = alone(suite.mode(), events(&runtime, &manager));
        let measured = format!(
            "{:.2} us ({:.2} to {:.2}) an event",
            warm.median / 1e3,
            warm.low / 1e3,
            warm.high / 1e3
        );
        suite.value("manager.warm", warm.median / ORIGINAL, measured);
    }
    if suite.mode() == Mode::Full {
        let mut criterion = suite.mode().criterion();
        lines(&mut criterion, &runtime);
        criterion.final_summary();
    }
    suite.finish();
}
