//! What holds where a hook's owner said nothing.

use std::time::Duration;

use crate::{
    event::{DecisionShape, HandlerKind, HookEvent},
    hook::{HookSpec, OnFailure},
};

impl HookSpec {
    /// The time one attempt may take: the hook's own, or the event's documented default.
    pub fn effective_timeout(&self) -> Duration {
        let kind = self.handler.kind().unwrap_or(HandlerKind::Command);
        self.timeout.unwrap_or_else(|| self.event.spec().timeout(kind))
    }

    /// What a failure means: what the hook's owner says, or else `Ask` for guards of events that the
    /// user can be asked about, and `Allow` for all others. A hook nobody waits for decides nothing.
    pub fn effective_on_failure(&self) -> OnFailure {
        match self.background {
            true => OnFailure::Allow,
            false => on_failure(&self.event, self.is_guard(), self.on_failure),
        }
    }

    /// Takes over what a copy of this hook is stricter about.
    pub(crate) fn absorb(&mut self, copy: &HookSpec) {
        if copy.effective_on_failure() > self.effective_on_failure() {
            self.on_failure = Some(copy.effective_on_failure());
        }
        if copy.is_guard() {
            self.guard = Some(true);
        }
    }
}

/// A guard that could not look has the user look instead.
pub(crate) fn on_failure(event: &HookEvent, guard: bool, declared: Option<OnFailure>) -> OnFailure {
    let ask = guard && event.spec().decision == DecisionShape::Permission;
    declared.unwrap_or(if ask { OnFailure::Ask } else { OnFailure::Allow })
}
