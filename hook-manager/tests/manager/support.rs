//! Hooks for tests, and managers of them.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_manager::{
    EventReport, Hook, HookError, HookEvent, HookManager, HookManagerBuilder, HookOutput, HookRequest,
    HookResult,
};
use serde_json::{Value, json};
use tokio::time::sleep;

pub(crate) const EVENT: HookEvent = HookEvent::PreToolUse;

pub(crate) fn request(input: Value) -> HookRequest {
    HookRequest::new(EVENT, input).unwrap()
}

pub(crate) fn bash(command: &str) -> HookRequest {
    request(json!({ "tool_name": "Bash", "tool_input": { "command": command, "timeout": 5 } }))
}

/// A hook that counts its runs and answers with the command it was asked about.
pub(crate) fn echo(runs: &Arc<AtomicUsize>) -> Hook {
    let runs = Arc::clone(runs);
    Hook::function("echo", EVENT, move |req: HookRequest| {
        runs.fetch_add(1, SeqCst);
        async move {
            sleep(Duration::from_millis(10)).await;
            Ok::<_, io::Error>(HookOutput::none().context(req.field("/tool_input/command").unwrap_or("-")))
        }
    })
}

pub(crate) fn says(name: &str, output: HookOutput) -> Hook {
    Hook::function(name, EVENT, move |_| {
        let output = output.clone();
        async move { Ok::<_, io::Error>(output) }
    })
}

pub(crate) fn failing(name: &str, runs: &Arc<AtomicUsize>) -> Hook {
    let runs = Arc::clone(runs);
    Hook::function(name, EVENT, move |_| {
        runs.fetch_add(1, SeqCst);
        async { Err::<HookOutput, _>(io::Error::other("no luck")) }
    })
}

pub(crate) fn hangs(name: &str) -> Hook {
    Hook::function(name, EVENT, |_| pending::<io::Result<HookOutput>>())
}

pub(crate) fn manager(hooks: impl IntoIterator<Item = Hook>) -> HookManager {
    hooks
        .into_iter()
        .fold(HookManager::builder(), HookManagerBuilder::hook)
        .build()
        .unwrap()
}

pub(crate) async fn run(manager: &HookManager) -> EventReport {
    manager.execute(bash("ls")).await
}

pub(crate) fn error(result: &HookResult) -> &HookError {
    result
        .error()
        .unwrap_or_else(|| panic!("it should have failed: {result:?}"))
}

/// A hook that takes so long, of any event.
pub(crate) fn takes(name: &str, event: HookEvent, ms: u64) -> Hook {
    Hook::function(name, event, move |_| async move {
        sleep(Duration::from_millis(ms)).await;
        Ok::<_, io::Error>(HookOutput::none())
    })
}

pub(crate) fn of_session(session: &str) -> HookRequest {
    request(json!({ "session_id": session, "tool_name": "Bash" }))
}
