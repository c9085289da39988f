use std::{env, path::Path, time::Duration};

use super::{Line, Script};
use crate::{
    output::Ran,
    process::{self, Command, Ended, Limits},
};

/// How long a shell may take to read one line.
const READING: Duration = Duration::from_secs(1);

/// Says why, if what ended was a shell or an interpreter that never got to the hook.
///
/// Status 2 is a block, and what stands on standard error may be the words of whoever is to be
/// blocked. So no text ever makes status 2 a failure by itself: the line must be one that cannot
/// have got anywhere else.
pub(crate) async fn never_ran(
    line: Option<&Line>,
    shell: Option<(&str, &str)>,
    cwd: &Path,
    ran: &Ran,
) -> Option<String> {
    if ran.stdout.text().trim_start().starts_with('{') {
        return None;
    }
    let stderr = ran.stderr.text();
    match ran.code {
        // The shell's own statuses for "found, but not executable" and "not found". No decisions.
        126 => shell_line(&stderr, &["permission denied", "cannot execute", "exec format"]),
        127 => shell_line(&stderr, &["not found", "no such file"]),
        2 => match line.and_then(|line| missing_script(line, cwd, &stderr)) {
            Some(why) => Some(why),
            None => unreadable_line(shell?, cwd, &stderr).await,
        },
        _ => None,
    }
}

/// The first line of a shell's own, or of `env`'s, that says one of these.
fn shell_line(stderr: &str, signs: &[&str]) -> Option<String> {
    let line = stderr.lines().map(str::trim).find(|line| {
        let who = line.split(':').next().and_then(|who| who.rsplit('/').next());
        let shell = matches!(who, Some("sh" | "bash" | "dash" | "zsh" | "ksh" | "pwsh" | "env"));
        let line = line.to_ascii_lowercase();
        shell && signs.iter().any(|sign| line.contains(sign))
    })?;
    Some(line.to_owned())
}

/// A line whose last command is an interpreter with a script that is not there, and whose others
/// cannot have written the words, let alone ended with the status, of a guard.
fn missing_script(line: &Line, cwd: &Path, stderr: &str) -> Option<String> {
    let (last, before) = line.commands.split_last()?;
    let mut dir = cwd.to_owned();
    for words in before {
        match words.first()?.as_str() {
            "cd" => dir = entered(&dir, words)?,
            "echo" | "printf" | "set" | "true" | ":" => {}
            _ => return None,
        }
    }
    let script = Script::of(last)?;
    let why = script.readable(&dir).err()?;
    stderr
        .contains(Path::new(script.name).file_name()?.to_str()?)
        .then_some(why)
}

fn entered(dir: &Path, cd: &[String]) -> Option<std::path::PathBuf> {
    let [_, to] = cd else { return None };
    // `cd -` and `cd ''` go elsewhere, and CDPATH leads anywhere.
    if to.starts_with('-') || to.is_empty() || env::var_os("CDPATH").is_some() {
        return None;
    }
    let dir = dir.join(to);
    dir.is_dir().then_some(dir)
}

/// Whether the shell could not read its line: it is asked to read it again, without running it.
async fn unreadable_line((shell, command): (&str, &str), cwd: &Path, stderr: &str) -> Option<String> {
    // What precedes a bad line is run before that line is read.
    if command.trim().contains('\n') {
        return None;
    }
    let said = shell_line(stderr, &["syntax error", "unexpected eof"])?;
    let reading = Command::new(shell)
        .args(["-n", "-c", command])
        .cwd(cwd)
        .env_remove("BASH_ENV");
    let limits = Limits {
        timeout: READING,
        ..Limits::default()
    };
    let read = process::run(&reading, [], &limits, ()).await.ok()?;
    let refused = matches!(read.ended, Ended::Code(code) if code != 0);
    // The same words: what was written by the line itself would differ.
    (refused && read.stderr.text().trim() == stderr.trim()).then_some(said)
}
