//! From an event as it was asked for to what is said about it, wherever that happens: in this process or in the
//! daemon.

use std::{
    io,
    time::{Duration, Instant},
};

use hook_manager::{
    BuildError, EventReport, Hook, HookEvent, HookManager, HookOutput, HookRequest, OnFailure, host,
    source::Problem,
};
use serde::{Deserialize, Serialize};

use super::which::{Which, which};
use crate::cli::{Output, json, table};

/// An event as it was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) event: HookEvent,
    pub(crate) output: Output,
    /// Where the input is from, for a sentence about it.
    pub(crate) source: String,
    pub(crate) input: Result<Vec<u8>, String>,
    /// The time for all of it, where it is not the manager's own.
    pub(crate) deadline: Option<Duration>,
    pub(crate) started: Instant,
    /// How deep in hooks of hooks the asker is.
    pub(crate) depth: u32,
}

/// What is said about it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// Diagnostics, a line each, for standard error.
    pub(crate) notes: Vec<String>,
    pub(crate) stdout: String,
    /// What the host reads on standard error.
    pub(crate) stderr: String,
    pub(crate) code: u8,
}

/// The request, and what is to be noted about it; or else what is said at once, because no hook can be run.
pub(crate) fn prepare(manager: &HookManager, asked: Asked) -> Result<(HookRequest, Vec<String>), Box<Reply>> {
    let Asked { event, output, .. } = asked;
    let most = manager.config().max_depth;
    if asked.depth >= most {
        let err = format!(
            "this is a hook of a hook of a hook, {most} levels deep; expected no hook to run the hooks of its own event"
        );
        return Err(Box::new(ours(output, Some(manager), &event, &err)));
    }
    let req = asked.input.and_then(|bytes| {
        HookRequest::parse(event.clone(), bytes).map_err(|err| format!("{}, {err}", asked.source))
    });
    let named = req.as_ref().ok().and_then(|req| req.field("/hook_event_name"));
    let notes = match which(manager, &event, named) {
        Which::AsAsked => Vec::new(),
        Which::Noted(note) => vec![format!("note: {note}")],
        Which::Misspelt { meant, why } => return Err(Box::new(ours(output, Some(manager), &meant, &why))),
    };
    match req {
        Ok(req) => Ok((req, notes)),
        Err(err) => Err(Box::new(ours(output, Some(manager), &event, &err))),
    }
}

/// Says the report in the form that is asked for.
pub(crate) fn answer(output: Output, manager: &HookManager, report: &EventReport) -> Reply {
    let has_problems = manager.problems().iter().any(Problem::is_error);
    let mut notes = problems(manager);
    let (stdout, stderr, code) = match output {
        Output::Host => {
            let failures = report
                .failures()
                .map(|(result, err)| format!("hook {}: {err}", result.hook));
            notes.extend(failures);
            let reply = host::reply(report);
            let unsaid = reply.stdout.is_empty() && has_problems;
            let code = match reply.code {
                0 if unsaid => 1,
                code => code,
            };
            (reply.stdout, reply.stderr, code)
        }
        Output::Json => (json::report(report), String::new(), status(has_problems, report)),
        Output::Table => (table::report(report), String::new(), status(has_problems, report)),
    };
    Reply {
        notes,
        stdout,
        stderr,
        code,
    }
}

/// What is wrong with the sources, a line each.
fn problems(manager: &HookManager) -> Vec<String> {
    let errors = manager.problems().iter().filter(|problem| problem.is_error());
    errors.map(ToString::to_string).collect()
}

/// 0, 1, 2: all fine, some hook failed, blocked.
fn status(has_problems: bool, report: &EventReport) -> u8 {
    let failed = report.failures().next().is_some() || has_problems;
    match (report.is_blocked(), failed) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}

/// An error of our own, because of which no hook of the event runs. That is a failure of each of them, and
/// means what their owners say; so it blocks only where one of them is declared to. Where not even the hooks
/// are known, there may have been a guard among them: the user is asked.
pub(crate) fn ours(output: Output, manager: Option<&HookManager>, event: &HookEvent, err: &str) -> Reply {
    let unknown;
    let manager = match manager {
        Some(manager) => manager,
        None => match nobody_knows(event, "unknown", OnFailure::Ask) {
            Ok(manager) => {
                unknown = manager;
                &unknown
            }
            Err(_) => {
                return Reply {
                    notes: vec![err.to_owned()],
                    code: 1,
                    ..Reply::default()
                };
            }
        },
    };
    let report = manager.not_run(event, err);
    let mut reply = match output {
        Output::Host => {
            let told = host::reply(&report);
            Reply {
                notes: problems(manager),
                code: told.code.max(u8::from(told.stdout.is_empty())),
                stdout: told.stdout,
                stderr: told.stderr,
            }
        }
        Output::Json | Output::Table => {
            let reply = answer(output, manager, &report);
            Reply {
                code: reply.code.max(1),
                ..reply
            }
        }
    };
    reply.notes.insert(0, err.to_owned());
    reply
}

/// Hooks that may not be run, because they are not trusted and have to be. What they were to guard does not happen: on
/// tools at least, whatever the hooks themselves say about it.
pub(crate) fn untrusted(output: Output, event: &HookEvent, why: &str) -> Reply {
    let policy = match event {
        HookEvent::PreToolUse | HookEvent::PermissionRequest => OnFailure::Block,
        _ => OnFailure::Allow,
    };
    match nobody_knows(event, "untrusted", policy) {
        Ok(manager) => ours(output, Some(&manager), event, why),
        Err(_) => Reply {
            notes: vec![why.to_owned()],
            code: 2,
            ..Reply::default()
        },
    }
}

/// Stands for hooks that nobody can ask.
fn nobody_knows(event: &HookEvent, name: &str, policy: OnFailure) -> Result<HookManager, BuildError> {
    let unknown = |_: HookRequest| async { Err::<HookOutput, _>(io::Error::other("it is unknown")) };
    let hook = Hook::function(name, event.clone(), unknown);
    HookManager::builder()
        .hook(hook.guard().on_failure(policy))
        .build()
}
