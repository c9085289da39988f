//! A place in line, given up on drop.

use std::{panic::Location, sync::Arc, task::Context, time::Instant};

use hook_monitor::Reason;

use crate::{
    dial::Begin, error::Refusal, lease::Pooled, patience::Deadline, shared::Shared, shelf::Grant,
    shelves::GaveUp,
};

pub(crate) struct Place<K, C, E> {
    /// There until whoever stands here has been served or turned away.
    shared: Option<Arc<Shared<K, C, E>>>,
    shelf: usize,
    number: usize,
    since: Instant,
    /// Its waker is in the line.
    awaited: bool,
    /// Since it stepped into the line it has not been polled again, and has nothing to look at.
    joined: bool,
    /// It had to wait, if only until the next look.
    waited: bool,
}

/// What a look at the line tells.
pub(crate) enum Look<K, C, E> {
    Turn(Result<Pooled<C>, Refusal<E>>),
    /// Not yet; perhaps there is something to be begun meanwhile.
    Wait(Option<Begin<K, C, E>>),
}

impl<K, C, E> Place<K, C, E>
where
    K: Send + Sync + 'static,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) fn new(
        shared: Arc<Shared<K, C, E>>,
        shelf: usize,
        number: usize,
        since: Instant,
        awaited: bool,
        joined: bool,
    ) -> Self {
        Self {
            shared: Some(shared),
            shelf,
            number,
            since,
            awaited,
            joined,
            waited: false,
        }
    }

    /// What this one was given, if it was served and its waker is in the line: whoever is woken has been, mostly, and
    /// needs no waker again. It leaves its timer, if somebody may use it.
    #[inline]
    pub(crate) fn take_turn(
        &self,
        now: Instant,
        from: Option<&'static Location<'static>>,
        deadline: &mut Deadline,
    ) -> Option<Grant<C, E>> {
        if !self.awaited {
            return None;
        }
        self.shared()
            .take_turn(self.shelf, self.number, now, from, deadline)
    }

    /// Looks whether it is this one's turn at `now`, and leaves a waker if not.
    #[inline(never)]
    pub(crate) fn look(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Look<K, C, E> {
        let shared = self.shared();
        // Cloned before and dropped after the lock: both run the executor's code.
        let mut waker = Some(cx.waker().clone());
        let ((grant, start), after) = shared.step(|shelves, after| {
            let grant = shelves.pick_up(self.shelf, self.number, &mut waker, now, from);
            let start = match grant {
                Some(_) => None,
                None => shelves.start(self.shelf, now, after),
            };
            (grant, start)
        });
        let look = match grant {
            Some(grant) => Look::Turn(self.accept(grant, now)),
            None => {
                let begin = start.map(|start| Begin::new(shared, start));
                self.awaited = true;
                self.waited |= begin.is_none();
                Look::Wait(begin)
            }
        };
        after.happen();
        drop(waker);
        look
    }

    /// Leaves the line, unless it has been this one's turn since the last look.
    pub(crate) fn give_up(
        &mut self,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Result<Pooled<C>, Refusal<E>> {
        let mut waker = None;
        let (grant, after) = self
            .shared()
            .step(|shelves, after| shelves.give_up(self.shelf, self.number, &mut waker, now, from, after));
        let turn = match grant {
            Ok(grant) => self.accept(grant, now),
            Err(gave_up) => Err(self.exhausted(gave_up, now)),
        };
        after.happen();
        drop(waker);
        turn
    }

    fn exhausted(&mut self, gave_up: GaveUp<E>, now: Instant) -> Refusal<E> {
        let waited = now.saturating_duration_since(self.since);
        self.leave().waits.record(waited);
        Refusal::exhausted(waited, gave_up)
    }

    #[inline]
    pub(crate) fn accept(&mut self, grant: Grant<C, E>, now: Instant) -> Result<Pooled<C>, Refusal<E>> {
        let shared = self.leave();
        if self.waited {
            shared.waits.record(now.saturating_duration_since(self.since));
        }
        match grant {
            Grant::Connection(entry) => Ok(Pooled::new(shared, entry)),
            Grant::Failed(failed) => Err(Refusal::Failed(failed.0, failed.1)),
            Grant::Closed => Err(Refusal::of(Reason::PoolClosed)),
        }
    }
}

impl<K, C, E> Place<K, C, E> {
    #[inline]
    fn shared(&self) -> &Arc<Shared<K, C, E>> {
        self.shared.as_ref().expect("polled after it was ready")
    }

    /// Served or turned away.
    #[inline]
    fn leave(&mut self) -> Arc<Shared<K, C, E>> {
        self.shared.take().expect("polled after it was ready")
    }

    /// Whether it has just stepped into the line, with its waker.
    #[inline]
    pub(crate) const fn has_just_joined(&self) -> bool {
        self.joined
    }

    /// It is not served at once.
    #[inline]
    pub(crate) fn wait(&mut self) {
        self.joined = false;
        self.waited = true;
    }
}

impl<K, C, E> Drop for Place<K, C, E> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        let mut waker = None;
        let closing =
            shared.with(|shelves, after| shelves.abandon(self.shelf, self.number, &mut waker, after));
        if let Some((entry, why)) = closing {
            shared.close_used(entry, why);
        }
    }
}
