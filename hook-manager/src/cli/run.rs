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
    BuildError, HookEvent, HookManager, HookManagerBuilder, Part, default_state_dir, process,
};
use tokio::{runtime, select};

use self::conduct::{Asked, Reply, answer, ours, prepare, untrusted};
use super::{Output, RunArgs, SourceArgs, colour::headed, complain, show, signals::Signals};
use crate::daemon::client::{self, Way};

pub(crate) mod conduct;
mod which;

/// More than any event a host sends; reading stops there rather than at the end of memory.
const INPUT_LIMIT: u64 = 256 * 1024 * 1024;

/// How long the event is read for where nobody says how long all of it may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn main(args: RunArgs) -> ExitCode {
    let started = Instant::now();
    let output = args.output.unwrap_or(match io::stdout().is_terminal() {
        true => Output::Table,
        false => Output::Host,
    });
    let asked = Asked {
        event: HookEvent::from(args.event.as_str()),
        output,
        source: source(args.input.as_deref()),
        input: read(args.input.as_deref(), args.deadline.unwrap_or(PATIENCE)),
        deadline: args.deadline,
        started,
        depth: hook_manager::depth(),
    };
    let (reply, killed) = match client::run(&args, &asked) {
        Way::Answered(reply) => (reply, None),
        Way::InProcess => (in_process(&args, asked), None),
        // Its hooks may have run, or may not: each has failed, and means what its owner says.
        Way::Lost { why, daemon } => {
            let reply = match manager(&args) {
                Ok(manager) => ours(output, Some(&manager), &asked.event, &why),
                Err(NotBuilt::Other(_)) => ours(output, None, &asked.event, &why),
                Err(NotBuilt::Untrusted(why)) => untrusted(output, &asked.event, &why),
            };
            (reply, daemon)
        }
    };
    let reply = match output {
        Output::Table => coloured(reply),
        Output::Json | Output::Host => reply,
    };
    let code = tell(&reply);
    if let Some(daemon) = killed {
        client::end_what_is_left(&args.sources, daemon);
    }
    ExitCode::from(code)
}

fn in_process(args: &RunArgs, asked: Asked) -> Reply {
    let manager = match manager(args) {
        Ok(manager) => manager,
        Err(NotBuilt::Untrusted(why)) => return untrusted(asked.output, &asked.event, &why),
        Err(NotBuilt::Other(err)) => return ours(asked.output, None, &asked.event, &err),
    };
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            return ours(
                asked.output,
                Some(&manager),
                &asked.event,
                &format!("no runtime: {err}"),
            );
        }
    };
    let (output, deadline, started) = (asked.output, asked.deadline, asked.started);
    let (req, mut notes) = match prepare(&manager, asked) {
        Ok(prepared) => prepared,
        Err(reply) => return *reply,
    };
    // From here on, whatever a hook starts and leaves behind is ours to end.
    if let Err(err) = process::adopt_orphans() {
        notes.push(format!(
            "note: what a hook detaches from its group cannot be ended: {err}"
        ));
    }
    // A signal may be the last that is heard of us.
    notes.drain(..).for_each(complain);
    let reply = runtime.block_on(async {
        let mut signals = Signals::new();
        // The deadline is the whole command's: reading the event took its part of it.
        let total = deadline.unwrap_or(manager.config().deadline);
        let left = total.saturating_sub(started.elapsed());
        select! {
            report = manager.execute_part(Part::All, left, req) => answer(output, &manager, &report),
            signal = signals.next() => Reply {
                notes: vec![format!("ended by signal {signal}, and so are the hooks")],
                code: 128 + signal,
                ..Reply::default()
            }
        }
    });
    runtime.block_on(manager.shutdown());
    reply
}

/// Here, and not where the event was run: a daemon has no terminal.
fn coloured(reply: Reply) -> Reply {
    let text = &reply.stdout;
    let stdout = match text.split_once("\n\n") {
        Some((table, rest)) if table.starts_with("HOOK ") => format!("{}\n{rest}", headed(table)),
        _ => return reply,
    };
    Reply { stdout, ..reply }
}

