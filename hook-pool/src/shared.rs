use std::{
    fmt,
    panic::Location,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Context,
    time::Instant,
};

use hook_monitor::{Clock, Histogram, Reason};

use crate::{
    aftermath::{Aftermath, wake},
    alarm::Alarm,
    config::{Config, Limits},
    connector::Key,
    dial::Begin,
    entry::{Closing, Entry},
    error::Refusal,
    lease::{EmptySlot, InCheck, Pooled},
    patience::Deadline,
    place::Place,
    shelf::Grant,
    shelves::{Shelves, Start, Turn},
    sync::{AtomicBool, Mutex},
};

/// What the clones of a pool, its handles and its connections have in common.
pub(crate) struct Shared<K, C, E> {
    shelves: Mutex<Shelves<K, C, E>>,
    /// Somebody has been in line of late: the short way is not tried before the long one. Says nothing for sure.
    busy: AtomicBool,
    /// The task in the background may be missing: whoever asks next sees to that.
    unattended: AtomicBool,
    pub(crate) waits: Histogram,
    pub(crate) uses: Histogram,
    pub(crate) connects: Histogram,
}

impl<K, C, E> Shared<K, C, E> {
    fn new(max: usize) -> Self {
        Self {
            shelves: Mutex::new(Shelves::new(Limits::new(max), Clock::tokio().now())),
            busy: AtomicBool::new(false),
            unattended: AtomicBool::new(false),
            waits: Histogram::new(),
            uses: Histogram::new(),
            connects: Histogram::new(),
        }
    }

    /// Does `step` under the lock. What follows from it is left to the caller, who puts into its guard what
    /// `step` took first: the aftermath runs somebody else's code, which may panic.
    #[inline]
    pub(crate) fn step<R>(
        &self,
        step: impl FnOnce(&mut Shelves<K, C, E>, &mut Aftermath<K, C, E>) -> R,
    ) -> (R, Aftermath<K, C, E>) {
        let mut after = Aftermath::new();
        let result = step(&mut self.shelves.lock(), &mut after);
        (result, after)
    }

    /// Does `step`, which takes nothing, under the lock, and what follows from it after the lock.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        step: impl FnOnce(&mut Shelves<K, C, E>, &mut Aftermath<K, C, E>) -> R,
    ) -> R {
        let (result, after) = self.step(step);
        after.happen();
        result
    }

    /// What somebody in line was given, if it was served.
    #[inline]
    pub(crate) fn take_turn(
        &self,
        shelf: usize,
        number: usize,
        now: Instant,
        from: Option<&'static Location<'static>>,
        deadline: &mut Deadline,
    ) -> Option<Grant<C, E>> {
        let mut shelves = self.shelves.lock();
        shelves.take_turn(shelf, number, now, from, deadline)
    }

    pub(crate) fn close(&self) {
        self.with(Shelves::close);
    }

    /// Changes limits or hooks, and does what follows from that.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Shelves<K, C, E>) -> R) -> R {
        let (before, in_use) = self.with(|shelves, after| {
            let before = change(shelves);
            shelves.settle();
            (before, shelves.follow(after))
        });
        if in_use {
            self.leave_unattended();
        }
        before
    }

    pub(crate) fn leave_unattended(&self) {
        self.unattended.store(true, Relaxed);
    }

    pub(crate) fn attend(&self) {
        self.unattended.store(false, Relaxed);
    }

    /// There is no background in a model.
    #[inline]
    pub(crate) fn is_unattended(&self) -> bool {
        cfg!(not(loom)) && self.unattended.load(Relaxed)
    }

    /// Closes a connection that counts as used, and gives its slot back.
    pub(crate) fn close_used(&self, entry: Box<Entry<C>>, why: Closing) {
        /// Gives the slot back, even if dropping the connection panics.
        struct Emptied<'a, K, C, E> {
            shared: &'a Shared<K, C, E>,
            shelf: usize,
            watched: Option<usize>,
            why: Closing,
        }
        impl<K, C, E> Drop for Emptied<'_, K, C, E> {
            fn drop(&mut self) {
                self.shared.with(|shelves, after| {
                    shelves.forget_used(self.shelf, self.watched, Some(self.why), after);
                });
            }
        }
        // First the connection, then the slot: a server that counts never sees one too many.
        let _slot = Emptied {
            shared: self,
            shelf: entry.shelf,
            watched: entry.watched,
            why,
        };
        drop(entry);
    }
}

/// Where a connection belongs, for whoever does not care about keys and errors.
pub(crate) trait Home<C>: Send + Sync {
    /// A used connection comes back, fit for use.
    fn give_back(&self, entry: Box<Entry<C>>);
    /// A used connection is to be closed.
    fn close(&self, entry: Box<Entry<C>>, why: Closing);
    /// A used connection belongs to somebody else now.
    fn forget(&self, shelf: usize, watched: Option<usize>);
}

impl<C> fmt::Debug for dyn Home<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Home")
    }
}

