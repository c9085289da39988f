//! The daemon's life: takes its place, serves, and ends in good order.

use std::{
    env,
    ffi::OsString,
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hook_manager::{HookManager, HookRequest, process};
use rustix::process::geteuid;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    select,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task,
    time::{self, Instant, timeout},
};

use super::{
    hooks::Hooks,
    http,
    place::{Place, with_name},
    ring::{Asker, Ring},
    session,
};
use crate::cli::{SourceArgs, complain, print, signals::Signals};

/// Clients at once; one more is turned away, and runs its hooks itself.
const SESSIONS: u32 = 256;
/// Events at once whose hooks nobody waits for.
const BACKGROUND: u32 = 256;

/// What makes a pause between events.
const PAUSE: Duration = Duration::from_millis(300);

/// How a daemon is to be.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) sources: SourceArgs,
    pub(crate) http: Option<SocketAddr>,
    /// What HTTP clients must know.
    pub(crate) token: Option<String>,
    /// Whether only hooks are run that are recorded as trusted.
    pub(crate) require_trust: bool,
    /// After how long without a client it ends; never, if there is none.
    pub(crate) idle_exit: Option<Duration>,
    /// How long events under way may take to end when it ends.
    pub(crate) drain: Duration,
}

pub(super) struct Daemon {
    pub(super) hooks: Hooks,
    pub(super) ring: Ring,
    /// What of its own environment decides about figures.
    pub(super) environment: Vec<(OsString, OsString)>,
    quit: watch::Sender<bool>,
    /// Told when an event has ended.
    ended: Notify,
    sessions: Arc<Semaphore>,
    backgrounds: Arc<Semaphore>,
    started: Instant,
    last: Mutex<Instant>,
    project: String,
}

/// Serves until it is told to end, or nobody has come for long enough. An error says why it could not begin.
pub(crate) async fn serve(options: Options) -> Result<(), String> {
    let place = Place::of(&options.sources);
    let in_words = |err: std::io::Error| err.to_string();
    place.create().map_err(in_words)?;
    let lock = match place.lock().map_err(in_words)? {
        Ok(lock) => lock,
        Err(holder) => {
            return Err(format!(
                "{holder} serves this project already, on {}; expected no other daemon for the same sources of hooks",
                place.socket().display()
            ));
        }
    };
    place.clear(&lock).map_err(in_words)?;
    // Before anything is served: whatever a hook leaves behind is ours to end.
    if let Err(err) = process::adopt_orphans() {
        complain(format_args!(
            "note: what a hook detaches from its group cannot be ended: {err}"
        ));
    }
    // Should it be killed, the next one ends them; as we do now. It does not matter where there is no such thing.
    let _ = process::mark_programs(place.owner());
    let project = std::path::absolute(&options.sources.project).unwrap_or_default();
    let hooks = Hooks::load(options.sources, options.require_trust)?;
    for problem in hooks
        .now()
        .manager
        .problems()
        .iter()
        .filter(|problem| problem.is_error())
    {
        complain(problem);
    }
    let unbound = |err| in_words(with_name(&place.socket(), &err, "a socket to be made here"));
    let listener = UnixListener::bind(place.socket()).map_err(unbound)?;
    // Its folder was closed to others already.
    fs::set_permissions(place.socket(), fs::Permissions::from_mode(0o600)).map_err(unbound)?;
    let inode = inode(&place.socket());
    let web = match options.http {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|err| format!("--http {address}: {err}"))?,
        ),
        None => None,
    };
    let (owner, grace) = (place.owner().to_owned(), hooks.now().manager.config().grace);
    task::spawn_blocking(move || {
        let count = process::end_leftovers(&owner, grace);
        if count > 0 {
            complain(format_args!(
                "{count} processes of a daemon that was killed are ended"
            ));
        }
    });
    let (quit, mut quits) = watch::channel(false);
    let daemon = Arc::new(Daemon {
        hooks,
        ring: Ring::default(),
        environment: env::vars_os()
            .filter(|(name, _)| session::is_figure(name))
            .collect(),
        quit,
        ended: Notify::new(),
        sessions: Arc::new(Semaphore::new(SESSIONS as usize)),
        backgrounds: Arc::new(Semaphore::new(BACKGROUND as usize)),
        started: Instant::now(),
        last: Mutex::new(Instant::now()),
        project: project.display().to_string(),
    });
    let housekeeper = tokio::spawn(Arc::clone(&daemon).keep_house());
    let mut signals = Signals::new();
    let address = web.as_ref().and_then(|web| web.local_addr().ok());
    let web = web.map(|web| tokio::spawn(http::serve(web, Arc::clone(&daemon), options.token)));
    print(&format!(
        "serving {} on {}{}",
        project.display(),
        place.socket().display(),
        address.map(|at| format!(" and http://{at}")).unwrap_or_default()
    ));
    let why = loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => daemon.admit(stream),
                // No descriptors left, most likely: those who have some give them back.
                Err(_) => time::sleep(Duration::from_millis(50)).await,
            },
            signal = signals.next() => break format!("signal {signal}"),
            _ = quits.wait_for(|quit| *quit) => break "asked to by a client".to_owned(),
            () = daemon.idle(options.idle_exit) => break "nobody has come for long enough".to_owned(),
        }
    };
    drop(listener);
    daemon.quit.send_replace(true);
    if inode == self::inode(&place.socket()) {
        let _ = fs::remove_file(place.socket());
    }
    housekeeper.abort();
    complain(format_args!("ends: {why}"));
    let report = select! {
        report = daemon.drain(options.drain) => report,
        // Asked twice: at once, then.
        signal = signals.next() => {
            complain(format_args!("signal {signal} again: events under way are called off"));
            daemon.drain(Duration::ZERO).await
        }
    };
    if let Some(web) = web {
        let _ = timeout(Duration::from_secs(1), web).await;
    }
    complain(report);
    drop(lock);
    Ok(())
}

