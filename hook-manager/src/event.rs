//! The events a host calls hooks on, and what is particular to each of them, as data.

use std::{convert::Infallible, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::source::spelling::nearest;

mod spec;
mod table;

pub use spec::{DecisionShape, EventSpec, ExitTwo, HandlerKind, MatcherInput};

/// Declares the enum and everything that is one line an event, so that the names stand in one place.
macro_rules! events {
    ($($(#[$doc:meta])* $event:ident,)*) => {
        /// An event of the host's lifecycle.
        ///
        /// A name that this version does not know is kept as it is in [`Other`](Self::Other): hosts grow
        /// new events faster than anyone can follow, and a hook on one of them is still somebody's hook.
        ///
        /// ```
        /// use hook_manager::event::HookEvent;
        ///
        /// assert_eq!(HookEvent::from("PreToolUse"), HookEvent::PreToolUse);
        /// assert_eq!(HookEvent::from("BrandNew").as_str(), "BrandNew");
        /// assert!(HookEvent::PreToolUse.spec().is_tool_event);
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum HookEvent {
            $($(#[$doc])* $event,)*
            /// An event this version does not know, by the name the host sent.
            Other(Arc<str>),
        }

        impl HookEvent {
            /// Every event that is known by name: the seven of the Python original first.
            pub const ALL: &[Self] = &[$(Self::$event),*];

            /// The name, as the host writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$event => stringify!($event),)*
                    Self::Other(name) => name,
                }
            }

            /// What is particular to this event.
            ///
            /// An event this version does not know is given the most careful reading: exit status 2 blocks,
            /// every handler is allowed, and no matcher is applied.
            pub fn spec(&self) -> &'static EventSpec {
                match self {
                    $(Self::$event => &table::$event,)*
                    Self::Other(_) => &table::OTHER,
                }
            }
        }

        impl From<&str> for HookEvent {
            fn from(name: &str) -> Self {
                match name {
                    $(stringify!($event) => Self::$event,)*
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

events! {
    /// A session begins or is resumed.
    SessionStart,
    /// A session ends.
    SessionEnd,
    /// The user sent a prompt; it has not reached the model yet.
    UserPromptSubmit,
    /// A tool is about to run.
    PreToolUse,
    /// A tool has run.
    PostToolUse,
    /// A subagent begins.
    SubagentStart,
    /// A subagent is about to end.
    SubagentStop,
    /// The host is started for set-up or maintenance of a project.
    Setup,
    /// A file of instructions was loaded.
    InstructionsLoaded,
    /// A command such as `/release` is being expanded to a prompt.
    UserPromptExpansion,
    /// A piece of the model's text is about to be shown.
    MessageDisplay,
    /// The user is about to be asked whether a tool may run.
    PermissionRequest,
    /// A tool call was denied without asking the user.
    PermissionDenied,
    /// A tool has failed.
    PostToolUseFailure,
    /// All tool calls of one message have run.
    PostToolBatch,
    /// The host tells the user something.
    Notification,
    /// A task is being created.
    TaskCreated,
    /// A task is being marked as completed.
    TaskCompleted,
    /// The model is about to end its turn.
    Stop,
    /// A turn ended with an error of the API.
    StopFailure,
    /// A teammate is about to go idle.
    TeammateIdle,
    /// A settings file changed during the session.
    ConfigChange,
    /// The working directory changed.
    CwdChanged,
    /// A directory was added to the session.
    DirectoryAdded,
    /// A watched file changed.
    FileChanged,
    /// A worktree is to be created, by the hook.
    WorktreeCreate,
    /// A worktree is being removed.
    WorktreeRemove,
    /// The conversation is about to be compacted.
    PreCompact,
    /// The conversation has been compacted.
    PostCompact,
    /// An MCP server asks the user for something.
    Elicitation,
    /// The user answered an MCP server.
    ElicitationResult,
    /// The model is about to be switched.
    PreModelSwitch,
    /// The model has been switched.
    PostModelSwitch,
}

impl HookEvent {
    /// The known event whose name is so much like this unknown one's that it was probably meant.
    pub fn meant(&self) -> Option<&'static str> {
        let names = Self::ALL.iter().map(|event| event.spec().name);
        match self {
            Self::Other(name) => nearest(name, names),
            _ => None,
        }
    }

    /// Whether this version knows the event.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl FromStr for HookEvent {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(name.into())
    }
}

impl From<String> for HookEvent {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl AsRef<str> for HookEvent {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for HookEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HookEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_row_of_its_own_name() {
        assert_eq!(HookEvent::ALL.len(), 33);
        assert_eq!(table::ROWS.len(), 33);
        for event in HookEvent::ALL {
            assert_eq!(event.spec().name, event.as_str());
            assert_eq!(HookEvent::from(event.as_str()), *event);
        }
    }
}
