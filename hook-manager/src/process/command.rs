use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{self, Child, Stdio},
    sync::Arc,
};

use rustix::io::Errno;

use super::leftovers;

/// A program, its arguments, and what is different in its surroundings from ours.
///
/// A program with a `/` in its name is a file; make it absolute where a [`cwd`](Self::cwd) is given.
/// Any other is looked up in `PATH`. There is no shell unless the program is one.
///
/// ```
/// # use hook_manager::process::Command;
/// let command = Command::new("python3").args(["guard.py", "--strict"]).cwd("/srv/project").env("LC_ALL", "C");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    /// `None` takes a variable away.
    env: BTreeMap<OsString, Option<OsString>>,
    /// What is inherited in place of our own.
    base: Option<Arc<[(OsString, OsString)]>>,
}

impl Command {
    /// Without arguments, in our own working directory, with our own environment.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            base: None,
        }
    }

    /// Adds an argument, which reaches the program as it is.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments, which reach the program as they are.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The directory the program starts in.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Sets a variable of the environment, beside those that are inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    /// Takes a variable out of the inherited environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Has the program inherit these variables and no others, in place of our own environment.
    #[must_use]
    pub fn environment(mut self, vars: Arc<[(OsString, OsString)]>) -> Self {
        self.base = Some(vars);
        self
    }

    /// The program's name or path, as given.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Starts the program as the leader of a process group of its own, with three pipes to us.
    pub(super) fn spawn(&self) -> io::Result<Child> {
        let mut command = process::Command::new(&self.program);
        command.args(&self.args).process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        if let Some(base) = &self.base {
            command
                .env_clear()
                .envs(base.iter().map(|(name, value)| (name, value)));
        }
        if let Some((name, value)) = leftovers::mark() {
            command.env(name, value);
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.spawn()
    }

    /// The system's error, in a sentence that says which of the many things it is about.
    pub(super) fn explain(&self, err: io::Error) -> io::Error {
        let why = self
            .cwd
            .as_deref()
            .and_then(unusable_directory)
            .or_else(|| self.unusable_program(&err));
        match why {
            Some(why) => io::Error::new(err.kind(), why),
            None => err,
        }
    }

    fn unusable_program(&self, err: &io::Error) -> Option<String> {
        let name = self.program.to_string_lossy();
        match Errno::from_io_error(err)? {
            Errno::NOENT if !name.contains('/') => Some(format!(
                "`{name}` is in no directory of PATH; expected an installed program or an absolute path"
            )),
            Errno::NOENT => Some(match interpreter(&self.path()) {
                Some(interpreter) => {
                    format!("the interpreter `{interpreter}` in the first line of `{name}` does not exist")
                }
                None => format!("`{name}` does not exist; expected an executable file"),
            }),
            Errno::NOTDIR => Some(format!(
                "`{name}` leads through something that is not a directory"
            )),
            Errno::ACCESS => Some(match fs::metadata(self.path()) {
                Ok(found) if found.is_dir() => {
                    format!("`{name}` is a directory; expected an executable file")
                }
                Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                    format!("`{name}` is not executable; expected the execute bit (chmod +x)")
                }
                _ => format!("`{name}` may not be executed by this user"),
            }),
            Errno::NOEXEC => Some(format!(
                "`{name}` is not a program; expected a binary for this machine, or a script whose first line begins with #!"
            )),
            Errno::TXTBSY => Some(format!(
                "`{name}` is open for writing; expected a file that nobody writes to"
            )),
            Errno::TOOBIG => {
                Some("the arguments and the environment are too long for this system".to_owned())
            }
            Errno::MFILE | Errno::NFILE => {
                Some("no file descriptors left for the pipes; expected room for ten (ulimit -n)".to_owned())
            }
            Errno::AGAIN => Some("no processes left for this user (ulimit -u)".to_owned()),
            _ => None,
        }
    }

    /// Where a program that is a file is found.
    fn path(&self) -> PathBuf {
        self.cwd.as_deref().unwrap_or(Path::new("")).join(&self.program)
    }
}

/// Says nothing about a directory that can be entered.
fn unusable_directory(cwd: &Path) -> Option<String> {
    let shown = cwd.display();
    match fs::metadata(cwd) {
        Ok(found) if !found.is_dir() => Some(format!("the working directory `{shown}` is not a directory")),
        Ok(_) => rustix::fs::access(cwd, rustix::fs::Access::EXEC_OK)
            .is_err()
            .then(|| format!("the working directory `{shown}` may not be entered by this user")),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Some(format!("the working directory `{shown}` does not exist"))
        }
        Err(err) => Some(format!("the working directory `{shown}` cannot be used: {err}")),
    }
}

/// What a script's first line asks for.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    fs::File::open(script)
        .ok()?
        .take(256)
        .read_to_end(&mut head)
        .ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // A carriage return at the end is a part of the name, and the usual reason.
    String::from_utf8_lossy(line)
        .trim_matches([' ', '\t'])
        .split([' ', '\t'])
        .next()
        .map(|word| word.escape_debug().to_string())
}
