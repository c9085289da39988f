//! What a project's manager has to say, and hands on it: through the daemon, or on the saved state where none runs.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::{ListOutput, SourceArgs, USAGE, complain, failed, print, run::build_to_look};
use crate::daemon::{
    client,
    look::look,
    wire::{Brake, Look},
};

mod view;

/// Shows what happened so far, or how things are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A daemon is asked where one runs; otherwise the state that was saved last.

Exit status:
  0   all fine
  1   for `health`: not healthy; otherwise an error of ours

Examples:
  hook-manager stats
  hook-manager health --output json
  hook-manager optimize --project ~/src/app")]
pub(super) struct LookArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// What to print
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: ListOutput,
}

/// Shows the hooks' circuits, and opens, closes or resets them by hand
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = false,
    after_help = "\
Examples:
  hook-manager breakers
  hook-manager breakers reset             every circuit, and its failures are forgotten
  hook-manager breakers open lint         the hook `lint` is not asked until it is reset
  hook-manager breakers close lint        it is asked, whatever happens, until it is reset"
)]
pub(super) struct BreakersArgs {
    #[command(flatten)]
    look: LookArgs,
    #[command(subcommand)]
    action: Option<BreakersAction>,
}

#[derive(Debug, Subcommand)]
enum BreakersAction {
    /// Closes circuits and forgets their failures: those of HOOK, or all
    Reset { hook: Option<String> },
    /// Leaves HOOK alone until it is reset
    Open { hook: String },
    /// Has HOOK asked, whatever happens, until it is reset
    Close { hook: String },
}

/// Shows the hooks' caches, and throws answers away
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hook-manager cache
  hook-manager cache clear
  hook-manager cache invalidate src/main.rs     answers about inputs with this in them, or of hooks so named")]
pub(super) struct CacheArgs {
    #[command(flatten)]
    look: LookArgs,
    #[command(subcommand)]
    action: Option<CacheAction>,
}

#[derive(Debug, Subcommand)]
enum CacheAction {
    /// Shows what each cache has counted
    Stats,
    /// Throws all answers away
    Clear,
    /// Throws answers away that have PATTERN in their hook's name or their input
    Invalidate { pattern: String },
}

/// Shows the last events the daemon has run: time, queue, attempts, decision
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hook-manager trace
  hook-manager trace --last 100 --output json")]
pub(super) struct TraceArgs {
    #[command(flatten)]
    look: LookArgs,
    /// How many events; the daemon remembers 256
    #[arg(long, value_name = "N", default_value = "20", value_parser = events, allow_negative_numbers = true)]
    last: usize,
}

fn events(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "expected a number of events, such as 20".to_owned())
}

pub(super) fn stats(args: &LookArgs) -> ExitCode {
    show(args, Look::Stats, view::stats)
}

pub(super) fn health(args: &LookArgs) -> ExitCode {
    match seen(args, &Look::Health) {
        Ok(value) => {
            let is_well = value["status"] == "healthy";
            match (put(args, &value, view::health), is_well) {
                (true, true) => ExitCode::SUCCESS,
                _ => ExitCode::from(1),
            }
        }
        Err(err) => failed(args.output, &err),
    }
}

pub(super) fn breakers(args: &BreakersArgs) -> ExitCode {
    let set = |to, hook: Option<&String>| Look::SetBreakers {
        to,
        hook: hook.cloned(),
    };
    let wanted = match &args.action {
        None => Look::Breakers,
        Some(BreakersAction::Reset { hook }) => set(Brake::Reset, hook.as_ref()),
        Some(BreakersAction::Open { hook }) => set(Brake::Open, Some(hook)),
        Some(BreakersAction::Close { hook }) => set(Brake::Close, Some(hook)),
    };
    show(&args.look, wanted, view::breakers)
}

pub(super) fn cache(args: &CacheArgs) -> ExitCode {
    match &args.action {
        None | Some(CacheAction::Stats) => show(&args.look, Look::Cache, view::cache),
        Some(CacheAction::Clear) => show(&args.look, Look::Invalidate(None), view::thrown_away),
        Some(CacheAction::Invalidate { pattern }) if pattern.is_empty() => {
            complain(
                "cache invalidate: the pattern is empty; expected a part of a hook's name or of an input",
            );
            ExitCode::from(USAGE)
        }
        Some(CacheAction::Invalidate { pattern }) => show(
            &args.look,
            Look::Invalidate(Some(pattern.clone())),
            view::thrown_away,
        ),
    }
}

pub(super) fn optimize(args: &LookArgs) -> ExitCode {
    show(args, Look::Optimize, view::optimize)
}

pub(super) fn trace(args: &TraceArgs) -> ExitCode {
    show(&args.look, Look::Trace(args.last), view::trace)
}

fn show(args: &LookArgs, wanted: Look, view: fn(&Value) -> String) -> ExitCode {
    match seen(args, &wanted) {
        Ok(value) => match put(args, &value, view) {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(1),
        },
        Err(err) => failed(args.output, &err),
    }
}

fn put(args: &LookArgs, value: &Value, view: fn(&Value) -> String) -> bool {
    match args.output {
        ListOutput::Json => print(&format!("{value:#}")),
        ListOutput::Table => print(&view(value)),
    }
}

/// From the daemon; or from the saved state, on which a hand is laid just the same.
fn seen(args: &LookArgs, wanted: &Look) -> Result<Value, String> {
    match client::look(&args.sources, wanted.clone()) {
        Ok(seen) => return Ok(seen),
        Err(trouble) if trouble.is_there => return Err(trouble.why),
        Err(_) => {}
    }
    let manager = build_to_look(&args.sources)?;
    let seen = look(&manager, wanted)?;
    if matches!(wanted, Look::SetBreakers { .. } | Look::Invalidate(_)) {
        manager
            .save()
            .map_err(|err| format!("the state cannot be saved: {err}"))?;
    }
    Ok(seen)
}
