use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::AbortHandle;

use super::{Check, CheckReport, FailureReason, Verdict, judge::Judge};
use crate::Status;

/// What is known of one check. Holds nothing of the user's, so that it can live under a lock.
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) task: Option<AbortHandle>,
    pub(super) shown: Option<Status>,
    interval: Duration,
    required: bool,
    component: Option<&'static str>,
    judge: Judge,
    /// When the last run ended, and before there was one, when the check was added.
    last: Instant,
    took: Option<Duration>,
    time: Option<SystemTime>,
    last_success: Option<SystemTime>,
    output: Option<String>,
    reason: Option<FailureReason>,
}

/// How one run went.
pub(super) struct Ran {
    pub(super) verdict: Verdict,
    pub(super) reason: Option<FailureReason>,
    pub(super) took: Duration,
}

impl Entry {
    pub(super) fn new(id: u64, check: &Check, now: Instant) -> Self {
        Self {
            id,
            task: None,
            shown: None,
            interval: check.interval,
            required: check.required,
            component: check.component,
            judge: Judge::default(),
            last: now,
            took: None,
            time: None,
            last_success: None,
            output: None,
            reason: None,
        }
    }

    pub(super) fn record(&mut self, ran: Ran, now: Instant, time: SystemTime) {
        self.judge.on_result(ran.verdict.status);
        self.last = now;
        self.took = Some(ran.took);
        self.time = Some(time);
        if ran.verdict.status != Status::Unhealthy {
            self.last_success = Some(time);
        }
        self.output = ran.verdict.output;
        self.reason = ran.reason;
    }

    pub(super) fn is_pending(&self) -> bool {
        self.judge.status().is_none()
    }

    pub(super) fn is_required(&self) -> bool {
        self.required
    }

    /// When what is shown of this changes by the passing of time alone.
    pub(super) fn expires(&self, now: Instant) -> Instant {
        let stale_at = self.stale_at();
        // A stale one tells its age, in seconds.
        if stale_at <= now {
            now + Duration::from_secs(1)
        } else {
            stale_at
        }
    }

    fn stale_at(&self) -> Instant {
        self.last + self.interval * 3
    }

    pub(super) fn report(&self, name: &Arc<str>, now: Instant) -> CheckReport {
        let mut report = CheckReport {
            name: Arc::clone(name),
            status: self.judge.status().unwrap_or(Status::Degraded),
            required: self.required,
            component: self.component,
            output: self.output.clone(),
            reason: self.reason,
            took: self.took,
            time: self.time,
            last_success: self.last_success,
            consecutive_failures: self.judge.failures(),
        };
        if self.stale_at() <= now {
            let age = now.saturating_duration_since(self.last).as_secs();
            report.status = Status::Unhealthy;
            report.reason = Some(FailureReason::Stale);
            report.output = Some(format!("stale {age}s"));
        } else if self.is_pending() {
            report.reason = Some(FailureReason::Pending);
            report.output = Some("has not run yet".into());
        }
        if !self.required {
            report.status = report.status.min(Status::Degraded);
        }
        report
    }
}
