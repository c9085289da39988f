//! `check`: the linter of settings.

use std::process::ExitCode;

use clap::Args;
use hook_manager::{
    check::check_with,
    source::{Problem, Severity},
};
use serde_json::json;

use super::{ListOutput, SourceArgs, colour::judged, failed, print, run::with_sources, table};

/// Looks for mistakes in settings, and in what they run
///
/// Finds matchers that match nothing or too much, `if` where it has no meaning, seconds that were meant as milliseconds, missing
/// programs, scripts and interpreters, missing execute permission, unknown events, handlers declared twice, scripts that
/// others may change, guards that fail open. Starts nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0   no errors; with --strict, no warnings either
  1   errors were found, or the project cannot be read
  64  the command line itself is wrong

Examples:
  hook-manager check
  hook-manager check --project ~/src/app --strict
  hook-manager check --output json | jq '.findings[] | select(.severity == \"error\")'")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    output: ListOutput,
    /// Count warnings as errors in the exit status
    #[arg(long)]
    strict: bool,
}

pub(super) fn main(args: &CheckArgs) -> ExitCode {
    let builder = match with_sources(&args.sources) {
        Ok(builder) => builder,
        Err(err) => return failed(args.output, &err),
    };
    let problems = check_with(&args.sources.named(), builder.config().file_check);
    let is_told = print(&match args.output {
        ListOutput::Table => text(&problems, &args.sources.project),
        ListOutput::Json => json(&problems),
    });
    let least = match args.strict {
        true => Severity::Warning,
        false => Severity::Error,
    };
    let is_wrong = problems.iter().any(|problem| problem.severity >= least);
    ExitCode::from(u8::from(is_wrong || !is_told))
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ignored => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn text(problems: &[Problem], project: &std::path::Path) -> String {
    let count = |severity| {
        problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    };
    let mut text = String::new();
    for problem in problems {
        let mut origin = problem.origin.clone();
        if let Some(file) = &mut origin.file {
            if let Ok(within) = file.strip_prefix(project) {
                *file = within.to_owned();
            }
        }
        let expected = problem
            .expected
            .as_ref()
            .map(|expected| format!(", expected {expected}"));
        let rest = format!("{}{}", problem.what, expected.unwrap_or_default());
        let (origin, rest) = (table::line(&origin.to_string()), table::line(&rest));
        let word = judged(word(problem.severity));
        text.push_str(&format!("{origin}: {word}: {rest}"));
        text.push('\n');
    }
    let count = |severity, one: &str| match count(severity) {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    let (errors, warnings) = (
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
    );
    text.push_str(&format!(
        "{errors}, {warnings}, {}\n",
        count(Severity::Ignored, "note")
    ));
    text
}

fn json(problems: &[Problem]) -> String {
    let findings = problems.iter().map(|problem| {
        json!({
            "severity": word(problem.severity),
            "file": problem.origin.file.as_ref().map(|file| file.display().to_string()),
            "line": problem.origin.line,
            "column": problem.origin.column,
            "place": problem.origin.place,
            "what": problem.what,
            "expected": problem.expected,
        })
    });
    format!("{:#}", json!({ "findings": findings.collect::<Vec<_>>() }))
}
