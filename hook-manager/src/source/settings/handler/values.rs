//! Values of fields: policies, flags, times.

use std::time::Duration;

use super::{
    super::{
        super::{
            Severity,
            json::{Node, Tree},
        },
        nearest,
    },
    HandlerReader,
};
use crate::hook::OnFailure;

/// From here on a number of seconds is probably one of milliseconds.
const MILLISECONDS: f64 = 10_000.0;
/// The longest time that makes sense, in seconds: a year.
const A_YEAR: f64 = 31_536_000.0;

impl HandlerReader<'_, '_, '_> {
    /// A policy. One that cannot be read is the strictest that may have been meant: `blok` and what is
    /// nothing at all block, and nothing that is not spelt out allows.
    pub(super) fn policy(&mut self, node: &Node, field: &str) -> Option<OnFailure> {
        const WORDS: [&str; 3] = ["allow", "ask", "block"];
        let word = node.text();
        if let Some(policy) = word.and_then(OnFailure::find) {
            return Some(policy);
        }
        let near = word.and_then(|word| nearest(word, WORDS));
        self.wrong(node, field, "\"allow\", \"ask\" or \"block\"");
        let meant = near.and_then(OnFailure::find).unwrap_or(OnFailure::Block);
        Some(meant.max(OnFailure::Ask))
    }

    pub(super) fn flag(&mut self, field: &str) -> bool {
        match self.node.get(field) {
            Some(node) => self.bool(node, field).unwrap_or_default(),
            None => false,
        }
    }

    pub(super) fn bool(&mut self, node: &Node, field: &str) -> Option<bool> {
        match node.value {
            Tree::Bool(value) => Some(value),
            _ => {
                self.wrong(node, field, "true or false");
                None
            }
        }
    }

    pub(super) fn seconds(&mut self, field: &str) -> Option<Duration> {
        let node = self.node.get(field)?;
        self.duration(node, field)
    }

    pub(super) fn duration(&mut self, node: &Node, field: &str) -> Option<Duration> {
        const EXPECTED: &str = "a positive number of seconds";
        let seconds = match &node.value {
            Tree::Number(number) => number.as_f64(),
            _ => None,
        };
        let duration = seconds
            .filter(|seconds| *seconds <= A_YEAR)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|duration| !duration.is_zero());
        match (seconds, duration) {
            (Some(seconds), None) if seconds > A_YEAR => {
                self.wrong(
                    node,
                    field,
                    "a positive number of seconds, at most those of a year",
                );
            }
            (_, None) => self.wrong(node, field, EXPECTED),
            (Some(seconds), Some(_)) if seconds >= MILLISECONDS && field == "timeout" => {
                let what = format!("is {} seconds, which looks like milliseconds", node.describe());
                let expected = format!("seconds: {}?", seconds / 1000.0);
                self.file
                    .say(Severity::Warning, self.origin(node, field), what, &expected);
            }
            _ => {}
        }
        duration
    }
}
