//! Reads a JavaScript regular expression (no flags, the syntax browsers and Node accept) and writes the
//! same in the syntax of `fancy-regex`.
//!
//! Nothing is passed through as it stands: each construct is either translated or refused by name, so
//! that no pattern is compiled to something its author did not mean.

use std::fmt::Write;

mod class;

use class::Class;

/// Translates `pattern`, or says what is wrong with it.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let names = groups(&chars)?;
    let mut reader = Reader {
        chars,
        at: 0,
        out: String::new(),
        names,
        open: Vec::new(),
        closed: Vec::new(),
    };
    reader.pattern()?;
    Ok(reader.out)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    out: String,
    /// The names of the groups, in order; `None` for one without.
    names: Vec<Option<String>>,
    /// The groups around the current place: what they are, and the number of those that capture.
    open: Vec<(Before, Option<usize>)>,
    /// For each group met so far, whether it is behind us.
    closed: Vec<bool>,
}

/// What stands before a quantifier.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Something it can repeat.
    Atom,
    /// The beginning of an alternative, or another quantifier.
    Nothing,
    /// `^`, `$`, `\b`, or a look-around.
    Assertion,
}

impl Reader {
    fn pattern(&mut self) -> Result<(), String> {
        let mut before = Before::Nothing;
        while let Some(next) = self.peek() {
            before = match next {
                '|' => {
                    self.at += 1;
                    self.out.push('|');
                    Before::Nothing
                }
                '(' => {
                    self.group()?;
                    Before::Nothing
                }
                ')' => {
                    self.at += 1;
                    let (kind, number) = self.open.pop().ok_or("it has a `)` without its `(`")?;
                    if let Some(number) = number {
                        self.closed[number - 1] = true;
                    }
                    self.out.push(')');
                    kind
                }
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.quantifier(before, &next.to_string())?
                }
                '{' => match self.braces() {
                    Some(braces) => self.quantifier(before, &braces?)?,
                    None => self.atom(next)?,
                },
                _ => self.atom(next)?,
            };
        }
        match self.open.is_empty() {
            true => Ok(()),
            false => Err("it has a `(` without its `)`".into()),
        }
    }

    fn atom(&mut self, next: char) -> Result<Before, String> {
        self.at += 1;
        match next {
            '^' => self.out.push_str(r"\A"),
            '$' => self.out.push_str(r"\z"),
            '.' => Class::LINE_END.negated().write(&mut self.out),
            '[' => {
                let class = class::read(&self.chars, &mut self.at)?;
                class.write(&mut self.out);
            }
            '\\' => return self.escape(),
            literal => literal_to(&mut self.out, literal),
        }
        Ok(if matches!(next, '^' | '$') {
            Before::Assertion
        } else {
            Before::Atom
        })
    }

    fn quantifier(&mut self, before: Before, text: &str) -> Result<Before, String> {
        match before {
            Before::Atom => {}
            Before::Nothing => return Err(format!("`{text}` has nothing to repeat")),
            Before::Assertion => {
                return Err(format!("`{text}` repeats an assertion, which says nothing new"));
            }
        }
        self.out.push_str(text);
        if self.peek() == Some('?') {
            self.at += 1;
            self.out.push('?');
        }
        Ok(Before::Nothing)
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else that begins with a brace is just text.
    fn braces(&mut self) -> Option<Result<String, String>> {
        let mut at = self.at + 1;
        let mut number = |chars: &[char]| {
            let from = at;
            while chars.get(at).is_some_and(char::is_ascii_digit) {
                at += 1;
            }
            let digits: String = chars[from..at].iter().collect();
            let comma = chars.get(at) == Some(&',');
            at += usize::from(comma);
            (digits, comma, at)
        };
        let (low, comma, mut end) = number(&self.chars);
        let mut high = String::new();
        if low.is_empty() {
            return None;
        }
        if comma {
            let (digits, comma, after) = number(&self.chars);
            if comma {
                return None;
            }
            (high, end) = (digits, after);
        }
        if self.chars.get(end) != Some(&'}') {
            return None;
        }
        self.at = end + 1;
        let text: String = match comma {
            true => format!("{{{low},{high}}}"),
            false => format!("{{{low}}}"),
        };
        let (Ok(least), Ok(most)) = (low.parse::<u32>(), high.parse::<u32>().or(Ok::<_, ()>(u32::MAX)))
        else {
            return Some(Err(format!("`{text}` repeats too often")));
        };
        match high.is_empty() || least <= most {
            true => Some(Ok(text)),
            false => Some(Err(format!("`{text}` has its numbers the wrong way round"))),
        }
    }

    fn group(&mut self) -> Result<(), String> {
        self.at += 1;
        if self.peek() != Some('?') {
            self.begin_capture();
            return Ok(());
        }
        let look = [
            ("?:", Before::Atom),
            ("?=", Before::Assertion),
            ("?!", Before::Assertion),
        ];
        let behind = [("?<=", Before::Assertion), ("?<!", Before::Assertion)];
        if let Some((text, kind)) = look
            .into_iter()
            .chain(behind)
            .find(|(text, _)| self.starts_with(text))
        {
            self.at += text.len();
            self.open.push((kind, None));
            self.out.push('(');
            self.out.push_str(text);
        } else if self.starts_with("?<") {
            self.at += 2;
            // Its name is known already: see `groups`.
            while self.next() != Some('>') {}
            self.begin_capture();
        } else if let Some(flags) = ["?i:", "?-i:", "?i-:"]
            .into_iter()
            .find(|flags| self.starts_with(flags))
        {
            self.at += flags.len();
            self.open.push((Before::Atom, None));
            self.out.push('(');
            self.out.push_str(if flags == "?-i:" { flags } else { "?i:" });
        } else {
            let begin: String = self.chars[self.at..].iter().take(3).collect();
            return Err(format!(
                "`({begin}` is no group of a JavaScript pattern, or one that is not supported"
            ));
        }
        Ok(())
    }

    fn begin_capture(&mut self) {
        self.closed.push(false);
        self.open.push((Before::Atom, Some(self.closed.len())));
        self.out.push('(');
    }

    fn escape(&mut self) -> Result<Before, String> {
        let word = Class::word().text();
        match self.peek() {
            Some('b') => {
                self.at += 1;
                let _ = write!(self.out, "(?:(?<={word})(?!{word})|(?<!{word})(?={word}))");
                return Ok(Before::Assertion);
            }
            Some('B') => {
                self.at += 1;
                let _ = write!(self.out, "(?:(?<={word})(?={word})|(?<!{word})(?!{word}))");
                return Ok(Before::Assertion);
            }
            Some('k') if self.names.iter().any(Option::is_some) => {
                self.at += 1;
                let name = match self.next() {
                    Some('<') => self.chars[self.at..]
                        .iter()
                        .take_while(|c| **c != '>')
                        .collect::<String>(),
                    _ => String::new(),
                };
                self.at += name.chars().count() + 1;
                let number = self.names.iter().position(|one| one.as_ref() == Some(&name));
                self.back_reference(1 + number.ok_or_else(|| format!(r"`\k<{name}>` names no group"))?);
            }
            Some('1'..='9') => {
                let digits: String = self.chars[self.at..]
                    .iter()
                    .take_while(|c| c.is_ascii_digit())
                    .collect();
                match digits.parse::<usize>() {
                    Ok(number) if number <= self.names.len() => {
                        self.at += digits.len();
                        self.back_reference(number);
                    }
                    // No such group: an octal escape, or the digit itself.
                    _ => self.class_escape()?,
                }
            }
            _ => self.class_escape()?,
        }
        Ok(Before::Atom)
    }

    /// An escape that means the same outside a class as inside one.
    fn class_escape(&mut self) -> Result<(), String> {
        match class::escape(&self.chars, &mut self.at)? {
            class::Escape::Class(class) => class.write(&mut self.out),
            class::Escape::Char(literal) => literal_to(&mut self.out, literal),
        }
        Ok(())
    }

    /// A group that took no part matches the empty text; one that is still open has taken none yet.
    fn back_reference(&mut self, number: usize) {
        match self.closed.get(number - 1) {
            Some(true) => {
                let _ = write!(self.out, r"(?({number})\{number}|)");
            }
            // The empty text in a form that can be repeated.
            _ => self.out.push_str("(?:a{0})"),
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        self.at += 1;
        self.chars.get(self.at - 1).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(after, c)| self.chars.get(self.at + after) == Some(&c))
    }
}

