use std::{path::PathBuf, sync::Arc, time::Duration};

use hook_breaker::State;
use hook_monitor::Outcome;

use crate::{
    anomalies::Anomaly,
    error::HookError,
    event::HookEvent,
    hook::{OnFailure, OnOpen, Origin},
    merge::Merged,
    output::{Decision, HookOutput},
};

/// What became of one hook at one event. Every hook that matched yields one, also one that did not run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookResult {
    /// The hook's name.
    pub hook: Arc<str>,
    /// Where the hook is declared.
    pub origin: Arc<Origin>,
    /// How it ended.
    pub ended: Ended,
    /// Whether it guards the event; guards run first.
    pub guard: bool,
    /// What a failure of it means for the caller.
    pub on_failure: OnFailure,
    /// What an open circuit of it means for the caller.
    pub on_open: OnOpen,
    /// The time from the event's start to this result, queue and retries included.
    pub took: Duration,
    /// The part of it in which the hook itself ran; zero when the cache answered.
    pub ran: Duration,
    /// The part of it spent waiting for a free slot.
    pub queued: Duration,
    /// How often the hook was started for this event; none when the cache answered.
    pub attempts: u32,
    /// Whether the answer came from the cache, also in place of a failure, or was shared with another event asking the
    /// same.
    pub cached: bool,
    /// What its circuit is doing now; `None` without a breaker.
    pub breaker: Option<State>,
    /// Set when it took far longer than its last runs, or while the hook is not what it was; `None` where the cache
    /// answered. A box, for results are moved about more often than there is something in it.
    pub anomaly: Option<Box<Anomaly>>,
    /// What the user should be told about it, once.
    pub notice: Option<Arc<str>>,
}

/// How one hook ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It answered, with a decision or without.
    Answered(Arc<HookOutput>),
    /// It has no answer, for this cause.
    Failed(HookError),
    /// It was not for us to run, for this reason. No failure.
    Skipped(Arc<str>),
}

impl HookResult {
    /// Whether it answered. A denial is an answer.
    pub fn success(&self) -> bool {
        matches!(self.ended, Ended::Answered(_))
    }

    /// What it says about the hook itself: nothing, where the hook was never asked.
    pub fn outcome(&self) -> Outcome {
        match &self.ended {
            Ended::Answered(_) => Outcome::Success,
            Ended::Failed(err) => err.outcome(),
            Ended::Skipped(_) => Outcome::Ignored,
        }
    }

    /// What the hook decided; or, when it failed, what its owner wants that to mean.
    pub fn decision(&self) -> Decision {
        match (&self.ended, self.policy()) {
            (Ended::Answered(output), _) => output.decision,
            (Ended::Failed(_), OnFailure::Block) => Decision::Deny,
            (Ended::Failed(_), OnFailure::Ask) => Decision::Ask,
            (Ended::Failed(_), OnFailure::Allow) | (Ended::Skipped(_), _) => Decision::None,
        }
    }

    /// What a failure like this one means: [`on_open`](Self::on_open) for an open circuit, or else
    /// [`on_failure`](Self::on_failure).
    pub fn policy(&self) -> OnFailure {
        match &self.ended {
            Ended::Failed(HookError::CircuitOpen(_)) => self.on_open.as_failure(),
            _ => self.on_failure,
        }
    }

    /// One sentence on the decision or the failure; `None` when there is nothing to say.
    pub fn reason(&self) -> Option<String> {
        match &self.ended {
            Ended::Answered(output) => output.reason.clone(),
            Ended::Failed(err) => Some(err.to_string()),
            Ended::Skipped(why) => Some(why.to_string()),
        }
    }

    /// The answer, if there is one.
    pub fn output(&self) -> Option<&HookOutput> {
        match &self.ended {
            Ended::Answered(output) => Some(output),
            _ => None,
        }
    }

    /// The cause of the failure, if it failed.
    pub fn error(&self) -> Option<&HookError> {
        match &self.ended {
            Ended::Failed(err) => Some(err),
            _ => None,
        }
    }
}

/// Everything that came of one event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventReport {
    /// The event.
    pub event: HookEvent,
    /// The project it was run for, if the manager has one.
    pub project: Option<PathBuf>,
    /// One result a hook, in the order in which the hooks are declared.
    pub results: Vec<HookResult>,
    /// The results as one answer.
    pub merged: Merged,
    /// Wall-clock time for the whole event.
    pub took: Duration,
}

impl EventReport {
    /// Whether the action must not go on: a hook denies it, and the event is one that can be denied; or a
    /// hook wants the host to stop altogether.
    pub fn is_blocked(&self) -> bool {
        let denied = self.merged.decision == Decision::Deny && self.event.spec().can_be_denied();
        denied || self.merged.stop.is_some()
    }

    /// The hooks that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&HookResult, &HookError)> {
        self.results
            .iter()
            .filter_map(|result| Some((result, result.error()?)))
    }
}
