//! Directories of scripts: `pre_tool__guard.py` is a hook named `guard` on `PreToolUse`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{BrokenHook, Found, Problem, Severity, spelling::nearest};
use crate::{
    event::HookEvent,
    hook::{Handler, HookSpec, NAME_LIMIT, OnFailure, Origin, is_guard, is_name, words},
};

/// Shorter names of the Python original.
const ALIASES: &[(&str, HookEvent)] = &[
    ("pre_tool", HookEvent::PreToolUse),
    ("post_tool", HookEvent::PostToolUse),
    ("user_prompt", HookEvent::UserPromptSubmit),
];
/// Endings of what lies beside hooks.
const NO_SCRIPT: &[&str] = &[
    "md", "rst", "txt", "json", "toml", "yaml", "yml", "ini", "cfg", "lock", "log", "pyc",
];
/// Endings of what editors leave behind.
const BACKUP: &[&str] = &["bak", "swp", "swo", "orig", "rej", "tmp"];

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By file name.
    pub(super) found: Vec<Found>,
    pub(super) problems: Vec<Problem>,
}

/// Looks at every file of a directory, not below it.
pub(super) fn read(path: &Path) -> Directory {
    let mut directory = Directory::default();
    // A hook runs elsewhere.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match files(&path) {
        Ok(files) => files.into_iter().for_each(|file| directory.file(file)),
        Err(err) => {
            let what = format!("it cannot be read: {err}");
            let reason = format!(
                "{}: {what}, expected a directory of hooks; those in it cannot be run",
                path.display()
            );
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            let whole = BrokenHook::whole_source(&name, reason, Origin::directory(&path));
            directory.found.push(Found::Broken(Box::new(whole)));
            directory.say(Severity::Error, &path, what, Some("a directory of hooks"));
        }
    }
    directory
}

/// A directory that is not looked at, and why: a sentence that names it.
pub(super) fn refused(path: &Path, why: String) -> Directory {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let (broken, problem) = super::refused(&name, Origin::directory(path), why);
    Directory {
        found: vec![broken],
        problems: vec![problem],
    }
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let files: io::Result<Vec<PathBuf>> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
    let mut files = files?;
    files.sort_unstable();
    Ok(files)
}

impl Directory {
    fn file(&mut self, path: PathBuf) {
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            return self.say(
                Severity::Error,
                &path,
                "its name is not UTF-8".into(),
                Some("`<event>__<name>`"),
            );
        };
        if let Some(why) = beside(file) {
            return self.say(Severity::Ignored, &path, why.into(), None);
        }
        if path.is_dir() {
            return self.say(Severity::Ignored, &path, "it is a directory".into(), None);
        }
        let (stem, ending) = match file.rsplit_once('.') {
            Some((stem, ending)) => (stem, ending),
            None => (file, ""),
        };
        let Some((event, name)) = stem.split_once("__") else {
            let why = "its name says no event: it has no `__`";
            return self.say(Severity::Ignored, &path, why.into(), None);
        };
        let Some(event) = event_of(event) else {
            let known = HookEvent::ALL
                .iter()
                .map(|event| words(event.as_str()).join("_"))
                .collect::<Vec<_>>();
            let expected = nearest(event, known.iter().map(String::as_str)).map(|near| format!("`{near}`?"));
            let what = format!("`{event}` is not an event");
            let expected = expected.unwrap_or_else(|| "`<event>__<name>`, such as `pre_tool__guard`".into());
            return self.say(Severity::Warning, &path, what, Some(&expected));
        };
        if !is_name(name) {
            let what = format!("`{name}` is no name for a hook");
            let expected = format!("1 to {NAME_LIMIT} letters, digits, `_`, `-` and `.` behind the `__`");
            return self.lost(event, file, path.clone(), what, &expected);
        }
        match handler(&path, ending) {
            Ok(handler) => self.found.push(Found::Hook(Box::new(HookSpec {
                name: name.into(),
                origin: Origin::directory(&path),
                ..HookSpec::new(event, handler)
            }))),
            Err((what, expected)) => self.lost(event, name, path.clone(), what, &expected),
        }
    }

    /// A file that was meant as a hook and cannot run.
    fn lost(&mut self, event: HookEvent, name: &str, path: PathBuf, what: String, expected: &str) {
        let reason = format!("{what}, expected {expected}");
        self.say(Severity::Error, &path, what, Some(expected));
        self.found.push(Found::Broken(Box::new(BrokenHook {
            guard: is_guard(&event, name, None, None),
            name: name.into(),
            event,
            matcher: None,
            reason,
            // It is wrong for good, and nobody has looked since: the user had better know.
            on_failure: Some(OnFailure::Ask),
            origin: Origin::directory(path),
            is_whole_source: false,
        })));
    }

    fn say(&mut self, severity: Severity, path: &Path, what: String, expected: Option<&str>) {
        let origin = Origin::directory(path);
        self.problems.push(Problem {
            severity,
            origin,
            what,
            expected: expected.map(Into::into),
        });
    }
}

