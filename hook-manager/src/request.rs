use std::{
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{anomalies::Outlier, error::HookError, event::HookEvent, json};

/// One event of the host on its way to a hook: the whole of its input, and until when it may take.
///
/// Cheap to clone: the input is shared. A hook sees the input exactly as the host sent it, byte for
/// byte ([`bytes`](Self::bytes)) and parsed ([`input`](Self::input)): there, what is no Unicode, such as
/// half a surrogate pair, is U+FFFD.
///
/// ```
/// use hook_manager::{HookEvent, HookRequest};
///
/// let req = HookRequest::parse(HookEvent::PreToolUse, br#"{"tool_name": "Bash"}"#)?;
/// assert_eq!(req.field("/tool_name"), Some("Bash"));
/// # Ok::<(), hook_manager::InputError>(())
/// ```
#[derive(Clone)]
pub struct HookRequest {
    input: Arc<Input>,
    project: Option<Arc<Path>>,
    deadline: Option<Instant>,
    /// The asker's, where it is not this process's.
    environment: Option<Arc<[(OsString, OsString)]>>,
    trace: Arc<Trace>,
}

struct Input {
    event: HookEvent,
    value: Value,
    bytes: Box<[u8]>,
}

/// What happened to one request inside one hook's stack, written by its innermost part.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    attempts: AtomicU32,
    queued_nanos: AtomicU64,
    ran_nanos: AtomicU64,
    last: Mutex<Last>,
}

/// The last attempt.
#[derive(Debug, Default)]
struct Last {
    /// When it got its place, until it ends.
    began: Option<Instant>,
    error: Option<HookError>,
    outlier: Option<Outlier>,
}

impl HookRequest {
    /// Reads the host's input, a JSON object.
    ///
    /// # Errors
    ///
    /// If `bytes` is empty, no JSON, nested more than 512 levels deep, or JSON but no object. The error
    /// says where and what was expected.
    pub fn parse(event: HookEvent, bytes: impl AsRef<[u8]>) -> Result<Self, InputError> {
        let bytes = bytes.as_ref();
        // Some Windows tools put a byte order mark in front; JSON has none.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(InputError {
                at: (1, 1),
                problem: "it is empty".into(),
            });
        }
        let value = json::parse(bytes).map_err(|err| InputError {
            at: (err.line, err.column),
            problem: err.problem.into(),
        })?;
        if !value.is_object() {
            let start = bytes
                .iter()
                .position(|byte| !byte.is_ascii_whitespace())
                .unwrap_or(0);
            let line = 1 + bytes[..start].iter().filter(|byte| **byte == b'\n').count();
            let column = 1 + bytes[..start]
                .iter()
                .rev()
                .take_while(|byte| **byte != b'\n')
                .count();
            let problem = format!("it is {}", describe(&value));
            return Err(InputError {
                at: (line, column),
                problem,
            });
        }
        Ok(Self::of(Input {
            event,
            value,
            bytes: bytes.into(),
        }))
    }

    /// An event made in this process.
    ///
    /// # Errors
    ///
    /// If `input` is not an object.
    pub fn new(event: HookEvent, input: Value) -> Result<Self, InputError> {
        if !input.is_object() {
            return Err(InputError {
                at: (1, 1),
                problem: format!("it is {}", describe(&input)),
            });
        }
        let bytes = input.to_string().into_bytes().into();
        Ok(Self::of(Input {
            event,
            value: input,
            bytes,
        }))
    }

    fn of(input: Input) -> Self {
        Self {
            input: Arc::new(input),
            project: None,
            deadline: None,
            environment: None,
            trace: Arc::default(),
        }
    }

    /// The event.
    pub fn event(&self) -> &HookEvent {
        &self.input.event
    }

    /// The input, parsed: always an object.
    pub fn input(&self) -> &Value {
        &self.input.value
    }

    /// The input as the host wrote it.
    pub fn bytes(&self) -> &[u8] {
        &self.input.bytes
    }

    /// The text at a JSON pointer, such as `/tool_input/command`.
    pub fn field(&self, pointer: &str) -> Option<&str> {
        self.input.value.pointer(pointer)?.as_str()
    }

    /// The project the manager runs hooks for, if it has one.
    pub fn project(&self) -> Option<&Path> {
        self.project.as_deref()
    }

    /// When the event's time is up. `None` outside a manager.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time left until the deadline at `now`, if there is one; zero when it has passed.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Has hooks that are programs see the environment of whoever asks, in place of this process's: for a process
    /// that runs hooks on behalf of others. A variable that is named twice has its last value.
    ///
    /// ```
    /// use hook_manager::{HookEvent, HookRequest};
    ///
    /// let req = HookRequest::parse(HookEvent::Stop, b"{}")?.with_environment([("LANG".into(), "C".into())]);
    /// assert_eq!(req.var("LANG"), Some("C".into()));
    /// assert_eq!(req.var("PATH"), None);
    /// # Ok::<(), hook_manager::InputError>(())
    /// ```
    #[must_use]
    pub fn with_environment(self, vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            environment: Some(vars.into_iter().collect()),
            ..self
        }
    }

    /// A variable of the environment that hooks see: the asker's, or else this process's.
    pub fn var(&self, name: impl AsRef<OsStr>) -> Option<OsString> {
        let name = name.as_ref();
        match &self.environment {
            Some(vars) => vars
                .iter()
                .rev()
                .find(|(one, _)| one == name)
                .map(|(_, value)| value.clone()),
            None => std::env::var_os(name),
        }
    }

    /// The whole of the asker's environment, where it is not this process's.
    pub(crate) fn environment(&self) -> Option<&Arc<[(OsString, OsString)]>> {
        self.environment.as_ref()
    }

    pub(crate) fn within(self, project: Option<&Arc<Path>>) -> Self {
        Self {
            project: project.cloned(),
            ..self
        }
    }

    /// The same input for one hook's stack: its own deadline, its own trace.
    pub(crate) fn for_one_hook(&self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            trace: Arc::default(),
            ..self.clone()
        }
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }
}

