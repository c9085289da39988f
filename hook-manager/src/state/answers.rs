//! Cached answers that outlive the process.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{hex, millis};
use crate::{
    event::HookEvent,
    output::{Decision, HookOutput},
    request::HookRequest,
    stack::{
        key::{Key, SavedInput},
        own::{Answer, Own},
    },
};

/// The answers of one hook that are kept, and the bytes they may take.
const MOST: usize = 1_000;
const BYTES: usize = 4 * 1024 * 1024;
/// The bytes that the answers of all hooks may take.
const ALL_BYTES: usize = 32 * 1024 * 1024;
/// Answers are read with the whole file, in which they are a few levels deep already; no reader goes deeper than 128.
const DEPTH: usize = 100;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    /// When the hook answered, in milliseconds after 1970.
    at: u64,
    /// The event, where the whole input is the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<HookEvent>,
    input: String,
    files: String,
    decision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_input: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    updated_permissions: Vec<Value>,
    #[serde(default)]
    interrupt: bool,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    specific: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    other: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
}

/// The answers that can be put as text; those to inputs that are no UTF-8 are left out. `hooks` is among how many the room
/// is shared.
pub(super) fn save(own: &Own, hooks: usize) -> Vec<Saved> {
    let Some(cache) = &own.cache else {
        return Vec::new();
    };
    let room = BYTES.min(ALL_BYTES / hooks.max(1));
    let (mut answers, mut bytes) = (Vec::new(), 0);
    // Asked about each that could be served, and condemns none.
    cache.invalidate_if(|key, answer| {
        if answers.len() < MOST {
            let saved = one(key, answer).filter(Saved::is_flat);
            let size = saved.as_ref().and_then(|saved| serde_json::to_vec(saved).ok());
            if let (Some(saved), Some(size)) = (saved, size.map(|text| text.len())) {
                // One that has no room leaves it to smaller ones.
                if bytes + size <= room {
                    bytes += size;
                    answers.push(saved);
                }
            }
        }
        false
    });
    answers
}

fn one(key: &Key, answer: &Answer) -> Option<Saved> {
    let output = &answer.output;
    let since = answer.at.elapsed();
    // Its standard output and standard error are not kept: what was read from them is.
    Some(Saved {
        at: millis(SystemTime::now().checked_sub(since)?),
        event: key.event().cloned(),
        input: String::from_utf8(key.text().to_vec()).ok()?,
        files: hex(&key.files()),
        decision: output.decision.as_str().into(),
        reason: output.reason.clone(),
        context: output.context.clone(),
        updated_input: output.updated_input.clone(),
        system_message: output.system_message.clone(),
        stop: output.stop.clone(),
        updated_permissions: output.updated_permissions.clone(),
        interrupt: output.interrupt,
        specific: output.specific.clone(),
        other: output.other.clone(),
        exit_code: output.exit_code,
    })
}

/// Puts back what is still good.
pub(super) fn restore(own: &Own, answers: &[Saved]) {
    let (Some(cache), Some(ttl)) = (&own.cache, own.ttl) else {
        return;
    };
    let now = millis(SystemTime::now());
    for saved in answers {
        // One that is from the future is from a clock that was set back.
        let Some(age) = now.checked_sub(saved.at).map(Duration::from_millis) else {
            continue;
        };
        let left = ttl.saturating_sub(age);
        if left.is_zero() {
            continue;
        }
        if let (Some(key), Some(output)) = (saved.key(), saved.output()) {
            let at = Instant::now();
            let at = at.checked_sub(age).unwrap_or(at);
            let output = Arc::new(output);
            cache.cache().insert_with_ttl(key, Answer { output, at }, left);
        }
    }
}

fn is_flat(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(values) => depth > 0 && values.iter().all(|value| is_flat(value, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|value| is_flat(value, depth - 1)),
        _ => true,
    }
}

impl Saved {
    /// Whether a reader gets to the bottom of it.
    fn is_flat(&self) -> bool {
        let fields = [&self.specific, &self.other];
        let values = fields.into_iter().flat_map(|fields| fields.values());
        values
            .chain(&self.updated_input)
            .chain(&self.updated_permissions)
            .all(|value| is_flat(value, DEPTH))
    }

    fn key(&self) -> Option<Key> {
        let input = match &self.event {
            Some(event) => SavedInput::Whole(HookRequest::parse(event.clone(), &self.input).ok()?),
            None => SavedInput::Fields(self.input.clone()),
        };
        let mut files = [0; 16];
        if self.files.len() != 2 * files.len() || !self.files.is_ascii() {
            return None;
        }
        for (at, byte) in files.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.files[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Key::restored(input, files))
    }

    fn output(&self) -> Option<HookOutput> {
        use Decision::{Allow, Ask, Defer, Deny, None};
        let decision = [None, Allow, Ask, Defer, Deny]
            .into_iter()
            .find(|decision| decision.as_str() == self.decision)?;
        Some(HookOutput {
            decision,
            reason: self.reason.clone(),
            context: self.context.clone(),
            updated_input: self.updated_input.clone(),
            system_message: self.system_message.clone(),
            stop: self.stop.clone(),
            updated_permissions: self.updated_permissions.clone(),
            interrupt: self.interrupt,
            specific: self.specific.clone(),
            other: self.other.clone(),
            exit_code: self.exit_code,
            ..HookOutput::none()
        })
    }
}
