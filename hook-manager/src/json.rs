//! JSON as hosts and hooks really write it, read so that nothing a host can send goes unread.
//!
//! A guard only guards what the manager can read. serde_json refuses texts that JavaScript writes and
//! reads without a word: half a surrogate pair, which is what is left of an emoji that was cut in two; lists
//! in lists in lists; numbers past any float. Whoever can get one of them into a tool's input would have
//! switched every hook off. So this reader takes all of JSON, and these liberties on top:
//!
//! - half a surrogate pair, and bytes that are no UTF-8, become U+FFFD;
//! - what JavaScript trims, the byte order mark included, may stand around the value.
//!
//! Numbers keep the digits they were written with. What stays out is what nests deeper than
//! [`MOST_LEVELS`]: reading, writing and dropping it would cost stack for every level.

use std::{borrow::Cow, char, iter};

use serde_json::{Map, Number, Value};

/// How deep lists and objects may nest.
pub(crate) const MOST_LEVELS: usize = 512;

/// What keeps a text from being read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1; where the text ends too early, its last one.
    pub(crate) column: usize,
    pub(crate) problem: &'static str,
}

/// Reads one value and nothing behind it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    // Every broken sequence is one character in both, so places stay those of the original.
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader {
        text: &text,
        at: 0,
        levels: 0,
    };
    reader.document().map_err(|problem| {
        let (line, column) = place(&text, reader.at);
        JsonError {
            line,
            column,
            problem,
        }
    })
}

/// The line and the column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before[start..].chars().count() + usize::from(at < text.len());
    (1 + before.matches('\n').count(), column.max(1))
}

/// `at` is always between two characters: it only ever moves past ASCII, or to it.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    levels: usize,
}

type Read<T> = Result<T, &'static str>;

impl<'a> Reader<'a> {
    fn document(&mut self) -> Read<Value> {
        self.skip_around();
        let value = self.value()?;
        self.skip_around();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err("trailing characters"),
        }
    }

    fn value(&mut self) -> Read<Value> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => Ok(Value::String(self.string()?.into_owned())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(_) => Err("expected value"),
            None => Err("EOF while parsing a value"),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Value>) -> Read<Value> {
        if self.levels == MOST_LEVELS {
            return Err("nested more than 512 levels deep");
        }
        self.levels += 1;
        self.at += 1;
        self.skip_space();
        let value = read(self)?;
        self.levels -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Read<Value> {
        const EOF: &str = "EOF while parsing an object";
        let mut fields = Map::new();
        if self.take(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            let key = match self.peek() {
                Some(b'"') => self.string()?.into_owned(),
                Some(b'}') => return Err("trailing comma"),
                Some(_) => return Err("key must be a string"),
                None => return Err(EOF),
            };
            self.skip_space();
            if !self.take(b':') {
                return Err(self.peek().map_or(EOF, |_| "expected `:`"));
            }
            self.skip_space();
            // Of a key that comes twice the last one counts, as for the host.
            fields.insert(key, self.value()?);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(fields));
            }
            if !self.take(b',') {
                return Err(self.peek().map_or(EOF, |_| "expected `,` or `}`"));
            }
            self.skip_space();
        }
    }

    fn list(&mut self) -> Read<Value> {
        const EOF: &str = "EOF while parsing a list";
        let mut values = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(values));
        }
        loop {
            match self.peek() {
                Some(b']') => return Err("trailing comma"),
                Some(_) => values.push(self.value()?),
                None => return Err(EOF),
            }
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(values));
            }
            if !self.take(b',') {
                return Err(self.peek().map_or(EOF, |_| "expected `,` or `]`"));
            }
            self.skip_space();
        }
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.at += 1;
        let mut whole = Cow::Borrowed("");
        loop {
            let start = self.at;
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20));
            // Adds to nothing without a copy, so a string without escapes is copied once.
            whole += &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(whole);
                }
                Some(b'\\') => whole.to_mut().push(self.escape()?),
                Some(_) => return Err("control character (\\u0000-\\u001F) found while parsing a string"),
                None => return Err("EOF while parsing a string"),
            }
        }
    }

    /// Stands on the backslash.
    fn escape(&mut self) -> Read<char> {
        self.at += 1;
        let said = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex(self.at + 1).ok_or("invalid escape")?;
                self.at += 5;
                return Ok(self.unit(first));
            }
            Some(_) => return Err("invalid escape"),
            None => return Err("EOF while parsing a string"),
        };
        self.at += 1;
        Ok(said)
    }

    /// The character that begins with a UTF-16 unit, whose other half may follow.
    fn unit(&mut self, first: u16) -> char {
        let second = self.text[self.at..]
            .starts_with("\\u")
            .then(|| self.hex(self.at + 2))
            .flatten();
        let mut units = char::decode_utf16(iter::once(first).chain(second));
        let decoded = units.next().and_then(Result::ok);
        // Only a pair leaves nothing of two units.
        if second.is_some() && units.next().is_none() {
            self.at += 6;
        }
        decoded.unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 4)?;
        // The number parser would take a sign.
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        all.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    }

    fn number(&mut self) -> Read<Value> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number: Number = self.text[start..self.at].parse().map_err(|_| "invalid number")?;
        Ok(Value::Number(number))
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        match self.at > start {
            true => Ok(()),
            false => Err(self
                .peek()
                .map_or("EOF while parsing a value", |_| "invalid number")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Read<Value> {
        for expected in word.bytes() {
            if !self.take(expected) {
                return Err(self
                    .peek()
                    .map_or("EOF while parsing a value", |_| "expected value"));
            }
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    }

    fn skip_while(&mut self, skipped: fn(u8) -> bool) {
        while self.peek().is_some_and(skipped) {
            self.at += 1;
        }
    }

    fn skip_around(&mut self) {
        self.at = self.text.len() - trim_start(&self.text[self.at..]).len();
    }
}

/// Without what JavaScript's `trim` takes from the front.
pub(crate) fn trim_start(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

#[cfg(test)]
mod tests;
