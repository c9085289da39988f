//! One event from its input to its report.

use std::{
    fmt,
    future::{Future, IntoFuture, pending},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{
    StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};

use crate::{
    anomalies,
    event::HookEvent,
    manager::{HookManager, Inner},
    merge::merge,
    output::HookOutput,
    plan::{Planned, plan_all},
    request::{HookRequest, InputError},
    result::{Ended, EventReport, HookResult},
    state,
};

impl HookManager {
    /// Runs every hook that is for this event and merges their answers.
    ///
    /// All hooks start at once as far as [`max_concurrent_hooks`] lets them: guards first, then by
    /// [priority](crate::Priority) and [score](crate::HookFigures::score); a hook that
    /// [depends](crate::Schedule::depends_on) on others after them. A denial does not stop the others. The report has one
    /// result a hook, in declared order, also for a hook that did not run. Without hooks for the event it is empty.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the hooks that run: processes are terminated with their groups, in the
    /// background. [`shutdown`](Self::shutdown) waits for that.
    ///
    /// [`max_concurrent_hooks`]: crate::HookManagerBuilder::max_concurrent_hooks
    pub async fn execute(&self, req: HookRequest) -> EventReport {
        self.execute_within(self.0.config.deadline, req).await
    }

    /// [Executes](Self::execute) with less time than the manager's deadline, where some of it has passed
    /// already. More than the deadline counts as the deadline.
    pub async fn execute_within(&self, total: Duration, req: HookRequest) -> EventReport {
        self.perform(total, req, pending::<()>()).await
    }

    /// Runs the hooks of an event made in this process; to be awaited, after whatever else there is to say.
    ///
    /// ```
    /// use hook_manager::{Hook, HookEvent, HookManager, HookOutput, HookRequest};
    /// use serde_json::json;
    /// use std::{io, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let greets = Hook::function("greets", HookEvent::UserPromptSubmit, |req: HookRequest| async move {
    ///     let said = req.field("/user_input").unwrap_or_default();
    ///     Ok::<_, io::Error>(HookOutput::none().context(format!("they said: {said}")))
    /// });
    /// let manager = HookManager::builder().hook(greets).build()?;
    ///
    /// let report = manager
    ///     .event(HookEvent::UserPromptSubmit, json!({ "session_id": "s1" }))
    ///     .user_input("hello")
    ///     .total_time(Duration::from_secs(5))
    ///     .cancel_when(tokio::signal::ctrl_c())
    ///     .await?;
    /// assert_eq!(report.merged.contexts, ["they said: hello"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn event(&self, event: HookEvent, context: Value) -> Execution<'_> {
        Execution {
            manager: self,
            event,
            context,
            total: None,
            cancel: None,
        }
    }

    /// The report of an event that could not be run at all, because its input cannot be read, say: every
    /// hook of the event has failed for the cause `why`, and what that means is each hook's own policy.
    pub fn not_run(&self, event: &HookEvent, why: impl Into<Arc<str>>) -> EventReport {
        let why = why.into();
        let results: Vec<HookResult> = self.0.of_event(event).map(|entry| entry.not_run(&why)).collect();
        self.report(event, None, results, Duration::ZERO)
    }

    /// [Executes](Self::execute_within) a part of an event's hooks: for a process that answers its caller before the
    /// hooks declared `async` have ended.
    ///
    /// `async` hooks that [depend](crate::Schedule::depends_on) on others, or others on them, are awaited like those. `total` is the time for all
    /// of it, whatever the manager's own deadline is, up to a day.
    pub async fn execute_part(&self, part: Part, total: Duration, req: HookRequest) -> EventReport {
        self.perform_part(part, total, req, pending::<()>()).await
    }

    async fn perform(&self, total: Duration, req: HookRequest, cancel: impl Future) -> EventReport {
        let total = total.min(self.0.config.deadline);
        self.perform_part(Part::All, total, req, cancel).await
    }

    async fn perform_part(
        &self,
        part: Part,
        total: Duration,
        req: HookRequest,
        cancel: impl Future,
    ) -> EventReport {
        let inner = &*self.0;
        if let Some(why) = &inner.too_deep {
            return self.not_run(req.event(), Arc::clone(why));
        }
        state::keep(self);
        anomalies::keep(self);
        let _flight = inner.flights.begin();
        let req = req.within(inner.project.as_ref());
        let started = Instant::now();
        let deadline = match part {
            // Nobody waits for them: each has its own timeout.
            Part::Background => started + A_DAY,
            Part::All | Part::Awaited => started + total.min(A_DAY),
        };
        let mut planned: Vec<(usize, Planned<'_>)> = plan_all(inner.of_event(req.event()), &req)
            .into_iter()
            .filter_map(|hook| hook.in_part(part))
            .enumerate()
            .collect();
        let entries: Vec<_> = planned.iter().map(|(_, hook)| hook.entry()).collect();
        let mut results: Vec<Option<HookResult>> = entries.iter().map(|_| None).collect();
        // They take their places in this order: the queues are first come, first served.
        planned.sort_by(|(_, one), (_, other)| {
            let class = |hook: &Planned<'_>| (!hook.guard, hook.priority);
            class(one)
                .cmp(&class(other))
                .then(one.score.total_cmp(&other.score))
        });
        let mut runs: FuturesUnordered<_> = planned
            .into_iter()
            .map(|(at, hook)| {
                let req = req.for_one_hook(deadline.into_std());
                async move { (at, hook.run(req, started, deadline).await) }
            })
            .collect();
        {
            let runs = async {
                while let Some((at, result)) = runs.next().await {
                    results[at] = Some(result);
                }
            };
            // The runs are asked first: where they are all done at once, nobody is ever asked about the others.
            select(std::pin::pin!(runs), std::pin::pin!(called_off(inner, cancel))).await;
        }
        drop(runs);
        let results = results.into_iter().zip(entries);
        let mut results: Vec<HookResult> = results
            .map(|(result, entry)| result.unwrap_or_else(|| entry.cancelled(started)))
            .collect();
        limit_context(inner, &req, &mut results);
        let report = self.report(req.event(), Some(&req), results, started.elapsed());
        inner.tallies.add(&report);
        state::log(self, &report);
        report
    }

    fn report(
        &self,
        event: &HookEvent,
        req: Option<&HookRequest>,
        results: Vec<HookResult>,
        took: Duration,
    ) -> EventReport {
        EventReport {
            event: event.clone(),
            project: self.0.project.as_deref().map(PathBuf::from),
            merged: merge(req.and_then(|req| req.input().get("tool_input")), &results),
            results,
            took,
        }
    }
}

/// Which of an event's hooks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of them.
    All,
    /// Those whose answers count. The others, declared `async`, are in the report as skipped.
    Awaited,
    /// Those declared `async`, without the event's deadline: each has its own timeout.
    Background,
}

