use std::{fmt, time::Duration};

use serde_json::Value;

/// What is particular to one event: the host's public documentation, as data.
///
/// The protocol moves often. What a rule depends on stands here, so that following it is a change of a
/// table, not of code.
#[derive(Debug)]
#[non_exhaustive]
pub struct EventSpec {
    /// The name, as the host writes it; empty for an event this version does not know.
    pub name: &'static str,
    /// The host's first version with this event, where that is documented.
    pub since: Option<&'static str>,
    /// What a matcher is compared with.
    pub matcher_input: MatcherInput,
    /// What exit status 2 does.
    pub exit_two: ExitTwo,
    /// Whether plain text on standard output becomes context for the model.
    pub plain_stdout_is_context: bool,
    /// How a decision is written.
    pub decision: DecisionShape,
    /// How long a command, an HTTP or an MCP handler may take when it does not say.
    ///
    /// See [`timeout`](Self::timeout) for the other kinds.
    pub default_timeout: Duration,
    /// Whether the event is about one tool call, so that a handler's `if` rule applies.
    pub is_tool_event: bool,
    /// Whether `hookSpecificOutput.additionalContext` is read.
    pub additional_context: bool,
    /// Whether a hook that is out of time blocks the action in the host, rather than letting it through.
    pub timeout_blocks: bool,
    /// The kinds of handler the host runs on this event.
    pub handlers: &'static [HandlerKind],
}

impl EventSpec {
    /// What a matcher of this event is compared with, found in the event's input.
    ///
    /// `None` when the event has no matcher, or when the input lacks the field.
    pub fn find_matcher_input<'a>(&self, input: &'a Value) -> Option<&'a str> {
        match self.matcher_input {
            MatcherInput::Field(field) => input.get(field)?.as_str(),
            MatcherInput::Basename(field) => Some(basename(input.get(field)?.as_str()?)),
            MatcherInput::None | MatcherInput::Unknown => None,
        }
    }

    /// Whether a hook can keep what the event announces from happening, or have it undone.
    pub fn can_be_denied(&self) -> bool {
        let by_answer = !matches!(
            self.decision,
            DecisionShape::None | DecisionShape::Retry | DecisionShape::WorktreePath
        );
        by_answer || matches!(self.exit_two, ExitTwo::Blocks | ExitTwo::StderrToModel)
    }

    /// How long a handler of this kind may take when it does not say.
    pub fn timeout(&self, kind: HandlerKind) -> Duration {
        match kind {
            HandlerKind::Command | HandlerKind::Http | HandlerKind::McpTool => self.default_timeout,
            HandlerKind::Prompt => Duration::from_secs(30),
            HandlerKind::Agent => Duration::from_secs(60),
        }
    }
}

/// What a matcher is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatcherInput {
    /// The text of this field of the event's input.
    Field(&'static str),
    /// The file name at the end of the path in this field.
    Basename(&'static str),
    /// Nothing: the event has no matcher, and the host ignores one.
    None,
    /// Not documented. A matcher is not applied, so that no hook is left out by a guess.
    Unknown,
}

/// What exit status 2 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitTwo {
    /// Stops what the event announces; standard error is the reason.
    Blocks,
    /// Too late to stop anything: the model is told what is on standard error.
    StderrToModel,
    /// Too late to stop anything: the user is told what is on standard error.
    StderrToUser,
    /// What the hook would have changed is shown as it was.
    ShowsOriginal,
    /// Fails what the event asks for, as every other status but 0 does.
    AnyFailureFails,
    /// Goes to the host's debug log.
    DebugLog,
    /// Nothing.
    Ignored,
}

/// How a hook writes its decision for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecisionShape {
    /// `hookSpecificOutput.permissionDecision`: allow, deny, ask or defer.
    Permission,
    /// `hookSpecificOutput.decision.behavior`: allow or deny.
    PermissionRequest,
    /// `decision: "block"` with a `reason`.
    Block,
    /// `continue: false` with a `stopReason`.
    ContinueFalse,
    /// `hookSpecificOutput.action`: accept, decline or cancel.
    Action,
    /// `hookSpecificOutput.retry`.
    Retry,
    /// The path that was made, on the last line of standard output.
    WorktreePath,
    /// The event cannot be decided about.
    None,
}

/// The kinds of handler a host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandlerKind {
    /// A process.
    Command,
    /// A POST of the event.
    Http,
    /// A tool of an MCP server the host is connected to.
    McpTool,
    /// A question to a model.
    Prompt,
    /// A subagent.
    Agent,
}

impl HandlerKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Command,
        Self::Http,
        Self::McpTool,
        Self::Prompt,
        Self::Agent,
    ];

    /// The word for it in a handler's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Http => "http",
            Self::McpTool => "mcp_tool",
            Self::Prompt => "prompt",
            Self::Agent => "agent",
        }
    }

    /// The kind a handler's `type` means, if it is a known one.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for HandlerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Hosts write paths with native separators; a backslash is an ordinary character on Unix.
fn basename(path: &str) -> &str {
    let separator = |c: char| c == '/' || (cfg!(windows) && c == '\\');
    path.trim_end_matches(separator)
        .rsplit(separator)
        .next()
        .unwrap_or(path)
}
