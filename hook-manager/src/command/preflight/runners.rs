use std::path::Path;

/// What runs what it is told to, and the letters of its options behind which the code itself stands.
///
/// Of all of them [`Script`](super::Script) knows no more than the simplest lines: it says that a script is missing,
/// which has to be certain. Here a word too much does no harm.
const RUNNERS: &[(&str, &str)] = &[
    ("ash", "c"),
    ("bash", "c"),
    ("bun", "ep"),
    ("bunx", ""),
    ("busybox", ""),
    ("command", ""),
    ("dash", "c"),
    ("deno", ""),
    ("elixir", "e"),
    ("env", ""),
    ("exec", ""),
    ("fish", "c"),
    ("go", ""),
    ("java", ""),
    ("julia", "eE"),
    ("ksh", "c"),
    ("lua", "e"),
    ("luajit", "e"),
    ("nice", ""),
    ("node", "ep"),
    ("nodejs", "ep"),
    ("nohup", ""),
    ("npx", ""),
    ("nu", "c"),
    ("osascript", "e"),
    ("perl", "eE"),
    ("php", "r"),
    ("pipx", ""),
    ("pnpm", ""),
    ("poetry", ""),
    ("pwsh", "c"),
    ("pypy", "cm"),
    ("python", "cm"),
    ("rscript", "e"),
    ("ruby", "e"),
    ("setsid", ""),
    ("sh", "c"),
    ("stdbuf", ""),
    ("swift", "e"),
    ("tclsh", ""),
    ("time", ""),
    ("timeout", ""),
    ("ts-node", "ep"),
    ("tsx", "ep"),
    ("uv", "cm"),
    ("uvx", ""),
    ("yarn", ""),
    ("zsh", "c"),
];

/// The words that name a file which the line runs: the first one that is not an option's value, and those before it.
///
/// Which options have a value is known to their programs alone, so a file behind one may be either.
pub(super) fn scripts(words: &[String], is_file: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut found = Vec::new();
    let Some(mut code) = words.first().and_then(|word| runner(word)) else {
        return found;
    };
    let mut is_behind_option = false;
    for word in &words[1..] {
        let option = word.strip_prefix('-').or_else(|| word.strip_prefix('+'));
        if let Some(option) = option {
            is_behind_option = true;
            if let Some((_, value)) = option.split_once('=') {
                is_behind_option = false;
                found.extend(is_file(value).then_some(value));
            } else if is_code(option, code) {
                break;
            }
        } else if is_file(word) {
            found.push(word);
            if !is_behind_option {
                break;
            }
            is_behind_option = false;
        } else {
            // `env python3 ..`, `uv run python ..`
            code = runner(word).unwrap_or(code);
            is_behind_option = false;
        }
    }
    found
}

fn runner(program: &str) -> Option<&'static str> {
    let name = Path::new(program).file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let found = RUNNERS.binary_search_by_key(&name, |(one, _)| one).ok()?;
    Some(RUNNERS[found].1)
}

/// Whether what follows is no file, but code, or a module's name.
fn is_code(option: &str, code: &str) -> bool {
    match option.strip_prefix('-') {
        Some(long) => matches!(long, "eval" | "print" | "command"),
        None => option.len() <= 4 && option.contains(|c| code.contains(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_behind_whatever_runs_them() {
        assert!(RUNNERS.is_sorted(), "they are searched");
        for (command, expected) in [
            ("node a.js b.js", &["a.js"][..]),
            ("node --no-warnings a.js", &["a.js"]),
            ("node -r ./b.js a.js", &["./b.js", "a.js"]),
            ("node --import=./b.js a.js", &["./b.js", "a.js"]),
            ("node -e 1 a.js", &[]),
            ("node --eval 1 a.js", &[]),
            ("/usr/bin/env python3 a.py", &["a.py"]),
            ("env -i X=1 python3 -c 1 a.py", &[]),
            ("exec ./a.sh", &["./a.sh"]),
            ("timeout 5 bash -eo pipefail a.sh b.js", &["a.sh"]),
            ("bash -ec 1 a.sh", &[]),
            ("uv run --with x a.py", &["a.py"]),
            ("npx -y tsx a.ts", &["a.ts"]),
            ("deno run --allow-read a.ts", &["a.ts"]),
            ("Rscript a.R", &["a.R"]),
            ("cat a.py", &[]),
            ("jq -r . a.js", &[]),
            ("grep -f a.sh a.py", &[]),
            ("node", &[]),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            let is_file = |name: &str| name.contains("a.") || name.contains("b.");
            assert_eq!(scripts(&words, is_file), expected, "{command}");
        }
    }
}
