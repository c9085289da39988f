//! JSON as hosts and hooks write it, which is not always as serde_json reads it.
//!
//! An event or an answer that cannot be read leaves guards unasked and denials unheard, so this is as
//! lenient as the JavaScript and the Python that most of it is written by: half of a surrogate pair (what is
//! left of an emoji that was cut in two) becomes U+FFFD, so do bytes that are no UTF-8; numbers may be of any
//! size, and keep every digit; nesting is bounded by the stack it takes, not by a hundred levels or so.

use serde::Deserialize;
use serde_json::{Deserializer, Value};

use crate::request::plain;

/// Deep enough for anything that is meant, and no danger to the smallest of stacks.
const DEPTH: usize = 256;

/// What is wrong with a text, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) problem: String,
}

/// Reads one JSON value.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(at) = too_deep(&text) {
        let before = &text[..at];
        return Err(JsonError {
            line: 1 + before.matches('\n').count(),
            column: 1 + before.len() - before.rfind('\n').map_or(0, |end| end + 1),
            problem: format!("nested more than {DEPTH} levels deep"),
        });
    }
    let read = read(&text).or_else(|err| match whole_surrogates(&text) {
        Some(text) => self::read(&text),
        None => Err(err),
    });
    read.map_err(|err| JsonError {
        line: err.line(),
        column: err.column(),
        problem: plain(&err),
    })
}

fn read(text: &str) -> serde_json::Result<Value> {
    let mut from = Deserializer::from_str(text);
    // The depth has been looked at.
    from.disable_recursion_limit();
    let value = Value::deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// Where the text goes deeper than we follow.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Some(at);
        }
    }
    None
}

/// The text with every half of a surrogate pair replaced, at the same length; `None` if there is none.
fn whole_surrogates(text: &str) -> Option<String> {
    let unit = |at: usize| -> Option<u16> {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut whole = String::with_capacity(text.len());
    let (mut at, mut done) = (0, 0);
    while let Some(next) = text[at..].find('\\') {
        at += next;
        match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => {
                whole.push_str(&text[done..at]);
                whole.push_str("\\ufffd");
                at += 6;
                done = at;
            }
            // Some other escape: what it escapes is one byte, or begins with one that is no backslash.
            _ => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    whole.push_str(&text[done..]);
    (done > 0).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        parse(json.as_bytes()).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn half_an_emoji_is_a_replacement_and_a_whole_one_is_itself() {
        assert_eq!(text(r#""rm -rf / \ud83d""#), "rm -rf / \u{fffd}");
        assert_eq!(
            text(r#""\udc80 \ud83d\ude00 \ud83d\ud83d\ude00 \\ud83d é\\""#),
            "\u{fffd} 😀 \u{fffd}😀 \\ud83d é\\"
        );
        assert_eq!(parse(b"\"\xff\"").unwrap(), "\u{fffd}");
    }

    #[test]
    fn numbers_keep_every_digit_and_may_be_of_any_size() {
        for number in ["100000000000000000000001", "1e+999", "0.10000000000000000000001"] {
            assert_eq!(parse(number.as_bytes()).unwrap().to_string(), number);
        }
    }

    #[test]
    fn deep_nesting_is_read_and_too_deep_nesting_is_told() {
        let nested = |depth: usize| format!("\n {}\"[[[\\\"[\"{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH).as_bytes()).is_ok());
        let err = parse(nested(DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!((err.line, err.column), (2, 2 + DEPTH));
        assert_eq!(err.problem, "nested more than 256 levels deep");
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place_surrogates_or_not() {
        for json in [r#"{"a": "x", "b": }"#, r#"{"a": "\ud83d", "b": }"#] {
            let err = parse(json.as_bytes()).unwrap_err();
            assert_eq!((err.line, err.column), (1, json.len()), "{json}");
            assert_eq!(err.problem, "expected value");
        }
        assert!(parse(b"{} {}").is_err(), "one value, and no more");
    }
}
