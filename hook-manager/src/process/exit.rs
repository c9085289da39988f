use std::io;

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Duration, timeout},
};

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

/// Looks whether a child of ours has ended, and leaves it as it is: a zombie keeps its number, and
/// with it the number of its group, from being given to somebody else.
pub(super) fn peek(pid: Pid) -> io::Result<Option<Ended>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(status) = waitid(WaitId::Pid(pid), options)? else {
        return Ok(None);
    };
    if let Some(code) = status.exit_status() {
        return Ok(Some(Ended::Code(code)));
    }
    Ok(status.terminating_signal().map(Ended::Signal))
}

/// Takes a zombie away.
pub(super) fn reap(pid: Pid) {
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

/// Tells when a child has ended, without reaping it.
#[derive(Debug)]
pub(super) struct Exit {
    pid: Pid,
    watch: Watch,
}

#[derive(Debug)]
enum Watch {
    /// Readable once the process has ended. Since Linux 5.3.
    #[cfg(target_os = "linux")]
    PidFd(AsyncFd<OwnedFd>),
    /// Comes when any child has ended.
    Signal(Signal),
}

/// Signals can be lost between processes and handlers that we know nothing of; then this is how late we are.
const LOOK_ANYWAY: Duration = Duration::from_millis(250);

impl Exit {
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Ok(fd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            // Deprecated for descriptors that may be closed under its hands. This one is owned.
            #[allow(deprecated)]
            let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
            return Ok(Self {
                pid,
                watch: Watch::PidFd(fd),
            });
        }
        Self::by_signal(pid)
    }

    fn by_signal(pid: Pid) -> io::Result<Self> {
        Ok(Self {
            pid,
            watch: Watch::Signal(signal(SignalKind::child())?),
        })
    }

    /// # Errors
    ///
    /// When the child is no child of ours any more: its status has been taken.
    pub(super) async fn seen(&mut self) -> io::Result<Ended> {
        loop {
            if let Some(ended) = peek(self.pid)? {
                return Ok(ended);
            }
            match &mut self.watch {
                #[cfg(target_os = "linux")]
                Watch::PidFd(fd) => fd.readable().await?.clear_ready(),
                Watch::Signal(signal) => {
                    let _ = timeout(LOOK_ANYWAY, signal.recv()).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn end_is_seen_by_both_ways_and_the_zombie_is_left() {
        for by_signal in [false, true] {
            for (script, expected) in [("exit 7", Ended::Code(7)), ("kill -9 $$", Ended::Signal(9))] {
                let script = format!("sleep 0.05; {script}");
                let mut child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
                let pid = Pid::from_child(&child);
                let mut exit = if by_signal {
                    Exit::by_signal(pid)
                } else {
                    Exit::of(pid)
                }
                .unwrap();
                assert_eq!(exit.seen().await.unwrap(), expected);
                assert_eq!(peek(pid).unwrap(), Some(expected), "seen, not reaped");
                reap(pid);
                assert!(peek(pid).is_err() && child.wait().is_err());
            }
        }
    }
}
