use std::{fmt, time::Duration};

use super::name;
use crate::event::HandlerKind;

/// What a hook runs. Its `Display` is the command line, or the `type` of what only the host can run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Handler {
    /// A line for a shell.
    Shell {
        /// The line.
        command: String,
        /// The shell that reads it.
        shell: Shell,
    },
    /// A program and its arguments, word for word: no shell reads them.
    Exec {
        /// A path, or a name that is looked up.
        program: String,
        /// The arguments after it.
        args: Vec<String>,
    },
    /// A program that stays, and answers one event after the other: a line of JSON each.
    Worker(Worker),
    /// An HTTP endpoint that the event is posted to.
    Http(Http),
    /// A service of this process, which the manager holds. No source makes one.
    InProcess,
    /// Something that only the host can run. Kept so that it can be reported.
    HostOnly {
        /// The handler's `type`.
        kind: String,
    },
}

impl Handler {
    /// A line for `sh`.
    pub fn shell(command: impl Into<String>) -> Self {
        Self::Shell {
            command: command.into(),
            shell: Shell::Sh,
        }
    }

    /// A program with its arguments.
    pub fn exec<A: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        Self::Exec {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// The kind of handler, as hosts tell them apart; `None` for one that no host knows.
    pub fn kind(&self) -> Option<HandlerKind> {
        match self {
            Self::Shell { .. } | Self::Exec { .. } | Self::Worker(_) => Some(HandlerKind::Command),
            Self::Http(_) => Some(HandlerKind::Http),
            Self::HostOnly { kind } => HandlerKind::find(kind),
            Self::InProcess => None,
        }
    }

    /// Whether it is this very program, asked to run an event: as the one hook of an event in the host's
    /// settings, it would run itself for ever.
    pub(crate) fn runs_this_program(&self) -> bool {
        let is_us = |word: &str| word.rsplit('/').next() == Some("hook-manager");
        match self {
            Self::Shell { command, .. } => {
                let mut words = words_of(command).filter(|word| !word.is_empty());
                words.by_ref().any(is_us) && words.next() == Some("run")
            }
            Self::Exec { program, args } => is_us(program) && args.first().is_some_and(|word| word == "run"),
            Self::Worker(worker) => worker.run.runs_this_program(),
            Self::Http(_) | Self::InProcess | Self::HostOnly { .. } => false,
        }
    }

    /// The name of a hook that was not given one: the stem of the script, or the program.
    pub fn default_name(&self) -> String {
        match self {
            Self::Shell { command, .. } => name::of_command(words_of(command)),
            Self::Exec { program, args } => {
                name::of_command(std::iter::once(program.as_str()).chain(args.iter().map(String::as_str)))
            }
            Self::Worker(worker) => worker.run.default_name(),
            // What the last part of the path says, as of a script.
            Self::Http(http) => {
                let path = http.url.split(['?', '#']).next().unwrap_or_default();
                let last = path.trim_end_matches('/').rsplit('/').next();
                name::of_command(last.into_iter())
            }
            Self::HostOnly { kind } => name::of_command(std::iter::once(kind.as_str())),
            Self::InProcess => name::of_command(std::iter::once("service")),
        }
    }
}

/// Good enough for a name: words and quotes, as they usually are.
fn words_of(command: &str) -> impl Iterator<Item = &str> {
    let between =
        |c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&' | '(' | ')' | '<' | '>' | '"' | '\'');
    command.split(between)
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell { command, .. } => f.write_str(command),
            Self::Exec { program, args } => {
                f.write_str(program)?;
                args.iter().try_for_each(|arg| {
                    match arg.contains(|c: char| c.is_whitespace()) || arg.is_empty() {
                        true => write!(f, " {arg:?}"),
                        false => write!(f, " {arg}"),
                    }
                })
            }
            Self::Worker(worker) => worker.run.fmt(f),
            Self::Http(http) => f.write_str(&http.url),
            Self::HostOnly { kind } => f.write_str(kind),
            Self::InProcess => f.write_str("a service of this process"),
        }
    }
}

/// A program that stays; see [`Handler::Worker`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Worker {
    /// The program: a [`Handler::Exec`] or a [`Handler::Shell`].
    pub run: Box<Handler>,
    /// How many of its processes there are at most; each answers one event at a time. 4 by default.
    pub processes: usize,
    /// After how many answers a process is replaced. 10,000 by default.
    pub uses: u64,
    /// At what age a process is replaced. An hour by default.
    pub age: Duration,
    /// After how long without an event a process is ended. 5 minutes by default.
    pub idle: Duration,
}

impl Worker {
    /// A worker that runs this program or line for a shell, with the defaults.
    pub fn new(run: Handler) -> Self {
        Self {
            run: Box::new(run),
            processes: 4,
            uses: 10_000,
            age: Duration::from_secs(60 * 60),
            idle: Duration::from_secs(5 * 60),
        }
    }
}

impl Worker {
    /// Says which figure makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_program = matches!(*self.run, Handler::Exec { .. } | Handler::Shell { .. });
        let time = |time: Duration| time >= Duration::from_millis(1) && time <= A_YEAR;
        Err(match self {
            _ if !is_program => format!(
                "worker.run: expected a program or a line for a shell, found {}",
                self.run
            ),
            _ if !(1..=64).contains(&self.processes) => {
                format!("worker.processes: expected 1 to 64, found {}", self.processes)
            }
            _ if self.uses == 0 => "worker.uses: expected 1 or more, found 0".to_owned(),
            _ if !time(self.age) => format!("worker.age: expected 1 ms to a year, found {:?}", self.age),
            _ if !time(self.idle) => format!("worker.idle: expected 1 ms to a year, found {:?}", self.idle),
            _ => return Ok(()),
        })
    }
}

/// The longest time that makes sense.
const A_YEAR: Duration = Duration::from_secs(31_536_000);

/// An HTTP endpoint; see [`Handler::Http`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Http {
    /// Where the event is posted to.
    pub url: String,
    /// Headers beside our own. `$NAME` and `${NAME}` in a value stand for variables of the environment.
    pub headers: Vec<(String, String)>,
    /// The variables that may be put in. Any other is empty.
    pub allowed_env: Vec<String>,
}

impl Http {
    /// An endpoint, with no headers of its own.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            allowed_env: Vec::new(),
        }
    }
}

/// The shells a command line can be written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shell {
    /// The system's `sh`.
    #[default]
    Sh,
    /// `bash`.
    Bash,
    /// PowerShell.
    PowerShell,
}