/// Says to the host what it reads; the answer first, for standard error may be a pipe nobody empties.
fn tell(reply: &Reply) -> u8 {
    let told = show(&reply.stdout);
    if let Err(err) = &told {
        complain(format_args!(
            "standard output: {err}; expected somebody who reads the answer"
        ));
    }
    reply.notes.iter().for_each(complain);
    if !reply.stderr.is_empty() {
        let _ = writeln!(io::stderr().lock(), "{}", reply.stderr);
    }
    match reply.code {
        0 if told.is_err() => 1,
        code => code,
    }
}

fn manager(args: &RunArgs) -> Result<HookManager, NotBuilt> {
    let asks_for_trust = || {
        let by_variable = || {
            HookManager::builder()
                .env()
                .is_ok_and(|builder| builder.config().require_trust)
        };
        args.require_trust || by_variable()
    };
    match build_for(args) {
        // What cannot be read, nobody has looked at.
        Err(err) if asks_for_trust() => Err(err.into_untrusted()),
        built => built,
    }
}

fn build_for(args: &RunArgs) -> Result<HookManager, NotBuilt> {
    let mut builder = with_sources(&args.sources).map_err(NotBuilt::Other)?;
    if let Some(deadline) = args.deadline {
        builder = builder.deadline(deadline);
    }
    if let Some(n) = args.max_concurrent_hooks {
        builder = builder.max_concurrent_hooks(n);
    }
    build(builder, args.require_trust)
}

/// Why there is no manager.
pub(crate) enum NotBuilt {
    Untrusted(String),
    Other(String),
}

impl NotBuilt {
    /// The same where hooks have to be trusted.
    pub(crate) fn into_untrusted(self) -> Self {
        match self {
            Self::Other(why) => {
                Self::Untrusted(format!("whether the hooks are trusted cannot be told: {why}"))
            }
            untrusted => untrusted,
        }
    }

    pub(crate) fn why(self) -> String {
        match self {
            Self::Untrusted(why) | Self::Other(why) => why,
        }
    }
}

/// For somebody who runs hooks. That hooks have to be trusted, the figures may say as well.
pub(crate) fn build(builder: HookManagerBuilder, require_trust: bool) -> Result<HookManager, NotBuilt> {
    let is_required = require_trust || builder.config().require_trust;
    builder
        .require_trust(is_required)
        .build()
        .map_err(|err| match err {
            BuildError::Untrusted(err) => NotBuilt::Untrusted(err.to_string()),
            err => NotBuilt::Other(err.to_string()),
        })
}

/// For somebody who looks, and runs none.
pub(crate) fn build_to_look(sources: &SourceArgs) -> Result<HookManager, String> {
    let builder = with_sources(sources)?.require_trust(false);
    builder.build().map_err(|err| err.to_string())
}

/// A project's figures, where it has any of its own.
pub(crate) const FIGURES: &str = ".claude/hook-manager.toml";

/// A builder told where hooks come from.
///
/// # Errors
///
/// If the project is no directory, or its figures make no sense; the sentence says who said so.
pub(crate) fn with_sources(args: &SourceArgs) -> Result<HookManagerBuilder, String> {
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
    let mut builder = match &args.hooks_dir {
        Some(dir) => builder.hooks_dir(dir),
        None => builder,
    };
    let figures = args.project.join(FIGURES);
    // Of a link that leads nowhere, and of what may not be looked at, reading tells.
    let is_none =
        |err: io::Error| matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    if !figures.symlink_metadata().is_err_and(is_none) {
        // It cannot say itself what is asked of it.
        let before = HookManager::builder().env().map_err(|err| err.to_string())?;
        before.config().file_check.check(&figures, Some(&args.project))?;
        builder = builder.config_file(&figures).map_err(|err| err.to_string())?;
    }
    builder = builder.env().map_err(|err| err.to_string())?;
    if builder.config().state_dir.is_none() {
        if let Some(dir) = default_state_dir(&args.project) {
            builder = builder.state_dir(dir);
        }
    }
    Ok(builder)
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
