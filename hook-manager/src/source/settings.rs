//! Settings files: `hooks -> Event -> [{ matcher, hooks: [handler] }]`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::{
    BrokenHook, Found, Problem, Severity,
    json::{self, At, Key, Node, Tree},
    spelling::nearest,
};
use crate::{
    event::{HookEvent, MatcherInput},
    hook::{OnFailure, Origin, is_guard, is_name},
    matcher::Matcher,
    rule::Rule,
};

mod handler;

/// More than anyone writes by hand; a file beyond it is not read into memory.
const SIZE_LIMIT: u64 = 8 << 20;

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// In the order of the file.
    pub(super) found: Vec<Found>,
    pub(super) problems: Vec<Problem>,
    pub(super) disable_all_hooks: Option<bool>,
    /// `allowedHttpHookUrls`, where it stands.
    pub(super) http_urls: Option<Vec<String>>,
    /// `httpHookAllowedEnvVars`, where it stands.
    pub(super) http_env: Option<Vec<String>>,
}

/// Reads a file. One that is not there is an error only where it `must_exist`.
pub(super) fn read(path: &Path, must_exist: bool) -> Settings {
    let mut file = Reader {
        path,
        settings: Settings::default(),
    };
    let refuse = |file: &mut Reader<'_>, what: String, expected: &str| {
        file.unreadable(Origin::settings(path), what, expected);
    };
    match bytes(path) {
        Ok(Some(bytes)) => match utf8(&bytes) {
            Ok(text) => file.text(text),
            Err(what) => refuse(&mut file, what, "UTF-8"),
        },
        Ok(None) => refuse(
            &mut file,
            format!("it is larger than {} MiB", SIZE_LIMIT >> 20),
            "a settings file",
        ),
        Err(err) if err.kind() == io::ErrorKind::NotFound && !must_exist => {}
        Err(err) => refuse(&mut file, format!("it cannot be read: {err}"), "a readable file"),
    }
    file.settings
}

/// A file that is not read, and why: a sentence that names it.
pub(super) fn refused(path: &Path, why: String) -> Settings {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let (broken, problem) = super::refused(&name, Origin::settings(path), why);
    Settings {
        found: vec![broken],
        problems: vec![problem],
        ..Settings::default()
    }
}

/// The content, or nothing if there is too much of it.
fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // A named pipe would be waited for.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= SIZE_LIMIT).then_some(bytes))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16".into());
    }
    // Some Windows tools put a byte order mark in front; JSON has none.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|err| {
        let line = 1 + bytes[..err.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("it has a byte that is no text, in line {line}")
    })
}

struct Reader<'a> {
    path: &'a Path,
    settings: Settings,
}

