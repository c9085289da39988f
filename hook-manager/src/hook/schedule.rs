//! When a hook runs beside others, and how often at most.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{HookSpec, OnFailure, words};
use crate::event::HookEvent;

/// How a hook stands to the other hooks of its event. By default it runs beside all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// How early it gets its place. `None`: see [`HookSpec::effective_priority`].
    pub priority: Option<Priority>,
    /// Names of hooks of the same event that must have ended before this one begins.
    pub depends_on: Vec<Arc<str>>,
    /// What happens when one of those failed, or was skipped. `None`: guards fail, others are skipped.
    pub if_dependency_fails: Option<IfDependencyFails>,
    /// Names of what it reads, such as `index` or a path: it does not run beside a hook that writes it.
    pub reads: Vec<String>,
    /// Names of what it writes: it does not run beside a hook that reads or writes it, at any event.
    pub writes: Vec<String>,
    /// Whether it runs alone among the hooks of its event, over all sessions. Guards wait for it, too: a slow one holds
    /// them up.
    pub exclusive: bool,
    /// How many of it may run at once, over all sessions. `None`: as many as there are places.
    pub max_concurrent: Option<usize>,
    /// How often it may run in a minute. `None`: the manager's limit.
    pub max_runs_per_minute: Option<u32>,
    /// How often it may run in a session. `None`: the manager's limit.
    pub max_runs_per_session: Option<u32>,
}

/// How early a hook gets its place, when there are more hooks than places. The order within one priority is
/// that of the [score](crate::HookFigures::score).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Guards, and whatever must have looked before anything else happens.
    Critical,
    /// Before the others.
    High,
    /// Neither.
    Normal,
    /// After the others.
    Low,
}

impl Priority {
    /// All of them, the earliest first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The word for it in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The priority a word means, if it is one of the four.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == word)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of a hook when one that it [depends on](Schedule::depends_on) failed or was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IfDependencyFails {
    /// It is skipped, which decides nothing.
    Skip,
    /// It runs all the same.
    Run,
    /// It fails too, and its `on_failure` says what that means.
    Fail,
}

impl IfDependencyFails {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Run, Self::Fail];

    /// The word for it in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Run => "run",
            Self::Fail => "fail",
        }
    }

    /// The policy a word means, if it is one of the three.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// What an open circuit means for the action the hook would have been asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnOpen {
    /// The action goes on without the hook.
    Skip,
    /// The user is asked.
    Ask,
    /// The action is blocked.
    Block,
}

impl OnOpen {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Ask, Self::Block];

    /// The word for it in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Ask => "ask",
            Self::Block => "block",
        }
    }

    /// The policy a word means, if it is one of the three.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// What it comes to, beside the policies for other failures.
    pub(crate) fn as_failure(self) -> OnFailure {
        match self {
            Self::Skip => OnFailure::Allow,
            Self::Ask => OnFailure::Ask,
            Self::Block => OnFailure::Block,
        }
    }

    pub(crate) fn of_failure(policy: OnFailure) -> Self {
        match policy {
            OnFailure::Allow => Self::Skip,
            OnFailure::Ask => Self::Ask,
            OnFailure::Block => Self::Block,
        }
    }
}

impl fmt::Display for OnOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl HookSpec {
    /// How early the hook gets its place: what its owner says; `Critical` for guards; or by a whole word of its
    /// name: `Critical` for `security`, `validation` and `health_check`, `High` for `performance`, `optimizer`
    /// and `jit`, `Normal` for `cleanup`, `log` and `tracker`, `Low` for `analytics`, `metrics` and `stats`. All
    /// others are `High` at `PreToolUse` and `Normal` elsewhere.
    ///
    /// ```
    /// use hook_manager::{HookEvent, HookSpec, Priority, hook::Handler};
    ///
    /// let named = |name: &str| HookSpec { name: name.into(), ..HookSpec::new(HookEvent::Stop, Handler::shell("true")) };
    /// assert_eq!(named("security-scan").effective_priority(), Priority::Critical);
    /// assert_eq!(named("usage_stats").effective_priority(), Priority::Low);
    /// assert_eq!(named("statsig").effective_priority(), Priority::Normal);
    /// ```
    pub fn effective_priority(&self) -> Priority {
        match self.schedule.priority {
            Some(priority) => priority,
            None if self.is_guard() => Priority::Critical,
            None => by_name(&self.event, &self.name),
        }
    }

