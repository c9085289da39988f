//! What hooks run: whether it is there, may be run, and is nobody else's to change.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{say, shown};
use crate::{
    command::{
        Recipe,
        preflight::{is_in_path, runs},
    },
    hook::{Handler, HookSpec, Origin, Shell},
    ownership::FileCheck,
    source::{Problem, Severity, place::field_of},
};

/// Words that a shell runs by itself.
const BUILT_IN: &[&str] = &[
    ".", ":", "[", "alias", "break", "case", "cd", "command", "continue", "echo", "eval", "exec", "exit",
    "export", "false", "for", "getopts", "hash", "if", "kill", "local", "printf", "pwd", "read", "readonly",
    "return", "set", "shift", "source", "test", "time", "times", "trap", "true", "type", "ulimit", "umask",
    "unset", "until", "wait", "while",
];
/// The longest first line of a script that says what runs it.
const FIRST_LINE: u64 = 256;

pub(super) fn check(
    hook: &HookSpec,
    project: Option<&Path>,
    file_check: FileCheck,
    problems: &mut Vec<Problem>,
) {
    let handler = match &hook.handler {
        Handler::Worker(worker) => &worker.run,
        handler => handler,
    };
    if !matches!(handler, Handler::Shell { .. } | Handler::Exec { .. }) || handler.runs_this_program() {
        return;
    }
    let origin = field_of(&hook.origin, 0, "command");
    let recipe = Recipe {
        handler: handler.clone(),
        project: project.map(Into::into),
        env_allow: None,
        // Told by itself.
        file_check: FileCheck::Off,
        trusted: None,
    };
    let cwd = recipe.home();
    if let Handler::Shell { shell, .. } = handler {
        let program = match shell {
            Shell::Bash => Some("bash"),
            Shell::PowerShell => Some("pwsh"),
            _ => None,
        };
        if let Some(program) = program.filter(|program| !is_in_path(program)) {
            let what = format!("needs {program}, which is not in PATH");
            problems.push(say(
                Severity::Error,
                origin.clone(),
                what,
                &format!("{program} installed"),
            ));
        }
    }
    let Some(line) = recipe.line(&cwd) else {
        return;
    };
    let (program, files) = runs(&line, &cwd);
    if let Err(err) = recipe.check(Some(&line), &cwd) {
        let what = format!("cannot be run: {err}");
        problems.push(say(
            Severity::Error,
            origin.clone(),
            what,
            "a program that is there and may be run",
        ));
    }
    let is_shell = matches!(handler, Handler::Shell { .. });
    if let Some(program) = program.filter(|program| !program.contains('/') && !program.is_empty()) {
        let is_known = (is_shell && BUILT_IN.contains(&program)) || is_in_path(program);
        if !is_known {
            let what = format!("runs {program}, which is not in PATH");
            problems.push(say(
                Severity::Error,
                origin.clone(),
                what,
                "its path, or a program that is installed",
            ));
        }
    }
    for file in files.into_iter().map(|name| cwd.join(name)) {
        interpreter(&file, &origin, project, problems);
        match file_check {
            FileCheck::Off => others(&file, &origin, project, problems),
            _ => not_used(&file, &origin, project, file_check, problems),
        }
    }
}

/// Whether what a script's first line names is there.
fn interpreter(file: &Path, origin: &Origin, project: Option<&Path>, problems: &mut Vec<Problem>) {
    let Some(line) = first_line(file) else { return };
    let Some(line) = line.strip_prefix("#!") else {
        return;
    };
    let is_crlf = line.ends_with('\r');
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else { return };
    let mut missing = (!Path::new(program).exists()).then_some(program);
    if missing.is_none() && program.ends_with("/env") {
        let named = words.find(|word| !word.starts_with('-') && !word.contains('='));
        missing = named.filter(|named| !is_in_path(named));
    }
    let file = shown(file, project);
    if let Some(missing) = missing {
        let what = format!("runs {file}, whose first line needs {missing}, which is not there");
        problems.push(say(
            Severity::Error,
            origin.clone(),
            what,
            "an interpreter that is installed",
        ));
    } else if is_crlf {
        let what =
            format!("runs {file}, whose lines end as on Windows: its interpreter is not found by that name");
        problems.push(say(
            Severity::Error,
            origin.clone(),
            what,
            "lines that end with a line feed alone",
        ));
    }
}

fn first_line(file: &Path) -> Option<String> {
    // To open a pipe is to wait for its other end.
    if !fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(file)
        .ok()?
        .take(FIRST_LINE)
        .read_to_end(&mut bytes)
        .ok()?;
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}

/// Whether a file is not used because somebody else can change it.
fn not_used(
    file: &Path,
    origin: &Origin,
    project: Option<&Path>,
    file_check: FileCheck,
    problems: &mut Vec<Problem>,
) {
    let Err(why) = file_check.check_program(file, project) else {
        return;
    };
    let (why, expected) = why.split_once("; expected ").unwrap_or((&why, "a file of yours"));
    // It begins with the file's name.
    let why = why.strip_prefix(&format!("{}: ", file.display())).unwrap_or(why);
    let what = format!("runs {}, which is not used: {why}", shown(file, project));
    problems.push(say(Severity::Error, origin.clone(), what, expected));
}

/// Whether somebody else can change what runs.
fn others(file: &Path, origin: &Origin, project: Option<&Path>, problems: &mut Vec<Problem>) {
    let Ok(meta) = fs::metadata(file) else { return };
    let name = shown(file, project);
    let mut warn = |what: String, expected: String| {
        problems.push(say(Severity::Warning, origin.clone(), what, &expected));
    };
    if meta.mode() & 0o002 != 0 {
        warn(
            format!("runs {name}, which everybody may change"),
            format!("`chmod o-w {name}`"),
        );
    }
    let me = rustix::process::geteuid().as_raw();
    if ![0, me].contains(&meta.uid()) {
        let what = format!("runs {name}, which belongs to another user (uid {})", meta.uid());
        warn(what, "a file of yours or of root's".into());
    }
    let folder: Option<PathBuf> = file.parent().map(Into::into);
    let Some((folder, meta)) = folder
        .and_then(|folder| Some((fs::metadata(&folder).ok()?, folder)))
        .map(|(meta, folder)| (folder, meta))
    else {
        return;
    };
    // With the sticky bit, only owners replace what is in it.
    if meta.mode() & 0o1002 == 0o002 {
        let folder = shown(&folder, project);
        let what = format!("runs {name}, and everybody may put another file into its folder");
        warn(what, format!("`chmod o-w {folder}`"));
    }
}