impl<K, C, E> Home<C> for Shared<K, C, E>
where
    K: Send + Sync,
    C: Send,
    E: Send + Sync,
{
    #[inline]
    fn give_back(&self, entry: Box<Entry<C>>) {
        let (weight, taken_at) = (entry.weight, entry.taken_at);
        let now = (weight > 0).then(|| entry.clock.now());
        if let Some(now) = now {
            self.uses
                .record_n(now.saturating_duration_since(taken_at), weight);
        }
        let back = if self.is_busy() {
            self.hand_on(entry, now)
        } else {
            self.shelves.lock().rest(entry, now)
        };
        if let Err(entry) = back {
            self.put_back(entry, now);
        }
    }

    fn close(&self, entry: Box<Entry<C>>, why: Closing) {
        self.close_used(entry, why);
    }

    fn forget(&self, shelf: usize, watched: Option<usize>) {
        self.with(|shelves, after| shelves.forget_used(shelf, watched, None, after));
    }
}

impl<K, C, E> Shared<K, C, E> {
    /// To the first in line, if there is nothing else to it.
    #[inline]
    fn hand_on(&self, entry: Box<Entry<C>>, now: Option<Instant>) -> Result<(), Box<Entry<C>>> {
        let (waker, last) = { self.shelves.lock().hand_on(entry, now) }?;
        if last {
            self.busy.store(false, Relaxed);
        }
        if let Some(waker) = waker {
            wake(waker);
        }
        Ok(())
    }

    #[inline(never)]
    fn put_back(&self, entry: Box<Entry<C>>, now: Option<Instant>) {
        let id = entry.shelf;
        let (closing, busy) = self.with(|shelves, after| {
            let closing = shelves.give_back(entry, now, after);
            (closing, shelves.shelf(id).waiting() > 0)
        });
        if !busy {
            self.busy.store(false, Relaxed);
        }
        if let Some((entry, why)) = closing {
            self.close_used(entry, why);
        }
    }

    #[inline]
    fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }
}

/// Closes the pool when the last one who could ask it for a connection is gone.
struct Owner<K, C, E>(Arc<Shared<K, C, E>>);

impl<K, C, E> Drop for Owner<K, C, E> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A pool but for its connector: what a layer and a pool both hold.
pub(crate) struct Core<K, C, E> {
    owner: Arc<Owner<K, C, E>>,
    pub(crate) config: Config,
}

/// What somebody who asked has got. It gives itself back when dropped.
pub(crate) enum Asked<K, C, E> {
    Connection(Pooled<C>),
    Unchecked(InCheck<K, C, E>),
    /// A place in line, and the connects to be begun.
    Place(Place<K, C, E>, Option<Begin<K, C, E>>),
    Refused(Refusal<E>),
}

impl<K, C, E> Core<K, C, E> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            owner: Arc::new(Owner(Arc::new(Shared::new(max)))),
            config: Config::new(),
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared<K, C, E>> {
        &self.owner.0
    }

    #[inline]
    pub(crate) fn clock(&self) -> &Clock {
        &self.config.clock
    }
}

