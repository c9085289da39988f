//! A hook that is a program: found, started, fed, timed and read by the host's rules.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

pub(crate) use self::recipe::Recipe;
use crate::{
    error::HookError,
    hook::Handler,
    leaf::Kind,
    output::{self, HookOutput, Ran},
    process::{self, Command, Ended, Limits, RunError},
    request::HookRequest,
    slots::Turn,
};

pub(crate) mod placeholder;
pub(crate) mod preflight;
mod recipe;

/// Longer than any session's name; far below what an environment can hold.
const SESSION_LIMIT: usize = 4096;

/// A program that is started for each event.
#[derive(Debug)]
pub(crate) struct CommandHook {
    pub(crate) recipe: Recipe,
    pub(crate) limits: Limits,
}

impl Kind for CommandHook {
    async fn run(&self, req: HookRequest, turn: Turn) -> Result<HookOutput, HookError> {
        let cwd = self.directory(&req);
        let line = self.recipe.line(&cwd);
        self.recipe.check(line.as_ref(), &cwd)?;
        let command = self.command(&req, &cwd);
        let limits = Limits {
            timeout: turn.timeout,
            ..self.limits.clone()
        };
        let (by_deadline, waited) = (turn.by_deadline, turn.waited);
        let timed_out = |after| HookError::TimedOut {
            after,
            by_deadline,
            waited,
        };
        // The place is given back when the last of its processes is gone.
        let finished = match process::run(&command, Input(req.clone()), &limits, turn.permit).await {
            Ok(finished) => finished,
            Err(RunError::TimedOut { after, .. }) => return Err(timed_out(after)),
            Err(RunError::CouldNotStart { source, .. }) => {
                return Err(HookError::CouldNotStart(source.to_string().into()));
            }
            // It ran; only its end was not seen.
            Err(err @ RunError::Unobserved { .. }) => return Err(HookError::Failed(err.to_string().into())),
        };
        let by_shell = matches!(self.recipe.handler, Handler::Shell { .. });
        let code = match finished.ended {
            Ended::Signal(signal) => return Err(HookError::Crashed { signal }),
            Ended::Code(code) => code,
        };
        let ran = Ran {
            code,
            stdout: finished.stdout,
            stderr: finished.stderr,
        };
        if let Some(why) = preflight::never_ran(line.as_ref(), self.recipe.posix(), &cwd, &ran).await {
            return Err(HookError::CouldNotStart(why.into()));
        }
        match output::read(req.event(), ran) {
            // A shell reports a signal that ended its last command as 128 and its number.
            Err(HookError::Exit { code, .. }) if by_shell && is_crash(code - 128) => {
                Err(HookError::Crashed { signal: code - 128 })
            }
            read => read,
        }
    }
}

impl CommandHook {
    /// Where the hook runs: the session's directory, or the project's when that is gone.
    fn directory(&self, req: &HookRequest) -> PathBuf {
        let session = req
            .field("/cwd")
            .map(PathBuf::from)
            .filter(|cwd| cwd.is_absolute() && cwd.is_dir());
        session.unwrap_or_else(|| self.recipe.home())
    }

    fn command(&self, req: &HookRequest, cwd: &Path) -> Command {
        let command = self
            .recipe
            .command(cwd)
            .env(DEPTH, (depth_of(req.var(DEPTH)) + 1).to_string());
        let command = match req.environment() {
            Some(vars) => match self.recipe.environment(Some(vars)) {
                Some(vars) => command.environment(vars),
                None => command,
            },
            None => command,
        };
        // What no environment can hold must not keep the hook from running.
        let session = req
            .field("/session_id")
            .filter(|session| session.len() <= SESSION_LIMIT && !session.contains('\0'));
        match session {
            Some(session) => command.env("CLAUDE_CODE_SESSION_ID", session),
            None => command,
        }
    }
}

/// How deep hooks of hooks run, told to each hook in its environment.
const DEPTH: &str = "HOOK_MANAGER_DEPTH";

/// How many hook managers this process runs under, each in a hook of the one before; from the variable
/// `HOOK_MANAGER_DEPTH`, which every hook is given.
pub fn depth() -> u32 {
    depth_of(env::var_os(DEPTH))
}

fn depth_of(variable: Option<OsString>) -> u32 {
    let depth = variable.and_then(|depth| depth.into_string().ok());
    depth.and_then(|depth| depth.parse().ok()).unwrap_or(0)
}

/// The hook's standard input, without a copy.
struct Input(HookRequest);

impl AsRef<[u8]> for Input {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Signals by which programs die of their own faults, or of the kernel's; not those people send.
fn is_crash(signal: i32) -> bool {
    // ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, SYS
    [4, 5, 6, 7, 8, 9, 11, 31].contains(&signal)
}
