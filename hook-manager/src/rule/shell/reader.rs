//! The reader proper: one pass over the characters, as a shell does it.

use super::{Simple, Unreadable};

mod here;
mod quotes;

/// How deep substitutions may stand in one another.
const DEPTH_LIMIT: usize = 32;
/// The longest command line that is looked into, in characters.
const LENGTH_LIMIT: usize = 1 << 20;
/// How often `((` may turn out to be no arithmetic.
const AGAIN_LIMIT: usize = 8;

pub(super) struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    /// How often something was read again in another way. Bounded, so that the time is in proportion to
    /// the length.
    again: usize,
    /// Here-documents whose text begins on the next line: delimiter, whether it was quoted, whether tabs
    /// are stripped.
    here: Vec<(String, bool, bool)>,
}

/// The command being read.
#[derive(Default)]
struct Current {
    start: Option<usize>,
    words: Vec<(usize, String)>,
    word: Option<(usize, String)>,
    /// The next word is the file of a redirection.
    redirects: bool,
}

impl Current {
    fn word(&mut self, at: usize) -> &mut String {
        &mut self.word.get_or_insert_with(|| (at, String::new())).1
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            if !std::mem::take(&mut self.redirects) {
                self.words.push(word);
            }
        }
    }
}

impl Reader {
    pub(super) fn new(text: &str) -> Result<Self, Unreadable> {
        Self::inside(text, 0, 0)
    }

    /// Text that stands in another reader's text.
    fn inside(text: &str, depth: usize, again: usize) -> Result<Self, Unreadable> {
        let chars: Vec<char> = text.chars().collect();
        if chars.len() > LENGTH_LIMIT {
            return Err("the command is too long");
        }
        if depth > DEPTH_LIMIT {
            return Err("the command is nested too deeply");
        }
        Ok(Self {
            chars,
            at: 0,
            depth,
            again,
            here: Vec::new(),
        })
    }

    /// Reads all of it.
    pub(super) fn all(&mut self, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        self.list(None, found)
    }

    /// Reads commands up to `end`, or to the end of the text.
    fn list(&mut self, end: Option<char>, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        let mut current = Current::default();
        loop {
            let at = self.at;
            let Some(c) = self.next() else {
                self.finish(&mut current, at, found);
                return match (end, self.here.is_empty()) {
                    (None, true) => Ok(()),
                    (None, false) => Err("a here-document without an end"),
                    (Some(_), _) => Err("a parenthesis without its other half"),
                };
            };
            if !c.is_whitespace() && c != ';' && current.start.is_none() && Some(c) != end {
                current.start = Some(at);
            }
            match c {
                c if Some(c) == end => {
                    self.finish(&mut current, at, found);
                    return Ok(());
                }
                '\n' => {
                    self.finish(&mut current, at, found);
                    self.here_documents(found)?;
                }
                ' ' | '\t' | '\r' => current.end_word(),
                ';' | '|' => self.finish(&mut current, at, found),
                '&' if self.peek() == Some('>') => {
                    self.at += 1;
                    self.redirection(&mut current, found)?;
                }
                '&' => self.finish(&mut current, at, found),
                '<' | '>' => self.redirection(&mut current, found)?,
                '#' if current.word.is_none() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                    // A comment is no part of the command it stands behind.
                    if current.words.is_empty() && current.start == Some(at) {
                        current.start = None;
                    }
                }
                '(' => self.parenthesis(&mut current, found)?,
                ')' => return Err("a parenthesis without its other half"),
                _ => self.part(c, at, &mut current, found)?,
            }
        }
    }

    /// A piece of a word.
    fn part(
        &mut self,
        c: char,
        at: usize,
        current: &mut Current,
        found: &mut Vec<Simple>,
    ) -> Result<(), Unreadable> {
        let before = self.at;
        match c {
            '\'' => {
                let text = self.until('\'')?;
                current.word(at).push_str(&text);
            }
            '"' => {
                let text = self.double_quoted(found)?;
                current.word(at).push_str(&text);
            }
            '\\' => match self.next() {
                Some('\n') => {}
                Some(c) => current.word(at).push(c),
                None => return Err("a backslash with nothing behind it"),
            },
            '$' => {
                let text = self.dollar(true, found)?;
                current.word(at).push_str(&text);
            }
            '`' => {
                self.backtick(found)?;
                let text: String = self.chars[before - 1..self.at].iter().collect();
                current.word(at).push_str(&text);
            }
            other => current.word(at).push(other),
        }
        Ok(())
    }

    fn finish(&self, current: &mut Current, end: usize, found: &mut Vec<Simple>) {
        current.end_word();
        let Current { start, words, .. } = std::mem::take(current);
        let Some(start) = start.filter(|start| *start < end) else {
            return;
        };
        let text: String = self.chars[start..end].iter().collect();
        let text = text.trim_end().to_owned();
        // From characters to bytes, in one go.
        let (mut chars, mut bytes) = (start, 0);
        let words = words.into_iter().map(|(at, word)| {
            bytes += self.chars[chars..at].iter().map(|c| c.len_utf8()).sum::<usize>();
            chars = at;
            (bytes, word)
        });
        let words = words.collect();
        found.push(Simple { text, words });
    }

    /// A subshell, an arithmetic command, a function's `()`, or an array.
    fn parenthesis(&mut self, current: &mut Current, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        let in_array = current.word.as_ref().is_some_and(|(_, word)| word.ends_with('='));
        let first = current.word.is_none() && current.words.iter().all(|(_, word)| is_opener(word));
        if first && self.peek() == Some('(') && self.arithmetic(found)? {
            return Ok(());
        }
        if first || in_array {
            return self.nested(found);
        }
        current.end_word();
        while self.peek() == Some(' ') {
            self.at += 1;
        }
        match self.next() {
            // A function is being defined; its body is read as commands.
            Some(')') if current.words.len() == 1 => {
                *current = Current::default();
                Ok(())
            }
            _ => Err("a parenthesis where none is expected"),
        }
    }

    /// Commands up to the closing parenthesis, one level deeper.
    fn nested(&mut self, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        self.deeper()?;
        let here = std::mem::take(&mut self.here);
        self.list(Some(')'), found)?;
        if !self.here.is_empty() {
            return Err("a here-document without an end");
        }
        self.here = here;
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Unreadable> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            Err("the command is nested too deeply")
        } else {
            Ok(())
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }
}

/// Words after which a command may begin with a parenthesis.
fn is_opener(word: &str) -> bool {
    matches!(
        word,
        "if" | "then" | "else" | "elif" | "do" | "while" | "until" | "!" | "{" | "time"
    )
}