impl<K, C, E> Core<K, C, E>
where
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    /// The idle connection for `key`, if there is one that is good as it is at `now`.
    #[inline]
    pub(crate) fn take(
        &self,
        key: &K,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Option<Pooled<C>> {
        if self.shared().is_busy() || self.shared().is_unattended() {
            return None;
        }
        let entry = self.shared().shelves.lock().take(key, now, from)?;
        Some(Pooled::new(self.shared().clone(), entry))
    }

    /// A place at the end of a line, where that is all there is to it, by the numbers of its shelf and of its own; with
    /// a timer to be used again, if somebody has left one.
    #[inline]
    pub(crate) fn queue_up(
        &self,
        key: &K,
        now: Instant,
        cx: &Context<'_>,
    ) -> Option<(usize, usize, Option<Alarm>)> {
        let shared = self.shared();
        if !shared.is_busy() || shared.is_unattended() {
            return None;
        }
        // Before the lock, like any of the executor's code; and dropped after it, where it is not left there.
        let waker = cx.waker().clone();
        let place = { shared.shelves.lock().queue_up(key, now, waker) };
        place.ok()
    }

    /// Asks for a connection for `key`. `cx` is there if somebody is about to wait.
    pub(crate) fn ask(
        &self,
        key: &K,
        now: Instant,
        from: Option<&'static Location<'static>>,
        cx: Option<&Context<'_>>,
    ) -> Asked<K, C, E> {
        let shared = self.shared();
        let mut waker = cx.map(|cx| cx.waker().clone());
        let (known, after) = shared.step(|shelves, after| {
            if shelves.is_closed() {
                return Some((0, Turn::Closed, None));
            }
            let id = shelves.find(key)?;
            let turn = shelves.ask(id, now, from, false, &mut waker, after);
            let start = shelves.start_for(&turn, id, now, after);
            Some((id, turn, start))
        });
        if let Some((id, turn, start)) = known {
            let asked = self.accept(id, turn, start, cx.is_some(), now);
            after.happen();
            drop(waker);
            return asked;
        }
        // Cloning a key is the user's code: not under the lock.
        let key = Arc::new(key.clone());
        let ((id, turn, start), after) = shared.step(|shelves, after| {
            // It may have been closed in between.
            if shelves.is_closed() {
                return (0, Turn::Closed, None);
            }
            match shelves.find_or_add(&key, after) {
                Ok(id) => {
                    let turn = shelves.ask(id, now, from, false, &mut waker, after);
                    let start = shelves.start_for(&turn, id, now, after);
                    (id, turn, start)
                }
                Err(turn) => (0, turn, None),
            }
        });
        let asked = self.accept(id, turn, start, cx.is_some(), now);
        after.happen();
        // Somebody else may have brought the same key meanwhile; then this drops it.
        drop((key, waker));
        asked
    }

    /// Asks for another connection in place of one that is of no use, without losing the turn.
    pub(crate) fn ask_again(
        &self,
        unfit: InCheck<K, C, E>,
        why: Closing,
        since: Instant,
        from: Option<&'static Location<'static>>,
        cx: &Context<'_>,
    ) -> Asked<K, C, E> {
        self.ask_for(unfit.empty(why), since, from, cx)
    }

    /// The same for one that was handed out already, and went stale before that.
    pub(crate) fn exchange(&self, stale: Box<Entry<C>>, since: Instant, cx: &Context<'_>) -> Asked<K, C, E> {
        let from = stale.place;
        let slot = EmptySlot::of(self.shared().clone(), stale, Closing::Broken);
        self.ask_for(slot, since, from, cx)
    }

    fn ask_for(
        &self,
        slot: EmptySlot<K, C, E>,
        since: Instant,
        from: Option<&'static Location<'static>>,
        cx: &Context<'_>,
    ) -> Asked<K, C, E> {
        let now = self.config.clock.now();
        let mut waker = Some(cx.waker().clone());
        let shelf = slot.shelf();
        let ((turn, start), after) = self.shared().step(|shelves, after| {
            slot.give_back(shelves, after);
            let turn = shelves.ask(shelf, now, from, true, &mut waker, after);
            let start = shelves.start_for(&turn, shelf, now, after);
            (turn, start)
        });
        let asked = self.accept(shelf, turn, start, true, since);
        after.happen();
        drop(waker);
        asked
    }

    /// For one whose time is up in the middle of the check of a connection from shelf `id`, which it still holds.
    pub(crate) fn tired(&self, id: usize, since: Instant) -> Refusal<E> {
        let waited = self.config.clock.now().saturating_duration_since(since);
        let gave_up = self.shared().with(|shelves, _| {
            shelves.counts.timeouts += 1;
            shelves.gave_up(id)
        });
        self.shared().waits.record(waited);
        Refusal::exhausted(waited, gave_up)
    }

    /// Puts what shelf `id` gave into the guard that gives it back.
    fn accept(
        &self,
        id: usize,
        turn: Turn<C, E>,
        start: Option<Start>,
        awaited: bool,
        since: Instant,
    ) -> Asked<K, C, E> {
        let shared = self.shared();
        match turn {
            Turn::Connection(entry) => Asked::Connection(Pooled::new(shared.clone(), entry)),
            Turn::Unchecked(entry) => Asked::Unchecked(InCheck::new(shared.clone(), entry)),
            Turn::Wait(number) => {
                if !shared.is_busy() {
                    shared.busy.store(true, Relaxed);
                }
                let begin = start.map(|start| Begin::new(shared, start));
                // What is begun may end at once.
                let joined = awaited && begin.is_none();
                let place = Place::new(shared.clone(), id, number, since, awaited, joined);
                Asked::Place(place, begin)
            }
            Turn::Failed(cause, left) => Asked::Refused(Refusal::Failed(cause, left)),
            Turn::Full { waiting } => Asked::Refused(Refusal::of(Reason::PoolQueueFull { waiting })),
            Turn::TooManyKeys { keys } => Asked::Refused(Refusal::of(Reason::TooManyKeys { keys })),
            Turn::Closed => Asked::Refused(Refusal::of(Reason::PoolClosed)),
        }
    }
}

// By hand: none of these needs `K: Clone` or `C: Debug`.
impl<K, C, E> Clone for Core<K, C, E> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            config: self.config,
        }
    }
}

impl<K, C, E> fmt::Debug for Core<K, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limits, hooks, levels) = self
            .shared()
            .with(|shelves, _| (shelves.limits, format!("{:?}", shelves.hooks), shelves.levels()));
        f.debug_struct("Core")
            .field("config", &self.config)
            .field("limits", &limits)
            .field("hooks", &format_args!("{hooks}"))
            .field("levels", &levels)
            .finish()
    }
}
