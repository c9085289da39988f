//! A hook that is a program: found, started, fed, timed and read by the host's rules.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tower::Service;

use crate::{
    error::HookError,
    hook::{Handler, Shell},
    output::{self, HookOutput, Ran},
    process::{self, Command, Ended, Limits, RunError},
    request::HookRequest,
    slots::{Turn, turn},
};

mod preflight;

/// The innermost service of a command hook's stack.
#[derive(Clone, Debug)]
pub(crate) struct CommandHook(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) handler: Handler,
    pub(crate) project: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) slots: Arc<Semaphore>,
}

impl CommandHook {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Service<HookRequest> for CommandHook {
    type Response = Arc<HookOutput>;
    type Error = HookError;
    // A box is nothing beside the process that the caller is about to wait for.
    type Future = BoxFuture<'static, Result<Arc<HookOutput>, HookError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), HookError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: HookRequest) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move { parts.run(req).await.map(Arc::new) })
    }
}

impl Parts {
    async fn run(&self, req: HookRequest) -> Result<HookOutput, HookError> {
        let Turn {
            permit,
            timeout,
            by_deadline,
            waited,
        } = turn(&self.slots, &req, self.timeout).await?;
        let cwd = self.directory(&req);
        let words = self.words(&cwd);
        if let Some(words) = &words {
            preflight::check(words, &cwd).map_err(|why| HookError::CouldNotStart(why.into()))?;
        }
        let command = self.command(&req, &cwd);
        let limits = Limits {
            timeout,
            ..self.limits.clone()
        };
        let finished = match process::run(&command, Input(req.clone()), &limits, permit).await {
            Ok(finished) => finished,
            Err(RunError::TimedOut { after, .. }) => {
                return Err(HookError::TimedOut {
                    after,
                    by_deadline,
                    waited,
                });
            }
            Err(err) => return Err(HookError::CouldNotStart(could_not_start(err).into())),
        };
        let by_shell = matches!(self.handler, Handler::Shell { .. });
        let code = match finished.ended {
            Ended::Signal(signal) => return Err(HookError::Crashed { signal }),
            Ended::Code(code) => code,
        };
        let ran = Ran {
            code,
            stdout: finished.stdout,
            stderr: finished.stderr,
        };
        if let Some(why) = preflight::never_ran(by_shell, &ran) {
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

    /// Where the hook runs: the session's directory, or the project's when that is gone.
    fn directory(&self, req: &HookRequest) -> PathBuf {
        let session = req
            .field("/cwd")
            .map(PathBuf::from)
            .filter(|cwd| cwd.is_absolute() && cwd.is_dir());
        session
            .or_else(|| self.project.clone())
            .or_else(|| env::current_dir().ok())
            .unwrap_or_else(|| "/".into())
    }

    fn project_dir(&self, cwd: &Path) -> PathBuf {
        self.project.clone().unwrap_or_else(|| cwd.to_owned())
    }

    /// The command line as words, where it can be known before a shell has read it.
    fn words(&self, cwd: &Path) -> Option<Vec<String>> {
        let project = self.project_dir(cwd);
        match &self.handler {
            Handler::Exec { program, args } => {
                let words = std::iter::once(program).chain(args);
                Some(words.map(|word| placeholders(word, &project)).collect())
            }
            Handler::Shell {
                command,
                shell: Shell::Sh | Shell::Bash,
            } => preflight::words(command, &project),
            _ => None,
        }
    }

    fn command(&self, req: &HookRequest, cwd: &Path) -> Command {
        let project = self.project_dir(cwd);
        let command = match &self.handler {
            Handler::Exec { program, args } => {
                let program = placeholders(program, &project);
                // A path is meant from the hook's directory; a bare name is looked up in PATH.
                let program = if program.contains('/') {
                    cwd.join(program)
                } else {
                    program.into()
                };
                Command::new(program).args(args.iter().map(|arg| placeholders(arg, &project)))
            }
            Handler::Shell { command, shell } => match shell {
                Shell::Sh => Command::new("/bin/sh").args(["-c", command]),
                Shell::Bash => Command::new("bash").args(["-c", command]),
                Shell::PowerShell => Command::new("pwsh").args(["-NoProfile", "-Command", command]),
            },
            Handler::InProcess | Handler::HostOnly { .. } => unreachable!("no program: {}", self.handler),
        };
        let command = command.cwd(cwd).env("CLAUDE_PROJECT_DIR", project);
        match req.field("/session_id") {
            Some(session) => command.env("CLAUDE_CODE_SESSION_ID", session),
            None => command,
        }
    }
}

/// The hook's standard input, without a copy.
struct Input(HookRequest);

impl AsRef<[u8]> for Input {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The placeholders of the exec form, which no shell will expand.
fn placeholders(word: &str, project: &Path) -> String {
    let project = project.to_string_lossy();
    word.replace("${CLAUDE_PROJECT_DIR}", &project)
        .replace("$CLAUDE_PROJECT_DIR", &project)
}

fn could_not_start(err: RunError) -> String {
    match err {
        RunError::CouldNotStart { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Signals by which programs die of their own faults, or of the kernel's; not those people send.
fn is_crash(signal: i32) -> bool {
    // ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, SYS
    [4, 5, 6, 7, 8, 9, 11, 31].contains(&signal)
}
