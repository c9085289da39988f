//! Whose hooks may run: a record, outside of every project, of what its user has looked at.
//!
//! Whoever clones a repository and has its hooks run, runs whatever its author wrote. Hosts ask once, in a dialogue, or
//! not at all. Where that is not enough, [`require_trust`](crate::HookManagerBuilder::require_trust) has no manager built for
//! hooks that are not in the [record](Trust) as they are now: settings files, figures, and the programs and scripts of the
//! project that command lines plainly name, byte for byte. Of a link in the project that leads out of it, it is in the record
//! where it leads.
//!
//! A script that another one calls, a module that it imports and a program outside of the project are not in it.

use std::{
    collections::BTreeMap,
    env, fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::files::{Known, files, one};
use crate::{
    lock, most,
    ownership::FileCheck,
    source::{self, Sources},
};

mod files;

/// More than any record.
const LIMIT: u64 = 16 << 20;
/// Projects that are remembered; those that were trusted first go first.
const PROJECTS: usize = 10_000;
/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_secs(2);
const VERSION: u32 = 1;

/// A file that says which hooks its user trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    file: PathBuf,
}

/// The hooks of some sources as they are at a moment, to be looked at and [recorded](Trust::record).
#[derive(Clone, Debug)]
pub struct Content {
    of: String,
    digest: String,
    files: Vec<PathBuf>,
    is_empty: bool,
}

/// Why hooks are not run: a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    why: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Record {
    version: u32,
    projects: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    digest: String,
    /// Seconds after 1970.
    at: u64,
}

impl Content {
    /// Reads everything that decides what runs.
    ///
    /// # Errors
    ///
    /// If a file is there and cannot be read.
    pub fn of(sources: &Sources) -> io::Result<Self> {
        let loaded = source::load(sources);
        // What cannot be read may have been a hook.
        let is_empty = loaded.hooks.is_empty() && loaded.broken.is_empty();
        let files = files(sources, &loaded.hooks);
        let mut digest = Sha256::new();
        let add_path = |digest: &mut Sha256, path: &Path| {
            digest.update((path.as_os_str().len() as u64).to_le_bytes());
            digest.update(path.as_os_str().as_encoded_bytes());
        };
        for (file, known) in &files {
            add_path(&mut digest, file);
            if let Known::Link(to) = known {
                digest.update(b"to");
                add_path(&mut digest, to);
                continue;
            }
            match one(file) {
                Ok(found) => {
                    digest.update(b"is");
                    digest.update(found);
                }
                Err(err) if err.kind() == io::ErrorKind::NotFound => digest.update(b"no"),
                Err(err) => return Err(io::Error::new(err.kind(), format!("{}: {err}", file.display()))),
            }
        }
        Ok(Self {
            of: name(sources),
            digest: hex(digest),
            files: files.into_keys().collect(),
            is_empty,
        })
    }

    /// The files that were read, whether they are there or not.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Trust {
    /// The user's own record: `$XDG_STATE_HOME/hook-manager/trusted.json`, or `~/.local/state/hook-manager/trusted.json`. `None`
    /// without a home.
    pub fn of_user() -> Option<Self> {
        let absolute = |name: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(Self::at(base.join("hook-manager/trusted.json")))
    }

    /// The record in this file.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether hooks may run as they are now. Where there is none there is nothing to trust, unless there was one.
    ///
    /// # Errors
    ///
    /// If they may not; also where it cannot be told.
    pub fn check(&self, sources: &Sources) -> Result<(), Untrusted> {
        self.content(sources).map(|_| ())
    }

    /// What was checked.
    pub(crate) fn content(&self, sources: &Sources) -> Result<Content, Untrusted> {
        let command = command(sources);
        let no = |why: String| {
            Err(Untrusted::new(format!(
                "{why}; look at them, and then: `{command}`"
            )))
        };
        let content = match Content::of(sources) {
            Ok(content) => content,
            Err(err) => return no(format!("whether the hooks are trusted cannot be told: {err}")),
        };
        let record = match self.read() {
            Ok(record) => record,
            Err(err) => return no(format!("whether the hooks are trusted cannot be told: {err}")),
        };
        match record.projects.get(&content.of) {
            Some(entry) if entry.digest == content.digest => Ok(content),
            Some(_) => no("the hooks, or what they run, have changed since they were trusted".into()),
            None if content.is_empty => Ok(content),
            None => no("the hooks are not trusted".into()),
        }
    }

