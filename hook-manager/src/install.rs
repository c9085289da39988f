//! Routes a project's hooks through this program, and back.
//!
//! [`Routing::install`] moves the entries of `.claude/settings.json` into `.claude/hook-manager.json` and those of
//! `.claude/settings.local.json` into `.claude/hook-manager.local.json`, word for word, and leaves one entry an event,
//! which calls `hook-manager run`. What is personal stays personal that way. Those files are read as settings files are,
//! so that a moved hook has the matcher, the time, the order and the policy that it had. They are JSON, as the host's are,
//! and not part of `hook-manager.toml`: TOML has no `null`, no key twice and no number larger than 64 bits, and would
//! have to refuse what a host accepts.
//!
//! What the host alone can run stays with it: `prompt`, `agent`, `mcp_tool` and what this version does not know; `async`
//! hooks, whose words the host gives to the model at its next turn; kinds that the host would not run on that event.
//!
//! [`Routing::uninstall`] brings the files back byte for byte from the copies that `install` made, if nobody has edited
//! anything since.
//!
//! # When it is interrupted
//!
//! Files are replaced one by one, each as a whole. Between any two of them every hook still runs, and runs once: what
//! still stands in a settings file is left to the host, also where it has been copied to ours already.

use std::path::PathBuf;

use crate::event::HookEvent;

mod back;
mod change;
mod entry;
mod file;
mod lock;
mod moving;
mod print;

pub use change::{Change, Plan};

/// How a project's hooks are routed.
///
/// ```no_run
/// use hook_manager::install::Routing;
///
/// let plan = Routing::of("/home/me/app").install()?;
/// print!("{}", plan.diff());
/// plan.apply()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Routing {
    project: PathBuf,
    program: String,
    events: Vec<HookEvent>,
}

/// What to do with edits that were made since `install`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edits {
    /// Refuse.
    #[default]
    Refuse,
    /// Keep them: the hooks are put back into the files as they are now.
    Merge,
    /// Bring back what was before, and keep each edited file beside it, with `.edited` at the end of its name.
    SetAside,
}

/// Why a project is not routed, or not back: a sentence that names the file and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    what: String,
    diff: String,
}

impl Routing {
    /// Of the project in this folder: every event, through the `hook-manager` that the host finds in its `PATH`.
    pub fn of(project: impl Into<PathBuf>) -> Self {
        Self {
            project: project.into(),
            program: "hook-manager".into(),
            events: Vec::new(),
        }
    }

    /// Has the host call this program, usually by its absolute path. Its name must be `hook-manager`.
    #[must_use]
    pub fn program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Only this event, and others that are named.
    #[must_use]
    pub fn event(mut self, event: HookEvent) -> Self {
        self.events.push(event);
        self
    }

    /// What would be changed. There is nothing to change where all is installed already.
    ///
    /// # Errors
    ///
    /// If a settings file cannot be read, is read-only, is a symbolic link out of the project, has a hook that cannot be
    /// used, or has a part that would be lost; or if another plan for this project is still there after 5 s.
    pub fn install(&self) -> Result<Plan, Refused> {
        let lock = lock::lock(&self.project)?;
        Ok(moving::install(self)?.under(lock))
    }

    /// What would be changed to have everything as it was. There is nothing to change where nothing is installed.
    ///
    /// # Errors
    ///
    /// If something was edited since, unless it is said what to do with that; if a file cannot be read, or is read-only;
    /// or if another plan for this project is still there after 5 s.
    pub fn uninstall(&self, edits: Edits) -> Result<Plan, Refused> {
        let lock = lock::lock(&self.project)?;
        Ok(back::uninstall(self, edits)?.under(lock))
    }
}

impl Refused {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            diff: String::new(),
        }
    }

    /// What was edited since, as a unified diff; empty where that is not the reason.
    pub fn diff(&self) -> &str {
        &self.diff
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refused {}
