use std::{error::Error, ffi::OsString, fmt, io, time::Duration};

use super::Captured;

/// Why there is no exit status.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The program never ran.
    CouldNotStart {
        /// The program, as the command names it.
        program: OsString,
        /// What was missing, in a sentence that names it and says what was expected.
        source: io::Error,
    },
    /// The program was still running at the deadline. It is being terminated.
    TimedOut {
        /// How long it ran.
        after: Duration,
        /// What it had written to standard output.
        stdout: Captured,
        /// What it had written to standard error.
        stderr: Captured,
    },
    /// The program ran, but somebody else took its exit status: this process ignores SIGCHLD, or
    /// waits for children that are not its own to wait for.
    Unobserved {
        /// The program, as the command names it.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CouldNotStart { program, .. } => {
                write!(f, "could not start `{}`", program.to_string_lossy())
            }
            Self::TimedOut { after, .. } => write!(f, "timed out after {after:.2?}"),
            Self::Unobserved { program, .. } => {
                write!(
                    f,
                    "the exit status of `{}` was taken by other code of this process",
                    program.to_string_lossy()
                )
            }
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CouldNotStart { source, .. } | Self::Unobserved { source, .. } => Some(source),
            Self::TimedOut { .. } => None,
        }
    }
}
