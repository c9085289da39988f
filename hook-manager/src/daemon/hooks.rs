//! The manager of the moment, and how it keeps up with its sources.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use hook_manager::{
    HookManager, Invalidate,
    source::may_be_hook,
    trust::{Content, Trust},
};
use tokio::{sync, task};

use crate::cli::{
    SourceArgs, complain,
    run::{self, FIGURES, NotBuilt, with_sources},
};

/// Managers whose last events may still be under way.
const FORMER: usize = 8;
/// Files of a directory of hooks that are watched.
const WATCHED: usize = 1_000;
/// Files that are watched while hooks are not trusted.
const MOST: usize = 10_000;

pub(super) struct Hooks {
    sources: SourceArgs,
    require_trust: bool,
    now: Mutex<Arc<Current>>,
    former: Mutex<VecDeque<HookManager>>,
    /// Held while sources are read: by one at a time.
    reading: sync::Mutex<()>,
}

pub(super) struct Current {
    pub(super) manager: HookManager,
    /// What is watched beside the sources.
    also: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    /// Why these are still the hooks of before, if they are.
    stale: Option<Arc<str>>,
    is_told: AtomicBool,
    /// Why none of them may be run, if so.
    pub(super) untrusted: Option<String>,
}

/// What a file is known by: device, inode, size, mode, and when it was changed.
#[derive(PartialEq, Eq)]
struct Stamp(PathBuf, Option<([u64; 4], [i64; 4])>);

impl Hooks {
    pub(super) fn load(sources: SourceArgs, require_trust: bool) -> Result<Self, String> {
        let also = also(&sources, require_trust);
        let stamps = stamps(&sources, &also);
        let manager = build(&sources, require_trust).map_err(NotBuilt::why)?;
        Ok(Self {
            sources,
            require_trust,
            now: Mutex::new(Arc::new(Current {
                manager,
                also,
                stamps,
                stale: None,
                is_told: AtomicBool::new(false),
                untrusted: None,
            })),
            former: Mutex::default(),
            reading: sync::Mutex::new(()),
        })
    }

    /// The manager there is, whatever has become of its sources.
    pub(super) fn now(&self) -> Arc<Current> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The manager for an event that begins now. Looks whether its sources have changed, which takes microseconds, and
    /// reads them again if so.
    pub(super) async fn current(&self) -> Arc<Current> {
        let now = self.now();
        if now.stamps == stamps(&self.sources, &now.also) {
            return now;
        }
        let _reading = self.reading.lock().await;
        let now = self.now();
        if now.stamps == stamps(&self.sources, &now.also) {
            return now;
        }
        // Before the sources are read: what changes meanwhile is seen the next time.
        let also = also(&self.sources, self.require_trust);
        let stamps = stamps(&self.sources, &also);
        // If they are not trusted like that: what was there before may come back, and all is well then.
        let mut or_before: Vec<PathBuf> = also.iter().chain(&now.also).cloned().collect();
        or_before.sort();
        or_before.dedup();
        or_before.truncate(MOST);
        let stamps_or_before = self::stamps(&self.sources, &or_before);
        let (before, sources, require_trust) =
            (now.manager.clone(), self.sources.clone(), self.require_trust);
        let built = task::spawn_blocking(move || {
            // So that the new one goes on where the old one is. What went wrong is in its health.
            let _ = before.save();
            build(&sources, require_trust)
        });
        let built = built
            .await
            .unwrap_or_else(|err| Err(NotBuilt::Other(err.to_string())));
        let built = built.and_then(|manager| match unreadable(&now.manager, &manager) {
            Some(why) => Err(NotBuilt::Other(why)),
            None => Ok(manager),
        });
        // Nobody has looked at what cannot be read, and the hooks of before may run something else by now.
        let built = match built {
            Err(err) if self.require_trust || now.manager.config().require_trust => Err(err.into_untrusted()),
            built => built,
        };
        let next = Arc::new(match built {
            Ok(manager) => {
                complain("the sources of hooks have changed, and are read again");
                // What did not change goes on as it was.
                manager.succeed(&now.manager);
                self.retire(now.manager.clone());
                Current {
                    manager,
                    also,
                    stamps,
                    stale: None,
                    is_told: AtomicBool::new(false),
                    untrusted: None,
                }
            }
            // What they run may have changed as well: not even the ones of before.
            Err(NotBuilt::Untrusted(why)) => {
                complain(&why);
                Current {
                    manager: now.manager.clone(),
                    also: or_before,
                    stamps: stamps_or_before,
                    stale: None,
                    is_told: AtomicBool::new(false),
                    untrusted: Some(why),
                }
            }
            Err(NotBuilt::Other(why)) => {
                let why = format!(
                    "the hooks' settings have changed and cannot be used, so the hooks of before stay: {why}"
                );
                complain(&why);
                Current {
                    manager: now.manager.clone(),
                    also,
                    stamps,
                    stale: Some(why.into()),
                    is_told: AtomicBool::new(false),
                    untrusted: now.untrusted.clone(),
                }
            }
        });
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        next
    }

