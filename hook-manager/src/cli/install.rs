//! `install` and `uninstall`.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, process::ExitCode};

use clap::Args;
use hook_manager::{
    HookEvent,
    install::{Edits, Plan, Refused, Routing},
};

use super::{complain, print};

/// Routes a project's hooks through this program
///
/// Moves the hooks of .claude/settings.json and .claude/settings.local.json into .claude/hook-manager.json and
/// .claude/hook-manager.local.json, and leaves one entry an event, which calls `hook-manager run`. Hooks that only the host can
/// run stay with it. The change is shown first; `uninstall` takes it back.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0   done, or nothing to do
  1   refused: the reason is on standard error, and nothing was changed
  64  the command line itself is wrong

Examples:
  hook-manager install --dry-run
  hook-manager install --project ~/src/app --events PreToolUse,Stop
  hook-manager install --absolute")]
pub(super) struct InstallArgs {
    /// The project, whose .claude folder is changed
    #[arg(long, value_name = "DIR", env = "CLAUDE_PROJECT_DIR", default_value = ".")]
    project: PathBuf,
    /// Show the change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only these events; all by default
    #[arg(long, value_name = "EVENT", value_delimiter = ',', value_parser = event)]
    events: Vec<HookEvent>,
    /// Have the host call this very program by its path, instead of the hook-manager in its PATH
    #[arg(long)]
    absolute: bool,
}

/// Takes `install` back, byte for byte
///
/// Refuses where a file was edited since, and shows the edits.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0   done, or nothing to do
  1   refused: the reason is on standard error, and nothing was changed
  64  the command line itself is wrong

Examples:
  hook-manager uninstall --dry-run
  hook-manager uninstall --project ~/src/app
  hook-manager uninstall --merge")]
pub(super) struct UninstallArgs {
    /// The project, whose .claude folder is changed
    #[arg(long, value_name = "DIR", env = "CLAUDE_PROJECT_DIR", default_value = ".")]
    project: PathBuf,
    /// Show the change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep edits made since: put the hooks back into the files as they are now
    #[arg(long, conflicts_with = "force")]
    merge: bool,
    /// Bring back what was before, and set edited files aside with .edited at the end of their names
    #[arg(long)]
    force: bool,
}

pub(super) fn install(args: InstallArgs) -> ExitCode {
    let mut routing = Routing::of(&args.project);
    if args.absolute {
        match std::env::current_exe().map(|path| path.into_os_string().into_string()) {
            Ok(Ok(path)) => routing = routing.program(path),
            Ok(Err(path)) => {
                let path = path.to_string_lossy();
                complain(format_args!("{path}: expected a path that is UTF-8"));
                return ExitCode::from(1);
            }
            Err(err) => {
                complain(format_args!("where this program is cannot be told: {err}"));
                return ExitCode::from(1);
            }
        }
    }
    routing = args.events.into_iter().fold(routing, Routing::event);
    let undone = "`hook-manager uninstall` takes it back";
    let plan = routing.install();
    // Not refused, for the host may have another PATH than this shell.
    if plan.is_ok() && !args.absolute && !is_in_path() {
        complain(
            "warning: no program `hook-manager` is in the PATH; where the host finds none either, no hook runs; expected it \
             there, or `install --absolute`, which names this very program",
        );
    }
    carry_out(&args.project, plan, args.dry_run, undone)
}

fn is_in_path() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let can_run = |file: PathBuf| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).any(|dir| can_run(dir.join("hook-manager")))
}

pub(super) fn uninstall(args: &UninstallArgs) -> ExitCode {
    let edits = match (args.merge, args.force) {
        (true, _) => Edits::Merge,
        (false, true) => Edits::SetAside,
        (false, false) => Edits::Refuse,
    };
    let plan = Routing::of(&args.project).uninstall(edits);
    carry_out(&args.project, plan, args.dry_run, "the host runs the hooks again")
}

fn carry_out(project: &std::path::Path, plan: Result<Plan, Refused>, dry_run: bool, done: &str) -> ExitCode {
    if !project.is_dir() {
        complain(format_args!(
            "{}: expected a project's directory",
            project.display()
        ));
        return ExitCode::from(1);
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(refused) => {
            print(refused.diff());
            complain(refused);
            return ExitCode::from(1);
        }
    };
    // What cannot be shown is not done.
    if !print(&plan.diff()) {
        return ExitCode::from(1);
    }
    for note in plan.notes() {
        complain(format_args!("note: {note}"));
    }
    if plan.is_empty() || dry_run {
        return ExitCode::SUCCESS;
    }
    if let Err(err) = plan.apply() {
        complain(err);
        return ExitCode::from(1);
    }
    complain(format_args!(
        "{} files were changed; {done}",
        plan.changes().len()
    ));
    ExitCode::SUCCESS
}

fn event(text: &str) -> Result<HookEvent, String> {
    let event = HookEvent::from(text);
    if event.is_known() {
        return Ok(event);
    }
    Err(match event.meant() {
        Some(near) => format!("this version knows no such event; did you mean {near}?"),
        None => "this version knows no such event; expected one such as PreToolUse".into(),
    })
}