/// Longer than any hook's timeout.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Ready when the caller, or whoever shuts the manager down, wants no more of the event.
async fn called_off(inner: &Inner, cancel: impl Future) {
    let mut off = inner.off.subscribe();
    let shut_down = async {
        // The sender is the manager's own, and cannot be gone.
        let _ = off.wait_for(|off| *off).await;
    };
    match select(std::pin::pin!(cancel), std::pin::pin!(shut_down)).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}

/// Leaves out context that would be too much for the session, and says so.
fn limit_context(inner: &Inner, req: &HookRequest, results: &mut [HookResult]) {
    for result in results {
        let Ended::Answered(output) = &result.ended else {
            continue;
        };
        let Some(context) = &output.context else { continue };
        if inner.runaway.book_context(req, context.len()) {
            continue;
        }
        let notice = format!(
            "hook {}: {} bytes of context are left out: with them this session would have more than {} \
             (max_context_per_session)",
            result.hook,
            context.len(),
            inner.runaway.max_context()
        );
        result.notice = Some(notice.into());
        result.ended = Ended::Answered(Arc::new(HookOutput {
            context: None,
            ..HookOutput::clone(output)
        }));
    }
}

/// An event that is about to be run; made by [`HookManager::event`], run when it is awaited.
#[must_use = "nothing runs until it is awaited"]
pub struct Execution<'a> {
    manager: &'a HookManager,
    event: HookEvent,
    context: Value,
    total: Option<Duration>,
    cancel: Option<BoxFuture<'a, ()>>,
}

impl<'a> Execution<'a> {
    /// What the user said: the field `user_input` of the event, unless the context has one.
    pub fn user_input(mut self, text: impl Into<String>) -> Self {
        if let Value::Object(context) = &mut self.context {
            context
                .entry("user_input")
                .or_insert_with(|| Value::String(text.into()));
        }
        self
    }

    /// The wall-clock time for all of it; by default, and at most, the manager's
    /// [deadline](crate::HookManagerBuilder::deadline).
    pub fn total_time(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// Calls the event off when `signal` ends, such as a `CancellationToken`'s `cancelled_owned()`. Hooks that have
    /// not ended by then are stopped, and their result is [`Cancelled`](crate::HookError::Cancelled).
    pub fn cancel_when(mut self, signal: impl Future<Output: Send> + Send + 'a) -> Self {
        self.cancel = Some(Box::pin(async move {
            signal.await;
        }));
        self
    }
}

impl<'a> IntoFuture for Execution<'a> {
    /// The report; or an error, if the context is no JSON object.
    type Output = Result<EventReport, InputError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let req = HookRequest::new(self.event, self.context)?;
            let total = self.total.unwrap_or(self.manager.0.config.deadline);
            let cancel = self.cancel.unwrap_or_else(|| Box::pin(pending()));
            Ok(self.manager.perform(total, req, cancel).await)
        })
    }
}

// By hand: the signal is somebody's future.
impl fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("event", &self.event)
            .field("context", &self.context)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// The events under way. `SeqCst`, so that either the last one sees who waits for it, or that one sees that it was
/// the last.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    count: AtomicUsize,
    landed: Notify,
}

/// One event under way.
pub(crate) struct Flight<'a>(&'a Flights);

impl Flights {
    fn begin(&self) -> Flight<'_> {
        self.count.fetch_add(1, SeqCst);
        Flight(self)
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Waits until there is none.
    pub(crate) async fn all_landed(&self) {
        loop {
            let mut landed = std::pin::pin!(self.landed.notified());
            landed.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            landed.await;
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, SeqCst) == 1 {
            self.0.landed.notify_waiters();
        }
    }
}
