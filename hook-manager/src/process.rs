//! Runs one program under limits, and sees to it that nothing of it stays behind.
//!
//! The program is started in a process group of its own. [`run`] feeds it, reads it and watches it at
//! the same time, and answers at the deadline at the latest; what is left of the group by then dies in
//! the background: SIGTERM, [`Limits::grace`], SIGKILL, reaped. The same happens when the future is
//! dropped, and it does not need the tokio runtime any more: one thread of this module, `hook-reaper`,
//! does the burying.
//!
//! # What a program's children may do
//!
//! Children that a program leaves in the background die with it: they are of its group. Whoever moves
//! into a session or group of its own (`setsid`, `daemon(3)`) is out of the group's reach: it cannot
//! delay a result, but it lives on, unless the process has called [`adopt_orphans`].
//!
//! # What is not covered
//!
//! When this process itself is killed with SIGKILL, programs that run at that time are not stopped. On Linux whoever
//! comes next can do it with [`end_leftovers`], if they were marked by [`mark_programs`].

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::{
    join, select,
    time::{sleep, timeout},
};

use self::{exit::Exit, feed::feed, group::Group};

mod capture;
mod census;
mod command;
mod dialogue;
mod error;
mod exit;
mod feed;
mod group;
mod leftovers;
mod limits;
mod orphans;
mod reaper;

pub use self::{
    capture::Captured,
    command::Command,
    error::RunError,
    exit::Ended,
    leftovers::{end_leftovers, mark_programs},
    limits::Limits,
    orphans::{adopt_orphans, end_orphans, quiesce},
};

pub(crate) use self::dialogue::{AskError, Dialogue};

use self::capture::Reader;

/// How a program ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit status, or the signal that ended it.
    pub ended: Ended,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error.
    pub stderr: Captured,
    /// From before the program was started until its end was seen.
    pub took: Duration,
}

/// Runs `command` with `input` on its standard input.
///
/// `keep` is dropped when the last process of the program's group is gone, which can be later than the
/// result: put a semaphore's permit there, and a dying program still counts against the limit.
///
/// The input is written while the output is read; a program that never reads its input, or closes
/// it early, is served like any other. Once the program has ended, its output is read to the end,
/// but for [`Limits::drain`] at most where a background child holds the pipes open; everything the
/// program itself wrote is part of the result in any case.
///
/// Starting a program (fork and exec) blocks the calling thread, for less than a millisecond as a
/// rule.
///
/// # Cancellation
///
/// Dropping the future terminates the group, at once and in the background, also when the runtime is
/// being shut down.
///
/// # Errors
///
/// [`RunError::CouldNotStart`] names what was missing; [`RunError::TimedOut`] comes at the deadline and
/// carries what had been written until then.
///
/// # Panics
///
/// Outside of a tokio runtime with its I/O and time drivers enabled.
pub async fn run<I, K>(command: &Command, input: I, limits: &Limits, keep: K) -> Result<Finished, RunError>
where
    I: AsRef<[u8]> + Send,
    K: Send + 'static,
{
    let started = Instant::now();
    // The deadline is set before the start: a slow start is the program's time, not the caller's.
    let mut deadline = pin!(sleep(limits.timeout));
    let failed = |source| RunError::CouldNotStart {
        program: command.program().to_owned(),
        source,
    };

    // From here on every way out, a panic included, leads through `Group::drop`.
    let (group, mut pipes) = Group::start(command, limits.grace, keep).await.map_err(failed)?;
    let mut exit = Exit::of(group.leader()).map_err(failed)?;
    let stdin = pipes.stdin().map_err(failed)?;
    let mut stdout = Reader::new(pipes.stdout, limits.stdout).map_err(failed)?;
    let mut stderr = Reader::new(pipes.stderr, limits.stderr).map_err(failed)?;

    let ended = {
        let mut talk = pin!(async {
            join!(feed(stdin, input.as_ref()), stdout.read(), stderr.read());
            std::future::pending::<()>().await;
        });
        // In this order: an end that was in time is no timeout, and a program that never stops
        // writing cannot keep the clock from being looked at.
        select! {
            biased;
            ended = exit.seen() => Some(ended),
            () = &mut deadline => None,
            () = &mut talk => None,
        }
    };
    let took = started.elapsed();

    if ended.is_some() {
        // Whoever still writes now is a background child; it has its moment, within the deadline.
        let rest = async { join!(stdout.read(), stderr.read()) };
        select! {
            biased;
            () = &mut deadline => {}
            _ = timeout(limits.drain, rest) => {}
        }
    }
    let (stdout, stderr) = (stdout.finish(), stderr.finish());

    match ended {
        Some(Ok(ended)) => {
            group.bury();
            Ok(Finished {
                ended,
                stdout,
                stderr,
                took,
            })
        }
        Some(Err(source)) => Err(RunError::Unobserved {
            program: command.program().to_owned(),
            source,
        }),
        None => Err(RunError::TimedOut {
            after: took,
            stdout,
            stderr,
        }),
    }
}
