//! What is to be changed, how it is shown, and how it is done.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use similar::TextDiff;

use super::lock::Lock;

/// Changes that belong together, in the order in which they are made.
///
/// For as long as it is there, no other process makes a plan for the same project.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Held, and let go of with the plan.
    pub(super) _lock: Lock,
    pub(super) changes: Vec<Change>,
    pub(super) notes: Vec<String>,
}

/// One file, before and after.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) path: PathBuf,
    /// Its name within the project.
    pub(super) name: String,
    pub(super) before: Option<Vec<u8>>,
    pub(super) after: Option<Vec<u8>>,
    /// The file whose owner and permissions a new one gets.
    pub(super) like: PathBuf,
    /// A copy of what can be seen elsewhere in the plan.
    pub(super) is_copy: bool,
}

impl Plan {
    pub(super) fn under(self, lock: Lock) -> Self {
        Self { _lock: lock, ..self }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, in the order in which they are made.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What else there is to say: what was left where it is, and why.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Everything that changes, as a unified diff. Copies are not shown.
    pub fn diff(&self) -> String {
        let shown = self.changes.iter().filter(|change| !change.is_copy);
        shown.map(Change::diff).collect()
    }

    /// Makes the changes: each file is replaced as a whole, and is on the disk before the next one is begun. New files
    /// get the permissions of the ones they stem from.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or is no longer what the plan was made for. What was changed before that is undone; if
    /// even that fails, the error says so. The error names the file.
    pub fn apply(&self) -> io::Result<()> {
        for (at, change) in self.changes.iter().enumerate() {
            let Err(err) = change.apply() else { continue };
            let what = format!("{}: {err}", change.name);
            for done in self.changes[..at].iter().rev() {
                if let Err(err) = done.reversed().apply() {
                    let what = format!("{what}; and {} could not be brought back: {err}", done.name);
                    return Err(io::Error::new(err.kind(), what));
                }
            }
            return Err(io::Error::new(err.kind(), format!("{what}; nothing was changed")));
        }
        Ok(())
    }
}

impl Change {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it now. `None`: it is not there.
    pub fn before(&self) -> Option<&[u8]> {
        self.before.as_deref()
    }

    /// What will be in it. `None`: it will not be there.
    pub fn after(&self) -> Option<&[u8]> {
        self.after.as_deref()
    }

    fn diff(&self) -> String {
        diff(&self.name, self.before(), self.after())
    }

    fn reversed(&self) -> Self {
        let mut reversed = self.clone();
        std::mem::swap(&mut reversed.before, &mut reversed.after);
        reversed
    }

    fn apply(&self) -> io::Result<()> {
        if content(&self.path)? != self.before {
            return Err(io::Error::other(
                "it was changed by somebody else in the meantime; expected to be alone with it: try again",
            ));
        }
        match &self.after {
            Some(bytes) => replace(&self.path, bytes, &self.like)?,
            None => fs::remove_file(&self.path)?,
        }
        // A name that is not on the disk is lost with the power.
        File::open(parent(&self.path))?.sync_all()
    }
}

/// What is in a file, if it is there.
pub(super) fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn replace(path: &Path, bytes: &[u8], like: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = parent(path).join(format!(".{name}.hook-manager-new"));
    // Left behind by one that was killed.
    match fs::remove_file(&new) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let written = write(&new, bytes, like).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn write(new: &Path, bytes: &[u8], like: &Path) -> io::Result<()> {
    let meta = fs::metadata(like)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(new)?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (meta.uid(), meta.gid()) {
        fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o777))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A unified diff; line ends that cannot be seen are named.
pub(super) fn diff(name: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (old, new) = (text(before), text(after));
    let title = |side: &str, bytes: Option<&[u8]>| match bytes {
        Some(_) => format!("{side}/{name}"),
        None => "/dev/null".to_owned(),
    };
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .header(&title("a", before), &title("b", after))
        .to_string()
}