    /// Events may still be under way in it.
    fn retire(&self, manager: HookManager) {
        manager.invalidate(Invalidate::All);
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.push_back(manager);
        let oldest = (former.len() > FORMER).then(|| former.pop_front());
        drop(former);
        drop(oldest);
    }

    /// All managers that may have something to finish, the one of the moment first.
    pub(super) fn all(&self) -> Vec<HookManager> {
        let former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(self.now().manager.clone())
            .chain(former.iter().cloned())
            .collect()
    }
}

impl Current {
    /// Why these are the hooks of before, and whether nobody has been told yet.
    pub(super) fn stale(&self) -> Option<(&str, bool)> {
        let why = self.stale.as_deref()?;
        Some((why, !self.is_told.swap(true, Relaxed)))
    }

    /// The same, for somebody who only looks.
    pub(super) fn why_stale(&self) -> Option<&str> {
        self.stale.as_deref().or(self.untrusted.as_deref())
    }
}

fn build(sources: &SourceArgs, require_trust: bool) -> Result<HookManager, NotBuilt> {
    run::build(with_sources(sources).map_err(NotBuilt::Other)?, require_trust)
}

/// A source that could be read before and cannot be now: in the middle of being edited, most likely.
fn unreadable(before: &HookManager, after: &HookManager) -> Option<String> {
    let whole = |manager: &HookManager| -> Vec<PathBuf> {
        let broken = manager.broken_hooks().filter(|hook| hook.is_whole_source);
        broken.filter_map(|hook| hook.origin.file.clone()).collect()
    };
    let known = whole(before);
    let lost = whole(after).into_iter().find(|file| !known.contains(file))?;
    let problem = after
        .problems()
        .iter()
        .find(|problem| problem.is_error() && problem.origin.file.as_ref() == Some(&lost));
    Some(problem.map_or_else(|| lost.display().to_string(), ToString::to_string))
}

/// Where hooks have to be trusted: the record, and what they run, for to change that is to change them.
fn also(sources: &SourceArgs, require_trust: bool) -> Vec<PathBuf> {
    // The figures may say so, too; unless they cannot be read, which building tells.
    let by_figures = || with_sources(sources).is_ok_and(|builder| builder.config().require_trust);
    if !require_trust && !by_figures() {
        return Vec::new();
    }
    let content = Content::of(&sources.named());
    let files = content.as_ref().map(Content::files).unwrap_or_default();
    let record = Trust::of_user().map(|trust| trust.file().to_owned());
    files.iter().cloned().chain(record).collect()
}

fn stamps(sources: &SourceArgs, also: &[PathBuf]) -> Vec<Stamp> {
    let claude = sources.project.join(".claude");
    let of_project = [
        "settings.local.json",
        "settings.json",
        "hook-manager.local.json",
        "hook-manager.json",
    ];
    let mut paths: Vec<PathBuf> = of_project.iter().map(|name| claude.join(name)).collect();
    paths.push(sources.project.join(FIGURES));
    paths.extend(sources.settings.iter().cloned());
    if let Some(dir) = &sources.hooks_dir {
        paths.push(dir.clone());
        let mut files: Vec<PathBuf> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            // What hooks write beside themselves is read by nobody here.
            .filter(|entry| entry.file_name().to_str().is_none_or(may_be_hook))
            .map(|entry| entry.path())
            .take(WATCHED)
            .collect();
        files.sort();
        paths.extend(files);
    }
    paths.extend(also.iter().cloned());
    paths.into_iter().map(stamp).collect()
}

fn stamp(path: PathBuf) -> Stamp {
    let of = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some((
            [meta.dev(), meta.ino(), meta.size(), u64::from(meta.mode())],
            [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()],
        ))
    };
    let seen = of(&path);
    Stamp(path, seen)
}
