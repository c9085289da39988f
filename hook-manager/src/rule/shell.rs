//! Finds the commands inside a command line of `sh` or `bash`, well enough to compare each with a rule.
//!
//! The reading is generous: a piece that is looked at too often does no harm, one that is overlooked
//! would let a call pass a guard. What cannot be read is said to be unreadable.

mod reader;

/// How many words before a command proper are looked behind.
const HEADS_LIMIT: usize = 32;

/// One simple command.
#[derive(Debug, PartialEq)]
pub(super) struct Simple {
    /// As it was written, from one separator to the next.
    text: String,
    /// Its words without their quotes, and where each begins in `text` (in bytes). Redirections are left
    /// out.
    words: Vec<(usize, String)>,
}

/// Why a command line cannot be read.
pub(super) type Unreadable = &'static str;

/// The simple commands of a command line, those in substitutions and subshells included.
pub(super) fn commands(line: &str) -> Result<Vec<Simple>, Unreadable> {
    let mut found = Vec::new();
    reader::Reader::new(line)?.all(&mut found)?;
    Ok(found)
}

impl Simple {
    /// The ways to read this command: as it stands, and without what stands before the command proper
    /// (`VAR=x`, `if`, `timeout 5`), each as it was written and with single spaces and no quotes.
    pub(super) fn readings(&self) -> impl Iterator<Item = String> {
        let heads = self.heads();
        let whole = self.text.clone();
        let rest = heads
            .into_iter()
            .filter(|head| *head < self.words.len())
            .flat_map(|head| {
                let written = self.text[self.words[head].0..].to_owned();
                let plain: Vec<&str> = self.words[head..].iter().map(|(_, word)| word.as_str()).collect();
                [written, plain.join(" ")]
            });
        std::iter::once(whole).chain(rest)
    }

    /// Whether the name of the command is only known when it runs: `$tool -rf x`, `r? -rf x`.
    pub(super) fn is_hidden(&self) -> bool {
        let heads = self.heads();
        if heads.len() > HEADS_LIMIT {
            return true;
        }
        let hides = |word: &str| word.contains(['$', '`', '*', '?', '[', '{']) && !matches!(word, "[" | "[[");
        let head = heads.last().and_then(|head| self.words.get(*head));
        head.is_some_and(|(_, word)| hides(word))
    }

    /// Where the command may begin, in words: at the first, and behind what may stand before a command.
    fn heads(&self) -> Vec<usize> {
        let heads = std::iter::successors(Some(0), |head| self.skip(*head));
        heads.take(HEADS_LIMIT + 1).collect()
    }

    /// The word after the one at `head`, if that one is no command of its own.
    fn skip(&self, head: usize) -> Option<usize> {
        let word = |at: usize| self.words.get(at).map(|(_, word)| word.as_str());
        let options = |mut at: usize, with_value: &[&str]| {
            while let Some(option) = word(at).filter(|word| word.starts_with('-')) {
                at += 1 + usize::from(with_value.contains(&option));
            }
            at
        };
        match word(head)? {
            "if" | "then" | "else" | "elif" | "do" | "while" | "until" | "!" | "{" | "nohup" => {
                Some(head + 1)
            }
            "time" => Some(options(head + 1, &[])),
            "nice" => Some(options(head + 1, &["-n"])),
            "stdbuf" => Some(options(head + 1, &["-i", "-o", "-e"])),
            "timeout" => Some(options(head + 1, &["-k", "-s"]) + 1),
            "xargs" => word(head + 1)
                .filter(|next| !next.starts_with('-'))
                .map(|_| head + 1),
            "function" => Some(head + 2),
            other => is_assignment(other).then_some(head + 1),
        }
    }
}

fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else {
        return false;
    };
    let name = name.strip_suffix('+').unwrap_or(name);
    let name = name.split_once('[').map_or(name, |(name, _)| name);
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_a_line_is_found() {
        for (line, expected) in [
            ("git status", &["git status"][..]),
            ("  a ; b&&c||d | e & f\ng", &["a", "b", "c", "d", "e", "f", "g"]),
            ("echo $(rm -rf x) y", &["rm -rf x", "echo $(rm -rf x) y"]),
            ("echo \"now: `rm x`\"", &["rm x", "echo \"now: `rm x`\""]),
            ("echo '$(rm x); `rm y`'", &["echo '$(rm x); `rm y`'"]),
            ("(cd a && rm b) > log", &["cd a", "rm b", "(cd a && rm b) > log"]),
            ("echo ${HOME:-$(rm x)}", &["rm x", "echo ${HOME:-$(rm x)}"]),
            ("diff <(rm a) <(rm b)", &["rm a", "rm b", "diff <(rm a) <(rm b)"]),
            ("echo $((1 << 2))\nrm x\n2", &["echo $((1 << 2))", "rm x", "2"]),
            (
                "echo $((rm x) | (rm y))",
                &["rm x", "(rm x)", "rm y", "(rm y)", "echo $((rm x) | (rm y))"],
            ),
            ("cat <<E\n$(rm x)\nrm y\nE\nls", &["cat <<E", "rm x", "ls"]),
            ("cat <<'E'\n$(rm x)\nE\nls", &["cat <<'E'", "ls"]),
            ("a 2>&1 | b &> c; d >| e", &["a 2>&1", "b &> c", "d >| e"]),
            ("f() { rm x; }", &["{ rm x", "}"]),
            ("# rm x\nls # rm y", &["ls # rm y"]),
            ("x=(a $(rm b)) c", &["rm b", "a $(rm b)", "x=(a $(rm b)) c"]),
            (
                "echo $((1 + `a`)) ${x:-`b`}",
                &["a", "b", "echo $((1 + `a`)) ${x:-`b`}"],
            ),
            ("cat <<E\n`a` \\`b\nE", &["cat <<E", "a"]),
            ("cat <<-E\n\t\tE\nrm x", &["cat <<-E", "rm x"]),
            ("cat <<<$(a)", &["a", "cat <<<$(a)"]),
            (
                "echo \"${x:-\"$(a)\"}\" 'b'\"c\\\"d\"",
                &["a", "echo \"${x:-\"$(a)\"}\" 'b'\"c\\\"d\""],
            ),
            ("a <<E\nx\nE", &["a <<E"]),
            ("<<E\nE", &["<<E"]),
            ("", &[]),
        ] {
            let found = commands(line).map(|found| found.into_iter().map(|one| one.text).collect::<Vec<_>>());
            assert_eq!(
                found.as_deref(),
                Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_unreadable() {
        for line in [
            "echo 'a",
            "echo \"a",
            "echo `a",
            "echo $(a",
            "(a",
            "a)",
            "case x in a) rm;; esac",
            "echo ${a",
            "a\\",
            "cat <<E\nx",
            "cat <<a\\",
            "$'\\x72m' x",
            "[[ a =~ (b) ]]",
        ] {
            assert!(commands(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_hostile_line_takes_neither_the_stack_nor_the_time() {
        for (open, close) in [
            ("$(", ")"),
            ("$((", "))"),
            ("$((", ") )"),
            ("( ", ")"),
            ("${x:-\"", "\"}"),
            ("<(", ")"),
        ] {
            let deep = format!("{}x{}", open.repeat(50_000), close.repeat(50_000));
            assert!(commands(&deep).is_err(), "{open}");
        }
        // Each of these could be read in two ways, and so could each inside it.
        let twice = format!("{}x{}", "$((".repeat(12), ") )".repeat(12));
        assert_eq!(
            commands(&twice),
            Err("too many parentheses that could be arithmetic")
        );
        let long = "A=1 ".repeat(200_000);
        let found = commands(&long).unwrap();
        assert!(found[0].readings().count() < 100);
        assert!(found[0].is_hidden());
        assert_eq!(commands(&"é ".repeat(500_000)).unwrap().len(), 1);
    }

    #[test]
    fn what_stands_before_a_command_is_looked_behind() {
        for (line, expected) in [
            ("A=1 B+=2 git push", "git push"),
            ("if ! git push", "git push"),
            ("timeout -k 5 --foreground 30 git push", "git push"),
            ("nice -n 10 nohup stdbuf -oL git push", "git push"),
            ("xargs git push", "git push"),
            ("\"git\"   'push'", "git push"),
            (">log 2>&1 git push", "git push"),
            ("g\\it push", "git push"),
            ("git push > log 2> err", "git push"),
            ("$'git' push", "git push"),
        ] {
            let found = commands(line).unwrap();
            assert!(
                found[0].readings().any(|reading| reading == expected),
                "{line}: {found:?}"
            );
        }
    }
}
