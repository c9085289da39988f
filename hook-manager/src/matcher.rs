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
mod tests {
    use serde_json::json;

    use super::*;
    use HookEvent::{FileChanged, PreModelSwitch, PreToolUse, StopFailure, UserPromptSubmit};

    #[test]
    fn everything_a_list_of_names_or_a_pattern_is_told_by_its_characters() {
        for (matcher, tool, expected) in [
            ("", "Bash", true),
            ("*", "Bash", true),
            ("Bash", "Bash", true),
            ("Bash", "BashOutput", false),
            ("Bash", "bash", false),
            ("Edit|Write", "Write", true),
            ("Edit, Write", "Write", true),
            (" Edit | Write ", "Edit", true),
            ("Edit|Write", "Edit|Write", false),
            ("Edit|", "", false),
            ("code-reviewer", "code-reviewer", true),
            ("code-reviewer", "my-code-reviewer", false),
            ("mcp__memory", "mcp__memory__read", false),
            ("mcp__memory__.*", "mcp__memory__read", true),
            ("my-plugin:reviewer", "x-my-plugin:reviewer-y", true),
        ] {
            let found = Matcher::new(&PreToolUse, matcher).unwrap().matches_text(tool);
            assert_eq!(found, Ok(expected), "{matcher} {tool}");
        }
    }

    #[test]
    fn file_changed_and_stop_failure_have_a_narrower_idea_of_a_name() {
        for (event, matcher, text, expected) in [
            (StopFailure, "rate_limit", "my_rate_limit", false),
            (StopFailure, "rate-limit", "my-rate-limit", true),
            (StopFailure, "a|b", "b", true),
            (StopFailure, "a, b", "a, b", true),
            (StopFailure, "a, b", "a", false),
            (FileChanged, "Makefile|justfile", "justfile", true),
            (FileChanged, "Makefile", "GNUMakefile", false),
            (FileChanged, ".envrc|.env", ".env", true),
            (FileChanged, "c++.txt|x", "c++.txt", true),
        ] {
            let found = Matcher::new(&event, matcher).map(|matcher| matcher.matches_text(text));
            match matcher {
                // Two plus signs are no JavaScript: loud, although it is a file's name.
                "c++.txt|x" => assert!(found.is_err()),
                _ => assert_eq!(found, Ok(Ok(expected)), "{event} {matcher} {text}"),
            }
        }
        let changed = json!({ "file_path": "/srv/shop/a[1].txt", "event": "change" });
        assert_eq!(
            Matcher::new(&FileChanged, "a[1].txt").unwrap().matches(&changed),
            Ok(true)
        );
    }

    #[test]
    fn an_event_without_a_matcher_ignores_one() {
        for event in [UserPromptSubmit, PreModelSwitch, HookEvent::from("BrandNew")] {
            let matcher = Matcher::new(&event, "(").unwrap();
            assert!(matcher.is_ignored());
            assert_eq!(matcher.matches(&json!({})), Ok(true));
        }
    }

    #[test]
    fn an_input_without_the_field_is_an_error_and_not_a_mismatch() {
        let matcher = Matcher::new(&PreToolUse, "Bash").unwrap();
        for input in [json!({}), json!({ "tool_name": 7 })] {
            let err = matcher.matches(&input).unwrap_err();
            assert!(err.to_string().contains("`tool_name`"), "{err}");
        }
    }

    /// What Node says to each.
    #[test]
    fn patterns_mean_what_they_mean_in_javascript() {
        for (pattern, text, expected) in [
            ("Edit.*", "NotebookEdit", true),
            ("^Edit$", "NotebookEdit", false),
            ("^Edit$", "Edit", true),
            ("^Edit$", "Edit\n", false),
            ("mcp__memory__.*", "mcp__memory__read", true),
            ("^mcp__(?!memory)", "mcp__memory__read", false),
            ("^mcp__(?!memory)", "mcp__git__log", true),
            ("(?<=__)write$", "mcp__fs__write", true),
            ("(?<=__)write$", "write", false),
            ("^(a+)\\1$", "aaaa", true),
            ("^(a+)\\1$", "aaa", false),
            ("^(?:(a)|b)\\1$", "b", true),
            ("(?<x>o)\\k<x>", "foot", true),
            ("\\d", "\u{663}", false),
            ("\\d", "a", false),
            ("\\w{2}", "\u{e9}\u{e9}", false),
            ("\\s", "\u{a0}", true),
            ("\\bEdit\\b", "\u{e9}Edit", true),
            ("^.$", "\u{2028}", false),
            ("^[^]$", "\n", true),
            ("[]", "a", false),
            ("a\\/b", "a/b", true),
            ("\\h", "h", true),
            ("\\h", "f", false),
            ("\\A", "A", true),
            ("\\Aa", "a", false),
            ("\\Z", "Z", true),
            ("\\p{L}", "p{L}", true),
            ("a{,2}", "a{,2}", true),
            ("a{,2}", "aa", false),
            ("x{", "x{", true),
            ("\\x41\\u0042", "AB", true),
            ("\\cA", "\u{1}", true),
            ("[\\b]", "\u{8}", true),
            ("\\07", "\u{7}", true),
            ("(a)\\2", "a\u{2}", true),
            ("[a&&b]", "&", true),
            ("[[a]", "[", true),
            ("a#b", "a#b", true),
            ("a.b ", "axb ", true),
            ("BASH.*", "Bash", false),
            ("\\k<n>", "k<n>", true),
        ] {
            let compiled = compile(pattern).unwrap();
            assert_eq!(compiled.is_match(text).unwrap(), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn what_javascript_refuses_is_refused() {
        for pattern in [
            "(",
            "Bash(",
            "(?i)bash",
            "(?>a)",
            "(?P<n>a)",
            "a++",
            "*.ts",
            "[z-a]",
            "a{2,1}",
            "a)",
            "[a",
            "a\\",
            "(?<n>a)\\k<m>",
        ] {
            let err = Matcher::new(&PreToolUse, pattern).unwrap_err();
            assert!(
                err.to_string()
                    .starts_with(&format!("the matcher `{pattern}` cannot be used: ")),
                "{err}"
            );
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_and_not_misread() {
        for pattern in [
            r"(?<=a+)b",
            r"\ud800",
            r"(?=a)*b",
            r"(?s:.)",
            "(?<n>a)|(?<n>b)",
            "a{99999999999}",
            "((a{999}){999}){999}",
        ] {
            assert!(Matcher::new(&PreToolUse, pattern).is_err(), "{pattern}");
        }
        assert!(Matcher::new(&PreToolUse, &"(".repeat(10_000)).is_err());
        assert!(
            Matcher::new(
                &PreToolUse,
                &format!("{}{}", "(a".repeat(3_000), ")".repeat(3_000))
            )
            .is_err()
        );
        assert!(Matcher::new(&PreToolUse, &"a.".repeat(20_000)).is_err());
        assert!(Matcher::new(&PreToolUse, " | ,").is_err());
    }

    #[test]
    fn a_pattern_that_goes_back_for_ever_is_given_up_with_an_error() {
        let matcher = Matcher::new(&PreToolUse, "(a|b|(?!c)ab)*c").unwrap();
        let err = matcher.matches_text(&"ab".repeat(28)).unwrap_err();
        assert!(matches!(err, MatchError::GivenUp { .. }));
        assert!(err.to_string().contains("given up"), "{err}");
        assert_eq!(
            matcher.matches(&json!({ "tool_name": "ab".repeat(28) })),
            Err(err)
        );
    }
}