    /// Records that the hooks are trusted as they were when they were read.
    ///
    /// # Errors
    ///
    /// If the record cannot be read or written.
    pub fn record(&self, content: &Content) -> io::Result<()> {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let entry = Entry {
            digest: content.digest.clone(),
            at: at.unwrap_or_default().as_secs(),
        };
        self.change(|record| {
            record.projects.insert(content.of.clone(), entry);
            most::keep(PROJECTS, &mut record.projects, |entry| entry.at);
            true
        })
        .map(|_| ())
    }

    /// Forgets that the hooks of these sources are trusted, and says whether they were.
    ///
    /// # Errors
    ///
    /// If the record cannot be read or written.
    pub fn revoke(&self, sources: &Sources) -> io::Result<bool> {
        self.change(|record| record.projects.remove(&name(sources)).is_some())
    }

    fn read(&self) -> io::Result<Record> {
        let named =
            |err: io::Error| with_name(&self.file, &err, "a record that `hook-manager trust` has written");
        let other = |what: String| named(io::Error::other(what));
        // A record that others can write is theirs.
        FileCheck::Others
            .check_ours(&self.file)
            .map_err(io::Error::other)?;
        // Without waiting: it may be a pipe.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        let file = match options.open(&self.file) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(err) => return Err(named(err)),
        };
        if !file.metadata().map_err(named)?.is_file() {
            return Err(other("it is not an ordinary file".into()));
        }
        let mut text = Vec::new();
        file.take(LIMIT).read_to_end(&mut text).map_err(named)?;
        let record: Record = serde_json::from_slice(&text).map_err(|err| other(err.to_string()))?;
        match record.version {
            VERSION => Ok(record),
            version => Err(io::Error::other(format!(
                "{}: it is of version {version}; expected {VERSION}",
                self.file.display()
            ))),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Record) -> bool) -> io::Result<bool> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let in_folder =
            |err: io::Error| with_name(folder, &err, "a folder for the record, where you may write");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(in_folder)?;
        let _lock = locked(&folder.join("trusted.lock"))?;
        let mut record = self.read()?;
        record.version = VERSION;
        if !change(&mut record) {
            return Ok(false);
        }
        let mut text = serde_json::to_vec_pretty(&record).map_err(io::Error::other)?;
        text.push(b'\n');
        let mut new = self.file.clone().into_os_string();
        new.push(".new");
        let new = Path::new(&new);
        let named = |err: io::Error| with_name(new, &err, "room for the new record");
        match fs::remove_file(new) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(named(err)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(new)
            .map_err(named)?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .map_err(named)?;
        fs::rename(new, &self.file).map_err(|err| with_name(&self.file, &err, "a file to replace"))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(in_folder)?;
        Ok(true)
    }
}

impl Untrusted {
    fn new(why: String) -> Self {
        Self { why }
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Untrusted {}

/// What a person has to type.
fn command(sources: &Sources) -> String {
    let mut command = "hook-manager trust".to_owned();
    let options = sources.project.iter().map(|path| ("--project", path));
    let options = options.chain(sources.settings.iter().map(|path| ("--settings", path)));
    for (option, path) in options.chain(sources.hooks_dir.iter().map(|path| ("--hooks-dir", path))) {
        command.push_str(&format!(" {option} {}", whole(path).display()));
    }
    command
}

/// Sources by their paths: other ones of the same project are trusted for themselves.
fn name(sources: &Sources) -> String {
    let mut name = String::new();
    let parts = sources
        .project
        .iter()
        .chain(&sources.settings)
        .chain(&sources.hooks_dir);
    for path in parts {
        // No path has a zero in it, nor is this one of two meanings where it is no text.
        name.push_str(&format!("{:?}\0", whole(path)));
    }
    name.pop();
    name
}

fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

fn hex(digest: Sha256) -> String {
    digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn locked(file: &Path) -> io::Result<File> {
    let named = |err: io::Error| with_name(file, &err, "a file of yours to lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(file)
        .map_err(named)?;
    match lock::take(&lock, PATIENCE).map_err(|err| named(err.into()))? {
        true => Ok(lock),
        false => Err(io::Error::other(format!(
            "{}: another process holds the lock for more than 2 s",
            file.display()
        ))),
    }
}

/// The system says what is wrong, and not with which file.
fn with_name(file: &Path, err: &io::Error, expected: &str) -> io::Error {
    io::Error::new(
        err.kind(),
        format!("{}: {err}; expected {expected}", file.display()),
    )
}
