//! Looks for what is probably not meant: in settings, and in what they run.
//!
//! ```
//! use hook_manager::{check, source::Sources};
//!
//! let sources = Sources { project: Some("examples/project".into()), ..Sources::default() };
//! for problem in check::check(&sources) {
//!     println!("{}: {problem}", problem.severity);
//! }
//! ```

use std::{collections::HashSet, path::Path};

use crate::{
    hook::{HookSpec, OnFailure, Origin},
    ownership::FileCheck,
    source::{self, Problem, Severity, Sources, place::field_of},
};

mod matchers;
mod programs;

/// Everything there is to say about the hooks of these sources: what [`source::load`] says of their files, and besides
///
/// - matchers that match no known tool, or no value that the event has; patterns that match more than they seem to; `*` as if
///   it were a file name's;
/// - programs, scripts and interpreters that are missing or may not be run, of command lines that are plain to see;
/// - settings and scripts that others may change: world-writable ones, those of another user, those in a folder that anybody
///   may write to. They are [not used](FileCheck), which makes it an error;
/// - times of 1,000 seconds and more, which look like milliseconds;
/// - guards whose failure lets the action pass.
///
/// In the order of the files, line by line. Reads files, starts nothing, and blocks its thread while it does.
pub fn check(sources: &Sources) -> Vec<Problem> {
    check_with(sources, FileCheck::default())
}

/// The same for a manager that asks of files what `file_check` says. Where it asks nothing, scripts that others may change are
/// no more than a warning.
pub fn check_with(sources: &Sources, file_check: FileCheck) -> Vec<Problem> {
    let loaded = source::load_beside(sources, HashSet::new(), file_check);
    let mut problems: Vec<Problem> = loaded.problems.into_iter().map(louder).collect();
    let project = sources.project.as_deref();
    let project = project.map(|dir| std::path::absolute(dir).unwrap_or_else(|_| dir.into()));
    for hook in &loaded.hooks {
        matchers::check(hook, &mut problems);
        programs::check(hook, project.as_deref(), file_check, &mut problems);
        guard(hook, &mut problems);
        seconds(hook, &mut problems);
    }
    let mut files: Vec<_> = Vec::new();
    for problem in &problems {
        if !files.contains(&problem.origin.file) {
            files.push(problem.origin.file.clone());
        }
    }
    problems.sort_by_key(|problem| {
        let Origin { line, column, .. } = problem.origin;
        let file = files.iter().position(|file| *file == problem.origin.file);
        (file, line, column)
    });
    problems.dedup();
    problems
}

/// What a host leaves out without a word is a mistake of whoever wrote it.
fn louder(mut problem: Problem) -> Problem {
    let never_runs =
        problem.origin.place.ends_with(".if") || problem.what.contains("the host does not run on");
    if problem.severity == Severity::Ignored && never_runs {
        problem.severity = Severity::Error;
        problem
            .expected
            .get_or_insert_with(|| match problem.origin.place.ends_with(".if") {
                true => "no `if`, or an event that is about a tool".into(),
                false => "a handler of type command".into(),
            });
    }
    problem
}

/// A quarter of an hour is a long time to wait for a hook, and a second in milliseconds.
fn seconds(hook: &HookSpec, problems: &mut Vec<Problem>) {
    const MANY: f64 = 1_000.0;
    let Some(seconds) = hook.timeout.map(|timeout| timeout.as_secs_f64()) else {
        return;
    };
    let origin = field_of(&hook.origin, 0, "timeout");
    if seconds >= MANY && !problems.iter().any(|problem| problem.origin == origin) {
        let what = format!("is {seconds} seconds, which looks like milliseconds");
        let expected = format!("seconds: {}?", seconds / 1_000.0);
        problems.push(say(Severity::Warning, origin, what, &expected));
    }
}

fn guard(hook: &HookSpec, problems: &mut Vec<Problem>) {
    let is_open = hook.is_guard() && hook.effective_on_failure() == OnFailure::Allow && !hook.background;
    if !is_open || !hook.event.spec().can_be_denied() {
        return;
    }
    let (at, how) = match hook.on_failure {
        Some(_) => (said_at(hook), "declared so"),
        None => (hook.origin.clone(), "which is the rule on this event"),
    };
    problems.push(Problem {
        severity: Severity::Warning,
        origin: at,
        what: format!(
            "{} is a guard, and when it fails the action goes on, {how}",
            hook.name
        ),
        expected: Some("`\"onFailure\": \"block\"`, or `\"guard\": false` in `hookManager`".into()),
    });
}

fn said_at(hook: &HookSpec) -> Origin {
    let host = field_of(&hook.origin, 0, "onFailure");
    match host == hook.origin {
        true => field_of(&hook.origin, 0, "hookManager"),
        false => host,
    }
}

fn say(severity: Severity, origin: Origin, what: String, expected: &str) -> Problem {
    Problem {
        severity,
        origin,
        what,
        expected: Some(expected.into()),
    }
}

/// A file as a message shows it: within the project, where it is there.
fn shown(file: &Path, project: Option<&Path>) -> String {
    let file = project
        .and_then(|project| file.strip_prefix(project).ok())
        .unwrap_or(file);
    file.display().to_string()
}
