//! One hook: when it runs, what it is, and how it is to be treated.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use crate::{event::HookEvent, matcher::Matcher, rule::Rule};

mod handler;
mod name;

pub use handler::{Handler, Http, Shell, Worker};
pub use name::is_guard_name;
pub(crate) use name::{NAME_LIMIT, is_name, words};

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
    /// Whether it is a guard. `None`: see [`is_guard`](Self::is_guard).
    pub guard: Option<bool>,
    /// Whether running it twice does no more than running it once, so that it may be tried again.
    pub idempotent: bool,
    /// Whether and how its answers are kept. `None`: never.
    pub cache: Option<CacheRule>,
    /// Whether nobody waits for it (`async`). It cannot decide anything then.
    pub background: bool,
    /// What the host shows while it runs.
    pub status_message: Option<String>,
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
            guard: None,
            idempotent: false,
            cache: None,
            background: false,
            status_message: None,
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

/// How the answers of a hook are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheRule {
    /// For how long. `None`: the manager's default.
    pub ttl: Option<Duration>,
    /// What an answer is good for.
    pub key: CacheKey,
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
