//! The last events, for `trace`.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use hook_manager::{Ended, EventReport, HookResult};
use serde_json::{Value, json};

use super::redact::redact;

/// How many events are remembered.
const EVENTS: usize = 256;
/// How much is remembered of a text.
const TEXT: usize = 200;

#[derive(Default)]
pub(super) struct Ring(Mutex<VecDeque<Value>>);

/// Who asked, of an event.
#[derive(Clone, Default)]
pub(super) struct Asker {
    pub(super) session: Option<String>,
    pub(super) tool: Option<String>,
}

impl Ring {
    pub(super) fn add(&self, asker: &Asker, part: &str, report: &EventReport) {
        self.push(json!({
            "at": now(),
            "event": report.event.as_str(),
            "session": asker.session,
            "tool": asker.tool,
            "part": part,
            "took_ms": ms(report.took),
            "decision": report.merged.decision.as_str(),
            "blocked": report.is_blocked(),
            "hooks": report.results.iter().map(result).collect::<Vec<_>>(),
        }));
    }

    /// An event whose asker went away.
    pub(super) fn gone(&self, asker: &Asker, event: &str, took: Duration) {
        self.push(json!({
            "at": now(),
            "event": short(event),
            "session": asker.session,
            "tool": asker.tool,
            "part": "called off: whoever asked is gone",
            "took_ms": ms(took),
            "decision": "-",
            "blocked": false,
            "hooks": [],
        }));
    }

    fn push(&self, event: Value) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = (events.len() >= EVENTS).then(|| events.pop_front());
        events.push_back(event);
        drop(events);
        drop(oldest);
    }

    /// The last so many, the oldest of them first.
    pub(super) fn last(&self, n: usize) -> Vec<Value> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events
            .iter()
            .skip(events.len().saturating_sub(n))
            .cloned()
            .collect()
    }
}

fn result(result: &HookResult) -> Value {
    let outcome = match &result.ended {
        Ended::Answered(_) => "ok",
        Ended::Failed(err) => err.kind(),
        Ended::Skipped(_) => "skipped",
    };
    json!({
        "hook": short(&result.hook),
        "outcome": outcome,
        "decision": result.decision().as_str(),
        "took_ms": ms(result.took),
        "queued_ms": ms(result.queued),
        "ran_ms": ms(result.ran),
        "attempts": result.attempts,
        "cached": result.cached,
        // Before it is cut: the half of a secret is one.
        "reason": result.reason().map(|reason| short(&redact(head(&reason)))),
    })
}

/// Enough of a text for its beginning, however much of that is not shown.
fn head(text: &str) -> &str {
    match text.char_indices().nth(20 * TEXT) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Seconds after 1970, to a millisecond.
fn now() -> f64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as f64 / 1e3
}

fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
