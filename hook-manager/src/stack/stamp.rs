//! What the files that an answer depends on contain, without reading them again at every hit.

use std::{
    collections::HashMap,
    env, fs,
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::{
    command::placeholder,
    hook::{CacheRule, Handler},
};

/// A larger file is told from others by what the file system says about it, and not read.
const READ: u64 = 16 * 1024 * 1024;
/// The files whose contents are remembered; of relative paths there is one for each directory.
const KNOWN: usize = 256;
/// A file changed so shortly before it was read may change once more within the file system's tick.
const TICK: Duration = Duration::from_millis(50);

/// A digest of the contents of all files, and of their paths.
pub(crate) type Stamp = [u8; 16];

/// The files that a hook's answers depend on.
///
/// Of each file the digest is kept together with its device, inode, size and times, so that a file that has not
/// changed costs one `stat` a look, about a microsecond, and is not read.
#[derive(Debug)]
pub(crate) struct Files {
    /// As they are declared: absolute, or relative to the hook's directory.
    paths: Vec<PathBuf>,
    project: Option<PathBuf>,
    known: Mutex<HashMap<PathBuf, (Traits, Stamp)>>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traits {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// The hook's own files, as far as its command line names them, and those that its owner declares.
    pub(crate) fn of(handler: &Handler, rule: &CacheRule, project: Option<&Path>) -> Self {
        let mut paths = Vec::new();
        let mut add = |path: PathBuf| {
            if !paths.contains(&path) {
                paths.push(path);
            }
        };
        let place = project.unwrap_or(Path::new("/"));
        let expand = |word: &str| PathBuf::from(placeholder::expand(word, place));
        let from = project.map(Path::to_path_buf).or_else(|| env::current_dir().ok());
        let from = from.unwrap_or_default();
        for word in own_words(handler) {
            let path = expand(&word);
            // Which words are files is asked now: a flag or an argument for the hook is none. What is not there may come.
            let may_come = || is_name_of_file(&word) && !from.join(&path).exists();
            if from.join(&path).is_file() || may_come() {
                add(path);
            }
        }
        for file in &rule.files {
            add(file.to_str().map_or_else(|| file.clone(), expand));
        }
        Self {
            paths,
            project: project.map(Path::to_path_buf),
            known: Mutex::default(),
        }
    }

    /// Whether it matters where the session is.
    pub(crate) fn has_relative(&self) -> bool {
        self.paths.iter().any(|path| path.is_relative())
    }

    /// The stamp of this moment, for a session in `cwd`; `None` where a file is there and cannot be read, so that nothing is known about
    /// the answer. A missing file is a state like any other.
    pub(crate) fn stamp(&self, cwd: Option<&str>) -> Option<Stamp> {
        if self.paths.is_empty() {
            return Some(Stamp::default());
        }
        let mut all = Sha256::new();
        for path in &self.paths {
            let digest = if path.is_absolute() {
                self.one(path)
            } else {
                self.one(&self.directory(cwd).join(path))
            };
            all.update(digest.ok()?);
        }
        Some(cut(all))
    }

    /// Where the hook will run.
    fn directory(&self, cwd: Option<&str>) -> PathBuf {
        let session = cwd.map(PathBuf::from).filter(|cwd| cwd.is_absolute());
        session
            .or_else(|| self.project.clone())
            .or_else(|| env::current_dir().ok())
            .unwrap_or_default()
    }

    fn one(&self, path: &Path) -> io::Result<Stamp> {
        let (is_file, traits) = match fs::metadata(path) {
            Ok(meta) => (meta.is_file(), Traits::of(&meta)),
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(digest(path, b"missing"));
            }
            Err(err) => return Err(err),
        };
        let known = |known: &HashMap<PathBuf, (Traits, Stamp)>| known.get(path).copied();
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, stamp)) = known(&lock()).filter(|(seen, _)| *seen == traits) {
            return Ok(stamp);
        }
        let (traits, stamp) = match is_file {
            true => read(path)?,
            false => (traits, of_traits(path, &traits)),
        };
        if traits.is_settled() {
            let mut known = lock();
            if known.len() >= KNOWN {
                known.clear();
            }
            known.insert(path.to_owned(), (traits, stamp));
        }
        Ok(stamp)
    }
}

impl Traits {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether any later change would show.
    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed.max(self.modified);
        let since = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanos).unwrap_or(0),
        );
        let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        now.saturating_sub(since) > TICK
    }
}

fn read(path: &Path) -> io::Result<(Traits, Stamp)> {
    // Without waiting: it may be a pipe by now, and is nobody's to read from then.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    let meta = file.metadata()?;
    let traits = Traits::of(&meta);
    if !meta.is_file() || meta.len() > READ {
        return Ok((traits, of_traits(path, &traits)));
    }
    let mut contents = Vec::new();
    file.by_ref().take(READ).read_to_end(&mut contents)?;
    Ok((traits, digest(path, &contents)))
}

/// What is no plain file is not opened: a pipe would wait for somebody, a device would do who knows what.
fn of_traits(path: &Path, traits: &Traits) -> Stamp {
    digest(path, format!("{traits:?}").as_bytes())
}

fn digest(path: &Path, contents: &[u8]) -> Stamp {
    let mut hash = Sha256::new();
    hash.update((path.as_os_str().len() as u64).to_le_bytes());
    hash.update(path.as_os_str().as_bytes());
    hash.update(contents);
    cut(hash)
}

fn cut(hash: Sha256) -> Stamp {
    let mut stamp = Stamp::default();
    stamp.copy_from_slice(&hash.finalize()[..16]);
    stamp
}

/// Whether a word looks like a file's path, or like the name of a script.
fn is_name_of_file(word: &str) -> bool {
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | '$' | '{' | '}');
    let ending = Path::new(word).extension().and_then(|ending| ending.to_str());
    let has_ending =
        ending.is_some_and(|ending| ending.len() <= 4 && ending.starts_with(char::is_alphabetic));
    !word.starts_with('-') && word.chars().all(is_plain) && (word.contains('/') || has_ending)
}

/// The words of a command line that may name a file of the hook itself.
fn own_words(handler: &Handler) -> Vec<String> {
    let between = |c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&' | '(' | ')' | '<' | '>');
    let quote = |c: char| matches!(c, '"' | '\'');
    match handler {
        // Quotes may stand around a part of a path, or around one with spaces.
        Handler::Shell { command, .. } => {
            let bare = command.split(between).map(|word| word.replace(quote, ""));
            let quoted = command.split(quote).map(str::to_owned);
            bare.chain(quoted).filter(|word| word.len() > 1).collect()
        }
        Handler::Exec { program, args } => std::iter::once(program).chain(args).cloned().collect(),
        Handler::Worker(worker) => own_words(&worker.run),
        _ => Vec::new(),
    }
}
