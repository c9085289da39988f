use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hook_monitor::Visit;
use tokio::time::{Sleep, sleep};

use crate::{gate::Turn, permit::Admission, shared::Core};

/// A service's place among those that wait until the circuit lets them in, and then its leave to make one call.
///
/// Boxed where there is one: only a service that waits rather than be refused has it.
pub(crate) struct Waiting {
    core: Arc<Core>,
    /// In the queue.
    place: Option<u64>,
    /// What the first in the queue is woken by.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
    admission: Option<Admission>,
}

/// The kernel's tick, at the longest.
const COARSE: Duration = Duration::from_millis(10);

impl Waiting {
    pub(crate) fn new(core: &Arc<Core>) -> Box<Self> {
        Box::new(Self {
            core: Arc::clone(core),
            place: None,
            alarm: None,
            admission: None,
        })
    }

    /// Ready when the circuit lets a call in: with leave that is kept for it while it probes, without where everybody
    /// is let in, since nothing is scarce there.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_granted() {
            return Poll::Ready(());
        }
        // What an earlier generation granted is worth nothing.
        self.release();
        loop {
            match self.core.gate().take_turn(&mut self.place, cx.waker()) {
                Turn::Free => break,
                Turn::Granted(ticket) => {
                    self.admission = Some(Admission::new(Visit::to(self.core.gate()), ticket));
                    break;
                }
                Turn::Wait(None) => {
                    self.alarm = None;
                    return Poll::Pending;
                }
                Turn::Wait(Some(at)) => {
                    ready!(self.poll_alarm(at, cx));
                    self.alarm = None;
                }
            }
        }
        self.alarm = None;
        Poll::Ready(())
    }

    fn poll_alarm(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let gate = self.core.gate();
        let alarm = self.alarm.take().filter(|(set, _)| *set == at);
        let (_, sleep) = self.alarm.insert(alarm.unwrap_or_else(|| {
            let mut wait = at.saturating_duration_since(gate.now());
            if gate.knobs().is_coarse() {
                // By that clock it would come a tick early, and again and again.
                wait = wait.max(COARSE);
            }
            (at, Box::pin(sleep(wait)))
        }));
        sleep.as_mut().poll(cx)
    }

    /// Makes sure of the leave for the call that is about to be promised: `false` if the circuit has shut meanwhile.
    pub(crate) fn confirm(&mut self) -> bool {
        if self.is_granted() {
            return true;
        }
        self.release();
        if !self.core.gate().word().state.lets_in() {
            return false;
        }
        let ticket = self.core.gate().acquire().ok();
        self.admission = ticket.map(|ticket| Admission::new(Visit::to(self.core.gate()), ticket));
        self.admission.is_some()
    }

    fn is_granted(&self) -> bool {
        self.admission.as_ref().is_some_and(Admission::is_current)
    }

    /// The leave, for the call.
    pub(crate) fn take(&mut self) -> Option<Admission> {
        self.admission.take()
    }

    fn release(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.give_back();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.release();
        if let Some(place) = self.place {
            self.core.gate().give_up(place);
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("place", &self.place)
            .field("is_granted", &self.admission.is_some())
            .finish_non_exhaustive()
    }
}
