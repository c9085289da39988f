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
    EventReport, HookEvent, HookManager, HookManagerBuilder, HookRequest,
    host::{self, HostReply},
    process,
    source::Problem,
};
use tokio::{runtime, select};

use super::{Output, RunArgs, SourceArgs, complain, json, print, signals::Signals, table};

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
    if !event.is_known() {
        let meant = event
            .meant()
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        complain(format_args!(
            "note: {event} is not an event this version knows, and is passed through{meant}"
        ));
    }
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
    let req = match read(args.input.as_deref(), args.deadline).and_then(|bytes| {
        HookRequest::parse(event.clone(), bytes)
            .map_err(|err| format!("{}, {err}", source(args.input.as_deref())))
    }) {
        Ok(req) => req,
        Err(err) => return ours(output, Some(&manager), &event, err),
    };
    if let Some(other) = req
        .field("/hook_event_name")
        .filter(|name| *name != event.as_str())
    {
        complain(format_args!(
            "note: the input's hook_event_name is {other}; it is run as {event}, as asked"
        ));
    }
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
    with_sources(&args.sources)
        .deadline(args.deadline)
        .max_concurrent_hooks(args.max_concurrent_hooks)
        .build()
        .map_err(|err| err.to_string())
}

pub(super) fn with_sources(args: &SourceArgs) -> HookManagerBuilder {
    let builder = HookManager::builder().project(&args.project);
    let builder = args.settings.iter().fold(builder, HookManagerBuilder::settings);
    match &args.hooks_dir {
        Some(dir) => builder.hooks_dir(dir),
        None => builder,
    }
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

/// An error of our own, because of which no hook of the event runs. To the host that is a failure of each
/// of them, and means what their owners say; so it blocks only where one of them is declared to.
fn ours(
    output: Output,
    manager: Option<&HookManager>,
    event: &HookEvent,
    err: impl std::fmt::Display,
) -> ExitCode {
    complain(&err);
    match (output, manager) {
        (Output::Host, Some(manager)) => {
            let reply = host::reply(&manager.not_run(event, err.to_string()));
            ExitCode::from(tell(manager, &reply).max(u8::from(reply.stdout.is_empty())))
        }
        _ => ExitCode::from(1),
    }
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
