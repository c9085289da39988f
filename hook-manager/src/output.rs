use serde_json::{Map, Value};

use crate::process::Captured;

mod read;

pub(crate) use read::{Ran, read};

/// What a hook says to the action it was asked about, from least to most restrictive.
///
/// Decisions merge to the most restrictive one: deny > defer > ask > allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Nothing: the host goes on as it would without the hook. Not an approval.
    #[default]
    None,
    /// Go on without asking the user.
    Allow,
    /// Ask the user.
    Ask,
    /// Leave the decision to whoever resumes the session.
    Defer,
    /// Do not go on. On events other than tool calls this is the protocol's `block`.
    Deny,
}

/// The answer to a question an MCP server asks the user, from least to most restrictive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Accept,
    Cancel,
    Decline,
}

impl Action {
    pub(crate) fn read(word: &str) -> Option<Self> {
        [Self::Accept, Self::Cancel, Self::Decline]
            .into_iter()
            .find(|action| action.as_str() == word)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Cancel => "cancel",
            Self::Decline => "decline",
        }
    }

    /// What it is beside the other decisions.
    pub(crate) fn decision(self) -> Decision {
        match self {
            Self::Accept => Decision::Allow,
            Self::Cancel | Self::Decline => Decision::Deny,
        }
    }
}

impl Decision {
    /// The word for it, as the host writes it; `-` for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Defer => "defer",
            Self::Deny => "deny",
        }
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A hook's answer.
///
/// An in-process hook builds one; a command's is read from its exit status, standard output and
/// standard error by the host's rules.
///
/// ```
/// use hook_manager::{Decision, HookOutput};
///
/// let answer = HookOutput::deny("pushes to main go through review");
/// assert_eq!(answer.decision, Decision::Deny);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HookOutput {
    /// The decision.
    pub decision: Decision,
    /// Why, for whoever is told about the decision.
    pub reason: Option<String>,
    /// Text for the model's context.
    pub context: Option<String>,
    /// A tool input that replaces the one asked about.
    pub updated_input: Option<Value>,
    /// A message for the user.
    pub system_message: Option<String>,
    /// Set when the hook wants the host to stop altogether, to the reason (which may be empty).
    pub stop: Option<String>,
    /// Permission rules to apply with an allowed PermissionRequest.
    pub updated_permissions: Vec<Value>,
    /// Whether a denied PermissionRequest should also interrupt the model.
    pub interrupt: bool,
    /// Every other field of the hook's answer for its event, passed through to the host.
    pub specific: Map<String, Value>,
    /// Fields at the top level that this version does not know, passed through to the host.
    pub other: Map<String, Value>,
    /// The exit status; `None` for in-process hooks.
    pub exit_code: Option<i32>,
    /// Standard output, up to the cap.
    pub stdout: Captured,
    /// Standard error, up to the cap.
    pub stderr: Captured,
}

impl HookOutput {
    /// No opinion.
    pub fn none() -> Self {
        Self::default()
    }

    /// Go on without asking.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self::decided(Decision::Allow, reason)
    }

    /// Ask the user.
    pub fn ask(reason: impl Into<String>) -> Self {
        Self::decided(Decision::Ask, reason)
    }

    /// Do not go on.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::decided(Decision::Deny, reason)
    }

    /// Adds text for the model's context.
    #[must_use]
    pub fn context(mut self, text: impl Into<String>) -> Self {
        self.context = Some(text.into());
        self
    }

    /// Replaces the tool's input.
    #[must_use]
    pub fn updated_input(mut self, input: Value) -> Self {
        self.updated_input = Some(input);
        self
    }

    /// Adds a message for the user.
    #[must_use]
    pub fn system_message(mut self, text: impl Into<String>) -> Self {
        self.system_message = Some(text.into());
        self
    }

    fn decided(decision: Decision, reason: impl Into<String>) -> Self {
        Self {
            decision,
            reason: Some(reason.into()),
            ..Self::default()
        }
    }
}
