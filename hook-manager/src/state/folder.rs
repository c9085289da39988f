//! The files, and how they are read and written so that nobody ever sees half of one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{fs::OFlags, io::Errno};

use crate::lock;

/// More than any state; a larger file is not one.
pub(super) const LIMIT: u64 = 64 * 1024 * 1024;
/// Files that were set aside and are kept.
const ASIDES: usize = 3;
/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_secs(2);

const ASIDE: &str = "state.json.aside-";

/// A folder that is its owner's alone.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Why it is not used.
    refused: Option<String>,
}

/// Held while the state is read and written anew.
pub(super) struct Lock {
    _file: File,
}

impl Folder {
    /// Makes the folder if need be. One that others may write to is refused, and nothing in it is read or written.
    pub(super) fn open(path: &Path) -> Result<Self, (Self, io::Error)> {
        let usable = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| check(path));
        let folder = |refused| Self {
            path: path.into(),
            refused,
        };
        match usable {
            Ok(()) => Ok(folder(None)),
            Err(err) => Err((folder(Some(err.to_string())), err)),
        }
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn usable(&self) -> io::Result<()> {
        match &self.refused {
            Some(why) => Err(io::Error::other(format!("{}: {why}", self.path.display()))),
            None => Ok(()),
        }
    }

    /// The state's text; `None` if there is none. Needs no lock, for the file is only ever replaced.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        if self.refused.is_some() {
            return Ok(None);
        }
        // Without waiting: it may be a pipe.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(flags.bits() as i32);
        let no_file = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let file = match options.open(self.state()) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) if err.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Err(no_file("a link, and no file"));
            }
            Err(err) => return Err(err),
        };
        if !file.metadata()?.is_file() {
            return Err(no_file("no plain file"));
        }
        let mut text = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more than 64 MiB"));
        }
        Ok(Some(text))
    }

    /// Puts a file that is no state of ours out of the way, and says where. The last three are kept.
    pub(super) fn set_aside(&self, _lock: &Lock) -> io::Result<PathBuf> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // Padded, so that they are in order by name.
        let mut names = (0..1_000).map(|n| format!("{ASIDE}{:016}-{n:03}", now.as_millis()));
        let free = names.find(|name| self.file(name).symlink_metadata().is_err());
        let aside =
            self.file(&free.ok_or_else(|| io::Error::other("a thousand files are set aside already"))?);
        fs::rename(self.state(), &aside)?;
        let mut asides: Vec<PathBuf> = fs::read_dir(&self.path)?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(ASIDE))
            .map(|entry| entry.path())
            .collect();
        asides.sort();
        for old in asides.iter().rev().skip(ASIDES) {
            // A folder is not ours to clear out.
            let _ = fs::remove_file(old);
        }
        Ok(aside)
    }

    /// Waits for the lock, two seconds at most.
    pub(super) fn lock(&self) -> io::Result<Lock> {
        self.usable()?;
        let path = self.file("state.lock");
        let named = |err: io::Error| with_name(&path, &err);
        let file = private()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(named)?;
        match lock::take(&file, PATIENCE).map_err(|err| named(err.into()))? {
            true => Ok(Lock { _file: file }),
            false => Err(io::Error::other(format!(
                "{}: another process holds the lock for more than 2 s",
                path.display()
            ))),
        }
    }

    /// Replaces the state: after a crash at any moment there is the old one or the new one.
    pub(super) fn write(&self, text: &[u8], _lock: &Lock) -> io::Result<()> {
        let new = self.file("state.json.new");
        let named = |err: io::Error| with_name(&new, &err);
        match fs::remove_file(&new) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(named(err)),
            _ => {}
        }
        let mut file = private().create_new(true).open(&new).map_err(named)?;
        file.write_all(text)
            .and_then(|()| file.sync_all())
            .map_err(named)?;
        fs::rename(&new, self.state()).map_err(|err| with_name(&self.state(), &err))?;
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|err| with_name(&self.path, &err))
    }

    /// Opens a file to write behind its end.
    pub(super) fn append(&self, name: &str) -> io::Result<File> {
        self.usable()?;
        let mut options = private();
        let path = self.file(name);
        let file = options.append(true).create(true).open(&path);
        file.map_err(|err| with_name(&path, &err))
    }
}

/// The system says what is wrong, and not with which file.
fn with_name(file: &Path, err: &io::Error) -> io::Error {
    io::Error::new(err.kind(), format!("{}: {err}", file.display()))
}

/// For its owner alone, never through a link, and without waiting where it is a pipe.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    options
}

fn check(path: &Path) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us {
        return Err(io::Error::other(format!(
            "it belongs to user {}, expected {us}",
            meta.uid()
        )));
    }
    if meta.mode() & 0o022 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(io::Error::other(format!(
            "others may write to it (mode {mode:o}), expected 700"
        )));
    }
    Ok(())
}