/// Writes a character so that it has no other meaning.
fn literal_to(out: &mut String, literal: char) {
    match literal.is_ascii() && !literal.is_ascii_alphanumeric() {
        true => {
            let _ = write!(out, r"\x{{{:x}}}", literal as u32);
        }
        false => out.push(literal),
    }
}

/// Finds the capturing groups, because what `\1` and `\k` mean depends on how many there are.
fn groups(chars: &[char]) -> Result<Vec<Option<String>>, String> {
    let mut groups: Vec<Option<String>> = Vec::new();
    let mut in_class = false;
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            '\\' => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => match chars[at..] {
                ['?', '<', '=' | '!', ..] => {}
                ['?', '<', ..] => {
                    let name: String = chars[at + 2..].iter().take_while(|c| **c != '>').collect();
                    at += 2 + name.chars().count();
                    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
                    let number = name.starts_with(|c: char| c.is_ascii_digit());
                    if at >= chars.len() || name.is_empty() || number || !name.chars().all(fine) {
                        return Err(format!("`(?<{name}` has no proper name for the group"));
                    }
                    if groups.iter().flatten().any(|other| *other == name) {
                        return Err(format!("two groups are named `{name}`"));
                    }
                    groups.push(Some(name));
                }
                ['?', ..] => {}
                _ => groups.push(None),
            },
            _ => {}
        }
    }
    Ok(groups)
}
