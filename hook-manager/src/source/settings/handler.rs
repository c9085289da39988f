//! One handler: an object with a `type`, and our own extension in it.

use super::{
    super::{
        BrokenHook, Found, Severity,
        json::{Node, Tree},
    },
    Reader,
};
use crate::{
    event::{HandlerKind, HookEvent},
    hook::{Handler, HookSpec, OnFailure, Origin, Shell, is_guard},
    matcher::Matcher,
    rule::Rule,
};

mod http;
mod ours;
mod values;
mod worker;

/// Fields of every handler.
const COMMON: &[&str] = &["type", "if", "timeout", "statusMessage", "once", "hookManager"];
/// Fields of one kind of handler, besides the common ones.
fn fields(kind: HandlerKind) -> &'static [&'static str] {
    match kind {
        HandlerKind::Command => &[
            "command",
            "args",
            "shell",
            "async",
            "asyncRewake",
            "rewakeMessage",
            "rewakeSummary",
            "onFailure",
        ],
        HandlerKind::Http => &["url", "headers", "allowedEnvVars", "onFailure"],
        HandlerKind::McpTool => &["server", "tool", "input"],
        HandlerKind::Prompt | HandlerKind::Agent => &["prompt", "model", "continueOnBlock"],
    }
}

/// Reads a handler and adds what comes of it: a hook, a broken hook, or a problem that says why neither.
pub(super) fn read(
    file: &mut Reader<'_>,
    event: &HookEvent,
    matcher: &Result<Matcher, String>,
    node: &Node,
    place: String,
) {
    let Some(entries) = node.object() else {
        return file.lost(
            event,
            node,
            &place,
            "an object with `type` and what belongs to it",
        );
    };
    file.twice(entries, &place);
    let mut reader = HandlerReader {
        file,
        event,
        node,
        place,
        broken: Vec::new(),
    };
    let mut handler = reader.handler();
    let kind = handler.as_ref().and_then(Handler::kind);
    reader.unknown_fields(kind);
    let timeout = reader.seconds("timeout");
    let background = reader.flag("async") | reader.rewakes();
    let status_message = reader.status_message();
    let ours = reader.ours();
    if let Some(figures) = &ours.worker {
        handler = reader.worker(handler, figures);
    }
    let on_failure = reader.on_failure(ours.on_failure);
    let is_known_kind = reader.is_known_kind();
    let condition = reader.condition();
    reader.once();

    let name = match (&ours.name, &handler) {
        (Some(name), _) => name.clone(),
        (None, Some(handler)) => handler.default_name(),
        (None, None) => reader
            .place
            .strip_prefix("hooks.")
            .unwrap_or(&reader.place)
            .to_owned(),
    };
    let HandlerReader {
        file,
        place,
        mut broken,
        ..
    } = reader;
    let origin = file.origin(node.at, &place);
    if let Err(why) = matcher {
        broken.insert(0, why.clone());
    }
    let condition = match condition {
        Condition::None => None,
        Condition::Rule(rule) => Some(rule),
        Condition::Never => return,
    };
    if let (Some(handler), Ok(matcher), true) = (handler, matcher, broken.is_empty()) {
        return file.settings.found.push(Found::Hook(Box::new(HookSpec {
            name: name.into(),
            event: event.clone(),
            matcher: matcher.clone(),
            condition,
            handler,
            timeout,
            on_failure,
            on_open: ours.on_open,
            guard: ours.guard,
            idempotent: ours.idempotent,
            cache: ours.cache,
            background,
            schedule: ours.schedule,
            status_message,
            env_allow: ours.env_allow,
            origin,
        })));
    }
    let guard = is_guard(event, &name, ours.guard, on_failure);
    let on_failure = match (on_failure, background) {
        (Some(policy), _) => Some(policy),
        // Nobody would have waited for it.
        (None, true) => Some(OnFailure::Allow),
        // It is wrong for good, and nobody has looked since: the user had better know. What only a newer
        // host knows is no mistake of its owner's.
        (None, false) if is_known_kind => Some(OnFailure::Ask),
        (None, false) => None,
    };
    file.settings.found.push(Found::Broken(Box::new(BrokenHook {
        guard,
        name: name.into(),
        event: event.clone(),
        matcher: matcher.as_ref().ok().cloned(),
        reason: broken.join("; "),
        on_failure,
        origin,
        is_whole_source: false,
    })));
}

