//! One thread that outlives every runtime, and ends what is left of the groups it is given.
//!
//! Invariants:
//!
//! - A group's leader is reaped last. Until then its number, which is the group's, belongs to nobody
//!   else, and signals to it cannot hit a stranger.
//! - Every group gets a SIGKILL before that: should a count have missed somebody, the kernel does not.
//! - `keep` goes when nobody of the group is alive.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process_group};
use tokio::sync::watch;

use super::{
    census::Census,
    exit,
    group::{self, Rest},
    orphans,
};

/// How long after a leader's end its group is given where nobody can be counted.
const SETTLE: Duration = Duration::from_millis(100);
/// When to give up on a group in which only zombies are left that are not ours, where nobody can be
/// counted.
const GIVE_UP: Duration = Duration::from_secs(5);

static REAPER: LazyLock<Reaper> = LazyLock::new(|| Reaper {
    inbox: Mutex::new(Inbox {
        arrived: Vec::new(),
        is_manned: false,
        no_grace_since: None,
    }),
    came: Condvar::new(),
    left: watch::Sender::new(0),
});

struct Reaper {
    inbox: Mutex<Inbox>,
    came: Condvar,
    /// How many groups are dying.
    left: watch::Sender<usize>,
}

struct Inbox {
    arrived: Vec<Dying>,
    is_manned: bool,
    /// All grace is over for those who were asked before this.
    no_grace_since: Option<Instant>,
}

/// Starts the thread, unless it runs.
pub(super) fn ready() -> io::Result<()> {
    let mut inbox = REAPER.inbox();
    if !inbox.is_manned {
        thread::Builder::new()
            .name("hook-reaper".to_owned())
            .spawn(|| REAPER.work())?;
        inbox.is_manned = true;
    }
    Ok(())
}

/// Takes over a group that has been asked to go.
pub(super) fn take(dying: Dying) {
    // Counted before anybody can see it gone.
    REAPER.left.send_modify(|left| *left += 1);
    REAPER.inbox().arrived.push(dying);
    REAPER.came.notify_one();
}

/// Kills whoever is still being asked to go.
pub(super) fn hurry() {
    REAPER.inbox().no_grace_since = Some(Instant::now());
}

/// How many groups are dying, from now on.
pub(super) fn left() -> watch::Receiver<usize> {
    REAPER.left.subscribe()
}

impl Reaper {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing in there can be half done.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut dying: Vec<Dying> = Vec::new();
        let mut scratch = vec![0; 16 * 1024];
        loop {
            let mut inbox = self.inbox();
            while dying.is_empty() && inbox.arrived.is_empty() {
                inbox = self.came.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            }
            dying.append(&mut inbox.arrived);
            let no_grace_since = inbox.no_grace_since.take();
            drop(inbox);

            for one in dying.iter_mut().filter(|one| Some(one.since) <= no_grace_since) {
                one.kill_at = no_grace_since;
            }

            round(&mut dying, &mut scratch, Instant::now());

            // Nobody who arrives meanwhile is in a hurry: they have been asked to go already.
            thread::park_timeout(pause(&dying, Instant::now()));
        }
    }
}

/// One look at everybody, for one count.
fn round(dying: &mut Vec<Dying>, scratch: &mut [u8], now: Instant) {
    for one in dying.iter_mut().filter(|one| one.ended.is_none()) {
        // A status that somebody else has taken is an end, too.
        one.ended = (!matches!(exit::peek(one.leader), Ok(None))).then_some(now);
    }
    let to_be_counted = dying
        .iter()
        .filter(|one| one.ended.is_some() && one.reaped.is_none());
    let census = Census::of(to_be_counted.map(|one| one.leader));
    for one in dying.iter().filter_map(|one| one.rest.as_ref()) {
        one.drain(scratch);
    }
    let before = dying.len();
    dying.retain_mut(|one| !one.is_gone(&census, now));
    if dying.len() < before {
        orphans::tidy();
    }
}

/// Short for those who have just come: most go at once.
fn pause(dying: &[Dying], now: Instant) -> Duration {
    let age = dying
        .iter()
        .map(|one| now.saturating_duration_since(one.since))
        .min()
        .unwrap_or_default();
    (age / 4).clamp(Duration::from_millis(1), Duration::from_millis(20))
}

// ===== impl Dying =====

/// A group that has been asked to go.
pub(super) struct Dying {
    leader: Pid,
    since: Instant,
    /// When it is not asked any more; `None` is never.
    kill_at: Option<Instant>,
    ended: Option<Instant>,
    reaped: Option<Instant>,
    rest: Option<Rest>,
}

impl Dying {
    pub(super) fn new(leader: Pid, grace: Duration, rest: Rest) -> Self {
        let since = Instant::now();
        let kill_at = since.checked_add(grace);
        Self {
            leader,
            since,
            kill_at,
            ended: None,
            reaped: None,
            rest: Some(rest),
        }
    }

    fn is_gone(&mut self, census: &Census, now: Instant) -> bool {
        if let Some(reaped) = self.reaped {
            return test_kill_process_group(self.leader).is_err() || now >= reaped + GIVE_UP;
        }
        if let Some(ended) = self.ended {
            let is_alive = census.is_alive(self.leader);
            if is_alive == Some(false) {
                group::end(self.leader);
                return true;
            }
            if is_alive.is_none() && now >= ended + SETTLE {
                group::end(self.leader);
                self.reaped = Some(now);
                return false;
            }
        }
        if self.kill_at.is_some_and(|kill_at| now >= kill_at) {
            group::kill(self.leader);
        }
        false
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        let rest = self.rest.take();
        // The user's code; the thread has others to look after.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
        REAPER.left.send_modify(|left| *left -= 1);
    }
}
