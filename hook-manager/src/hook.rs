//! One hook: when it runs, what it is, and how it is to be treated.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use crate::{event::HookEvent, matcher::Matcher, rule::Rule};

mod handler;
mod name;
mod schedule;

pub use handler::{Handler, Http, Shell, Worker};
pub use name::is_guard_name;
pub(crate) use name::{NAME_LIMIT, is_name, words};
pub use schedule::{IfDependencyFails, OnOpen, Priority, Schedule};
pub(crate) use schedule::{estimate_by_name, ttl_by_name};

/// A hook as it was declared, before anything is built for it.
#[derive(Clone, Debug)]
pub struct HookSpec {
    /// The name: given, or taken from the script. Sources make it unique within an event.
    pub name: Arc<str>,
    /// The event it runs on.
    pub event: HookEvent,
    /// Which of those events it is for.
    pub matcher: Matcher,
    /// The `if` rule: which tool calls it is for, beyond the matcher.
    pub condition: Option<Rule>,
    /// What runs.
    pub handler: Handler,
    /// How long it may take. `None`: the event's default.
    pub timeout: Option<Duration>,
    /// What a failure means for the caller. `None`: the manager's default for guards and for others.
    pub on_failure: Option<OnFailure>,
    /// What an open circuit means for the caller. `None`: the same as any other failure.
    pub on_open: Option<OnOpen>,
    /// Whether it is a guard. `None`: see [`is_guard`](Self::is_guard).
    pub guard: Option<bool>,
    /// Whether running it twice does no more than running it once, so that it may be tried again.
    pub idempotent: bool,
    /// Whether and how its answers are kept. `None`: never.
    pub cache: Option<CacheRule>,
    /// Whether nobody waits for it (`async`). It cannot decide anything then.
    pub background: bool,
    /// How it stands to the other hooks, and how often it may run.
    pub schedule: Schedule,
    /// What the host shows while it runs.
    pub status_message: Option<String>,
    /// The variables of the environment that a program may see, by name, or by how names begin (`AWS_*`); beside a few
    /// that programs need, such as `PATH`. `None`: all of them, as hosts do.
    pub env_allow: Option<Arc<[String]>>,
    /// Where it was declared.
    pub origin: Origin,
}

impl HookSpec {
    /// A hook on every `event` of its kind, named after its handler, with nothing else said about it.
    ///
    /// ```
    /// use hook_manager::{
    ///     event::HookEvent,
    ///     hook::{Handler, HookSpec},
    /// };
    ///
    /// let hook = HookSpec::new(HookEvent::PreToolUse, Handler::shell("python3 hooks/push_guard.py"));
    /// assert_eq!(&*hook.name, "push_guard");
    /// assert!(hook.is_guard());
    /// ```
    pub fn new(event: HookEvent, handler: Handler) -> Self {
        Self {
            name: handler.default_name().into(),
            event,
            matcher: Matcher::all(),
            condition: None,
            handler,
            timeout: None,
            on_failure: None,
            on_open: None,
            guard: None,
            idempotent: false,
            cache: None,
            background: false,
            schedule: Schedule::default(),
            status_message: None,
            env_allow: None,
            origin: Origin::builder(),
        }
    }

    /// Whether this hook guards its event: guards run first, and fail less softly.
    ///
    /// What was said explicitly wins; so does `on_failure: block`, which says as much. Otherwise a hook on
    /// an event that can still be stopped (`PreToolUse`, `PermissionRequest`, `UserPromptSubmit`) is a
    /// guard when its name has a word such as `guard`, `security` or `policy`: a whole word, so that
    /// `blocklist-update` is none.
    pub fn is_guard(&self) -> bool {
        is_guard(&self.event, &self.name, self.guard, self.on_failure)
    }

    /// What makes two declarations the same hook: event, handler with its arguments, condition, and
    /// whether anyone waits for it.
    ///
    /// The matcher is no part of it, because a host compares the hooks that matched. So should the caller:
    /// of the hooks *that apply to one input*, equal ones run once, the first declared.
    ///
    /// ```
    /// use hook_manager::{
    ///     event::HookEvent::PreToolUse,
    ///     hook::{Handler, HookSpec},
    /// };
    ///
    /// let one = HookSpec::new(PreToolUse, Handler::shell("guard.sh"));
    /// let same = HookSpec { name: "another-name".into(), ..one.clone() };
    /// let other = HookSpec::new(PreToolUse, Handler::exec("guard.sh", ["--strict"]));
    /// assert_eq!(one.identity(), same.identity());
    /// assert_ne!(one.identity(), other.identity());
    /// ```
    pub fn identity(&self) -> Identity {
        Identity {
            event: self.event.clone(),
            handler: self.handler.clone(),
            condition: self.condition.as_ref().map(|rule| rule.as_str().into()),
            // One that nobody waits for cannot stand in for one that decides.
            background: self.background,
            // Nor one that sees more.
            env_allow: self.env_allow.clone(),
            // Nothing else tells two services apart.
            name: matches!(self.handler, Handler::InProcess).then(|| Arc::clone(&self.name)),
        }
    }
}

