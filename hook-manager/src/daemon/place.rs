//! Where a project's daemon is found: a socket, a lock and a log in a folder that only its owner can reach.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{fs::FlockOperation, process::geteuid};
use sha2::{Digest, Sha256};

use crate::cli::SourceArgs;

/// The room there is in a socket's address, on Linux; elsewhere a little less.
const PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The place of the daemon for these sources of hooks.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    key: String,
}

/// Held for as long as a daemon lives.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "what is locked is the open file")] File);

impl Place {
    /// Other sources are another daemon's: an answer must not come from hooks that were not asked for.
    pub(crate) fn of(sources: &SourceArgs) -> Self {
        let whole = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let mut digest = Sha256::new();
        let mut add = |kind: u8, path: &Path| {
            let path = whole(path).unwrap_or_else(|_| path.to_owned());
            digest.update([kind]);
            digest.update(path.as_os_str().as_bytes());
            digest.update([0]);
        };
        add(b'p', &sources.project);
        sources.settings.iter().for_each(|file| add(b's', file));
        sources.hooks_dir.iter().for_each(|dir| add(b'd', dir));
        let key = digest.finalize()[..10]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            folder: folder(),
            key,
        }
    }

    /// Who owns the hooks that the daemon of this place has started.
    pub(crate) fn owner(&self) -> &str {
        &self.key
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.file("log")
    }

    fn lock_file(&self) -> PathBuf {
        self.file("lock")
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.key))
    }

    /// Whether the folder is there, and nobody else can reach into it.
    pub(crate) fn check(&self) -> io::Result<()> {
        let meta = fs::symlink_metadata(&self.folder)?;
        let wrong = |what: String| {
            Err(io::Error::other(format!(
                "{}: {what}; expected a folder of this user's that nobody else can enter (mode 700)",
                self.folder.display()
            )))
        };
        if !meta.is_dir() {
            return wrong("it is no folder".into());
        }
        if meta.uid() != geteuid().as_raw() {
            return wrong(format!("it belongs to user {}", meta.uid()));
        }
        match meta.mode() & 0o077 {
            0 => Ok(()),
            _ => wrong(format!("its mode is {:o}", meta.mode() & 0o777)),
        }
    }

    /// Makes the folder where it is missing.
    pub(crate) fn create(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
                Err(with_name(&self.folder, &err, "a folder to be made here"))
            }
            _ => self.check(),
        }
    }

    /// Takes the place, or says who holds it.
    pub(crate) fn lock(&self) -> io::Result<Result<Lock, String>> {
        let path = self.lock_file();
        let named = |err: io::Error| with_name(&path, &err, "a file that says who serves");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(named)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "process {}", std::process::id()))
                    .map_err(named)?;
                Ok(Ok(Lock(file)))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                (&file).take(64).read_to_string(&mut holder).map_err(named)?;
                Ok(Err(holder))
            }
            Err(err) => Err(named(err.into())),
        }
    }

    /// Takes away the socket of a daemon that is gone. Only whoever holds the lock may.
    pub(crate) fn clear(&self, _lock: &Lock) -> io::Result<()> {
        let path = self.socket();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.file_type().is_socket() && meta.uid() == geteuid().as_raw() => {
                fs::remove_file(path)
            }
            Ok(_) => Err(io::Error::other(format!(
                "{}: is no socket of this user's, and is left alone",
                path.display()
            ))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(err) => Err(err),
        }
    }
}

/// The system says what is wrong, and not with which file.
pub(crate) fn with_name(file: &Path, err: &io::Error, expected: &str) -> io::Error {
    io::Error::new(
        err.kind(),
        format!("{}: {err}; expected {expected}", file.display()),
    )
}

/// The user's folder for what lives as long as a session; one of our own in `/tmp` where there is none, or where its
/// name is too long for a socket in it.
fn folder() -> PathBuf {
    let given = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let given = given.filter(|dir| dir.is_absolute() && dir.is_dir());
    let given = given.map(|dir| dir.join("hook-manager"));
    // A slash, twenty digits, a dot and `sock`.
    let fits = |dir: &PathBuf| dir.as_os_str().len() + 26 <= PATH_LIMIT;
    given
        .filter(fits)
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/hook-manager-{}", geteuid().as_raw())))
}