impl Reader<'_> {
    fn text(&mut self, text: &str) {
        let root = match json::parse(text) {
            Ok(root) => root,
            Err(err) => {
                let origin = self.origin(err.at, "");
                return self.unreadable(origin, format!("not JSON: {}", err.what), &err.expected);
            }
        };
        let Some(entries) = root.object() else {
            let what = format!("it is {}", root.describe());
            let origin = self.origin(root.at, "");
            return self.unreadable(origin, what, "an object with `hooks` in it");
        };
        self.twice(entries, "");
        for (key, node) in entries {
            match (&key.name[..], &node.value) {
                ("hooks", Tree::Object(events)) => self.events(events),
                ("hooks", _) => {
                    let (origin, what) = (self.origin(node.at, "hooks"), format!("is {}", node.describe()));
                    self.unreadable(origin, what, "an object of events");
                }
                ("disableAllHooks", Tree::Bool(value)) => self.settings.disable_all_hooks = Some(*value),
                ("disableAllHooks", _) => self.wrong(node, "disableAllHooks", "true or false"),
                ("allowedHttpHookUrls", _) => self.settings.http_urls = self.texts(node, &key.name),
                ("httpHookAllowedEnvVars", _) => self.settings.http_env = self.texts(node, &key.name),
                // The rest of a settings file is the host's.
                _ => self.beside(key, node),
            }
        }
    }

    /// Whatever hooks were in this file are out of reach, and a guard may be among them.
    fn unreadable(&mut self, origin: Origin, what: String, expected: &str) {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        let subject = match &origin.place[..] {
            "" => String::new(),
            place => format!("`{place}` "),
        };
        let reason = format!(
            "{}: {subject}{what}, expected {expected}; the hooks in it cannot be run",
            self.path.display()
        );
        let whole = BrokenHook::whole_source(&name.to_string_lossy(), reason, origin.clone());
        self.settings.found.push(Found::Broken(Box::new(whole)));
        self.say(Severity::Error, origin, what, expected);
    }

    /// A list that limits what hooks may do. One that cannot be read allows nothing.
    fn texts(&mut self, node: &Node, place: &str) -> Option<Vec<String>> {
        let texts = match &node.value {
            Tree::List(list) => list.iter().map(|one| one.text().map(str::to_owned)).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.wrong(node, place, "a list of texts; until then it allows nothing");
        }
        Some(texts.unwrap_or_default())
    }

    /// What looks like hooks, and stands where nobody looks for them.
    fn beside(&mut self, key: &Key, node: &Node) {
        let (severity, expected) = match HookEvent::from(&key.name[..]).is_known() {
            true => (Severity::Error, "events inside `hooks`"),
            false if nearest(&key.name, ["hooks"]).is_some() => (Severity::Error, "`hooks`?"),
            // Under a name of its own, as somebody puts aside what he does not want at the moment.
            false if holds_events(node) => (Severity::Warning, "`hooks`, which hooks are looked for in"),
            false => return,
        };
        let origin = self.origin(key.at, step(&key.name).trim_start_matches('.'));
        self.say(severity, origin, "is not looked into".into(), expected);
    }

    fn events(&mut self, events: &[(Key, Node)]) {
        self.twice(events, "hooks");
        for (key, groups) in events {
            let place = format!("hooks{}", step(&key.name));
            let event = HookEvent::from(&key.name[..]);
            if !event.is_known() {
                self.unknown_event(key, &place);
            }
            let Tree::List(groups) = &groups.value else {
                self.lost(
                    &event,
                    groups,
                    &place,
                    "a list of objects with `matcher` and `hooks`",
                );
                continue;
            };
            for (at, group) in groups.iter().enumerate() {
                self.group(&event, group, &format!("{place}[{at}]"));
            }
        }
    }

    fn unknown_event(&mut self, key: &Key, place: &str) {
        let origin = self.origin(key.at, place);
        match nearest(&key.name, HookEvent::ALL.iter().map(HookEvent::as_str)) {
            // Its hooks stay out where they were meant to run: that has to be seen outside of `check`, too.
            Some(near) => self.say(
                Severity::Error,
                origin,
                "is not an event this version knows; it is passed through".into(),
                &format!("`{near}`?"),
            ),
            None => self.note(
                origin,
                "is not an event this version knows; it is passed through".into(),
            ),
        }
    }

    fn group(&mut self, event: &HookEvent, group: &Node, place: &str) {
        let Some(entries) = group.object() else {
            return self.lost(event, group, place, "an object with `matcher` and `hooks`");
        };
        self.twice(entries, place);
        for (key, _) in entries
            .iter()
            .filter(|(key, _)| !matches!(&key.name[..], "matcher" | "hooks"))
        {
            self.unknown_field(key, place, &["matcher", "hooks"]);
        }
        let handlers = match group.get("hooks").map(|node| (node, &node.value)) {
            Some((_, Tree::List(handlers))) => handlers,
            Some((node, _)) => {
                return self.lost(event, node, &format!("{place}.hooks"), "a list of handlers");
            }
            None => {
                let expected = match group.get("command").or(group.get("type")) {
                    Some(_) => "the handler inside `\"hooks\": [..]`",
                    None => "`\"hooks\": [..]` in it",
                };
                return self.lost(event, group, place, expected);
            }
        };
        if handlers.is_empty() {
            self.note(self.origin(group.at, place), "has no handlers".into());
        }
        let matcher = self.matcher(event, group, place);
        for (at, node) in handlers.iter().enumerate() {
            handler::read(self, event, &matcher, node, format!("{place}.hooks[{at}]"));
        }
    }

    /// The group's matcher, or why there is none to go by.
    fn matcher(&mut self, event: &HookEvent, group: &Node, place: &str) -> Result<Matcher, String> {
        let Some(node) = group.get("matcher") else {
            return Ok(Matcher::all());
        };
        let place = format!("{place}.matcher");
        let Some(text) = node.text() else {
            self.wrong(node, &place, "a text");
            return Err(format!("its matcher is {}, expected a text", node.describe()));
        };
        let origin = self.origin(node.at, &place);
        match Matcher::new(event, text) {
            Ok(matcher) => {
                if matcher.is_ignored() {
                    let why = match event.spec().matcher_input {
                        MatcherInput::Unknown => "it is not documented what that is compared with",
                        _ => "the event has no matcher",
                    };
                    self.note(
                        origin.clone(),
                        format!("is not applied: {why}, and the hooks run for every {event}"),
                    );
                }
                if let Some((why, expected)) = doubtful(event, text) {
                    let what = format!("is {}, which {why}", node.describe());
                    self.say(Severity::Warning, origin, what, &expected);
                }
                Ok(matcher)
            }
            Err(err) => {
                let what = format!("is {}, which cannot be used: {}", node.describe(), err.why());
                self.say(
                    Severity::Error,
                    origin,
                    what,
                    "a name, a list of names, or a JavaScript pattern",
                );
                Err(err.to_string())
            }
        }
    }

    /// Something that should have held hooks and does not: whatever it was, it has not run.
    fn lost(&mut self, event: &HookEvent, node: &Node, place: &str, expected: &str) {
        self.wrong(node, place, expected);
        let name = place.strip_prefix("hooks.").unwrap_or(place);
        self.settings.found.push(Found::Broken(Box::new(BrokenHook {
            name: name.into(),
            event: event.clone(),
            matcher: None,
            reason: format!("its entry is {}, expected {expected}", node.describe()),
            // It is wrong for good, and nobody has looked since: the user had better know.
            on_failure: Some(OnFailure::Ask),
            guard: is_guard(event, name, None, None),
            origin: self.origin(node.at, place),
            is_whole_source: false,
        })));
    }

    fn unknown_field(&mut self, key: &Key, place: &str, known: &[&str]) {
        let origin = self.origin(key.at, &format!("{place}{}", step(&key.name)));
        match nearest(&key.name, known.iter().copied()) {
            Some(near) => {
                let what = "is not a field this version knows; it has no effect";
                self.say(Severity::Warning, origin, what.into(), &format!("`{near}`?"));
            }
            None => self.note(
                origin,
                "is not a field this version knows; it has no effect".into(),
            ),
        }
    }

    /// JSON allows a key twice, and most readers keep the last without a word.
    fn twice(&mut self, entries: &[(Key, Node)], place: &str) {
        let mut seen = std::collections::HashSet::new();
        for (key, _) in entries {
            if !seen.insert(&key.name) {
                let place = format!("{place}{}", step(&key.name));
                let origin = self.origin(key.at, place.trim_start_matches('.'));
                self.say(
                    Severity::Warning,
                    origin,
                    "stands here a second time".into(),
                    "one of each key",
                );
            }
        }
    }

    fn wrong(&mut self, node: &Node, place: &str, expected: &str) {
        let what = format!("is {}", node.describe());
        self.say(Severity::Error, self.origin(node.at, place), what, expected);
    }

    fn note(&mut self, origin: Origin, what: String) {
        self.settings.problems.push(Problem {
            severity: Severity::Ignored,
            origin,
            what,
            expected: None,
        });
    }

    fn say(&mut self, severity: Severity, origin: Origin, what: String, expected: &str) {
        self.settings.problems.push(Problem {
            severity,
            origin,
            what,
            expected: Some(expected.into()),
        });
    }

    fn origin(&self, at: At, place: &str) -> Origin {
        Origin {
            line: Some(at.line),
            column: Some(at.column),
            place: place.into(),
            ..Origin::settings(self.path)
        }
    }
}

/// Whether something has the shape of hooks: lists under names of events.
fn holds_events(node: &Node) -> bool {
    let entries = node.object().unwrap_or_default();
    let mut events = entries.iter().filter(|(key, node)| {
        HookEvent::from(&key.name[..]).is_known() && matches!(node.value, Tree::List(_))
    });
    events.next().is_some()
}

/// Matchers that can be used, but hardly mean what was meant.
fn doubtful(event: &HookEvent, text: &str) -> Option<(&'static str, String)> {
    if !event.spec().is_tool_event {
        return None;
    }
    if Rule::parse(text).is_ok_and(|rule| text.ends_with(')') && rule.is_understood()) {
        return Some((
            "is read as a pattern for tools' names",
            format!("`\"if\": {text:?}` in the handler?"),
        ));
    }
    let names = text.split(['|', ',']).map(str::trim);
    let mut servers =
        names.filter(|name| is_name(name) && name.starts_with("mcp__") && !name[5..].contains("__"));
    servers
        .next()
        .map(|server| ("names a server and no tool of it", format!("`{server}__.*`?")))
}

/// A key as one step of a place.
fn step(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    if plain {
        format!(".{key}")
    } else {
        format!("[{:?}]", crate::matcher::short(key))
    }
}
