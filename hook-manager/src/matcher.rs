//! Which events of a kind a hook is for.

use std::{error::Error, fmt, sync::Arc};

use fancy_regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::event::{HookEvent, MatcherInput};

mod javascript;

/// How many times a pattern may go back before it is given up.
const BACKTRACK_LIMIT: usize = 100_000;
/// How large the compiled form of a pattern may become, in bytes.
const SIZE_LIMIT: usize = 1 << 20;
/// The longest pattern, in bytes.
const TEXT_LIMIT: usize = 16 << 10;

/// A hook's `matcher`: everything, a list of names, or a regular expression.
///
/// The host's rules, as documented:
///
/// | matcher | matches |
/// |---|---|
/// | `*`, empty, absent | everything |
/// | only letters, digits, `_`, `-`, space, `,` and <code>\|</code> | these names, exactly |
/// | anything else | a JavaScript regular expression, found anywhere in the name, case-sensitive |
///
/// `FileChanged` and `StopFailure` have a narrower idea of a name: letters, digits, `_` and
/// <code>\|</code>. For `FileChanged`, each part between <code>\|</code> is also a literal file name, the
/// one the host was told to watch. Events without a matcher ignore one.
///
/// ```
/// use hook_manager::{event::HookEvent::PreToolUse, matcher::Matcher};
/// use serde_json::json;
///
/// let list = Matcher::new(&PreToolUse, "Edit|Write")?;
/// assert!(list.matches_text("Edit")? && !list.matches_text("NotebookEdit")?);
///
/// let pattern = Matcher::new(&PreToolUse, "Edit.*")?;
/// assert!(pattern.matches(&json!({ "tool_name": "NotebookEdit" }))?);
///
/// let unreadable = Matcher::new(&PreToolUse, "Bash(").unwrap_err();
/// assert!(unreadable.to_string().contains("`Bash(`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How close to JavaScript
///
/// Patterns are translated before they are compiled, once: `\d`, `\w`, `\s`, `\b` and `.` mean what they
/// mean in JavaScript, letters that have no meaning there have none here (`\A`, `\h`, `\Z`), `[^]`,
/// `\/`, `\cA`, octal escapes, a literal `{`, and back-references to groups that did not take part work.
/// What JavaScript refuses is refused: `(?i)`, `a++`, `(?>..)`, `(?P<name>..)`.
///
/// Differences that remain, all of them on rare patterns:
///
/// - Text is characters here, UTF-16 units there: `^.$` matches one emoji here and none there.
/// - Look-behind needs a constant length; one without is refused when the hook is loaded. So are
///   unpaired surrogates, two groups of one name, and the flags `s` and `m` in `(?s:..)`.
/// - A group inside a repetition keeps what it matched last time round, which JavaScript forgets.
/// - A pattern that goes back more than 100,000 times is an [error](MatchError), not an endless wait.
#[derive(Clone)]
pub struct Matcher {
    event: HookEvent,
    text: Arc<str>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    All,
    /// There is something to match, but the event has no matcher or an undocumented one.
    NotApplied,
    Exact(Arc<[Box<str>]>),
    Pattern {
        regex: Arc<Regex>,
        /// File names the host watches; only for `FileChanged`.
        literal: Arc<[Box<str>]>,
    },
}

impl Matcher {
    /// Matches everything.
    pub fn all() -> Self {
        // Nothing is looked for in the input, so any event will do.
        Self {
            event: HookEvent::PreToolUse,
            text: "".into(),
            kind: Kind::All,
        }
    }

    /// Reads a matcher of a hook on `event`.
    ///
    /// # Errors
    ///
    /// If it is a pattern that cannot be compiled, or a list without a single name. Such a hook must not
    /// be taken for one that does not match: it may be a guard.
    pub fn new(event: &HookEvent, text: &str) -> Result<Self, MatcherError> {
        let kind = match event.spec().matcher_input {
            _ if matches!(text, "" | "*") => Kind::All,
            MatcherInput::None | MatcherInput::Unknown => Kind::NotApplied,
            _ => Kind::read(event, text)?,
        };
        Ok(Self {
            event: event.clone(),
            text: text.into(),
            kind,
        })
    }

    /// Whether an event with this input is one this matcher means.
    ///
    /// # Errors
    ///
    /// If the input lacks the field the event is matched by, or the pattern went back too often, so that
    /// nobody knows.
    pub fn matches(&self, input: &Value) -> Result<bool, MatchError> {
        if matches!(self.kind, Kind::All | Kind::NotApplied) {
            return Ok(true);
        }
        match self.event.spec().find_matcher_input(input) {
            Some(found) => self.matches_text(found),
            None => Err(MatchError::NoInput {
                event: self.event.clone(),
            }),
        }
    }

