//! Which of our children are programs of ours, and what becomes of the others.

use std::{
    collections::HashSet,
    io,
    process::Child,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Pid;
use tokio::time::timeout;

#[cfg(target_os = "linux")]
use super::census;
use super::{
    command::Command,
    exit,
    group::{self, Rest},
    reaper::{self, Dying},
};

/// What the killed are given to vanish in.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// A look at all processes of the machine is worth a few milliseconds.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Leaders that run or die, by number, and orphans that die.
static KNOWN: LazyLock<Mutex<HashSet<Pid>>> = LazyLock::new(Mutex::default);
/// Shared while a child exists that is not in `KNOWN` yet. Taken before `KNOWN`.
static STARTING: RwLock<()> = RwLock::new(());
/// Only ever set. Publishes nothing but itself.
static ADOPTS: AtomicBool = AtomicBool::new(false);

static TIDIED: Mutex<Option<Instant>> = Mutex::new(None);

/// Makes this process the parent of everything its programs leave behind, and [`quiesce`] the end of it.
///
/// A program's child that has moved into a session of its own (`setsid`, a daemon) is out of reach of
/// the program's group. After this call it becomes a child of this process when its parent ends, and
/// [`quiesce`] terminates it.
///
/// Only for a program whose children are all started by [`run`](super::run): any other child of this
/// process is taken for an orphan. It cannot be undone.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) where the system has no such thing; it is Linux's.
pub fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        children()?;
        // Any number but none switches it on.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        ADOPTS.store(true, Ordering::Relaxed);
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits until every program that is being terminated is gone, with its group.
///
/// To be called when no [`run`](super::run) is under way any more, and before the process exits:
/// nobody is left to send the SIGKILL afterwards. At the deadline, grace or not, what is left is killed and
/// given another half second.
///
/// After [`adopt_orphans`], the orphans are terminated as well: SIGTERM, half the deadline, SIGKILL.
///
/// Returns how many are left: 0, unless somebody hangs in the kernel.
pub async fn quiesce(deadline: Duration) -> usize {
    let grace = deadline / 2;
    if timeout(deadline, gone(grace)).await.is_err() {
        reaper::hurry();
        // Orphans of the killed have had their time.
        let _ = timeout(LAST_MOMENT, gone(Duration::ZERO)).await;
    }
    *reaper::left().borrow()
}

async fn gone(grace: Duration) {
    let mut left = reaper::left();
    loop {
        // An error means that the reaper's static is gone, which it never is.
        let _ = left.wait_for(|left| *left == 0).await;
        let strays = sweep();
        if strays.is_empty() {
            break;
        }
        for stray in strays {
            known().insert(stray);
            group::terminate(stray);
            reaper::take(Dying::new(stray, grace, Rest::none()));
        }
    }
}

/// Terminates, in the background, what programs that have ended left behind after [`adopt_orphans`]: SIGTERM, `grace`,
/// SIGKILL. For a process that lives on, at a moment when no [`run`](super::run) is under way: what a program
/// that still runs has detached is taken for left behind, too.
///
/// Looks at all processes of the machine, and blocks its thread for a few milliseconds. Returns how many there were.
pub fn end_orphans(grace: Duration) -> usize {
    let strays = sweep();
    let count = strays.len();
    for stray in strays {
        known().insert(stray);
        group::terminate(stray);
        reaper::take(Dying::new(stray, grace, Rest::none()));
    }
    count
}

/// Starts a program, and knows it from the first moment.
pub(super) fn spawn(command: &Command) -> io::Result<Child> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    known().insert(Pid::from_child(&child));
    Ok(child)
}

/// Takes a zombie of ours away. Its number cannot come back before it is forgotten.
pub(super) fn reap(pid: Pid) {
    let mut known = known();
    exit::reap(pid);
    known.remove(&pid);
}

/// Takes away the adopted who are dead, once a second at most.
pub(super) fn tidy() {
    if !ADOPTS.load(Ordering::Relaxed) {
        return;
    }
    let now = Instant::now();
    let mut tidied = TIDIED.lock().unwrap_or_else(PoisonError::into_inner);
    if tidied.is_none_or(|last| now >= last + TIDY_EVERY) {
        *tidied = Some(now);
        drop(tidied);
        sweep();
    }
}

/// Takes away the adopted who are dead, and returns those who are not.
pub(super) fn sweep() -> Vec<Pid> {
    if !ADOPTS.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let known = known();
    let mut strays = children().unwrap_or_default();
    strays.retain(|child| !known.contains(child));
    strays.retain(|stray| {
        let is_alive = matches!(exit::peek(*stray), Ok(None));
        if !is_alive {
            exit::reap(*stray);
        }
        is_alive
    });
    strays
}

fn known() -> MutexGuard<'static, HashSet<Pid>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everybody whose parent we are. The list that the kernel keeps of them is not in every kernel.
#[cfg(target_os = "linux")]
fn children() -> io::Result<Vec<Pid>> {
    let us = Some(rustix::process::getpid());
    Ok(census::everybody()?
        .filter(|pid| census::stat(*pid).is_some_and(|stat| stat.parent == us))
        .collect())
}

#[cfg(not(target_os = "linux"))]
fn children() -> io::Result<Vec<Pid>> {
    Ok(Vec::new())
}
