use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use hook_manager::{
    BuildError, EventReport, Hook, HookEvent, HookManager, HookManagerBuilder, HookOutput, HookRequest,
    OnFailure,
    host::{self, HostReply},
    process,
    source::Problem,
};
use tokio::{runtime, select};

use self::which::Which;
use super::{Output, RunArgs, SourceArgs, complain, json, print, signals::Signals, table};

mod which;

/// More than any event a host sends; reading stops there rather than at the end of memory.
const INPUT_LIMIT: u64 = 256 * 1024 * 1024;

/// Deeper than sessions that start sessions go; a hook that runs its own event goes there at once.
const DEPTH_LIMIT: u32 = 8;

pub(super) fn main(args: RunArgs) -> ExitCode {
    let started = Instant::now();
    let output = args.output.unwrap_or(match io::stdout().is_terminal() {
        true => Output::Table,
        false => Output::Host,
    });
    let event = HookEvent::from(args.event.as_str());
    let manager = match manager(&args) {
        Ok(manager) => manager,
        Err(err) => return ours(output, None, &event, err),
    };
    for problem in manager.problems().iter().filter(|problem| problem.is_error()) {
        complain(problem);
    }
    if hook_manager::depth() >= DEPTH_LIMIT {
        let err = format!(
            "this is a hook of a hook of a hook, {DEPTH_LIMIT} levels deep; expected no hook to run the hooks of its own event"
        );
        return ours(output, Some(&manager), &event, err);
    }
    let req = read(args.input.as_deref(), args.deadline).and_then(|bytes| {
        HookRequest::parse(event.clone(), bytes)
            .map_err(|err| format!("{}, {err}", source(args.input.as_deref())))
    });
    let named = req.as_ref().ok().and_then(|req| req.field("/hook_event_name"));
    match which::which(&manager, &event, named) {
        Which::AsAsked => {}
        Which::Noted(note) => complain(format_args!("note: {note}")),
        Which::Misspelt { meant, why } => return ours(output, Some(&manager), &meant, why),
    }
    let req = match req {
        Ok(req) => req,
        Err(err) => return ours(output, Some(&manager), &event, err),
    };
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return ours(output, Some(&manager), &event, format!("no runtime: {err}")),
    };
    // From here on, whatever a hook starts and leaves behind is ours to end.
    if let Err(err) = process::adopt_orphans() {
        complain(format_args!(
            "note: what a hook detaches from its group cannot be ended: {err}"
        ));
    }
    let code = runtime.block_on(async {
        let mut signals = Signals::new();
        // The deadline is the whole command's: reading the event took its part of it.
        let left = args.deadline.saturating_sub(started.elapsed());
        select! {
            report = manager.execute_within(left, req) => answer(output, &manager, &report),
            signal = signals.next() => {
                complain(format_args!("ended by signal {signal}, and so are the hooks"));
                128 + signal
            }
        }
    });
    runtime.block_on(manager.shutdown());
    ExitCode::from(code)
}

fn manager(args: &RunArgs) -> Result<HookManager, String> {
    with_sources(&args.sources)?
        .deadline(args.deadline)
        .max_concurrent_hooks(args.max_concurrent_hooks)
        .build()
        .map_err(|err| err.to_string())
}

/// A builder told where hooks come from.
///
/// # Errors
///
/// If the project is no directory; the sentence says who named it.
pub(super) fn with_sources(args: &SourceArgs) -> Result<HookManagerBuilder, String> {
    if !args.project.is_dir() {
        let (who, shown) = (args.named_by(), args.project.display());
        let what = match args.project.try_exists() {
            Ok(false) => format!("{shown}, which does not exist"),
            Ok(true) => format!("{shown}, which is a file"),
            Err(err) => format!("{shown}, which cannot be looked at: {err}"),
        };
        return Err(format!("{who}: expected a project's directory, found {what}"));
    }
    let builder = HookManager::builder().project(&args.project);
    let builder = args.settings.iter().fold(builder, HookManagerBuilder::settings);
    Ok(match &args.hooks_dir {
        Some(dir) => builder.hooks_dir(dir),
        None => builder,
    })
}

