//! `trust`: what a user has looked at.

use std::process::ExitCode;

use clap::Args;
use hook_manager::trust::{Content, Trust};
use serde_json::json;

use super::{ListOutput, SourceArgs, failed, list, print, run::build_to_look, show, table};

/// Records that a project's hooks may run, as they are now
///
/// Shows them, and records their settings files, hook-manager.toml, and the programs and scripts of the project that they
/// plainly name, byte for byte. `run --require-trust`, `serve --require-trust` and HOOK_MANAGER_REQUIRE_TRUST=1 run no others: when
/// anything of it changes, no hook is run and no tool allowed, until somebody has looked again. The record lies outside
/// of the project.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0   recorded; with --check: they are trusted; with --revoke: they are not any more
  1   with --check: they are not trusted; otherwise an error of ours
  64  the command line itself is wrong

Examples:
  hook-manager trust
  hook-manager trust --check --project ~/src/app
  hook-manager trust --revoke
  HOOK_MANAGER_REQUIRE_TRUST=1 hook-manager run PreToolUse < event.json")]
pub(super) struct TrustArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Say whether they are trusted, and change nothing
    #[arg(long, conflicts_with = "revoke")]
    check: bool,
    /// Forget that they are trusted
    #[arg(long)]
    revoke: bool,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    output: ListOutput,
}

pub(super) fn main(args: &TrustArgs) -> ExitCode {
    match done(args) {
        Ok(code) => code,
        Err(err) => failed(args.output, &err),
    }
}

fn done(args: &TrustArgs) -> Result<ExitCode, String> {
    let trust = Trust::of_user().ok_or("no home: expected XDG_STATE_HOME or HOME to be a folder's path")?;
    let sources = args.sources.named();
    // Before they are shown: what is changed meanwhile is not trusted.
    let content = Content::of(&sources);
    let manager = build_to_look(&args.sources)?;
    let in_words = |err: std::io::Error| err.to_string();
    let record = trust.file().display();
    if args.check {
        return match trust.check(&sources) {
            Ok(()) => Ok(told(args, true, "trusted")),
            Err(err) => {
                told(args, false, &err.to_string());
                Ok(ExitCode::from(1))
            }
        };
    }
    if args.revoke {
        let was = trust.revoke(&sources).map_err(in_words)?;
        let what = if was {
            "not trusted any more"
        } else {
            "was not trusted"
        };
        return Ok(told(args, false, what));
    }
    let content = content.map_err(in_words)?;
    if args.output == ListOutput::Table {
        let mut text = list::text(&args.sources.places(), &manager);
        for line in list::cut(&manager) {
            text.push_str(&format!("\n{line}"));
        }
        let files = content.files().iter().filter(|file| file.exists());
        for file in files {
            text.push_str(&format!(
                "\nas it is: {}",
                table::line(&file.display().to_string())
            ));
        }
        show(&text).map_err(|err| {
            format!("nothing is recorded, for it cannot be shown: standard output: {err}; expected somebody who looks")
        })?;
    }
    trust.record(&content).map_err(in_words)?;
    Ok(told(args, true, &format!("trusted, in {record}")))
}

fn told(args: &TrustArgs, is_trusted: bool, what: &str) -> ExitCode {
    let is_told = print(&match args.output {
        ListOutput::Table => what.to_owned(),
        ListOutput::Json => format!("{:#}", json!({ "trusted": is_trusted, "what": what })),
    });
    ExitCode::from(u8::from(!is_told))
}
