//! What can be told about a command before it runs, and afterwards, when it never did.
//!
//! `python3 missing.py` ends with status 2, the very status by which a hook blocks. So does a shell
//! that cannot read its own command line. Neither is a decision.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use self::script::{Script, sentence};

mod never_ran;
mod runners;
mod script;
mod words;

pub(super) use self::{never_ran::never_ran, words::Line};

/// Says what is missing, in a sentence, if the program or the script an interpreter is given is not
/// there to be run. Of lines with several commands it says nothing.
pub(super) fn check(line: &Line, cwd: &Path) -> Result<(), String> {
    let [words] = line.commands.as_slice() else {
        return Ok(());
    };
    if let Some(program) = words.first().filter(|program| program.contains('/')) {
        executable(&cwd.join(program))?;
    }
    match Script::of(words) {
        Some(script) => script.readable(cwd),
        None => Ok(()),
    }
}

/// The program of a simple line, and the names of the files that are plain to see as what it runs.
pub(crate) fn runs<'a>(line: &'a Line, cwd: &Path) -> (Option<&'a str>, Vec<&'a str>) {
    let [words] = line.commands.as_slice() else {
        return (None, Vec::new());
    };
    let program = words.first().map(String::as_str);
    let by_path = program.filter(|program| program.contains('/'));
    let scripts = match Script::of(words) {
        Some(script) => vec![script.name],
        None => runners::scripts(words, |name| cwd.join(name).is_file()),
    };
    (program, by_path.into_iter().chain(scripts).collect())
}

/// Whether a shell or the system finds a program of this name.
pub(crate) fn is_in_path(name: &str) -> bool {
    script::in_path(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_script_is_named_together_with_its_interpreter() {
        let line = |text: &str| Line::of_words(text.split(' ').map(str::to_owned).collect());
        let cwd = Path::new("/nowhere");
        let missing = "/nowhere/missing.py: no such file, which python3 was to run";
        assert_eq!(check(&line("python3 -u missing.py x"), cwd), Err(missing.into()));
        assert_eq!(
            check(&line("./missing.sh"), cwd),
            Err("/nowhere/./missing.sh: no such file".into())
        );
        for fine in [
            "python3 -c print()",
            "python3 -m json.tool missing.py",
            "bash -c missing",
            "jq . missing",
            "node missing",
        ] {
            assert_eq!(check(&line(fine), cwd), Ok(()), "{fine}");
        }
    }
}