/// Prints the report and says how to end.
fn answer(output: Output, manager: &HookManager, report: &EventReport) -> u8 {
    match output {
        Output::Host => {
            for (result, err) in report.failures() {
                complain(format_args!("hook {}: {err}", result.hook));
            }
            tell(manager, &host::reply(report))
        }
        Output::Json => {
            print(&json::report(report));
            status(manager, report)
        }
        Output::Table => {
            print(&table::report(report));
            status(manager, report)
        }
    }
}

/// 0, 1, 2: all fine, some hook failed, blocked.
fn status(manager: &HookManager, report: &EventReport) -> u8 {
    let failed = report.failures().next().is_some() || manager.problems().iter().any(Problem::is_error);
    match (report.is_blocked(), failed) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}

/// Says to the host what it reads; the answer first, for standard error may be a pipe nobody empties.
fn tell(manager: &HookManager, reply: &HostReply) -> u8 {
    let is_told = print(&reply.stdout);
    if !reply.stderr.is_empty() {
        let _ = writeln!(io::stderr().lock(), "{}", reply.stderr);
    }
    let unsaid = !is_told || (reply.stdout.is_empty() && manager.problems().iter().any(Problem::is_error));
    match reply.code {
        0 if unsaid => 1,
        code => code,
    }
}

/// An error of our own, because of which no hook of the event runs. That is a failure of each of them, and
/// means what their owners say; so it blocks only where one of them is declared to. Where not even the hooks
/// are known, there may have been a guard among them: the user is asked.
fn ours(
    output: Output,
    manager: Option<&HookManager>,
    event: &HookEvent,
    err: impl std::fmt::Display,
) -> ExitCode {
    complain(&err);
    let unknown;
    let manager = match manager {
        Some(manager) => manager,
        None => match nobody_knows(event) {
            Ok(manager) => {
                unknown = manager;
                &unknown
            }
            Err(_) => return ExitCode::from(1),
        },
    };
    let report = manager.not_run(event, err.to_string());
    let code = match output {
        Output::Host => {
            let reply = host::reply(&report);
            tell(manager, &reply).max(u8::from(reply.stdout.is_empty()))
        }
        Output::Json | Output::Table => answer(output, manager, &report).max(1),
    };
    ExitCode::from(code)
}

/// Stands for the hooks of a manager that could not be built.
fn nobody_knows(event: &HookEvent) -> Result<HookManager, BuildError> {
    let unknown = |_: HookRequest| async { Err::<HookOutput, _>(io::Error::other("it is unknown")) };
    let hook = Hook::function("unknown", event.clone(), unknown);
    HookManager::builder()
        .hook(hook.guard().on_failure(OnFailure::Ask))
        .build()
}

fn source(file: Option<&Path>) -> String {
    file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string())
}

fn read(file: Option<&Path>, patience: Duration) -> Result<Vec<u8>, String> {
    let told = |err: io::Error| format!("{}: {err}, expected an event as JSON", source(file));
    if file.is_none() && io::stdin().is_terminal() {
        return Err("standard input is a terminal; expected an event as JSON: pipe it in, or name it with --event FILE".into());
    }
    // A thread of its own: whoever holds the other end of a pipe may never close it.
    let (send, receive) = mpsc::channel();
    let path = file.map(Path::to_owned);
    thread::spawn(move || {
        send.send(match path {
            Some(path) => File::open(path).and_then(take),
            None => take(io::stdin().lock()),
        })
    });
    match receive.recv_timeout(patience) {
        Ok(read) => read.map_err(told),
        Err(_) => Err(format!(
            "{}: still open after {patience:?}; expected an event as JSON, and its end",
            source(file)
        )),
    }
}

fn take(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(INPUT_LIMIT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > INPUT_LIMIT {
        true => Err(io::Error::other(format!("is over {INPUT_LIMIT} bytes"))),
        false => Ok(bytes),
    }
}
