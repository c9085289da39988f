use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use hook_manager::source::Sources;
use serde::{Deserialize, Serialize};

pub(crate) mod admin;
mod check;
mod colour;
mod completions;
mod install;
mod json;
mod list;
pub(crate) mod run;
mod serve;
pub(crate) mod signals;
mod table;
mod trust;

/// Runs the lifecycle hooks of coding agents: guarded, timed, bounded, their decisions merged.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunArgs),
    Serve(serve::ServeArgs),
    List(ListArgs),
    /// Shows how often hooks ran, how they ended and how long they took
    Stats(admin::LookArgs),
    /// Shows whether hooks, circuits and pools are well, and why not
    Health(admin::LookArgs),
    Breakers(admin::BreakersArgs),
    Cache(admin::CacheArgs),
    /// Gives back dead cache entries, and says what would make hooks faster
    Optimize(admin::LookArgs),
    Trace(admin::TraceArgs),
    Install(install::InstallArgs),
    Uninstall(install::UninstallArgs),
    Check(check::CheckArgs),
    Trust(trust::TrustArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs every hook of an event and answers with their merged decision
///
/// The event is read from standard input, or from the file named with --event.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
  --output host   the host's rules: 2 blocks, 1 is an error that stops nothing, 0 is neither
  otherwise       2 blocked, 1 some hook failed, 0 all fine
  64              the command line itself is wrong
  128 + n         ended by signal n, and the hooks with it

Examples:
  hook-manager run PreToolUse < event.json
  hook-manager run PostToolUse --project ~/src/app --event event.json --output json
  hook-manager run PreToolUse --daemon auto < event.json
  hook-manager run Stop --settings ./hooks.json --deadline 60 < event.json")]
pub(crate) struct RunArgs {
    /// The event's name, such as PreToolUse; an unknown one is passed through
    #[arg(value_name = "EVENT")]
    event: String,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Read the event from FILE instead of standard input
    #[arg(long = "event", value_name = "FILE")]
    input: Option<PathBuf>,
    /// What to print: a table (default on a terminal), every result as JSON, or what the host
    /// expects (default otherwise)
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Wall-clock seconds for the whole event; by default 15
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) deadline: Option<Duration>,
    /// How many hooks run at once; by default 5
    #[arg(long, value_name = "N", value_parser = places, allow_negative_numbers = true)]
    pub(crate) max_concurrent_hooks: Option<usize>,
    /// Whether a daemon answers; without this one that runs does, and none is started
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) daemon: Option<Daemon>,
    /// Run only hooks that `hook-manager trust` has recorded as they are now; where they are not, tools are not
    /// allowed. HOOK_MANAGER_REQUIRE_TRUST=1 does the same for every command
    #[arg(long)]
    pub(crate) require_trust: bool,
}

/// Lists the hooks that were found, and what was ignored and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
  0   every hook can be used
  1   some cannot, or the project cannot be read
  64  the command line itself is wrong

Examples:
  hook-manager list
  hook-manager list --project ~/src/app --output json
  hook-manager list --hooks-dir ./hooks")]
struct ListArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    output: ListOutput,
}

// Global, so that they may stand behind `cache stats` as well as behind `cache`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// The project, whose .claude/settings.json and .claude/settings.local.json are read
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CLAUDE_PROJECT_DIR",
        default_value = "."
    )]
    pub(crate) project: PathBuf,
    /// Another settings file to read hooks from; may be given several times
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) settings: Vec<PathBuf>,
    /// A directory of hooks that are found by file name, such as pre_tool__guard.py
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) hooks_dir: Option<PathBuf>,
}

impl SourceArgs {
    /// The same for the library.
    pub(crate) fn named(&self) -> Sources {
        Sources {
            project: Some(self.project.clone()),
            settings: self.settings.clone(),
            hooks_dir: self.hooks_dir.clone(),
        }
    }

    /// Where hooks are looked for, for whoever wonders why there are none.
    pub(crate) fn places(&self) -> String {
        let claude = self.project.join(".claude");
        let mut places = vec![format!(
            "{} (settings.json, settings.local.json)",
            claude.display()
        )];
        let named = self.settings.iter().chain(&self.hooks_dir);
        places.extend(named.map(|path| path.display().to_string()));
        places.join(", ")
    }

    /// What named the project.
    fn named_by(&self) -> &'static str {
        let option = |word: std::ffi::OsString| {
            let word = word.to_string_lossy();
            word == "--project" || word.starts_with("--project=")
        };
        match std::env::args_os().any(option) {
            true => "--project",
            false if std::env::var_os("CLAUDE_PROJECT_DIR").is_some() => "CLAUDE_PROJECT_DIR",
            false => "the current directory",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Output {
    /// One line a hook
    Table,
    /// Every result in full
    Json,
    /// What the host expects on standard output and as exit status
    Host,
}

/// Whether events go through a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Daemon {
    /// One that runs answers; where none does, one is started for the events to come
    Auto,
    /// Only a daemon answers; where none runs it is started and waited for
    Always,
    /// None is asked
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListOutput {
    /// One line a hook
    Table,
    /// Everything in full
    Json,
}

/// Exit status for a wrong command line: `EX_USAGE` of sysexits. Never 2, which would block.
const USAGE: u8 = 64;

pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(err) => {
            let _ = err.print();
            return ExitCode::from(if err.use_stderr() { USAGE } else { 0 });
        }
    };
    match args.command {
        Command::Run(args) => run::main(args),
        Command::List(args) => list::main(&args),
        Command::Serve(args) => serve::main(&args),
        Command::Stats(args) => admin::stats(&args),
        Command::Health(args) => admin::health(&args),
        Command::Breakers(args) => admin::breakers(&args),
        Command::Cache(args) => admin::cache(&args),
        Command::Optimize(args) => admin::optimize(&args),
        Command::Trace(args) => admin::trace(&args),
        Command::Install(args) => install::install(args),
        Command::Uninstall(args) => install::uninstall(&args),
        Command::Check(args) => check::main(&args),
        Command::Trust(args) => trust::main(&args),
        Command::Completions(args) => completions::main(&args),
    }
}

/// Prints to standard output, and says whether that went well. A reader that has gone away, as `head` does, has what it
/// wanted; of everything else the user is told.
pub(crate) fn print(text: &str) -> bool {
    match show(text) {
        Ok(()) => true,
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => true,
        Err(err) => {
            complain(format_args!(
                "standard output: {err}; expected room for what is printed"
            ));
            false
        }
    }
}

/// Prints to standard output what has to be read.
pub(crate) fn show(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{newline}").and_then(|()| out.flush())
}

/// Tells of an error of ours: on standard error, and where JSON is expected, as that.
pub(crate) fn failed(output: ListOutput, err: &str) -> ExitCode {
    complain(err);
    if output == ListOutput::Json {
        print(&format!("{:#}", serde_json::json!({ "error": err })));
    }
    ExitCode::from(1)
}

/// Prints a diagnostic to standard error.
pub(crate) fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "hook-manager: {text}");
}

/// Seconds, with fractions, above zero and at most a day.
fn places(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(places @ 1..=1_000) => Ok(places),
        _ => Err("expected 1 to 1000".into()),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds above 0 and up to 86400, such as 15 or 0.5".into()),
    }
}
