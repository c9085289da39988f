//! JSON that knows where each part of it stands, for messages a person can follow.

use std::ops::Range;

use serde_json::{Number, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Tree,
}

/// Line and column, counted from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; a key may come twice.
    Object(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) at: At,
    pub(crate) name: String,
    /// Where its value stands, in bytes.
    pub(crate) value: Range<usize>,
}

/// What keeps a text from being JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) at: At,
    pub(crate) what: String,
    pub(crate) expected: String,
}

impl Node {
    /// What stands here, for the middle of a sentence.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Tree::Null => "null".into(),
            Tree::Bool(value) => value.to_string(),
            Tree::Number(value) => value.to_string(),
            Tree::Text(value) => format!("the text {:?}", crate::matcher::short(value)),
            Tree::List(_) => "a list".into(),
            Tree::Object(_) => "an object".into(),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn object(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Tree::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key; of the last one, where there are two.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.object()?
            .iter()
            .rev()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }
}

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    // The rules of JSON, its limit of depth included, are serde_json's.
    serde_json::from_str::<Value>(text).map_err(|err| syntax(text, &err))?;
    let mut scanner = Scanner {
        text,
        rest: text,
        at: At { line: 1, column: 1 },
    };
    scanner.value().ok_or_else(|| SyntaxError {
        at: scanner.at,
        what: "it cannot be read".into(),
        expected: "a value".into(),
    })
}

fn syntax(text: &str, err: &serde_json::Error) -> SyntaxError {
    let line = text
        .split('\n')
        .nth(err.line().saturating_sub(1))
        .unwrap_or_default();
    // serde_json counts bytes.
    let before = line
        .char_indices()
        .take_while(|(at, _)| at + 1 < err.column().max(1));
    let at = At {
        line: err.line().max(1),
        column: before.count() + 1,
    };
    let said = err.to_string();
    let said = said.rsplit_once(" at line ").map_or(&said[..], |(said, _)| said);
    let found: String = line.chars().skip(at.column - 1).take(2).collect();
    let (what, expected) = match said {
        _ if matches!(&found[..], "//" | "/*") => {
            ("it has a comment, which JSON does not know".into(), "a value")
        }
        "trailing comma" => (
            "it has a comma with nothing behind it".into(),
            "another entry, or no comma",
        ),
        "key must be a string" => (format!("it has {}", quoted(&found)), "a key in double quotes"),
        "trailing characters" => (
            format!("it has {} behind its end", quoted(&found)),
            "nothing more",
        ),
        "recursion limit exceeded" => ("it is nested too deeply".into(), "at most 127 levels"),
        _ if said.starts_with("EOF") && text.trim().is_empty() => ("it is empty".into(), "an object"),
        _ if said.starts_with("EOF") => (format!("it ends too early ({said})"), "the rest of it"),
        _ => match said.strip_prefix("expected ") {
            Some("value") => (format!("it has {}", quoted(&found)), "a value"),
            Some(expected) => (format!("it has {}", quoted(&found)), expected),
            None => (format!("it has a fault: {said}"), "JSON"),
        },
    };
    SyntaxError {
        at,
        what,
        expected: expected.into(),
    }
}

fn quoted(found: &str) -> String {
    match found.chars().next() {
        Some(c) if c.is_control() => format!("`{}`", c.escape_default()),
        Some(c) => format!("`{c}`"),
        None => "the end of a line".into(),
    }
}

/// Walks over text that is known to be JSON.
struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
    at: At,
}

impl<'a> Scanner<'a> {
    fn value(&mut self) -> Option<Node> {
        self.space();
        let at = self.at;
        let value = match self.rest.chars().next()? {
            '{' => Tree::Object(self.entries('}', |scanner| {
                let at = scanner.at;
                let name = scanner.string()?;
                scanner.space();
                scanner.take(1);
                scanner.space();
                let from = scanner.byte();
                let node = scanner.value()?;
                let value = from..scanner.byte();
                Some((Key { at, name, value }, node))
            })?),
            '[' => Tree::List(self.entries(']', Self::value)?),
            '"' => Tree::Text(self.string()?),
            _ => {
                let end = self
                    .rest
                    .find([',', ']', '}', ' ', '\t', '\r', '\n'])
                    .unwrap_or(self.rest.len());
                match self.take(end) {
                    "null" => Tree::Null,
                    "true" => Tree::Bool(true),
                    "false" => Tree::Bool(false),
                    number => Tree::Number(number.parse().ok()?),
                }
            }
        };
        Some(Node { at, value })
    }

    fn entries<T>(&mut self, end: char, mut entry: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut entries = Vec::new();
        loop {
            // The opening bracket, or the comma.
            self.take(1);
            self.space();
            if !self.rest.starts_with(end) {
                entries.push(entry(self)?);
                self.space();
            }
            if self.rest.starts_with(end) {
                self.take(1);
                return Some(entries);
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        })?;
        serde_json::from_str(self.take(end.0 + 1)).ok()
    }

    fn byte(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn space(&mut self) {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_whitespace())
            .unwrap_or(self.rest.len());
        self.take(end);
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        for c in taken.chars() {
            self.at = match c {
                '\n' => At {
                    line: self.at.line + 1,
                    column: 1,
                },
                _ => At {
                    column: self.at.column + 1,
                    ..self.at
                },
            };
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(node: &Node) -> Value {
        match &node.value {
            Tree::Null => Value::Null,
            Tree::Bool(value) => (*value).into(),
            Tree::Number(value) => value.clone().into(),
            Tree::Text(value) => value.as_str().into(),
            Tree::List(nodes) => nodes.iter().map(back).collect(),
            Tree::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.name.clone(), back(node)))
                    .collect(),
            ),
        }
    }

    #[test]
    fn the_scanner_reads_what_serde_json_reads() {
        for text in [
            "{}",
            "[]",
            " [ 1 , -2.5e3 , [ ] , { } ] ",
            r#"{"a\"b\\":"c\u00e9\n","d":[true,false,null]}"#,
            "\"\"",
            "0",
            "[[[1]],[],{\"x\":{}}]\n",
            "{\"é\":\"日本\"}",
        ] {
            assert_eq!(
                back(&parse(text).unwrap()),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn every_part_knows_its_line_and_column() {
        let node = parse("{\n  \"é\": [1, \"x\"],\n  \"b\": 2\n}").unwrap();
        let at = |node: &Node| (node.at.line, node.at.column);
        assert_eq!(at(&node), (1, 1));
        let list = node.get("é").unwrap();
        assert_eq!(at(list), (2, 8));
        let Tree::List(items) = &list.value else {
            panic!("{list:?}")
        };
        assert_eq!(at(&items[1]), (2, 12));
        assert_eq!(at(node.get("b").unwrap()), (3, 8));
    }
}