struct HandlerReader<'r, 'p, 'n> {
    file: &'r mut Reader<'p>,
    event: &'n HookEvent,
    node: &'n Node,
    place: String,
    /// Why the hook cannot be used.
    broken: Vec<String>,
}

enum Condition {
    None,
    Rule(Rule),
    /// By the host's rules, the hook never runs.
    Never,
}

impl HandlerReader<'_, '_, '_> {
    fn handler(&mut self) -> Option<Handler> {
        let Some(node) = self.node.get("type") else {
            self.refuse(
                self.node,
                "type",
                "is missing".into(),
                "`\"type\": \"command\"` or another type",
            );
            return None;
        };
        let Some(word) = node.text() else {
            self.wrong(node, "type", "a text such as \"command\"");
            return None;
        };
        let Some(kind) = HandlerKind::find(word) else {
            let words = HandlerKind::ALL.iter().map(|kind| kind.as_str());
            let expected = match super::nearest(word, words.clone()) {
                Some(near) => format!("{near:?}?"),
                None => format!("one of {}", words.collect::<Vec<_>>().join(", ")),
            };
            self.wrong(node, "type", &expected);
            return None;
        };
        if !self.event.spec().handlers.contains(&kind) {
            let what = format!("is {kind}, which the host does not run on {}", self.event);
            self.file.note(self.origin(node, "type"), what);
        }
        match kind {
            HandlerKind::Command => self.command(),
            HandlerKind::Http => self.http(),
            _ => {
                let what = format!("is {kind}, which only the host can run");
                self.file.note(self.origin(node, "type"), what);
                Some(Handler::HostOnly { kind: word.into() })
            }
        }
    }

    fn command(&mut self) -> Option<Handler> {
        let Some(node) = self.node.get("command") else {
            self.refuse(
                self.node,
                "command",
                "is missing".into(),
                "a command line, or a program with `args`",
            );
            return None;
        };
        let command = match node.text() {
            Some(text) if !text.trim().is_empty() && !text.contains('\0') => text.to_owned(),
            _ => {
                self.wrong(node, "command", "a command line, or a program with `args`");
                return None;
            }
        };
        let shell = self.shell();
        let Some(node) = self.node.get("args") else {
            return Some(Handler::Shell {
                command,
                shell: shell?,
            });
        };
        if let Some(shell) = self.node.get("shell") {
            self.file.note(
                self.origin(shell, "shell"),
                "is not used: with `args` there is no shell".into(),
            );
        }
        let Tree::List(list) = &node.value else {
            self.wrong(node, "args", "a list of texts");
            return None;
        };
        let mut args = Vec::new();
        for (at, one) in list.iter().enumerate() {
            match one.text().filter(|text| !text.contains('\0')) {
                Some(text) => args.push(text.to_owned()),
                None => self.wrong(one, &format!("args[{at}]"), "a text"),
            }
        }
        Some(Handler::Exec {
            program: command,
            args,
        })
    }

    fn shell(&mut self) -> Option<Shell> {
        let Some(node) = self.node.get("shell") else {
            return Some(Shell::Sh);
        };
        match node.text() {
            Some("bash") => Some(Shell::Bash),
            Some("powershell") => Some(Shell::PowerShell),
            _ => {
                self.wrong(node, "shell", "\"bash\" or \"powershell\"");
                None
            }
        }
    }

    fn condition(&mut self) -> Condition {
        let Some(node) = self.node.get("if") else {
            return Condition::None;
        };
        // Of an event nobody knows, nobody knows either whether it is about a tool.
        if self.event.is_known() && !self.event.spec().is_tool_event {
            let what = format!(
                "keeps the hook from ever running: {} is not about a tool",
                self.event
            );
            self.file.note(self.origin(node, "if"), what);
            return Condition::Never;
        }
        let Some(text) = node.text() else {
            self.wrong(node, "if", "a permission rule such as \"Bash(git *)\"");
            return Condition::None;
        };
        match Rule::parse(text) {
            Ok(rule) => {
                if !rule.is_understood() {
                    let what =
                        format!("is {text:?}, which this version does not understand beyond the tool's name");
                    let expected = "that the hook runs for every call of the tool";
                    self.file
                        .say(Severity::Warning, self.origin(node, "if"), what, expected);
                }
                Condition::Rule(rule)
            }
            Err(err) => {
                let what = format!("is {}, which cannot be used: {}", node.describe(), err.why());
                self.refuse(node, "if", what, "one permission rule such as \"Bash(git *)\"");
                Condition::None
            }
        }
    }

    fn once(&mut self) {
        if let Some(node) = self.node.get("once") {
            self.file.note(
                self.origin(node, "once"),
                "is ignored: it means something in skills only".into(),
            );
        }
    }

    fn rewakes(&mut self) -> bool {
        let rewakes = self.flag("asyncRewake");
        if let Some(node) = self.node.get("asyncRewake").filter(|_| rewakes) {
            let what = "runs the hook in the background; only the host can wake the model afterwards";
            self.file.note(self.origin(node, "asyncRewake"), what.into());
        }
        rewakes
    }

    fn status_message(&mut self) -> Option<String> {
        let node = self.node.get("statusMessage")?;
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            let (origin, what) = (
                self.origin(node, "statusMessage"),
                format!("is {}", node.describe()),
            );
            self.file.say(Severity::Warning, origin, what, "a text");
        }
        text
    }

    /// Whether its `type` is one this version knows, or something that never was one.
    fn is_known_kind(&self) -> bool {
        let word = self.node.get("type").and_then(Node::text);
        word.is_none_or(|word| {
            let mut words = HandlerKind::ALL.iter().map(|kind| kind.as_str());
            HandlerKind::find(word).is_some() || super::nearest(word, words.by_ref()).is_some()
        })
    }

    /// The host's own field, or ours, which wins: it was written for this manager. Where one of them
    /// cannot be read, the stricter one does.
    fn on_failure(&mut self, ours: Option<OnFailure>) -> Option<OnFailure> {
        let Some(node) = self.node.get("onFailure") else {
            return ours;
        };
        let before = self.broken.len();
        let host = self.policy(node, "onFailure");
        if self.broken.len() > before {
            return ours.max(host);
        }
        match (ours, host) {
            (Some(ours), Some(host)) if ours != host => {
                let what = format!(
                    "is {:?}, and `hookManager.onFailure` is {:?}",
                    host.as_str(),
                    ours.as_str()
                );
                let origin = self.origin(node, "onFailure");
                self.file.say(
                    Severity::Warning,
                    origin,
                    what,
                    "the same in both; the latter is used",
                );
            }
            _ => {}
        }
        ours.or(host)
    }

    fn unknown_fields(&mut self, kind: Option<HandlerKind>) {
        let own = kind.map(fields).unwrap_or_default();
        let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
        let of_some_kind = |name: &str| HandlerKind::ALL.iter().any(|kind| fields(*kind).contains(&name));
        let entries = self.node.object().unwrap_or_default();
        for (key, value) in entries.iter().filter(|(key, _)| !known.contains(&&key.name[..])) {
            match kind {
                Some(kind) if of_some_kind(&key.name) => {
                    let origin = self.origin(value, &key.name);
                    self.file
                        .note(origin, format!("has no effect in a handler of type {kind}"));
                }
                // The type is what is wrong here, not the field.
                None if of_some_kind(&key.name) => {}
                _ if ours::OURS.contains(&&key.name[..]) => {
                    let origin = self.origin(value, &key.name);
                    let what = "has no effect here".into();
                    self.file
                        .say(Severity::Warning, origin, what, "it inside `hookManager`");
                }
                _ => self.file.unknown_field(key, &self.place, &known),
            }
        }
    }

    fn wrong(&mut self, node: &Node, field: &str, expected: &str) {
        self.refuse(node, field, format!("is {}", node.describe()), expected);
    }

    /// Says what is wrong, and that the hook cannot be used because of it.
    fn refuse(&mut self, node: &Node, field: &str, what: String, expected: &str) {
        self.broken.push(format!("`{field}` {what}, expected {expected}"));
        self.file
            .say(Severity::Error, self.origin(node, field), what, expected);
    }

    fn origin(&self, node: &Node, field: &str) -> Origin {
        self.file.origin(node.at, &format!("{}.{field}", self.place))
    }
}
