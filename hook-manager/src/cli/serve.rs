use std::{
    fs,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tokio::runtime;

use super::{SourceArgs, complain, seconds};
use crate::daemon::server::{self, Options};

/// Keeps a project's hooks ready: their answers, circuits and figures live from one event to the next
///
/// `hook-manager run` uses it where it runs. One for each project; it reads the settings again when they change, and
/// ends by itself when nobody has come for half an hour. On SIGTERM it takes nothing more in, lets what is under way
/// end, ends what does not, and says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Over HTTP:
  POST /hooks/{event}   an event as JSON; directly usable as the host's `http` hook
  GET /stats            figures of everything
  GET /health, /livez, /readyz, /metrics

Examples:
  hook-manager serve --project ~/src/app
  hook-manager serve --http 127.0.0.1:8765 --idle-exit never
  curl -H 'Content-Type: application/json' -d @event.json http://127.0.0.1:8765/hooks/PreToolUse")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Serve HTTP too, at this address of this machine, such as 127.0.0.1:8765
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    http: Option<SocketAddr>,
    /// Serve HTTP only to who sends the first line of FILE as `Authorization: Bearer`
    #[arg(long, value_name = "FILE", requires = "http")]
    http_token: Option<PathBuf>,
    /// Seconds without a client after which it ends, or `never`
    #[arg(long, value_name = "SECONDS", default_value = "1800", value_parser = idle, allow_negative_numbers = true)]
    idle_exit: Idle,
    /// Run only hooks that `hook-manager trust` has recorded as they are now
    #[arg(long)]
    require_trust: bool,
    /// Seconds that events under way have to end when it ends
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    drain: Duration,
}

/// More than any token.
const TOKEN_LIMIT: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
struct Idle(Option<Duration>);

pub(super) fn main(args: &ServeArgs) -> ExitCode {
    let served = token(args.http_token.as_deref()).and_then(|token| {
        let options = Options {
            sources: args.sources.clone(),
            http: args.http,
            token,
            require_trust: args.require_trust,
            idle_exit: args.idle_exit.0,
            drain: args.drain,
        };
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|err| format!("no runtime: {err}"))?;
        runtime.block_on(server::serve(options))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            complain(err);
            ExitCode::from(1)
        }
    }
}

fn token(file: Option<&Path>) -> Result<Option<String>, String> {
    let Some(file) = file else { return Ok(None) };
    const EXPECTED: &str = "expected a first line of at least 16 characters";
    let shown = file.display();
    let mut text = String::new();
    // A device has no end.
    fs::File::open(file)
        .and_then(|file| file.take(TOKEN_LIMIT).read_to_string(&mut text))
        .map_err(|err| format!("--http-token {shown}: {err}; {EXPECTED}"))?;
    match text.lines().next().map(str::trim) {
        Some(line) if line.len() >= 16 && !line.contains('\0') => Ok(Some(line.to_owned())),
        _ => Err(format!("--http-token {shown}: {EXPECTED}")),
    }
}

/// An address that only this machine can reach.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected an address and a port, such as 127.0.0.1:8765".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(
            "whoever reaches this port can run the project's hooks; expected an address of this machine alone, such as 127.0.0.1:8765"
                .into(),
        ),
    }
}

fn idle(text: &str) -> Result<Idle, String> {
    match text {
        "never" => Ok(Idle(None)),
        _ => seconds(text)
            .map(|time| Idle(Some(time)))
            .map_err(|err| format!("{err}, or `never`")),
    }
}
