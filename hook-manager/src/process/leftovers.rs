//! Programs of a process that was killed: known by a mark in their environment, and ended by whoever comes next.

use std::{
    ffi::OsString,
    io,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The variable that says who has started a program: owner, the numbering of processes that is meant (a container has
/// its own), process, and when that began.
const MARK: &str = "HOOK_RUN_BY";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// What the killed are given to vanish in.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Set once, before the first program of a process that marks.
static OURS: OnceLock<OsString> = OnceLock::new();

/// Has every program that this process starts from now on bear a mark in its environment, `HOOK_RUN_BY`, with this
/// `owner` in it: for [`end_leftovers`], should this process be killed. The first owner stays.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) where there is no `/proc` to find them in; it is Linux's.
pub fn mark_programs(owner: &str) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let us = rustix::process::getpid();
        let started =
            linux::started(us).ok_or_else(|| io::Error::other("/proc says nothing about this process"))?;
        let _ = OURS.set(format!("{owner}:{}:{}:{started}", linux::numbering(), us.as_raw_pid()).into());
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = owner;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What a program has to bear.
pub(super) fn mark() -> Option<(&'static str, &'static OsString)> {
    Some((MARK, OURS.get()?))
}

/// Ends what bears the mark of a process of this `owner` that lives no more: SIGTERM, `grace`, SIGKILL. Returns how
/// many there were; none where there is no `/proc`.
///
/// Whoever has taken the mark out of its environment is not found. Looks at all processes of the machine, and blocks
/// its thread until all are gone, for a second longer than `grace` at most.
pub fn end_leftovers(owner: &str, grace: Duration) -> usize {
    #[cfg(target_os = "linux")]
    return linux::end(owner, grace);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (owner, grace, PAUSE, LAST_MOMENT, Instant::now());
        0
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{collections::HashSet, fs, os::fd::OwnedFd, path::PathBuf, thread};

    use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

    use super::{Duration, Instant, LAST_MOMENT, MARK, PAUSE};
    use crate::process::census::{everybody, stat};

    #[expect(
        clippy::disallowed_methods,
        reason = "called where there may be no runtime, by somebody who can wait"
    )]
    pub(super) fn end(owner: &str, grace: Duration) -> usize {
        let began = Instant::now();
        let mut asked = HashSet::new();
        loop {
            let left = leftovers(owner);
            let is_over = began.elapsed() >= grace;
            for (pid, process) in &left {
                let is_new = asked.insert(*pid);
                // Not ours to handle: an error says that it has gone meanwhile.
                let _ = match (is_over, is_new) {
                    (true, _) => pidfd_send_signal(process, Signal::KILL),
                    (false, true) => pidfd_send_signal(process, Signal::TERM)
                        .and_then(|()| pidfd_send_signal(process, Signal::CONT)),
                    (false, false) => Ok(()),
                };
            }
            // Somebody may have been born while we looked.
            if left.is_empty() || began.elapsed() >= grace.saturating_add(LAST_MOMENT) {
                return asked.len();
            }
            thread::sleep(PAUSE);
        }
    }

    fn leftovers(owner: &str) -> Vec<(Pid, OwnedFd)> {
        let (us, numbering) = (getpid(), numbering());
        let Ok(everybody) = everybody() else {
            return Vec::new();
        };
        let bears = |pid: Pid| {
            let environ = environ(pid)?;
            let (one, theirs, pid, started) = read(&environ)?;
            (one == owner && theirs == numbering && !lives(pid, started)).then_some(())
        };
        everybody
            .filter(|pid| *pid != us)
            .filter_map(|pid| {
                bears(pid)?;
                let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
                // Its number may have become somebody else's between the two.
                bears(pid)?;
                Some((pid, process))
            })
            .collect()
    }

    /// Of any thread that lives: the first may have ended before the others, and then has none.
    fn environ(pid: Pid) -> Option<Vec<u8>> {
        let read = |of: PathBuf| fs::read(of.join("environ")).ok().filter(|text| !text.is_empty());
        let process = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
        let threads = || fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        read(process.clone()).or_else(|| threads().find_map(|thread| read(thread.path())))
    }

    /// Owner, numbering, process, and its beginning. The last mark is the one that counts, as in an environment.
    fn read(environ: &[u8]) -> Option<(&str, &str, Pid, u64)> {
        let mark = environ
            .split(|byte| *byte == 0)
            .rev()
            .find_map(|var| var.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
        let (rest, started) = std::str::from_utf8(mark).ok()?.rsplit_once(':')?;
        let (rest, pid) = rest.rsplit_once(':')?;
        let (owner, numbering) = rest.rsplit_once(':')?;
        let pid = Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)?;
        Some((owner, numbering, pid, started.parse().ok()?))
    }

    fn lives(pid: Pid, started: u64) -> bool {
        stat(pid).is_some_and(|stat| stat.is_alive && stat.started == started)
    }

    /// What tells our numbers of processes from those of a container that sees others.
    pub(super) fn numbering() -> String {
        let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let link = link.to_string_lossy();
        link.chars().filter(char::is_ascii_digit).collect()
    }

    pub(super) fn started(pid: Pid) -> Option<u64> {
        Some(stat(pid)?.started)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_mark_is_read_from_the_right() {
            let us = getpid();
            let environ = format!("A=b\0{MARK}=a:b:40:{}:77\0", us.as_raw_pid());
            assert_eq!(read(environ.as_bytes()), Some(("a:b", "40", us, 77)));
            for wrong in [
                "",
                "HOOK_RUN_BY=",
                "HOOK_RUN_BY=a:1:0:1",
                "HOOK_RUN_BY=a:1:-1:1",
                "HOOK_RUN_BY=1:2:3",
            ] {
                assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
            }
            assert!(lives(us, started(us).unwrap()));
            assert!(!lives(us, started(us).unwrap() + 1), "a number that came back");
        }
    }
}
