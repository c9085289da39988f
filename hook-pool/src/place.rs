//! A place in line, given up on drop.

use std::{panic::Location, sync::Arc, task::Context, time::Instant};

use hook_monitor::Reason;

use crate::{dial::Begin, error::Refusal, lease::Pooled, shared::Shared, shelf::Grant, shelves::GaveUp};

pub(crate) struct Place<K, C, E> {
    shared: Arc<Shared<K, C, E>>,
    shelf: usize,
    number: usize,
    since: Instant,
    /// Its waker is in the line.
    awaited: bool,
    /// It had to wait, if only until the next look.
    waited: bool,
    /// Whoever stood here has been served or turned away.
    left: bool,
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
    ) -> Self {
        Self {
            shared,
            shelf,
            number,
            since,
            awaited,
            waited: false,
            left: false,
        }
    }

    /// Looks whether it is this one's turn at `now`, and leaves a waker if not.
    pub(crate) fn look(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Look<K, C, E> {
        if self.awaited {
            // Whoever is woken has been served, mostly, and needs no waker again.
            let grant = self
                .shared
                .with(|shelves, _| shelves.take_turn(self.shelf, self.number, now, from));
            if let Some(grant) = grant {
                return Look::Turn(self.accept(grant, now));
            }
        }
        // Cloned before and dropped after the lock: both run the executor's code.
        let mut waker = Some(cx.waker().clone());
        let ((grant, start), after) = self.shared.step(|shelves, after| {
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
                self.awaited = true;
                self.waited |= start.is_none();
                Look::Wait(start.map(|start| Begin::new(&self.shared, start)))
            }
        };
        after.happen();
        drop(waker);
        look
    }

    /// Leaves the line, unless it has been this one's turn since the last look.
    pub(crate) fn give_up(
        mut self,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Result<Pooled<C>, Refusal<E>> {
        let mut waker = None;
        let (grant, after) = self
            .shared
            .step(|shelves, after| shelves.give_up(self.shelf, self.number, &mut waker, now, from, after));
        let turn = match grant {
            Ok(grant) => self.accept(grant, now),
            Err(gave_up) => {
                self.left = true;
                Err(self.exhausted(gave_up, now))
            }
        };
        after.happen();
        drop(waker);
        turn
    }

    fn exhausted(&self, gave_up: GaveUp<E>, now: Instant) -> Refusal<E> {
        let waited = now.saturating_duration_since(self.since);
        self.shared.waits.record(waited);
        Refusal::exhausted(waited, gave_up)
    }

    fn accept(&mut self, grant: Grant<C, E>, now: Instant) -> Result<Pooled<C>, Refusal<E>> {
        self.left = true;
        if self.waited {
            self.shared
                .waits
                .record(now.saturating_duration_since(self.since));
        }
        match grant {
            Grant::Connection(entry) => Ok(Pooled::new(self.shared.clone(), entry)),
            Grant::Failed(cause, left) => Err(Refusal::Failed(cause, left)),
            Grant::Closed => Err(Refusal::of(Reason::PoolClosed)),
        }
    }
}

impl<K, C, E> Place<K, C, E> {
    /// It is not served at once.
    pub(crate) fn wait(&mut self) {
        self.waited = true;
    }

    /// Whether its waker is in the line.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.awaited
    }
}

impl<K, C, E> Drop for Place<K, C, E> {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let mut waker = None;
        let closing = self
            .shared
            .with(|shelves, after| shelves.abandon(self.shelf, self.number, &mut waker, after));
        if let Some((entry, why)) = closing {
            self.shared.close_used(entry, why);
        }
    }
}