/// Whether a file may be a hook, as far as its name says.
pub(super) fn may_be_hook(file: &str) -> bool {
    beside(file).is_none() && file.contains("__")
}

/// Why a file is none of ours, as far as its name says.
fn beside(file: &str) -> Option<&'static str> {
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    if file.starts_with('.') {
        return Some("it is hidden");
    }
    if file.ends_with('~') || (file.starts_with('#') && file.ends_with('#')) || BACKUP.contains(&ending) {
        return Some("it is a backup");
    }
    if words(file).first().is_some_and(|word| word == "readme") || NO_SCRIPT.contains(&ending) {
        return Some("it is no script");
    }
    None
}

/// The event some words mean, compared word by word: `pre_tooling` is not `pre_tool`.
fn event_of(text: &str) -> Option<HookEvent> {
    let text = words(text).join("_");
    let alias = ALIASES
        .iter()
        .find(|(alias, _)| *alias == text)
        .map(|(_, event)| event);
    alias
        .or_else(|| {
            HookEvent::ALL
                .iter()
                .find(|event| words(event.as_str()).join("_") == text)
        })
        .cloned()
}

/// How to run a file, or what is wrong with it and what was expected.
fn handler(path: &Path, ending: &str) -> Result<Handler, (String, String)> {
    let expected = || "a program, a Python script (`.py`) or a shell script (`.sh`)".to_owned();
    let Some(text) = path.to_str() else {
        return Err(("its path is not UTF-8".into(), "UTF-8".into()));
    };
    let meta = fs::metadata(path).map_err(|err| (format!("it cannot be looked at: {err}"), expected()))?;
    if !meta.is_file() {
        return Err(("it is not an ordinary file".into(), expected()));
    }
    let interpreter = match ending {
        "py" => Some("python3"),
        "sh" => Some("sh"),
        _ => None,
    };
    match interpreter {
        // Without a first line that says so, the system would not know what to run a script with.
        _ if is_executable(path, &meta) && (interpreter.is_none() || says_how(path)) => Ok(Handler::Exec {
            program: text.into(),
            args: Vec::new(),
        }),
        Some(interpreter) => Ok(Handler::exec(interpreter, [text])),
        None => Err((
            "it has no execute permission, and its ending does not say what runs it".into(),
            format!("`chmod +x {text}`, or the ending `.py` or `.sh`"),
        )),
    }
}

#[cfg(unix)]
fn is_executable(_: &Path, meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(path: &Path, _: &fs::Metadata) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| matches!(ending, "exe" | "bat" | "cmd" | "com"))
}

/// Whether the file begins with `#!`.
fn says_how(path: &Path) -> bool {
    let mut first = [0; 2];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut first))
        .is_ok()
        && first == *b"#!"
}
