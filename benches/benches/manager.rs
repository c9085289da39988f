//! The manager: what it adds to a hook that is started for each event, and what the same script costs as a worker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use benches::{Mode, claims::Suite};
use hook_manager::{Hook, HookEvent, HookManager, HookRequest};
use tokio::{
    io::AsyncWriteExt,
    process::Command,
    runtime::{Builder, Runtime},
};

/// As the README has it: a worker, and a plain command to whoever knows of no workers.
const SCRIPT: &str = r#"
import json, sys
for line in sys.stdin:
    event = json.loads(line)
    answer = {"systemMessage": event["tool_name"]}
    print(json.dumps(answer), flush=True)
"#;

const EVENT: &[u8] =
    br#"{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"cargo test"}}"#;

/// A manager of one hook, on a runtime of its own.
struct Asked {
    runtime: Runtime,
    manager: HookManager,
}

impl Asked {
    fn of(hook: Hook) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let manager = HookManager::builder()
            .max_runs_per_minute(u32::MAX)
            .max_runs_per_session(u32::MAX)
            .hook(hook.timeout(Duration::from_secs(10)))
            .build()
            .expect("a manager");
        Self { runtime, manager }
    }

    fn ask(&self) {
        let req = HookRequest::parse(HookEvent::PreToolUse, EVENT).expect("an event");
        let report = self.runtime.block_on(self.manager.execute(req));
        assert_eq!(report.merged.system_messages, ["Bash"], "{report:#?}");
    }

    fn ask_times(&self, n: u64) -> Duration {
        let began = Instant::now();
        (0..n).for_each(|_| self.ask());
        began.elapsed()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        assert_eq!(self.runtime.block_on(self.manager.shutdown()), 0, "nobody stays");
    }
}

fn script() -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manager-worker.py");
    fs::write(&file, SCRIPT).expect("the target directory can be written");
    file
}

/// What a hook does that only looks at its event: in a shell, as most of them are.
const LOOK: [&str; 2] = ["-c", "cat >/dev/null; echo '{\"systemMessage\": \"Bash\"}'"];

/// The same program started by hand: the event on its standard input, both its outputs read, its end waited for.
fn by_hand(runtime: &Runtime, n: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..n {
        let output = runtime.block_on(async {
            let mut child = Command::new("sh")
                .args(LOOK)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let mut stdin = child.stdin.take().expect("it is piped");
            stdin.write_all(EVENT).await?;
            drop(stdin);
            child.wait_with_output().await
        });
        let output = output.expect("a shell");
        assert!(output.status.success() && output.stdout.len() > 20, "{output:?}");
    }
    began.elapsed()
}

fn main() {
    let mode = Mode::asked();
    let script = script();
    let script = script.to_str().expect("a plain path");
    let worker = Asked::of(Hook::worker("worker", HookEvent::PreToolUse, "python3", [script]));
    let command = Asked::of(Hook::program(
        "command",
        HookEvent::PreToolUse,
        "python3",
        [script],
    ));

    let mut criterion = mode.criterion();
    let mut group = criterion.benchmark_group("manager/python3");
    group.bench_function("worker", |b| b.iter(|| worker.ask()));
    group.bench_function("started for each event", |b| b.iter(|| command.ask()));
    group.finish();
    criterion.final_summary();

    let mut suite = Suite::named("manager");
    let cold = Asked::of(Hook::program("cold", HookEvent::PreToolUse, "sh", LOOK));
    let plain = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    suite.ratio("manager.cold", |n| cold.ask_times(n), |n| by_hand(&plain, n));
    suite.ratio(
        "manager.worker",
        |n| worker.ask_times(n),
        |n| command.ask_times(n),
    );
    suite.finish();
}
