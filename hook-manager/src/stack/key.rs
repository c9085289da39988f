//! What a cached answer is good for.

use std::hash::{Hash, Hasher};

use serde_json::Value;

use super::{
    own::Answer,
    stamp::{Files, Stamp},
};
use crate::{event::HookEvent, hook::CacheKey, request::HookRequest};

/// What an answer is good for: the input, and the contents of the files it depends on.
#[derive(Clone)]
pub(crate) struct Key {
    input: Input,
    pub(super) files: Stamp,
    /// Where relative files are looked for, if there are any and the input does not say. The stamp knows it already.
    place: Option<Box<str>>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.input == other.input
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.files.hash(state);
    }
}

/// The whole input as it was sent, or the fields that the hook's owner says matter.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Input {
    Whole(Whole),
    Fields(Box<[u8]>),
}

/// A request as its bytes, which are not copied.
#[derive(Clone)]
struct Whole(HookRequest);

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Whole {}

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().hash(state);
    }
}

impl Key {
    /// Of a saved answer.
    pub(crate) fn restored(input: SavedInput, files: Stamp) -> Self {
        let input = match input {
            SavedInput::Whole(req) => Input::Whole(Whole(req)),
            SavedInput::Fields(fields) => Input::Fields(fields.into_bytes().into()),
        };
        Self {
            input,
            files,
            place: None,
        }
    }

    /// The session's directory, as far as files are looked for there.
    pub(super) fn place(&self) -> Option<&str> {
        match &self.input {
            Input::Whole(Whole(req)) => req.field(CWD),
            Input::Fields(_) => self.place.as_deref(),
        }
    }

    pub(crate) fn files(&self) -> Stamp {
        self.files
    }

    /// The event, where the whole input matters.
    pub(crate) fn event(&self) -> Option<&HookEvent> {
        match &self.input {
            Input::Whole(Whole(req)) => Some(req.event()),
            Input::Fields(_) => None,
        }
    }

    /// The part of the input that the answer depends on.
    pub(crate) fn text(&self) -> &[u8] {
        match &self.input {
            Input::Whole(Whole(req)) => req.bytes(),
            Input::Fields(fields) => fields,
        }
    }
}

/// The part of the input that a saved answer depends on.
pub(crate) enum SavedInput {
    Whole(HookRequest),
    Fields(String),
}

/// Where a session is, in its events.
const CWD: &str = "/cwd";

pub(super) fn key_of(rule: &CacheKey, files: &Files, req: &HookRequest) -> Option<Key> {
    // A look into the input costs as much as all the rest.
    let cwd = match files.has_relative() {
        true => req.field(CWD),
        false => None,
    };
    let files = files.stamp(cwd)?;
    let input = match rule {
        CacheKey::WholeInput => Input::Whole(Whole(req.clone())),
        CacheKey::Fields(pointers) => {
            let input = req.input();
            // In a list each, which tells what is null from what is not there.
            let fields: Vec<Option<[&Value; 1]>> = pointers
                .iter()
                .map(|at| input.pointer(at).map(|value| [value]))
                .collect();
            match fields.iter().flatten().all(|[value]| is_exact(value)) {
                true => Input::Fields(serde_json::to_vec(&fields).ok()?.into()),
                false => Input::Whole(Whole(req.clone())),
            }
        }
    };
    let place = cwd.filter(|_| matches!(input, Input::Fields(_)));
    Some(Key {
        input,
        files,
        place: place.map(Box::from),
    })
}

/// Whether a value is told from every other one as it was read: not where something was no Unicode. Numbers keep their
/// digits.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains(char::REPLACEMENT_CHARACTER),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| !name.contains(char::REPLACEMENT_CHARACTER) && is_exact(value)),
    }
}

/// The largest input and answer together that are kept, in bytes: they are counted by number, and a thousand of them
/// must not be all the memory there is.
pub(super) const LARGEST: usize = 256 * 1024;

pub(super) fn size(key: &Key, answer: &Answer) -> usize {
    let output = &answer.output;
    let texts = [
        &output.reason,
        &output.context,
        &output.system_message,
        &output.stop,
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    key.text().len() + texts + output.stdout.bytes().len() + output.stderr.bytes().len()
}
