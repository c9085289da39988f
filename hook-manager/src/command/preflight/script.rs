use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
};

/// The script a program is to run, if the program is an interpreter that takes its name for a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script<'a> {
    pub(super) name: &'a str,
    interpreter: &'a str,
    /// A shell looks in `PATH` for what it does not find.
    searched: bool,
}

impl<'a> Script<'a> {
    /// The first argument that is no option, unless something we do not know comes before it. Only
    /// interpreters that open that very path: `node` also tries other names.
    pub(super) fn of(words: &'a [String]) -> Option<Self> {
        let (program, args) = match words {
            [exec, words @ ..] if exec == "exec" => words.split_first()?,
            words => words.split_first()?,
        };
        let name = Path::new(program).file_name()?.to_str()?;
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let shell = matches!(name, "sh" | "bash" | "dash" | "zsh" | "ksh");
        let (plain, with_value): (&str, &[&str]) = match name {
            "python" | "pypy" => ("bBdEiIOqsSuvx", &["-X", "-W"]),
            "perl" => ("wtTuU", &[]),
            "ruby" => ("wW", &[]),
            "jq" => return Self::of_jq(program, args),
            _ if shell => ("aefhmuvxE", &[]),
            _ => return None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if with_value.contains(&arg.as_str()) {
                args.next()?;
            } else if arg.starts_with('+') || arg.is_empty() {
                return None;
            } else if let Some(options) = arg.strip_prefix('-') {
                if options.is_empty() || !options.chars().all(|c| plain.contains(c)) {
                    return None;
                }
            } else {
                return Some(Self {
                    name: arg,
                    interpreter: program,
                    searched: shell && !arg.contains('/'),
                });
            }
        }
        None
    }

    /// `jq -f FILE`, with flags alone before it.
    fn of_jq(program: &'a str, args: &'a [String]) -> Option<Self> {
        let flags = |arg: &&String| {
            arg.strip_prefix('-')
                .is_some_and(|flags| !flags.is_empty() && flags.chars().all(|c| "acCeMnrRsS".contains(c)))
        };
        let mut args = args.iter().skip_while(flags);
        args.next().filter(|arg| *arg == "-f" || *arg == "--from-file")?;
        let name = args.next().filter(|name| !name.starts_with('-'))?;
        Some(Self {
            name,
            interpreter: program,
            searched: false,
        })
    }

    /// Says what is wrong if it is certain that the interpreter cannot open the script.
    pub(super) fn readable(&self, cwd: &Path) -> Result<(), String> {
        if self.searched && in_path(self.name) {
            return Ok(());
        }
        let path = cwd.join(self.name);
        let told =
            |err: &io::Error| format!("{}, which {} was to run", sentence(&path, err), self.interpreter);
        let meta = fs::metadata(&path).map_err(|err| told(&err))?;
        // Never opened: to open a pipe is to wait for its other end. What is no file is the
        // interpreter's affair: Python runs folders.
        if meta.is_file() && access(&path, Access::READ_OK) == Err(Errno::ACCESS) {
            return Err(told(&io::ErrorKind::PermissionDenied.into()));
        }
        Ok(())
    }
}

pub(super) fn in_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir: PathBuf| dir.join(name).exists())
}

pub(super) fn sentence(path: &Path, err: &io::Error) -> String {
    let path = path.display();
    match err.kind() {
        io::ErrorKind::NotFound => format!("{path}: no such file"),
        io::ErrorKind::PermissionDenied => format!("{path}: may not be read"),
        _ => format!("{path}: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_seen_only_where_the_interpreter_opens_that_very_path() {
        for (command, name) in [
            ("python3.11 -u -X utf8 a.py b", Some("a.py")),
            ("exec /usr/bin/perl -w a.pl", Some("a.pl")),
            ("jq -re -f a.jq", Some("a.jq")),
            ("bash -e a", Some("a")),
            ("bash +e a", None),
            ("bash -o pipefail a", None),
            ("python3 -m a", None),
            ("python3 -", None),
            ("jq . a", None),
            ("jq a -f b", None),
            ("node hooks/guard", None),
            ("./guard a", None),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(Script::of(&words).map(|script| script.name), name, "{command}");
        }
    }
}
