use std::{error::Error, fmt, sync::Arc, time::Duration};

use hook_monitor::{Ending, Outcome, Rejected};

use crate::stack::own::Answer;

/// Why a hook has no answer. What a hook *decides* (exit status 2, deny, ask, block) is never an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookError {
    /// The hook never ran: a missing program or script, no permission to execute it, no working
    /// directory, a shell that could not read its own command line.
    CouldNotStart(Arc<str>),
    /// The hook was ended by a signal that was not ours.
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// An in-process hook panicked.
    Panicked(Arc<str>),
    /// The hook ended with a status that means neither yes nor no, and wrote no decision.
    Exit {
        /// The exit status.
        code: i32,
        /// The first line of its standard error.
        message: Arc<str>,
    },
    /// The hook was still running when its time was up; it and its process group are killed.
    TimedOut {
        /// How long it ran.
        after: Duration,
        /// Whether it was the event's deadline that cut it off, not its own timeout.
        by_deadline: bool,
        /// How long it had stood in the queue before.
        waited: Duration,
    },
    /// The hook's answer was meant as JSON but does not follow the protocol.
    BadOutput(Arc<str>),
    /// The hook failed too often lately and was left alone this time.
    CircuitOpen(Rejected),
    /// The event's time was up before this hook's turn came.
    OutOfBudget {
        /// How long it stood in the queue.
        waited: Duration,
    },
    /// The caller went away, or the manager shut down.
    Cancelled,
    /// The hook's own entry cannot be used: its matcher or its condition cannot be read.
    Unusable(Arc<str>),
    /// The hook was not run for a cause that is none of its own: the event could not be read, say.
    NotRun(Arc<str>),
    /// The hook has run as often as it may in a minute or in a session.
    Runaway(Arc<str>),
    /// An in-process hook returned an error of its own.
    Failed(Arc<str>),
}

impl HookError {
    /// A word for the kind of failure, as it stands in `--output json`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CouldNotStart(_) => "could_not_start",
            Self::Crashed { .. } => "crashed",
            Self::Panicked(_) => "panicked",
            Self::Exit { .. } => "exit",
            Self::TimedOut { .. } => "timed_out",
            Self::BadOutput(_) => "bad_output",
            Self::CircuitOpen(_) => "circuit_open",
            Self::OutOfBudget { .. } => "out_of_budget",
            Self::Cancelled => "cancelled",
            Self::Unusable(_) => "unusable",
            Self::NotRun(_) => "not_run",
            Self::Runaway(_) => "runaway",
            Self::Failed(_) => "failed",
        }
    }

    /// What the failure says about the hook itself, for its breaker and its figures: a call that
    /// never reached the hook says nothing.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::CircuitOpen(_)
            | Self::OutOfBudget { .. }
            | Self::Cancelled
            | Self::Unusable(_)
            | Self::NotRun(_)
            | Self::Runaway(_) => Outcome::Ignored,
            // Others took most of its time: being cut off says little about the hook.
            Self::TimedOut {
                by_deadline: true,
                after,
                waited,
            } if waited >= after => Outcome::Ignored,
            _ => Outcome::Failure,
        }
    }
}

/// The judgement every hook's stack shares.
pub(crate) fn judge(result: Result<&Answer, &HookError>, _took: Duration) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(err) => err.outcome(),
    }
}

/// How a call ended, more closely.
pub(crate) fn ending(result: Result<&Answer, &HookError>, took: Duration) -> Ending {
    match (result, judge(result, took)) {
        (Err(HookError::CircuitOpen(_) | HookError::Runaway(_)), _) => Ending::Rejected,
        (Err(HookError::TimedOut { .. }), Outcome::Failure) => Ending::Timeout,
        (_, outcome) => outcome.into(),
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CouldNotStart(why) => write!(f, "could not start: {why}"),
            Self::Crashed { signal } => write!(f, "crashed: ended by signal {signal}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Exit { code, message } if message.is_empty() => write!(f, "exit status {code}"),
            Self::Exit { code, message } => write!(f, "exit status {code}: {message}"),
            Self::TimedOut {
                after,
                by_deadline: false,
                ..
            } => write!(f, "timed out after {}", seconds(*after)),
            Self::TimedOut {
                after,
                by_deadline: true,
                ..
            } => {
                write!(f, "cut off by the event's deadline after {}", seconds(*after))
            }
            Self::BadOutput(why) => write!(f, "bad output: {why}"),
            Self::CircuitOpen(rejected) => {
                write!(f, "{}", Rejected::new(rejected.reason()))?;
                match rejected.retry_after() {
                    Some(after) => write!(f, ", retry after {}", seconds(after)),
                    None => Ok(()),
                }
            }
            Self::OutOfBudget { waited } => {
                write!(
                    f,
                    "out of budget: the event's time was up after {} in the queue",
                    seconds(*waited)
                )
            }
            Self::Cancelled => f.write_str("cancelled"),
            Self::Unusable(why) => write!(f, "unusable: {why}"),
            Self::NotRun(why) => write!(f, "not run: {why}"),
            Self::Runaway(why) => write!(f, "runaway: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Error for HookError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CircuitOpen(rejected) => Some(rejected),
            _ => None,
        }
    }
}

/// Seconds with the digits a person needs: `0.05 s`, `1.5 s`, `15 s`.
fn seconds(duration: Duration) -> String {
    let rounded = (duration.as_secs_f64() * 100.0).round() / 100.0;
    format!("{rounded} s")
}
