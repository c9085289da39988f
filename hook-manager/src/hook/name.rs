//! Names of hooks, and what is read from their words.

/// The longest name, in characters.
pub(crate) const NAME_LIMIT: usize = 64;

/// Any one of these words in its name makes a hook a guard, on events that can be stopped.
const GUARD_WORDS: &[&str] = &[
    "guard",
    "security",
    "secure",
    "safety",
    "protect",
    "policy",
    "deny",
    "block",
    "validate",
    "permission",
    "secret",
    "secrets",
];

/// What a script's file name ends in.
const SCRIPT: &[&str] = &[
    "py", "sh", "bash", "zsh", "fish", "js", "mjs", "cjs", "ts", "mts", "rb", "pl", "php", "lua", "ps1",
    "bat", "cmd", "exe",
];

/// Whether one of the whole words of `name` says that it guards something.
///
/// ```
/// use hook_manager::hook::is_guard_name;
///
/// assert!(is_guard_name("push_guard"));
/// assert!(is_guard_name("SecretScanner"));
/// assert!(!is_guard_name("blocklist-update"));
/// ```
pub fn is_guard_name(name: &str) -> bool {
    words(name)
        .iter()
        .any(|word| GUARD_WORDS.contains(&word.as_str()))
}

/// The words of a name, in lower case: split where it is not a letter, and before a capital.
pub(crate) fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let after_small = at > 0 && letters[at - 1].is_lowercase();
        let before_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        // `pushGuard` and `HTTPGuard` are two words each.
        let starts = letter.is_uppercase() && (after_small || before_small);
        if (starts || !letter.is_alphabetic()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether a name can stand in a table, a metric and a file name without harm.
pub(crate) fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(fine)
}

/// The stem of the first script among `words`, or else the program's own name.
pub(super) fn of_command<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut program = None;
    for word in words.filter(|word| !word.is_empty()) {
        let file = word.rsplit(['/', '\\']).next().unwrap_or(word);
        if let Some((stem, end)) = file.rsplit_once('.') {
            if !stem.is_empty() && SCRIPT.contains(&end) {
                return clean(stem);
            }
        }
        let assignment = word.split_once('=').is_some_and(|(name, _)| is_variable(name));
        if program.is_none() && !assignment {
            program = Some(file);
        }
    }
    clean(program.unwrap_or_default())
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn clean(name: &str) -> String {
    let fine = |c: char| {
        if is_name(c.encode_utf8(&mut [0; 4])) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(fine).take(NAME_LIMIT).collect();
    match name.trim_matches('-') {
        "" => "hook".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_whole_words() {
        for (name, expected) in [
            ("blocklist-update", &["blocklist", "update"][..]),
            ("pushGuard", &["push", "guard"]),
            ("HTTPGuard", &["http", "guard"]),
            ("pre_tool__guard.py", &["pre", "tool", "guard", "py"]),
            ("guard2", &["guard"]),
            ("", &[]),
            ("__", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn a_hook_is_named_after_its_script_or_else_its_program() {
        for (command, expected) in [
            (
                r#"python3 "$CLAUDE_PROJECT_DIR"/.claude/hooks/guard.py --strict"#,
                "guard",
            ),
            (
                "${CLAUDE_PROJECT_DIR}/.claude/hooks/check-style.sh",
                "check-style",
            ),
            ("'/srv/my hooks/audit.rb'", "audit"),
            ("/usr/bin/jq -r .tool_name", "jq"),
            ("RUST_LOG=debug cargo fmt", "cargo"),
            ("cd sub && node lint.mjs", "lint"),
            ("cat .env", "cat"),
            ("./bin/guard", "guard"),
            ("", "hook"),
            ("\u{fc}ber\n", "ber"),
        ] {
            let shell = crate::hook::Handler::shell(command);
            assert_eq!(shell.default_name(), expected, "{command}");
            assert!(is_name(&shell.default_name()), "{command}");
        }
        let exec = crate::hook::Handler::exec("python3", ["-u", "hooks/secret scan.py"]);
        assert_eq!(exec.default_name(), "secret-scan");
    }
}
