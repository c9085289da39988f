use std::{io, os::fd::OwnedFd, process::Child, time::Duration};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{net::unix::pipe::Sender, time::sleep};

use super::{
    census::has_left_nobody,
    command::Command,
    orphans,
    reaper::{self, Dying},
};

/// A running program and its process group. Whoever drops it has it terminated.
pub(super) struct Group {
    leader: Pid,
    grace: Duration,
    /// `None` once nothing is left to be done.
    rest: Option<Rest>,
}

/// What a program holds for as long as anybody of its group is alive.
pub(super) struct Rest {
    _keep: Option<Box<dyn Send>>,
    /// The reading ends of its output once more. Were they closed with the result, a program that
    /// says good-bye would be killed by its own words.
    pipes: Vec<OwnedFd>,
}

/// Our ends of the program's three pipes.
pub(super) struct Pipes {
    stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Group {
    pub(super) async fn start<K: Send + 'static>(
        command: &Command,
        grace: Duration,
        keep: K,
    ) -> io::Result<(Self, Pipes)> {
        // Before the program: from the moment it exists there is somebody to bury it.
        reaper::ready()?;
        let mut child = spawn(command).await?;
        // The `Child` is let go of without a wait. Only this module reaps, by number.
        let leader = Pid::from_child(&child);
        let pipes = Pipes::of(&mut child);
        let mut rest = Rest {
            _keep: Some(Box::new(keep)),
            pipes: Vec::new(),
        };
        let is_complete = pipes.duplicates().map(|duplicates| rest.pipes.extend(duplicates));
        let group = Self {
            leader,
            grace,
            rest: Some(rest),
        };
        is_complete?;
        Ok((group, pipes))
    }

    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Takes away a leader that has ended. What it left in the background is terminated.
    pub(super) fn bury(mut self) {
        if has_left_nobody(self.leader) {
            end(self.leader);
            self.rest = None;
            orphans::tidy();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            terminate(self.leader);
            reaper::take(Dying::new(self.leader, self.grace, rest));
        }
    }
}

impl Rest {
    /// For a process that we have not started.
    pub(super) fn none() -> Self {
        Self {
            _keep: None,
            pipes: Vec::new(),
        }
    }

    /// Throws away what has been written, so that nobody hangs on a full pipe with his good-bye.
    pub(super) fn drain(&self, scratch: &mut [u8]) {
        for pipe in &self.pipes {
            // Not for ever: others are waiting.
            for _ in 0..64 {
                if !matches!(rustix::io::read(pipe, &mut *scratch), Ok(1..)) {
                    break;
                }
            }
        }
    }
}

/// Asks a group to go. Its leader has not been reaped.
pub(super) fn terminate(leader: Pid) {
    let has_moved = has_moved(leader);
    // Who has been stopped hears nothing before it is told to continue.
    for signal in [Signal::TERM, Signal::CONT] {
        // Not ours to handle: an error says that nobody is there, or that those who are there have
        // become another user's, which the reaper sees too.
        let _ = kill_process_group(leader, signal);
        if has_moved {
            let _ = kill_process(leader, signal);
        }
    }
}

/// Kills a group. Its leader has not been reaped.
pub(super) fn kill(leader: Pid) {
    let _ = kill_process_group(leader, Signal::KILL);
    // Should it have moved into another group, which is not ours to signal.
    let _ = kill_process(leader, Signal::KILL);
}

/// Kills whoever a count of a group has missed, and gives its number back.
pub(super) fn end(leader: Pid) {
    kill(leader);
    orphans::reap(leader);
}

/// Whether a leader has gone into a group that it does not lead: then a signal to its own group does
/// not reach it, and one to itself does not reach it twice.
fn has_moved(leader: Pid) -> bool {
    #[cfg(target_os = "linux")]
    // rustix's `getpgid` knows no groups of another namespace.
    return super::census::stat(leader).is_some_and(|stat| stat.group != Some(leader));
    #[cfg(not(target_os = "linux"))]
    return rustix::process::getpgid(Some(leader)).is_ok_and(|group| group != leader);
}

/// A file that has just been written may still be open in a program that is being started at this
/// very moment by another thread: that passes by itself.
async fn spawn(command: &Command) -> io::Result<Child> {
    let mut tries = 0;
    loop {
        match orphans::spawn(command) {
            Err(err) if err.kind() == io::ErrorKind::ExecutableFileBusy && tries < 10 => {
                tries += 1;
                sleep(Duration::from_millis(10)).await;
            }
            Err(err) => return Err(command.explain(err)),
            Ok(child) => return Ok(child),
        }
    }
}

impl Pipes {
    fn of(child: &mut Child) -> Self {
        let piped = "the command asked for pipes";
        Self {
            stdin: child.stdin.take().map(Into::into),
            stdout: child.stdout.take().expect(piped).into(),
            stderr: child.stderr.take().expect(piped).into(),
        }
    }

    fn duplicates(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.stdout.try_clone()?, self.stderr.try_clone()?])
    }

    pub(super) fn stdin(&mut self) -> io::Result<Sender> {
        Sender::from_owned_fd(self.stdin.take().expect("taken once"))
    }
}