impl Trace {
    /// One more attempt begins, after standing in the queue for so long.
    pub(crate) fn attempt(&self, queued: Duration, now: Instant) {
        self.attempts.fetch_add(1, Relaxed);
        self.queued(queued);
        self.last().began = Some(now);
    }

    /// Time spent in the queue, also by a call whose turn never came.
    pub(crate) fn queued(&self, queued: Duration) {
        self.queued_nanos.fetch_add(nanos(queued), Relaxed);
    }

    /// An attempt has ended. How long it ran, if it did.
    pub(crate) fn attempted<T>(&self, result: &Result<T, HookError>, now: Instant) -> Option<Duration> {
        let mut last = self.last();
        last.error = result.as_ref().err().cloned();
        let ran = now.saturating_duration_since(last.began.take()?);
        drop(last);
        self.ran_nanos.fetch_add(nanos(ran), Relaxed);
        Some(ran)
    }

    /// An attempt that took far longer than usual.
    pub(crate) fn note_outlier(&self, outlier: Outlier) {
        self.last().outlier = Some(outlier);
    }

    pub(crate) fn outlier(&self) -> Option<Outlier> {
        self.last().outlier
    }

    /// Why the last attempt failed, if it did.
    pub(crate) fn last_error(&self) -> Option<HookError> {
        self.last().error.clone()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that attempts took which have ended, and the one under way until `now`.
    pub(crate) fn time_run(&self, now: Instant) -> Duration {
        let under_way = self
            .last()
            .began
            .map(|began| now.saturating_duration_since(began));
        Duration::from_nanos(self.ran_nanos.load(Relaxed)) + under_way.unwrap_or_default()
    }

    /// How often the hook itself was started for this request; none when the cache answered.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    pub(crate) fn time_queued(&self) -> Duration {
        Duration::from_nanos(self.queued_nanos.load(Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for HookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookRequest")
            .field("event", &self.input.event)
            .field("input", &self.input.value)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The host's input could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    at: (usize, usize),
    problem: String,
}

impl InputError {
    /// The line where reading stopped, from 1.
    pub fn line(&self) -> usize {
        self.at.0
    }

    /// The column where reading stopped, in characters, from 1.
    pub fn column(&self) -> usize {
        self.at.1
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.at;
        write!(
            f,
            "line {line}, column {column}: {}; expected the event as one JSON object",
            self.problem
        )
    }
}

impl Error for InputError {}

/// A JSON value's kind, for a sentence that says what was found.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() > 40 => "a long string".into(),
        Value::String(text) => format!("the string {text:?}"),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HookRequest, InputError> {
        HookRequest::parse(HookEvent::PreToolUse, text)
    }

    #[test]
    fn the_input_is_kept_byte_for_byte() {
        let text = "\u{feff} {\"b\": 1,\n \"a\": [2]}\n";
        let req = parse(text).unwrap();
        assert_eq!(req.bytes(), text.trim_start_matches('\u{feff}').as_bytes());
        assert_eq!(req.input()["a"][0], 2);
    }

    #[test]
    fn bad_input_is_told_with_its_place_and_what_was_expected() {
        for (text, place) in [
            (
                "",
                "line 1, column 1: it is empty; expected the event as one JSON object",
            ),
            (
                "\n  [1]",
                "line 2, column 3: it is an array; expected the event as one JSON object",
            ),
            (
                "{\"a\": }",
                "line 1, column 7: expected value; expected the event as one JSON object",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), place);
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn input_that_javascript_writes_is_read_and_handed_on_as_it_is() {
        let deep = format!(r#"{{"a": {}1{}}}"#, "[".repeat(200), "]".repeat(200));
        let bad_bytes = &b"{\"a\": \"\xff\"}"[..];
        for bytes in [
            br#"{"a": "cut \ud83d"}"#,
            deep.as_bytes(),
            br#"{"a": 1e999}"#,
            bad_bytes,
            b"{\"a\": 1}\xef\xbb\xbf",
        ] {
            let req = HookRequest::parse(HookEvent::PreToolUse, bytes).unwrap();
            assert!(!req.input()["a"].is_null());
            assert_eq!(req.bytes(), bytes);
        }
    }
}
