use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    DEPTH, depth, placeholder,
    preflight::{self, Line},
};
use crate::{
    environment::allowed,
    error::HookError,
    hook::{Handler, Shell},
    ownership::FileCheck,
    process::Command,
};

/// An environment.
type Vars = Arc<[(OsString, OsString)]>;

/// How a hook's program is started.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// A program or a line for a shell.
    pub(crate) handler: Handler,
    pub(crate) project: Option<PathBuf>,
    /// The variables that it sees; all of them, where nothing is said.
    pub(crate) env_allow: Option<Arc<[String]>>,
    pub(crate) file_check: FileCheck,
    /// Where hooks have to be trusted, the files that were looked at.
    pub(crate) trusted: Option<Arc<[PathBuf]>>,
}

impl Recipe {
    /// Where a program runs that is of no session.
    pub(crate) fn home(&self) -> PathBuf {
        self.project
            .clone()
            .or_else(|| env::current_dir().ok())
            .unwrap_or_else(|| "/".into())
    }

    fn project_dir(&self, cwd: &Path) -> PathBuf {
        self.project.clone().unwrap_or_else(|| cwd.to_owned())
    }

    /// The command line as words, where it can be known before a shell has read it.
    pub(crate) fn line(&self, cwd: &Path) -> Option<Line> {
        let project = self.project_dir(cwd);
        match &self.handler {
            Handler::Exec { program, args } => {
                let words = std::iter::once(program).chain(args);
                // Words that are no text are left to the system.
                let words = words.map(|word| placeholder::expand(word, &project).into_string().ok());
                Some(Line::of_words(words.collect::<Option<_>>()?))
            }
            _ => Line::of_shell(self.posix()?.1, &project),
        }
    }

    /// Says what is missing, if the program or its script is not there to be run; or who else could have written it.
    pub(crate) fn check(&self, line: Option<&Line>, cwd: &Path) -> Result<(), HookError> {
        let checked = line.map_or(Ok(()), |line| {
            preflight::check(line, cwd)?;
            if self.file_check == FileCheck::Off && self.trusted.is_none() {
                return Ok(());
            }
            let (_, files) = preflight::runs(line, cwd);
            files.iter().try_for_each(|name| {
                self.file_check
                    .check_program(&cwd.join(name), self.project.as_deref())?;
                self.was_looked_at(name, cwd)
            })
        });
        checked.map_err(|why| HookError::CouldNotStart(why.into()))
    }

    /// A relative name is another file's in another folder, of the project or not.
    fn was_looked_at(&self, name: &str, cwd: &Path) -> Result<(), String> {
        let (Some(trusted), Some(project)) = (&self.trusted, &self.project) else {
            return Ok(());
        };
        let file = cwd.join(name);
        let (Ok(real), Ok(project)) = (fs::canonicalize(&file), fs::canonicalize(project)) else {
            return Ok(());
        };
        let is_ours = real.starts_with(&project);
        // Nobody looks at programs outside of the project: at that one of them that the line means.
        let is_meant = || fs::canonicalize(self.home().join(name)).is_ok_and(|meant| meant == real);
        match trusted.contains(&real) || (!is_ours && is_meant()) {
            true => Ok(()),
            false => Err(format!(
                "{}: it is not what was looked at when the hooks were trusted; expected the same file from every \
                 folder, by its path from $CLAUDE_PROJECT_DIR on",
                file.display()
            )),
        }
    }

    /// What of the asker's environment the program sees, or of ours; `None` for all of ours.
    pub(crate) fn environment(&self, asker: Option<&Vars>) -> Option<Vars> {
        match (&self.env_allow, asker) {
            (None, asker) => asker.cloned(),
            (Some(allow), Some(vars)) => Some(allowed(vars.iter().cloned(), allow).collect()),
            (Some(allow), None) => Some(allowed(env::vars_os(), allow).collect()),
        }
    }

    /// The shell that reads the command line, if it is of the POSIX kind, and the line.
    pub(crate) fn posix(&self) -> Option<(&'static str, &str)> {
        match &self.handler {
            Handler::Shell {
                command,
                shell: Shell::Sh,
            } => Some(("/bin/sh", command)),
            Handler::Shell {
                command,
                shell: Shell::Bash,
            } => Some(("bash", command)),
            _ => None,
        }
    }

    pub(crate) fn command(&self, cwd: &Path) -> Command {
        let project = self.project_dir(cwd);
        let command = match &self.handler {
            Handler::Exec { program, args } => {
                let program = placeholder::expand(program, &project);
                // A path is meant from the hook's directory; a bare name is looked up in PATH.
                let program = match program.as_bytes().contains(&b'/') {
                    true => cwd.join(program).into_os_string(),
                    false => program,
                };
                Command::new(program).args(args.iter().map(|arg| placeholder::expand(arg, &project)))
            }
            Handler::Shell { command, shell } => match shell {
                Shell::PowerShell => Command::new("pwsh").args(["-NoProfile", "-Command", command]),
                Shell::Bash => Command::new("bash").args(["-c", command]),
                Shell::Sh => Command::new("/bin/sh").args(["-c", command]),
            },
            Handler::InProcess | Handler::Http(_) | Handler::Worker(_) | Handler::HostOnly { .. } => {
                unreachable!("no program: {}", self.handler)
            }
        };
        let command = match self.environment(None) {
            Some(vars) => command.environment(vars),
            None => command,
        };
        command
            .cwd(cwd)
            .env("CLAUDE_PROJECT_DIR", project)
            .env(DEPTH, (depth() + 1).to_string())
    }
}