    /// Whether this text (a tool's name, for tool events) is one this matcher means.
    ///
    /// # Errors
    ///
    /// If the pattern went back too often on it, so that nobody knows.
    pub fn matches_text(&self, text: &str) -> Result<bool, MatchError> {
        match &self.kind {
            Kind::All | Kind::NotApplied => Ok(true),
            Kind::Exact(names) => Ok(names.iter().any(|name| **name == *text)),
            Kind::Pattern { literal, .. } if literal.iter().any(|name| **name == *text) => Ok(true),
            Kind::Pattern { regex, .. } => regex.is_match(text).map_err(|_| MatchError::GivenUp {
                matcher: Arc::clone(&self.text),
            }),
        }
    }

    /// The matcher as it was written; empty for everything.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether every event of its kind is meant.
    pub fn is_all(&self) -> bool {
        matches!(self.kind, Kind::All)
    }

    /// Whether something was written that this event does not look at.
    pub fn is_ignored(&self) -> bool {
        matches!(self.kind, Kind::NotApplied)
    }
}

impl Kind {
    fn read(event: &HookEvent, text: &str) -> Result<Self, MatcherError> {
        let narrow = matches!(event, HookEvent::FileChanged | HookEvent::StopFailure);
        let of_a_name = |c: char| match c {
            '_' | '|' => true,
            '-' | ' ' | ',' => !narrow,
            _ => c.is_ascii_alphanumeric(),
        };
        if text.chars().all(of_a_name) {
            let names = names(text, if narrow { &['|'] } else { &['|', ','] });
            return match names.is_empty() {
                true => Err(MatcherError::new(
                    text,
                    "it names nothing; expected a name, or `*` for everything",
                )),
                false => Ok(Self::Exact(names)),
            };
        }
        let literal = match event {
            HookEvent::FileChanged => names(text, &['|']),
            _ => Arc::default(),
        };
        Ok(Self::Pattern {
            regex: Arc::new(compile(text)?),
            literal,
        })
    }
}

fn names(text: &str, between: &[char]) -> Arc<[Box<str>]> {
    text.split(between)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(Into::into)
        .collect()
}

fn compile(text: &str) -> Result<Regex, MatcherError> {
    if text.len() > TEXT_LIMIT {
        return Err(MatcherError::new(
            text,
            format!("it is longer than {TEXT_LIMIT} bytes"),
        ));
    }
    let translated = javascript::translate(text).map_err(|why| MatcherError::new(text, why))?;
    let compiled = RegexBuilder::new(&translated)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(SIZE_LIMIT)
        .build();
    compiled.map_err(|err| MatcherError::new(text, why(&err)))
}

/// In the words of a person who wrote the original, not of the translation.
fn why(err: &fancy_regex::Error) -> String {
    use fancy_regex::{CompileError, Error, ParseError};
    match err {
        Error::CompileError(CompileError::LookBehindNotConst) => {
            "look-behind of varying length is not supported".into()
        }
        Error::CompileError(CompileError::InnerError(_)) => "it is too large when compiled".into(),
        Error::ParseError(_, ParseError::RecursionExceeded) => "it is nested too deeply".into(),
        Error::ParseError(_, err) => err.to_string(),
        other => other.to_string(),
    }
}

impl Default for Matcher {
    fn default() -> Self {
        Self::all()
    }
}

/// Two matchers are equal when they are written the same, for the same event, or match everything.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.is_all() && other.is_all()) || (self.event == other.event && self.text == other.text)
    }
}

impl Eq for Matcher {}

/// The matcher as it was written; `*` for everything.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.text.is_empty() { "*" } else { &self.text })
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::All => "All",
            Kind::NotApplied => "NotApplied",
            Kind::Exact(_) => "Exact",
            Kind::Pattern { .. } => "Pattern",
        };
        f.debug_tuple(kind).field(&self.text).finish()
    }
}

/// A matcher that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherError {
    text: Arc<str>,
    why: Box<str>,
}

impl MatcherError {
    fn new(text: &str, why: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            why: why.into(),
        }
    }

    /// What is wrong with it.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the matcher `{}` cannot be used: {}",
            short(&self.text),
            self.why
        )
    }
}

impl Error for MatcherError {}

/// An input of which nobody can say whether it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatchError {
    /// The pattern went back too often.
    GivenUp {
        /// The matcher, as it was written.
        matcher: Arc<str>,
    },
    /// The event's input lacks what a matcher is compared with.
    NoInput {
        /// The event.
        event: HookEvent,
    },
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GivenUp { matcher } => {
                let matcher = short(matcher);
                write!(
                    f,
                    "the matcher `{matcher}` was given up after going back {BACKTRACK_LIMIT} times"
                )
            }
            Self::NoInput { event } => {
                write!(
                    f,
                    "the matcher has nothing to look at: the input of {event} has no text"
                )?;
                match event.spec().matcher_input {
                    MatcherInput::Field(field) | MatcherInput::Basename(field) => write!(f, " in `{field}`"),
                    MatcherInput::None | MatcherInput::Unknown => Ok(()),
                }
            }
        }
    }
}

impl Error for MatchError {}

/// As much of a text as a message can take.
pub(crate) fn short(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests;
