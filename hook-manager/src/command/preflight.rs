//! What can be told about a command before it runs, and what its shell says when it never did.
//!
//! `python3 missing.py` ends with status 2, the very status by which a hook blocks. So does a shell
//! that cannot read its own command line. Neither is a decision.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::output::Ran;

/// Splits a shell command into words, if it is one simple command whose words are plain to see:
/// quotes, and the project's directory as the only variable. `None` for everything else.
pub(super) fn words(command: &str, project: &Path) -> Option<Vec<String>> {
    let project = project.to_str()?;
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.trim();
    let mut quoted = false;
    while let Some(next) = rest.chars().next() {
        let mut used = next.len_utf8();
        match next {
            '\'' if !quoted => {
                let end = rest[1..].find('\'')?;
                word.get_or_insert_default().push_str(&rest[1..=end]);
                used = end + 2;
            }
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '$' => {
                let name = ["${CLAUDE_PROJECT_DIR}", "$CLAUDE_PROJECT_DIR"];
                let name = name.into_iter().find(|name| rest.starts_with(name))?;
                let after = rest[name.len()..].chars().next();
                if !name.ends_with('}') && after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return None;
                }
                word.get_or_insert_default().push_str(project);
                used = name.len();
            }
            '\\' | '`' => return None,
            ' ' | '\t' if !quoted => words.extend(word.take()),
            ';' | '|' | '&' | '<' | '>' | '(' | ')' | '*' | '?' | '[' | '#' | '~' | '!' | '{' | '}'
            | '\n'
                if !quoted =>
            {
                return None;
            }
            other => word.get_or_insert_default().push(other),
        }
        rest = &rest[used..];
    }
    words.extend(word);
    // A variable set for this command: the program comes later, and who knows where it is looked up.
    let plain = !quoted && !words.first()?.contains('=');
    plain.then_some(words)
}

/// Says what is missing, in a sentence, if the program or the script an interpreter is given is not
/// there to be run.
pub(super) fn check(words: &[String], cwd: &Path) -> Result<(), String> {
    let [program, args @ ..] = words else {
        return Ok(());
    };
    if program.contains('/') {
        executable(&cwd.join(program))?;
    }
    match script(program, args) {
        Some(script) => readable(&cwd.join(script), program),
        None => Ok(()),
    }
}

fn executable(path: &Path) -> Result<(), String> {
    let meta = fs::metadata(path).map_err(|err| sentence(path, &err))?;
    if meta.is_dir() {
        return Err(format!("{}: is a directory, expected a program", path.display()));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(format!(
            "{0}: has no execute permission; expected `chmod +x {0}`",
            path.display()
        ));
    }
    Ok(())
}

fn readable(path: &Path, interpreter: &str) -> Result<(), String> {
    match fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(err) => Err(format!(
            "{}, which {interpreter} was to run",
            sentence(path, &err)
        )),
    }
}

fn sentence(path: &Path, err: &io::Error) -> String {
    let path = path.display();
    match err.kind() {
        io::ErrorKind::NotFound => format!("{path}: no such file"),
        io::ErrorKind::PermissionDenied => format!("{path}: may not be read"),
        _ => format!("{path}: {err}"),
    }
}

/// The script among an interpreter's arguments: the first that is no option, unless an option we do
/// not know comes first.
fn script<'a>(program: &str, args: &'a [String]) -> Option<&'a str> {
    let name = PathBuf::from(program).file_name()?.to_str()?.to_owned();
    let plain_options = match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "python" | "pypy" => "bBdEhiIOqsSuvx",
        "sh" | "bash" | "dash" | "zsh" | "ksh" => "aefhmuvxE",
        "perl" => "wtTuU",
        "ruby" => "wW",
        "node" | "nodejs" => "",
        _ => return None,
    };
    for arg in args {
        match arg.strip_prefix('-') {
            None => return Some(arg),
            Some(options) if !options.is_empty() && options.chars().all(|c| plain_options.contains(c)) => {}
            Some(_) => return None,
        }
    }
    None
}

/// Whether what ended was a shell or an interpreter that never got to the hook: for the command
/// lines [`words`] cannot see through.
pub(super) fn never_ran(by_shell: bool, ran: &Ran) -> Option<String> {
    if ran.stdout.text().trim_start().starts_with('{') {
        return None;
    }
    let stderr = ran.stderr.text();
    let first = stderr
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
        .trim();
    let says = |sign: &str| first.to_ascii_lowercase().contains(sign);
    let never = match ran.code {
        // The shell's own codes for "found, but not executable" and "not found".
        126 => by_shell && (says("permission denied") || says("cannot execute") || says("exec format")),
        127 => by_shell && says("not found") || says("no such file"),
        2 => {
            says("can't open file") && says("[errno 2]")
                || says("can't open file") && says("[errno 13]")
                || says("cannot open") && says("no such file")
                || by_shell && says("syntax error") && (says("sh: ") || says("sh:"))
        }
        _ => false,
    };
    never.then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(command: &str) -> Option<Vec<String>> {
        words(command, Path::new("/p q"))
    }

    #[test]
    fn simple_commands_are_split_as_a_shell_would() {
        for (command, expected) in [
            ("python3 a.py", &["python3", "a.py"][..]),
            ("  'a b'/c  \"d e\"f ", &["a b/c", "d ef"]),
            (
                "\"$CLAUDE_PROJECT_DIR\"/x ${CLAUDE_PROJECT_DIR}/y",
                &["/p q/x", "/p q/y"],
            ),
            ("echo \"a;b|c\" ''", &["echo", "a;b|c", ""]),
            ("sh é.sh", &["sh", "é.sh"]),
        ] {
            assert_eq!(
                split(command).as_deref(),
                Some(&*expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()),
                "{command}"
            );
        }
    }

    #[test]
    fn what_only_a_shell_can_tell_is_left_to_the_shell() {
        for command in [
            "a; b",
            "a | b",
            "a $HOME",
            "a $(b)",
            "a `b`",
            "X=1 a",
            "a > b",
            "a 'b",
            "a \"b",
            "a *",
            "",
            "$CLAUDE_PROJECT_DIRX",
        ] {
            assert_eq!(split(command), None, "{command}");
        }
    }

    #[test]
    fn a_missing_script_is_named_together_with_its_interpreter() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let cwd = Path::new("/nowhere");
        let missing = "/nowhere/missing.py: no such file, which python3 was to run";
        assert_eq!(check(&words("python3 -u missing.py x"), cwd), Err(missing.into()));
        assert_eq!(
            check(&words("./missing.sh"), cwd),
            Err("/nowhere/./missing.sh: no such file".into())
        );
        for fine in [
            "python3 -c print()",
            "python3 -m json.tool missing.py",
            "bash -c missing",
            "jq . missing",
            "node -r x missing",
        ] {
            assert_eq!(check(&words(fine), cwd), Ok(()), "{fine}");
        }
    }
}
