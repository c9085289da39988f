//! Whether somebody else can change what runs.

use std::{
    fmt,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What is asked of the files that decide what runs: settings files, directories of hooks, and the programs and
/// scripts that a command line plainly names.
///
/// What does not pass is not used: a settings file counts as one that cannot be read, and a hook fails as one that
/// could not start, which means for the action what its policy says. The figure is `file_check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FileCheck {
    /// Nothing.
    Off,
    /// That not everybody can change the file, or put another one into its folder; and that it belongs to the user, to root
    /// or to whoever owns the project. What lies where others cannot enter is out of their reach, whatever its own
    /// permissions are. Where the file system has no permissions of its own, as on Windows drives, only
    /// the owner is looked at. The default.
    #[default]
    Others,
    /// That nobody but the user and root can change the file or any folder above it, groups included, and that
    /// it does not run under another user's name (setuid, setgid).
    Strict,
}

impl FileCheck {
    /// All of them, the most lenient first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Others, Self::Strict];

    /// The word for it in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Others => "others",
            Self::Strict => "strict",
        }
    }

    /// What a word means, if it is one of the three.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Looks at a file of a project.
    ///
    /// # Errors
    ///
    /// A sentence that names the file, why it is not to be used, and what was expected. Nothing about a file that is not
    /// there.
    pub fn check(self, file: &Path, project: Option<&Path>) -> Result<(), String> {
        or_off(self.look(file, project, Place::Anywhere))
    }

    /// Looks at a program or a script. One outside of the project may be another user's, unless it is strict: whoever
    /// installs programs on a machine is not always root, and of those that are found by `PATH` nobody asks.
    pub(crate) fn check_program(self, file: &Path, project: Option<&Path>) -> Result<(), String> {
        or_off(self.look(file, project, Place::Project))
    }

    /// The same as [`check`](Self::check) for a file of which no figure says that it does not matter.
    pub(crate) fn check_ours(self, file: &Path) -> Result<(), String> {
        self.look(file, None, Place::OutOfProjects)
    }

    fn look(self, file: &Path, project: Option<&Path>, place: Place) -> Result<(), String> {
        if self == Self::Off {
            return Ok(());
        }
        let Ok(meta) = fs::metadata(file) else {
            return Ok(());
        };
        let owners = Owners::of(self, project, place);
        let refuse = |at: &Path, what: String, mend: String| {
            let file = file.display();
            let where_ = match at.as_os_str() == Path::new("").as_os_str() {
                true => String::new(),
                false => format!(" ({})", at.display()),
            };
            Err(format!("{file}: {what}{where_}; expected {mend}"))
        };
        let here = Path::new("");
        if let Some(uid) = owners.stranger(file, &meta) {
            return refuse(
                here,
                format!("it belongs to user {uid}"),
                "a file of yours".into(),
            );
        }
        if let Some(who) = self.writers(&meta, file, place) {
            let mend = format!("`chmod go-w {}`", file.display());
            return refuse(here, format!("{who} may change it"), mend);
        }
        if self == Self::Strict && meta.is_file() && meta.mode() & 0o6000 != 0 {
            let mend = format!("`chmod ug-s {}`", file.display());
            return refuse(here, "it runs under another name".into(), mend);
        }
        // The folder in which it is named, and where a link leads to.
        let named = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let real = fs::canonicalize(file).unwrap_or_else(|_| named.clone());
        for folder in self.folders(&named).into_iter().chain(self.folders(&real)) {
            let Ok(meta) = fs::metadata(&folder) else { continue };
            if let Some(uid) = owners.stranger(&folder, &meta) {
                return refuse(
                    &folder,
                    format!("its folder belongs to user {uid}"),
                    "one of yours".into(),
                );
            }
            // With the sticky bit, only owners replace what is in it.
            if let Some(who) = self
                .writers(&meta, &folder, place)
                .filter(|_| meta.mode() & 0o1000 == 0)
            {
                let mend = format!("`chmod go-w {}`", folder.display());
                return refuse(
                    &folder,
                    format!("{who} may put another one into its folder"),
                    mend,
                );
            }
        }
        Ok(())
    }

    /// Who else may write.
    fn writers(self, meta: &Metadata, path: &Path, place: Place) -> Option<&'static str> {
        let who = match meta.mode() {
            mode if mode & 0o002 != 0 => "everybody",
            mode if mode & 0o020 != 0 && self == Self::Strict => "its group",
            _ => return None,
        };
        let is_said = self == Self::Strict || place == Place::OutOfProjects;
        (is_said || (has_permissions(path) && is_in_reach(path))).then_some(who)
    }

    fn folders(self, file: &Path) -> Vec<PathBuf> {
        let above = file.ancestors().skip(1);
        match self {
            Self::Off => Vec::new(),
            Self::Others => above.take(1).map(Into::into).collect(),
            Self::Strict => above.map(Into::into).collect(),
        }
    }
}

impl fmt::Display for FileCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn or_off(looked: Result<(), String>) -> Result<(), String> {
    looked.map_err(|why| format!("{why}, or `file_check = \"off\"`"))
}

/// Where a file has to be for its owner to matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Anywhere,
    Project,
    /// Nobody has made it but us, with permissions of its own.
    OutOfProjects,
}

/// Whose files are trusted.
struct Owners<'a> {
    us: u32,
    /// Whoever has checked the project out.
    project: Option<u32>,
    /// Where it matters.
    within: Option<&'a Path>,
}

impl<'a> Owners<'a> {
    fn of(check: FileCheck, project: Option<&'a Path>, place: Place) -> Self {
        let lenient = project.filter(|_| check == FileCheck::Others);
        Self {
            us: rustix::process::geteuid().as_raw(),
            project: lenient.and_then(|dir| Some(fs::metadata(dir).ok()?.uid())),
            within: lenient.filter(|_| place == Place::Project),
        }
    }

    fn stranger(&self, path: &Path, meta: &Metadata) -> Option<u32> {
        let uid = meta.uid();
        let is_known = uid == 0 || uid == self.us || Some(uid) == self.project;
        let matters = self.within.is_none_or(|project| path.starts_with(project));
        (!is_known && matters).then_some(uid)
    }
}

/// Whether others can come as far as to a file: through all folders above it.
fn is_in_reach(path: &Path) -> bool {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let may_be_entered = |folder: &Path| fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    path.ancestors().skip(1).all(may_be_entered)
}

/// Whether the bits of a file's mode say who may change it: they are made up on what was made for other systems.
fn has_permissions(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        // FAT, NTFS, exFAT, SMB (old and new), 9P (WSL, virtual machines), FUSE.
        const MADE_UP: [i64; 7] = [
            0x4d44,
            0x5346_544e,
            0x2011_bab0,
            0x517b,
            0xff53_4d42,
            0x0102_1997,
            0x6573_5546,
        ];
        if let Ok(found) = rustix::fs::statfs(path) {
            #[allow(clippy::unnecessary_cast, reason = "it has other types on other machines")]
            let kind = found.f_type as i64 & 0xffff_ffff;
            return !MADE_UP.contains(&kind);
        }
    }
    let _ = path;
    true
}
