use std::{mem, path::Path};

use crate::command::placeholder;

/// A command line as far as it can be known before a shell has read it: one simple command after the
/// other, joined by `;`, `&&` or a line's end, with no variable in it but the project's directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The words of each command, at least one a command.
    pub(super) commands: Vec<Vec<String>>,
}

impl Line {
    /// A program and its arguments, which no shell reads.
    pub(crate) fn of_words(words: Vec<String>) -> Self {
        Self {
            commands: vec![words],
        }
    }

    /// Splits what is plain to see. `None` for everything else.
    pub(crate) fn of_shell(command: &str, project: &Path) -> Option<Self> {
        let mut reader = Reader::default();
        let mut rest = command.trim();
        let mut quoted = false;
        while let Some(next) = rest.chars().next() {
            let mut used = next.len_utf8();
            match next {
                '\'' if !quoted => {
                    let end = rest[1..].find('\'')?;
                    reader.word().push_str(&rest[1..=end]);
                    used = end + 2;
                }
                '"' => {
                    quoted = !quoted;
                    reader.word();
                }
                '$' => {
                    used = placeholder::used(rest)?;
                    let project = project.to_str()?;
                    // A shell splits and expands what stands outside of quotes once more.
                    if !quoted && project.contains([' ', '\t', '\n', '*', '?', '[', '\\']) {
                        return None;
                    }
                    reader.word().push_str(project);
                }
                '\\' | '`' => return None,
                other if quoted => reader.word().push(other),
                ' ' | '\t' => reader.end_word(),
                ';' | '\n' => reader.end_command()?,
                '&' if rest.starts_with("&&") => {
                    reader.end_command()?;
                    used = 2;
                }
                '>' => used = reader.redirect(rest)?,
                '|' | '&' | '<' | '(' | ')' | '*' | '?' | '[' | '#' | '~' | '!' | '{' | '}' => return None,
                other => reader.word().push(other),
            }
            rest = &rest[used..];
        }
        reader.end_word();
        if !reader.words.is_empty() {
            reader.end_command()?;
        }
        (!quoted && !reader.commands.is_empty()).then_some(Self {
            commands: reader.commands,
        })
    }
}

#[derive(Default)]
struct Reader {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
}

impl Reader {
    fn word(&mut self) -> &mut String {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) -> Option<()> {
        self.end_word();
        let words = mem::take(&mut self.words);
        // A variable set for this command: the program comes later, and who knows where it is looked up.
        if words.first()?.contains('=') {
            return None;
        }
        self.commands.push(words);
        Some(())
    }

    /// Passes over what sends output to where nothing of it can be run or read again.
    fn redirect(&mut self, rest: &str) -> Option<usize> {
        match self.word.take().as_deref() {
            None | Some("1" | "2") => {}
            Some(_) => return None,
        }
        let targets = [">&2", ">&1", ">/dev/null", "> /dev/null"];
        let target = targets.into_iter().find(|target| rest.starts_with(target))?;
        let after = rest[target.len()..].chars().next();
        after
            .is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | ';' | '&'))
            .then_some(target.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(command: &str) -> Option<Vec<String>> {
        let line = Line::of_shell(command, Path::new("/p q"))?;
        Some(line.commands.iter().map(|words| words.join("|")).collect())
    }

    #[test]
    fn simple_commands_are_split_as_a_shell_would() {
        for (command, expected) in [
            ("python3 a.py", &["python3|a.py"][..]),
            ("  'a b'/c  \"d e\"f ", &["a b/c|d ef"]),
            (
                "\"$CLAUDE_PROJECT_DIR\"/x \"${CLAUDE_PROJECT_DIR}/y\"",
                &["/p q/x|/p q/y"],
            ),
            ("echo \"a;b c\" ''", &["echo|a;b c|"]),
            ("sh é.sh", &["sh|é.sh"]),
            ("cd a && b;c >&2\nd 2>/dev/null;", &["cd|a", "b", "c", "d"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(split(command), Some(expected), "{command}");
        }
    }

    #[test]
    fn what_only_a_shell_can_tell_is_left_to_the_shell() {
        for command in [
            "a | b",
            "a || b",
            "a & b",
            "a $HOME",
            "a $(b)",
            "a `b`",
            "X=1 a",
            "a; X=1",
            "a > b",
            "a x>&2",
            "a >&2b",
            "a ;; b",
            "a 'b",
            "a \"b",
            "a *",
            "",
            "$CLAUDE_PROJECT_DIRX",
            "$CLAUDE_PROJECT_DIR/x",
        ] {
            assert_eq!(split(command), None, "{command}");
        }
    }
}
