//! The one entry of an event that is left to the host.

use std::time::Duration;

use super::file::{node, object, text};
use crate::{
    event::{HandlerKind, HookEvent, MatcherInput},
    matcher::Matcher,
    source::json::{Node, Tree},
};

/// The longest that the command takes for a deadline, in seconds.
const LONGEST: u64 = 86_400;
/// What the command may take besides: to start, and to end what is out of time.
const MARGIN: u64 = 5;

/// What the command works with where the entry says nothing else.
pub(super) struct Figures {
    pub(super) deadline: Duration,
    /// `None`: the project has figures of its own, and means the one for this.
    pub(super) at_once: Option<usize>,
}

/// What was moved of one event.
pub(super) struct Moved<'a> {
    pub(super) event: &'a HookEvent,
    pub(super) groups: Vec<&'a Node>,
}

impl Moved<'_> {
    fn handlers(&self) -> impl Iterator<Item = &Node> {
        self.groups.iter().flat_map(|group| handlers(group))
    }

    /// The group with the entry in it.
    pub(super) fn entry(&self, program: &str, figures: &Figures) -> Node {
        let longest = self
            .handlers()
            .map(|one| seconds(self.event, one))
            .fold(0.0, f64::max);
        let usual = figures.deadline.as_secs_f64().ceil() as u64;
        let deadline = (longest.min(LONGEST as f64).ceil() as u64).max(usual);
        let mut command = format!("{} run {}", word(program), self.event);
        if deadline > usual {
            command.push_str(&format!(" --deadline {deadline}"));
        }
        let count = self.handlers().count();
        if figures.at_once.is_some_and(|at_once| count > at_once) {
            // The host would have started all of them at once.
            command.push_str(&format!(" --max-concurrent-hooks {}", count.min(1_000)));
        }
        let blocks = self
            .handlers()
            .any(|one| field(one, "onFailure") == Some("block"));
        if blocks {
            // Status 1 says that some hook failed of which nobody said that it blocks. Any other but 0 is this program's
            // absence.
            command.push_str(" || { s=$?; [ $s -eq 1 ] || exit $s; }");
        }
        let mut handler = vec![
            ("type", text("command")),
            ("command", text(command)),
            ("timeout", node(Tree::Number((deadline + MARGIN).into()))),
        ];
        if blocks {
            handler.push(("onFailure", text("block")));
        }
        let mut messages: Vec<_> = self
            .handlers()
            .filter_map(|one| field(one, "statusMessage"))
            .collect();
        messages.dedup();
        if let [message] = messages[..] {
            handler.push(("statusMessage", text(message)));
        }
        let handlers = ("hooks", node(Tree::List(vec![object(handler)])));
        match self.matcher() {
            Some(matcher) => object([("matcher", text(matcher)), handlers]),
            None => object([handlers]),
        }
    }

    /// What every moved hook's matcher matches, and as little else as can be; `None` for everything.
    fn matcher(&self) -> Option<String> {
        if matches!(
            self.event.spec().matcher_input,
            MatcherInput::None | MatcherInput::Unknown
        ) {
            return None;
        }
        let mut texts: Vec<&str> = Vec::new();
        for group in &self.groups {
            match group.get("matcher").and_then(Node::text) {
                None | Some("" | "*") => return None,
                Some(text) if texts.contains(&text) => {}
                Some(text) => texts.push(text),
            }
        }
        if let [one] = texts[..] {
            return Some(one.to_owned());
        }
        if texts.iter().all(|text| is_names(text)) || *self.event == HookEvent::FileChanged {
            return Some(joined(&texts));
        }
        // A group's number would not be its number any more, and a name may stand once only.
        if texts
            .iter()
            .any(|text| text.contains('\\') || text.contains("(?<"))
        {
            return None;
        }
        let parts = texts.iter().map(|text| match is_names(text) {
            true => format!("^(?:{})$", joined(&[text])),
            false => format!("(?:{text})"),
        });
        let pattern = parts.collect::<Vec<_>>().join("|");
        Matcher::new(self.event, &pattern).is_ok().then_some(pattern)
    }
}

/// The names of all of these, each once.
fn joined(texts: &[&str]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in texts
        .iter()
        .flat_map(|text| text.split(['|', ',']))
        .map(str::trim)
    {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join("|")
}

fn is_names(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ' | ',' | '|'))
}

pub(super) fn handlers(group: &Node) -> &[Node] {
    match group.get("hooks").map(|node| &node.value) {
        Some(Tree::List(handlers)) => handlers,
        _ => &[],
    }
}

pub(super) fn field<'a>(handler: &'a Node, name: &str) -> Option<&'a str> {
    handler.get(name).and_then(Node::text)
}

/// How long the host gives a handler.
fn seconds(event: &HookEvent, handler: &Node) -> f64 {
    let said = match handler.get("timeout").map(|node| &node.value) {
        Some(Tree::Number(number)) => number.as_f64(),
        _ => None,
    };
    let kind = field(handler, "type").and_then(HandlerKind::find);
    let default = || event.spec().timeout(kind.unwrap_or(HandlerKind::Command));
    said.unwrap_or_else(|| Duration::as_secs_f64(&default()))
}

/// A program's path as one word for a shell.
fn word(program: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    match program.chars().all(is_plain) {
        true => program.to_owned(),
        false => format!("'{}'", program.replace('\'', "'\\''")),
    }
}
