//! One line an event: what the host documents about it.

#![allow(non_upper_case_globals, reason = "the rows bear the names of the events")]

use std::time::Duration;

use super::spec::{
    DecisionShape::{
        self, Action, Block, ContinueFalse, Permission, PermissionRequest as Behavior, Retry, WorktreePath,
    },
    EventSpec,
    ExitTwo::{self, AnyFailureFails, Blocks, DebugLog, Ignored, ShowsOriginal, StderrToModel, StderrToUser},
    HandlerKind,
    MatcherInput::{self, Basename, Field},
};

/// All five kinds of handler.
const ALL: &[HandlerKind] = HandlerKind::ALL;
/// What does not need a model.
const PLAIN: &[HandlerKind] = &[HandlerKind::Command, HandlerKind::Http, HandlerKind::McpTool];
/// What can run before there is a session to speak of.
const EARLY: &[HandlerKind] = &[HandlerKind::Command, HandlerKind::McpTool];

const TEN_MINUTES: Duration = Duration::from_secs(600);
const HALF_A_MINUTE: Duration = Duration::from_secs(30);
const NO_MATCHER: MatcherInput = MatcherInput::None;
const UNKNOWN: MatcherInput = MatcherInput::Unknown;
const NONE: DecisionShape = DecisionShape::None;

/// A row for an event: what a matcher is compared with, exit status 2, how a decision is written, the
/// handlers, and what else there is to say.
macro_rules! rows {
    ($($event:ident: $matcher:expr, $two:expr, $decision:expr, $handlers:expr
        $(=> $($also:ident $(($value:expr))?),+)?;)*) => {
        $(pub(super) static $event: EventSpec =
            row(stringify!($event), $matcher, $two, $decision, $handlers)$($(.$also($($value)?))+)?;)*

        /// Every row, for the test that none was left behind.
        #[cfg(test)]
        pub(super) static ROWS: &[&EventSpec] = &[$(&$event),*];
    };
}

rows! {
    SessionStart: Field("source"), StderrToUser, NONE, EARLY => context, plain;
    SessionEnd: Field("reason"), StderrToUser, NONE, PLAIN => within(Duration::from_millis(1500));
    UserPromptSubmit: NO_MATCHER, Blocks, Block, ALL => context, plain, within(HALF_A_MINUTE);
    PreToolUse: Field("tool_name"), Blocks, Permission, ALL => context, tool;
    PostToolUse: Field("tool_name"), StderrToModel, Block, ALL => context, tool;
    SubagentStart: Field("agent_type"), StderrToUser, NONE, PLAIN => context;
    SubagentStop: Field("agent_type"), Blocks, Block, ALL => context;
    Setup: Field("trigger"), StderrToUser, NONE, EARLY => context;
    InstructionsLoaded: Field("load_reason"), Ignored, NONE, PLAIN;
    UserPromptExpansion: Field("command_name"), Blocks, Block, ALL => context, plain;
    MessageDisplay: NO_MATCHER, ShowsOriginal, NONE, PLAIN => within(Duration::from_secs(10));
    PermissionRequest: Field("tool_name"), Ignored, Behavior, ALL => tool;
    PermissionDenied: Field("tool_name"), Ignored, Retry, ALL => tool;
    PostToolUseFailure: Field("tool_name"), StderrToModel, Block, ALL => context, tool;
    PostToolBatch: NO_MATCHER, Blocks, Block, ALL => context;
    Notification: Field("notification_type"), Ignored, NONE, PLAIN;
    TaskCreated: NO_MATCHER, Blocks, Block, ALL;
    TaskCompleted: NO_MATCHER, Blocks, ContinueFalse, ALL;
    Stop: NO_MATCHER, Blocks, Block, ALL => context;
    StopFailure: Field("error"), Ignored, NONE, PLAIN;
    TeammateIdle: NO_MATCHER, Blocks, ContinueFalse, ALL;
    ConfigChange: Field("source"), Blocks, Block, PLAIN;
    CwdChanged: NO_MATCHER, StderrToUser, NONE, PLAIN;
    DirectoryAdded: Field("source"), DebugLog, NONE, PLAIN => since("2.1.219");
    FileChanged: Basename("file_path"), StderrToUser, NONE, PLAIN;
    WorktreeCreate: NO_MATCHER, AnyFailureFails, WorktreePath, PLAIN;
    WorktreeRemove: NO_MATCHER, DebugLog, NONE, PLAIN;
    PreCompact: Field("trigger"), Blocks, Block, PLAIN;
    PostCompact: Field("trigger"), StderrToUser, NONE, PLAIN;
    Elicitation: Field("mcp_server_name"), Blocks, Action, PLAIN;
    ElicitationResult: Field("mcp_server_name"), Blocks, Action, PLAIN;
    // Known from articles rather than from the documentation: nothing is assumed that could leave a
    // hook out.
    PreModelSwitch: UNKNOWN, Blocks, Permission, PLAIN => since("2.1.251"), within(HALF_A_MINUTE), timeout_blocks;
    PostModelSwitch: UNKNOWN, StderrToUser, NONE, PLAIN => since("2.1.251"), within(HALF_A_MINUTE);
}

/// For events this version does not know.
pub(super) static OTHER: EventSpec = row("", UNKNOWN, Blocks, Block, ALL).context();

const fn row(
    name: &'static str,
    matcher_input: MatcherInput,
    exit_two: ExitTwo,
    decision: DecisionShape,
    handlers: &'static [HandlerKind],
) -> EventSpec {
    EventSpec {
        name,
        since: None,
        matcher_input,
        exit_two,
        plain_stdout_is_context: false,
        decision,
        default_timeout: TEN_MINUTES,
        is_tool_event: false,
        additional_context: false,
        timeout_blocks: false,
        handlers,
    }
}

impl EventSpec {
    const fn context(mut self) -> Self {
        self.additional_context = true;
        self
    }

    const fn plain(mut self) -> Self {
        self.plain_stdout_is_context = true;
        self
    }

    const fn tool(mut self) -> Self {
        self.is_tool_event = true;
        self
    }

    const fn within(mut self, timeout: Duration) -> Self {
        self.default_timeout = timeout;
        self
    }

    const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    const fn timeout_blocks(mut self) -> Self {
        self.timeout_blocks = true;
        self
    }
}
