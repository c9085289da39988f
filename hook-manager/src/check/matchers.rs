//! Matchers that can be used, and hardly match what was meant.

use super::say;
use crate::{
    event::HookEvent,
    hook::HookSpec,
    matcher::Matcher,
    source::{Problem, Severity, place::field_of, spelling::nearest},
};

/// Tools of the host, as documented; others come with its versions and with MCP servers.
const TOOLS: &[&str] = &[
    "Agent",
    "AskUserQuestion",
    "Bash",
    "BashOutput",
    "Edit",
    "EnterPlanMode",
    "ExitPlanMode",
    "Glob",
    "Grep",
    "KillShell",
    "LS",
    "LSP",
    "MultiEdit",
    "NotebookEdit",
    "NotebookRead",
    "PowerShell",
    "Read",
    "Skill",
    "SlashCommand",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoRead",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "Write",
];

/// The values that an event's matcher is compared with, where they are known.
fn known(event: &HookEvent) -> &'static [&'static str] {
    match event {
        event if event.spec().is_tool_event => TOOLS,
        HookEvent::SessionStart => &["startup", "resume", "clear", "compact", "fork"],
        HookEvent::Setup => &["init", "maintenance"],
        HookEvent::PreCompact | HookEvent::PostCompact => &["manual", "auto"],
        HookEvent::SessionEnd => &["clear", "resume", "logout", "prompt_input_exit", "other"],
        _ => &[],
    }
}

pub(super) fn check(hook: &HookSpec, problems: &mut Vec<Problem>) {
    let (text, values) = (hook.matcher.text(), known(&hook.event));
    if hook.matcher.is_all() || hook.matcher.is_ignored() || values.is_empty() {
        return;
    }
    let mut warn = |what: String, expected: &str| {
        let origin = field_of(&hook.origin, 2, "matcher");
        problems.push(say(Severity::Warning, origin, what, expected));
    };
    let is_tool = hook.event.spec().is_tool_event;
    if let Some(name) = names(text) {
        for name in name {
            let is_foreign = is_tool && name.starts_with("mcp__");
            if is_foreign || values.contains(&name) {
                continue;
            }
            let near = nearest(name, values.iter().copied());
            let expected = match (near, is_tool) {
                (Some(near), _) => format!("`{near}`?"),
                (None, true) => {
                    "a tool's name as the host writes it, such as Bash or mcp__server__tool".into()
                }
                (None, false) => format!("one of {}", values.join(", ")),
            };
            let what = match is_tool {
                true => format!("names `{name}`, which is no tool that this version knows"),
                false => format!("names `{name}`, which {} never has", hook.event),
            };
            warn(what, &expected);
        }
        return;
    }
    if let Some(glob) = as_file_name(text) {
        let what =
            format!("is a pattern, where `{glob}` means that letter any number of times, or not at all");
        return warn(what, &format!("`{}`?", text.replace('*', ".*")));
    }
    let matches = |matcher: &Matcher, value: &str| matcher.matches_text(value).unwrap_or(true);
    let found: Vec<&str> = values
        .iter()
        .copied()
        .filter(|value| matches(&hook.matcher, value))
        .collect();
    if found.is_empty() && !(is_tool && text.contains("mcp__")) {
        let what = match is_tool {
            true => format!("is the pattern {text:?}, which matches no tool that this version knows"),
            false => format!(
                "is the pattern {text:?}, which matches nothing that {} has",
                hook.event
            ),
        };
        return warn(what, "a pattern for one of the names, case-sensitive");
    }
    // A pattern is found anywhere in a name, where most people think of its beginning.
    let Ok(anchored) = Matcher::new(&hook.event, &format!("^(?:{text})")) else {
        return;
    };
    let inside: Vec<&str> = found
        .iter()
        .copied()
        .filter(|value| !matches(&anchored, value))
        .collect();
    let (Some(first), true) = (inside.first(), inside.len() < found.len()) else {
        return;
    };
    let what = format!("is the pattern {text:?}, which is found anywhere in a name: it also matches {first}");
    warn(what, &format!("`^(?:{text})`, or names with `|` between them"));
}

/// The names, if it is a list of names.
fn names(text: &str) -> Option<impl Iterator<Item = &str>> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ' | ',' | '|');
    text.chars().all(of_a_name).then(|| {
        let names = text.split(['|', ',']).map(str::trim);
        names.filter(|name| !name.is_empty())
    })
}

/// The letter and the star of a pattern that was written as if for file names: `Bash*`.
fn as_file_name(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '|' | '*');
    if !text.chars().all(plain) {
        return None;
    }
    let at = text.find('*')?;
    let before = text[..at].chars().next_back()?;
    before.is_ascii_alphanumeric().then(|| &text[at - 1..=at])
}