    /// What an open circuit means: what the owner says, or else the same as any other failure.
    pub fn effective_on_open(&self) -> OnOpen {
        match (self.background, self.on_open) {
            (true, _) => OnOpen::Skip,
            (false, Some(on_open)) => on_open,
            (false, None) => OnOpen::of_failure(self.effective_on_failure()),
        }
    }

    /// What happens when a hook this one depends on failed: what the owner says; or else it fails too, if it is a
    /// guard or declared to block on failure, and is skipped if not.
    pub fn effective_if_dependency_fails(&self) -> IfDependencyFails {
        let must_not_be_missed = self.effective_on_failure() != OnFailure::Allow;
        self.schedule
            .if_dependency_fails
            .unwrap_or(match must_not_be_missed {
                true => IfDependencyFails::Fail,
                false => IfDependencyFails::Skip,
            })
    }
}

fn by_name(event: &HookEvent, name: &str) -> Priority {
    let words = words(name);
    let has = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    let health_check = words.windows(2).any(|two| two == ["health", "check"]);
    if health_check || has(&["security", "validation", "healthcheck"]) {
        Priority::Critical
    } else if has(&["performance", "optimizer", "jit"]) {
        Priority::High
    } else if has(&["cleanup", "log", "tracker"]) {
        Priority::Normal
    } else if has(&["analytics", "metrics", "stats"]) {
        Priority::Low
    } else if *event == HookEvent::PreToolUse {
        Priority::High
    } else {
        Priority::Normal
    }
}

/// How long the answers of a hook are kept, by the first of these words in its name: a minute if it asks
/// something outside, half an hour if it only reads, half a minute if it writes.
pub(crate) fn ttl_by_name(name: &str) -> Option<std::time::Duration> {
    let words = words(name);
    let has = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    let seconds = if has(&["fetch", "api", "network", "git"]) {
        60
    } else if has(&["read", "parse", "analyze"]) {
        1800
    } else if has(&["write", "modify", "update", "create"]) {
        30
    } else {
        return None;
    };
    Some(std::time::Duration::from_secs(seconds))
}

/// How long a hook is taken to run before it ever has.
pub(crate) fn estimate_by_name(name: &str) -> std::time::Duration {
    let words = words(name);
    let has = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    let millis = if has(&["git"]) {
        200
    } else if has(&["fetch", "api", "network"]) {
        500
    } else if has(&["read", "write", "parse"]) {
        50
    } else {
        10
    };
    std::time::Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_long_answers_are_good_by_whole_words() {
        for (name, seconds) in [
            ("git-status", Some(60)),
            ("fetch_tickets", Some(60)),
            ("readConfig", Some(1800)),
            ("analyze-imports", Some(1800)),
            ("update-index", Some(30)),
            ("digit-check", None),
            ("spread", None),
            ("lint", None),
        ] {
            assert_eq!(ttl_by_name(name).map(|ttl| ttl.as_secs()), seconds, "{name}");
        }
    }

    #[test]
    fn names_say_how_early_a_hook_runs_by_whole_words() {
        for (event, name, priority) in [
            (HookEvent::Stop, "security", Priority::Critical),
            (HookEvent::Stop, "health_check", Priority::Critical),
            (HookEvent::Stop, "jit-loader", Priority::High),
            (HookEvent::PreToolUse, "log", Priority::Normal),
            (HookEvent::PreToolUse, "metrics", Priority::Low),
            (HookEvent::PreToolUse, "catalog", Priority::High),
            (HookEvent::SessionStart, "anything", Priority::Normal),
        ] {
            assert_eq!(by_name(&event, name), priority, "{name}");
        }
    }
}