pub(crate) fn is_guard(
    event: &HookEvent,
    name: &str,
    guard: Option<bool>,
    on_failure: Option<OnFailure>,
) -> bool {
    let can_stop = matches!(
        event,
        HookEvent::PreToolUse | HookEvent::PermissionRequest | HookEvent::UserPromptSubmit
    );
    guard.unwrap_or_else(|| on_failure == Some(OnFailure::Block) || (can_stop && is_guard_name(name)))
}

/// What makes two declarations the same hook; see [`HookSpec::identity`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    event: HookEvent,
    handler: Handler,
    condition: Option<Arc<str>>,
    background: bool,
    env_allow: Option<Arc<[String]>>,
    name: Option<Arc<str>>,
}

/// What the failure of a hook means for the action it was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnFailure {
    /// The action goes on.
    Allow,
    /// The user is asked.
    Ask,
    /// The action is blocked.
    Block,
}

impl OnFailure {
    /// The word for it in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Block => "block",
        }
    }

    /// The policy a word means, if it is one of the three.
    pub fn find(word: &str) -> Option<Self> {
        [Self::Allow, Self::Ask, Self::Block]
            .into_iter()
            .find(|policy| policy.as_str() == word)
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the answers of a hook are kept. One that is over 256 KiB together with the part of the input it depends on is
/// not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheRule {
    /// For how long. `None`: by a whole word of the hook's name a minute (`fetch`, `api`, `network`, `git`), half an
    /// hour (`read`, `parse`, `analyze`) or half a minute (`write`, `modify`, `update`, `create`), or else the
    /// manager's default.
    pub ttl: Option<Duration>,
    /// What an answer is good for.
    pub key: CacheKey,
    /// Files that the answer depends on besides the input: an answer is good until one of them changes, appears or
    /// goes. Relative paths are meant from where the hook runs, and `$CLAUDE_PROJECT_DIR` is the project. The files
    /// that the hook's command line names are among them without being asked for.
    ///
    /// A look-up costs one `stat` for each, about a microsecond, and reads those that changed. A file over 16 MiB
    /// is told by its times, size and inode alone.
    pub files: Vec<PathBuf>,
    /// For how long after its time an answer stands in for a failure of the hook, its open circuit included. `None`:
    /// not at all. Where a guard is left to an old answer, its owner has to be sure that it is still right.
    pub stale_if_error: Option<Duration>,
    /// Names under which the answers of this hook can be [thrown away](crate::Invalidate::Tag) together with
    /// those of others.
    pub tags: Vec<String>,
}

/// ```
/// use hook_manager::CacheRule;
/// use std::time::Duration;
///
/// let rule = CacheRule::default()
///     .ttl(Duration::from_secs(60))
///     .field("/tool_input/command")
///     .file("$CLAUDE_PROJECT_DIR/deny.list")
///     .tag("policy");
/// # let _ = rule;
/// ```
impl CacheRule {
    /// Keeps answers for so long.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Says that the answer depends on the value at this JSON pointer, and on others that are named, and on no more of
    /// the input.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>) -> Self {
        match &mut self.key {
            CacheKey::Fields(fields) => fields.push(pointer.into()),
            CacheKey::WholeInput => self.key = CacheKey::Fields(vec![pointer.into()]),
        }
        self
    }

    /// Says that the answer depends on what is in this file, too.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Has an answer stand in for a failure for so long after its time.
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = Some(window);
        self
    }

    /// Has the answers go with this tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// Which part of an event's input an answer depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheKey {
    /// All of it.
    #[default]
    WholeInput,
    /// Only the values at these JSON pointers (`/tool_input/command`): the owner of the hook says that it
    /// reads nothing else.
    Fields(Vec<String>),
}

/// Where a hook was declared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Origin {
    /// What kind of place it is.
    pub kind: OriginKind,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The line in that file, counted from 1.
    pub line: Option<usize>,
    /// The column in that line, counted from 1, in characters.
    pub column: Option<usize>,
    /// The place inside, such as `hooks.PreToolUse[0].hooks[1]`; empty where there is none.
    pub place: String,
}

/// The kinds of place a hook can be declared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OriginKind {
    /// A settings file.
    Settings,
    /// A file in a directory of hooks.
    Directory,
    /// The program itself.
    Builder,
}

impl Origin {
    /// Declared by the program itself.
    pub fn builder() -> Self {
        Self {
            kind: OriginKind::Builder,
            file: None,
            line: None,
            column: None,
            place: String::new(),
        }
    }

    /// A file in a directory of hooks.
    pub fn directory(file: impl Into<PathBuf>) -> Self {
        Self {
            kind: OriginKind::Directory,
            file: Some(file.into()),
            ..Self::builder()
        }
    }

    /// A settings file as a whole.
    pub fn settings(file: impl Into<PathBuf>) -> Self {
        Self {
            kind: OriginKind::Settings,
            file: Some(file.into()),
            ..Self::builder()
        }
    }
}

/// `settings.json:12:9: hooks.PreToolUse[0].hooks[1]`, as far as it is known.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.file else {
            return f.write_str("the program");
        };
        write!(f, "{}", file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        match self.place.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.place),
        }
    }
}