impl Daemon {
    /// Serves one client, if it is one of this user's and there is room.
    fn admit(self: &Arc<Self>, stream: UnixStream) {
        let is_ours = stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == geteuid().as_raw());
        let Ok(permit) = Arc::clone(&self.sessions).try_acquire_owned() else {
            return;
        };
        if !is_ours {
            return;
        }
        self.touch();
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            session::serve(stream, Arc::clone(&daemon)).await;
            daemon.touch();
            drop(permit);
            daemon.ended.notify_one();
        });
    }

    pub(super) fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Has the hooks of an event run that nobody waits for; or says that there is no room.
    pub(super) fn background(
        self: &Arc<Self>,
        manager: HookManager,
        req: HookRequest,
        asker: Asker,
    ) -> Option<String> {
        let Ok(permit) = Arc::clone(&self.backgrounds).try_acquire_owned() else {
            return Some(format!(
                "async hooks are not run: those of {BACKGROUND} events run already"
            ));
        };
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            session::background(Arc::clone(&daemon), manager, req, asker).await;
            daemon.touch();
            drop(permit);
            daemon.ended.notify_one();
        });
        None
    }

    /// Counts an event that comes in by another way than the socket.
    pub(super) async fn begin(self: &Arc<Self>) -> UnderWay {
        let permit = Arc::clone(&self.sessions).acquire_owned().await.ok();
        UnderWay {
            permit,
            daemon: Arc::clone(self),
        }
    }

    /// Turns true when the daemon is about to end.
    pub(super) fn quits(&self) -> watch::Receiver<bool> {
        self.quit.subscribe()
    }

    pub(super) fn quit(&self) {
        self.quit.send_replace(true);
    }

    pub(super) fn is_quitting(&self) -> bool {
        *self.quit.borrow()
    }

    fn under_way(&self) -> (usize, usize) {
        (
            SESSIONS as usize - self.sessions.available_permits(),
            BACKGROUND as usize - self.backgrounds.available_permits(),
        )
    }

    /// Ends what hooks have detached from themselves and left behind, as the command does when it runs them itself: in
    /// every pause between events, for while one runs nobody knows whose it is.
    async fn keep_house(self: Arc<Self>) {
        loop {
            self.ended.notified().await;
            time::sleep(PAUSE).await;
            if self.under_way() == (0, 0) {
                let grace = self.hooks.now().manager.config().grace;
                let _ = task::spawn_blocking(move || process::end_orphans(grace)).await;
            }
        }
    }

    /// What there is to say about the daemon itself.
    pub(super) fn about(&self) -> Value {
        let (sessions, background) = self.under_way();
        json!({
            "process": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "project": self.project,
            "up_s": self.started.elapsed().as_secs(),
            "clients": sessions,
            "async_events": background,
            "stale": self.hooks.now().why_stale(),
        })
    }

    /// Ends when nobody has come for so long, and nothing is under way.
    async fn idle(&self, limit: Option<Duration>) {
        let Some(limit) = limit else {
            return std::future::pending().await;
        };
        loop {
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            match self.under_way() {
                (0, 0) if last.elapsed() >= limit => return,
                (0, 0) => time::sleep_until(last + limit).await,
                _ => time::sleep(limit.min(Duration::from_secs(1))).await,
            }
        }
    }

    /// Lets what is under way end until `deadline`, and calls off what has not; then waits for clients to be told.
    async fn drain(&self, deadline: Duration) -> String {
        let mut all = self.hooks.all().into_iter();
        let until = Instant::now() + deadline;
        let (mut drained, mut called_off, mut left, mut saved) = (0, 0, 0, true);
        // The one of the moment last: it is the one that saves for good.
        let first = all.next();
        for manager in all.chain(first) {
            let report = manager
                .shutdown_within(until.saturating_duration_since(Instant::now()))
                .await;
            drained += report.drained;
            called_off += report.called_off;
            left = report.left;
            saved &= report.saved.is_ok();
        }
        let told = timeout(Duration::from_secs(1), async {
            let _ = self.sessions.acquire_many(SESSIONS).await;
            let _ = self.backgrounds.acquire_many(BACKGROUND).await;
        });
        let all_told = told.await.is_ok();
        format!(
            "ended: {drained} events ended by themselves, {called_off} were called off, {left} process groups are left{}{}",
            if saved { "" } else { ", the state was not saved" },
            if all_told {
                ""
            } else {
                ", not every client has been answered"
            },
        )
    }
}

/// An event under way.
pub(super) struct UnderWay {
    permit: Option<OwnedSemaphorePermit>,
    daemon: Arc<Daemon>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.daemon.touch();
        drop(self.permit.take());
        self.daemon.ended.notify_one();
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}
