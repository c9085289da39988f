//! Whether somebody else can change what runs.

use std::{
    ffi::OsString,
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
        for step in way(file) {
            if !(step.is_last || self == Self::Strict) {
                continue;
            }
            let folder = &step.folder;
            let Ok(meta) = fs::metadata(folder) else { continue };
            if let Some(uid) = owners.stranger(folder, &meta) {
                return refuse(
                    folder,
                    format!("its folder belongs to user {uid}"),
                    "one of yours".into(),
                );
            }
            let Some(who) = self.writers(&meta, folder, place) else {
                continue;
            };
            if meta.mode() & 0o1000 == 0 {
                let mend = format!("`chmod go-w {}`", folder.display());
                return refuse(folder, format!("{who} may put another one into its folder"), mend);
            }
            // With the sticky bit, only owners replace what is in it.
            let link = fs::symlink_metadata(&step.name).ok().filter(Metadata::is_symlink);
            if let Some(uid) = link.and_then(|link| owners.stranger(&step.name, &link)) {
                return refuse(
                    &step.name,
                    format!("the link to it belongs to user {uid}"),
                    "one of yours".into(),
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
struct Owners {
    us: u32,
    /// Whoever has checked the project out.
    project: Option<u32>,
    /// Where it matters: the project, as it is named and as it is.
    within: Option<[PathBuf; 2]>,
}

impl Owners {
    fn of(check: FileCheck, project: Option<&Path>, place: Place) -> Self {
        let lenient = project.filter(|_| check == FileCheck::Others);
        Self {
            us: rustix::process::geteuid().as_raw(),
            project: lenient.and_then(|dir| Some(fs::metadata(dir).ok()?.uid())),
            within: lenient.filter(|_| place == Place::Project).map(|dir| {
                [
                    dir.to_owned(),
                    fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()),
                ]
            }),
        }
    }

    fn stranger(&self, path: &Path, meta: &Metadata) -> Option<u32> {
        let uid = meta.uid();
        let is_known = uid == 0 || uid == self.us || Some(uid) == self.project;
        let is_in = |path: &Path, projects: &[PathBuf; 2]| projects.iter().any(|dir| path.starts_with(dir));
        let matters = || {
            self.within.as_ref().is_none_or(|projects| {
                is_in(path, projects) || fs::canonicalize(path).is_ok_and(|real| is_in(&real, projects))
            })
        };
        (!is_known && matters()).then_some(uid)
    }
}

/// A name that is looked up on the way to a file.
struct Step {
    folder: PathBuf,
    name: PathBuf,
    /// Whether it stands for the file itself: as a link to it, or as what it is.
    is_last: bool,
}

/// All names that lead to a file, through every link: whoever can replace one of them leads elsewhere.
fn way(file: &Path) -> Vec<Step> {
    // As many as the system follows.
    const LINKS: usize = 40;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let names = |path: &Path| -> Vec<OsString> {
        let parts = path.components().rev();
        parts.map(|part| part.as_os_str().to_owned()).collect()
    };
    let (mut steps, mut links) = (Vec::new(), 0);
    let (mut folder, mut ahead) = (PathBuf::from("/"), names(&file));
    while let Some(name) = ahead.pop() {
        match name.as_encoded_bytes() {
            b"/" => folder = "/".into(),
            b"." => {}
            b".." => {
                folder.pop();
            }
            _ => {
                let name = folder.join(name);
                steps.push(Step {
                    folder: folder.clone(),
                    name: name.clone(),
                    is_last: ahead.is_empty(),
                });
                match fs::read_link(&name) {
                    Ok(_) if links >= LINKS => break,
                    Ok(target) => {
                        links += 1;
                        ahead.extend(names(&target));
                    }
                    Err(_) => folder = name,
                }
            }
        }
    }
    steps
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
