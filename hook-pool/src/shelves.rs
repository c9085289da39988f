//! All shelves of a pool, by key; pure, like the shelf.
//!
//! Connections, waiters and connects name their shelf by number, so that only asking looks a key up. A shelf stays
//! up until its key gives way to another, or the pool looks through its keys and finds it bare.

mod dialling;
mod sharing;
mod upkeep;

use std::{
    collections::HashMap,
    panic::Location,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

pub(crate) use dialling::{Next, Start, Work};

use crate::{
    aftermath::Aftermath,
    config::{Hooks, Limits},
    connector::Key,
    entry::{Closing, Entry},
    line::Line,
    random::Random,
    shelf::{Cause, Grant, Shelf},
};

/// Checkouts that follow each other more closely than this are so many that timing one in sixteen tells as much.
const HOT: Duration = Duration::from_micros(2);
const ONE_IN: u32 = 16;
/// The first so many are timed in any case.
const FIRST: u64 = 64;

pub(crate) struct Shelves<K, C, E> {
    pub(crate) limits: Limits,
    pub(crate) hooks: Hooks<C>,
    pub(crate) name: Arc<str>,
    pub(crate) counts: Counts,
    /// Connections that were opened before this was raised are of no use any more.
    pub(crate) generation: u64,
    index: HashMap<Arc<K>, usize>,
    /// Nobody stands in this line.
    shelves: Line<Labelled<K, C, E>>,
    /// Who was asked last is asked next, more often than not.
    last: usize,
    /// Idle, used and connecting, over all shelves.
    total: usize,
    /// Somebody may be waiting for room in `max_total`.
    starved: bool,
    tickets: u64,
    /// How often anybody asked.
    asks: u64,
    /// The last reading of the clock that was brought here.
    latest: Instant,
    /// Whoever asks before this asks soon after the one before.
    hot_until: Instant,
    /// How long a connection may have been idle to be handed out as it is.
    fresh_for: Duration,
    /// Each return is timed.
    precise: bool,
    random: Random,
    closed: bool,
    /// Connections that are watched for being held too long.
    held: Line<Held>,
    /// Who waits for something to change: for the pool to be empty, or warm.
    watchers: Line<Option<Waker>>,
    pub(crate) keeper: Keeper,
}

pub(crate) struct Labelled<K, C, E> {
    pub(crate) key: Arc<K>,
    pub(crate) shelf: Shelf<C, E>,
}

struct Held {
    since: Instant,
    place: Option<&'static Location<'static>>,
    told: bool,
}

/// The task in the background.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) runs: bool,
    pub(crate) called: bool,
    pub(crate) waker: Option<Waker>,
}

/// What has happened so far. Counted under the lock that is held anyway.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) checkouts: u64,
    pub(crate) created: u64,
    pub(crate) closed: [u64; Closing::KINDS],
    pub(crate) detached: u64,
    pub(crate) connect_errors: u64,
    pub(crate) connect_timeouts: u64,
    pub(crate) timeouts: u64,
    pub(crate) queue_full: u64,
    pub(crate) too_many_keys: u64,
    pub(crate) failed: u64,
    pub(crate) leaks: u64,
}

/// What there is right now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) keys: usize,
    pub(crate) idle: usize,
    pub(crate) used: usize,
    pub(crate) connecting: usize,
    pub(crate) waiting: usize,
    pub(crate) parked: usize,
}

/// What somebody who asks gets at once.
#[derive(Debug)]
pub(crate) enum Turn<C, E> {
    Connection(Box<Entry<C>>),
    /// Good if it passes the check.
    Unchecked(Box<Entry<C>>),
    /// A place in line, by its number.
    Wait(usize),
    Failed(Cause<E>, Duration),
    Full {
        waiting: usize,
    },
    TooManyKeys {
        keys: usize,
    },
    Closed,
}

/// What there was when somebody gave up.
#[derive(Debug)]
pub(crate) struct GaveUp<E> {
    pub(crate) used: usize,
    pub(crate) idle: usize,
    pub(crate) connecting: usize,
    pub(crate) waiting: usize,
    pub(crate) cause: Option<Cause<E>>,
}

impl<K, C, E> Shelves<K, C, E> {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            hooks: Hooks {
                check: None,
                on_leak: None,
            },
            name: Arc::from("pool"),
            counts: Counts::default(),
            generation: 0,
            index: HashMap::new(),
            shelves: Line::new(),
            last: 0,
            total: 0,
            starved: false,
            tickets: 0,
            asks: 0,
            latest: now,
            hot_until: now,
            fresh_for: limits.idle_timeout.unwrap_or(Duration::MAX),
            precise: false,
            random: Random::new(),
            closed: false,
            held: Line::new(),
            watchers: Line::new(),
            keeper: Keeper::default(),
        }
    }

    /// After a change of the limits: what follows from them.
    pub(crate) fn settle(&mut self) {
        let limits = &self.limits;
        let fresh_for = limits.idle_timeout.unwrap_or(Duration::MAX);
        self.fresh_for = match self.hooks.check {
            Some(_) => fresh_for.min(limits.check_after),
            None => fresh_for,
        };
        let fresh_for = self.fresh_for;
        for id in self.shelves.numbers() {
            if let Some(Labelled { shelf, .. }) = self.shelves.get_mut(id) {
                for entry in &mut shelf.idle {
                    entry.fresh_until = fresh_until(entry.idle_since, fresh_for, entry);
                }
            }
        }
        self.precise =
            self.hooks.check.is_some() || limits.max_lifetime.is_some() || limits.leak_after.is_some();
    }

    /// What nearly always happens: an idle connection that is good as it is.
    #[inline]
    pub(crate) fn take(
        &mut self,
        key: &K,
        now: Instant,
        place: Option<&'static Location<'static>>,
    ) -> Option<Box<Entry<C>>>
    where
        K: Key,
    {
        let id = self.find(key)?;
        let labelled = self.shelves.get_mut(id)?;
        let shelf = &mut labelled.shelf;
        let entry = shelf.idle.back()?;
        // Below the minimum there is somebody to be called for more.
        let short = shelf.idle.len() <= self.limits.min_idle;
        if !entry.is_fresh(now) || short {
            return None;
        }
        let mut entry = shelf.idle.pop_back()?;
        shelf.used += 1;
        self.asks += 1;
        shelf.last_asked = self.asks;
        self.lend(&mut entry, now, place);
        Some(entry)
    }

    /// The number of the shelf for `key`, if it has one.
    #[inline]
    pub(crate) fn find(&mut self, key: &K) -> Option<usize>
    where
        K: Key,
    {
        // Cheaper than a hash, where there is only one key, or one that is asked for again and again.
        if self.shelves.get(self.last).is_some_and(|last| *last.key == *key) {
            return Some(self.last);
        }
        let id = *self.index.get(key)?;
        // A key whose `Hash` is not always the same may have stayed in the index when its shelf went.
        // Whatever else it gets for that: not the connections of another key.
        let labelled = self.shelves.get(id)?;
        let found = *labelled.key == *key;
        if found {
            self.last = id;
        }
        found.then_some(id)
    }

    /// The number of the shelf for `key`, which is put up if there is none and room for one.
    pub(crate) fn find_or_add(
        &mut self,
        key: &Arc<K>,
        after: &mut Aftermath<K, C, E>,
    ) -> Result<usize, Turn<C, E>>
    where
        K: Key,
    {
        if let Some(id) = self.find(key) {
            return Ok(id);
        }
        while self.shelves.occupied() >= self.limits.max_keys {
            let Some(id) = self.longest_rested() else {
                self.counts.too_many_keys += 1;
                return Err(Turn::TooManyKeys {
                    keys: self.shelves.occupied(),
                });
            };
            self.close_idle(id, 0, |_| true, Closing::Evicted, after);
            self.take_down(id, after);
        }
        let id = self.shelves.insert(Labelled {
            key: key.clone(),
            shelf: Shelf::new(),
        });
        // Should this panic, in `Hash`, the shelf is bare and goes like any other.
        self.index.insert(key.clone(), id);
        self.last = id;
        Ok(id)
    }

    /// Somebody asks for a connection from shelf `id`; from the front of the line, if it had been there before.
    pub(crate) fn ask(
        &mut self,
        id: usize,
        now: Instant,
        from: Option<&'static Location<'static>>,
        front: bool,
        waker: &mut Option<Waker>,
        after: &mut Aftermath<K, C, E>,
    ) -> Turn<C, E> {
        if self.closed {
            return Turn::Closed;
        }
        self.close_expired(id, now, after);
        let limits = self.limits;
        let check_after = self.hooks.check.is_some().then_some(limits.check_after);
        self.asks += 1;
        let asks = self.asks;
        let shelf = self.shelf(id);
        shelf.last_asked = asks;
        if shelf.waiting() == 0 {
            if let Some(mut entry) = shelf.idle.pop_back() {
                shelf.used += 1;
                if shelf.idle.len() < limits.min_idle {
                    self.call_keeper(after);
                }
                let good_for = now.saturating_duration_since(entry.good_at);
                if check_after.is_some_and(|idle| good_for >= idle) {
                    return Turn::Unchecked(entry);
                }
                self.lend(&mut entry, now, from);
                return Turn::Connection(entry);
            }
        }
        let shelf = self.shelf(id);
        if let Some((cause, left)) = shelf.refuses(now) {
            self.counts.failed += 1;
            return Turn::Failed(cause, left);
        }
        let waiting = shelf.parked();
        if waiting >= limits.max_waiting && !front && !self.may_connect(id) {
            self.counts.queue_full += 1;
            return Turn::Full { waiting };
        }
        let ticket = if front { 0 } else { self.tickets + 1 };
        self.tickets += 1;
        Turn::Wait(self.shelf(id).join(waker.take(), ticket, front))
    }

    /// What somebody who was given a place in line is to begin.
    pub(crate) fn start_for(
        &mut self,
        turn: &Turn<C, E>,
        id: usize,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<Start> {
        match turn {
            Turn::Wait(_) => self.start(id, now, after),
            _ => None,
        }
    }

    /// Notes that a connection is handed out.
    #[inline]
    fn lend(&mut self, entry: &mut Entry<C>, now: Instant, place: Option<&'static Location<'static>>) {
        self.counts.checkouts += 1;
        let hot = now < self.hot_until;
        self.hot_until = now + HOT;
        self.latest = self.latest.max(now);
        entry.uses += 1;
        entry.taken_at = now;
        entry.place = place;
        entry.weight = if self.precise || !hot || self.counts.checkouts <= FIRST {
            1
        } else if self.counts.checkouts.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 == 0 {
            ONE_IN
        } else {
            0
        };
        if self.limits.leak_after.is_some() {
            entry.watched = Some(self.held.insert(Held {
                since: now,
                place,
                told: false,
            }));
        }
    }

    /// What nearly always happens: a used connection comes back and nobody waits for it.
    #[inline]
    pub(crate) fn rest(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Option<Instant>,
    ) -> Result<(), Box<Entry<C>>> {
        let since = self.latest.max(now.unwrap_or(entry.taken_at));
        let limits = &self.limits;
        let odd = self.closed
            || self.starved
            || entry.generation != self.generation
            || entry.watched.is_some()
            || entry.uses >= limits.max_uses
            || self.total > limits.max_total
            || entry.is_retired(since);
        let Some(Labelled { shelf, .. }) = self.shelves.get_mut(entry.shelf).filter(|_| !odd) else {
            return Err(entry);
        };
        if shelf.waiting() > 0 || shelf.size() > limits.max {
            return Err(entry);
        }
        self.latest = since;
        entry.idle_since = since;
        entry.good_at = since;
        entry.fresh_until = fresh_until(since, self.fresh_for, &entry);
        shelf.used -= 1;
        shelf.idle.push_back(entry);
        Ok(())
    }

    /// A used connection comes back, fit for use, at `now` if that was looked up. What comes out again is to be
    /// closed, and its slot then given back by [`forget_used`](Self::forget_used).
    pub(crate) fn give_back(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Option<Instant>,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        let now = match now {
            Some(now) => self.latest.max(now),
            None => self.latest.max(entry.taken_at),
        };
        self.latest = now;
        if let Some(watched) = entry.watched.take() {
            self.held.remove(watched);
        }
        entry.idle_since = now;
        entry.good_at = now;
        self.put_back(entry, now, after)
    }

    /// The same for one that was not used meanwhile: it has been idle for as long as before.
    pub(crate) fn put_back(
        &mut self,
        entry: Box<Entry<C>>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        let id = entry.shelf;
        if let Some(closing) = self.unfit(&entry, now) {
            return Some((entry, closing));
        }
        if self.shelf(id).waiting() > 0 {
            if self.starved && self.owes_another(id) {
                return Some((entry, Closing::Evicted));
            }
            let _served = self.shelf(id).serve(Grant::Connection(entry), after);
            self.relieve(after);
            self.pass_on(id, after);
            return None;
        }
        let shelf = self.shelf(id);
        shelf.used -= 1;
        self.lay(entry);
        if self.starved {
            self.relieve(after);
        }
        None
    }

    /// Lays a connection onto its shelf.
    fn lay(&mut self, mut entry: Box<Entry<C>>) {
        entry.fresh_until = fresh_until(entry.good_at.min(entry.idle_since), self.fresh_for, &entry);
        self.shelf(entry.shelf).rest(entry);
    }

    /// Why a connection that comes back is not kept.
    #[inline]
    fn unfit(&mut self, entry: &Entry<C>, now: Instant) -> Option<Closing> {
        let limits = &self.limits;
        let (max, max_uses, crowded) = (limits.max, limits.max_uses, self.total > limits.max_total);
        if self.closed {
            Some(Closing::Shutdown)
        } else if entry.generation != self.generation {
            Some(Closing::Reset)
        } else if entry.is_retired(now) {
            Some(Closing::Lifetime)
        } else if entry.uses >= max_uses {
            Some(Closing::Uses)
        } else if crowded || self.shelf(entry.shelf).size() > max {
            Some(Closing::Surplus)
        } else {
            None
        }
    }

    /// A used connection is gone, or belongs to somebody else now if there is no reason for closing it.
    pub(crate) fn forget_used(
        &mut self,
        id: usize,
        watched: Option<usize>,
        closing: Option<Closing>,
        after: &mut Aftermath<K, C, E>,
    ) {
        match closing {
            Some(closing) => self.counts.closed[closing as usize] += 1,
            None => self.counts.detached += 1,
        }
        if let Some(watched) = watched {
            self.held.remove(watched);
        }
        self.total -= 1;
        let shelf = self.shelf(id);
        shelf.used -= 1;
        let stranded = shelf.is_stranded() && shelf.prober.is_some();
        if let (true, Some(trouble)) = (stranded, &shelf.trouble) {
            // What they hoped for is gone.
            let cause = trouble.cause.clone();
            self.fail_all(id, &cause, Duration::ZERO, after);
        }
        self.freed(id, after);
    }

    /// A waiter looks whether it was served, at `now`.
    pub(crate) fn pick_up(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Option<Grant<C, E>> {
        let mut grant = self.shelf(id).pick_up(place, waker)?;
        self.take_along(&mut grant, now, from);
        Some(grant)
    }

    /// The same for one whose waker is in the line.
    #[inline]
    pub(crate) fn take_turn(
        &mut self,
        id: usize,
        place: usize,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Option<Grant<C, E>> {
        let mut grant = self.shelf(id).take_turn(place)?;
        self.take_along(&mut grant, now, from);
        Some(grant)
    }

    fn take_along(
        &mut self,
        grant: &mut Grant<C, E>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) {
        if let Grant::Connection(entry) = grant {
            self.lend(entry, now, from);
        }
    }

    /// A connection has passed its check, and is handed out; unless something has happened meanwhile, which comes out.
    pub(crate) fn pass(
        &mut self,
        entry: &mut Entry<C>,
        now: Instant,
        from: Option<&'static Location<'static>>,
    ) -> Option<Closing> {
        let closing = self.unfit(entry, now);
        if closing.is_none() {
            self.lend(entry, now, from);
        }
        closing
    }

    /// A connection has passed its check in the background, and is as idle as it was.
    pub(crate) fn pass_idle(
        &mut self,
        mut entry: Box<Entry<C>>,
        now: Instant,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        entry.good_at = now;
        self.put_back(entry, now, after)
    }

    /// A waiter has no more time; what it was given meanwhile it may take along.
    pub(crate) fn give_up(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        now: Instant,
        from: Option<&'static Location<'static>>,
        after: &mut Aftermath<K, C, E>,
    ) -> Result<Grant<C, E>, GaveUp<E>> {
        if let Some(mut grant) = self.shelf(id).leave(place, waker) {
            self.take_along(&mut grant, now, from);
            return Ok(grant);
        }
        self.counts.timeouts += 1;
        self.relieve(after);
        self.pass_on(id, after);
        Err(self.gave_up(id))
    }

    /// What there is, for somebody who has waited for it in vain.
    pub(crate) fn gave_up(&mut self, id: usize) -> GaveUp<E> {
        let shelf = self.shelf(id);
        GaveUp {
            used: shelf.used,
            idle: shelf.idle.len(),
            connecting: shelf.connecting(),
            waiting: shelf.waiting(),
            cause: shelf.trouble.as_ref().map(|trouble| trouble.cause.clone()),
        }
    }

    /// A waiter is gone; what it was given goes to the next, or comes out to be closed.
    pub(crate) fn abandon(
        &mut self,
        id: usize,
        place: usize,
        waker: &mut Option<Waker>,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<(Box<Entry<C>>, Closing)> {
        match self.shelf(id).leave(place, waker) {
            Some(Grant::Connection(entry)) => {
                let now = self.latest;
                self.put_back(entry, now, after)
            }
            Some(Grant::Failed(cause, _)) => {
                after.discard_cause(Some(cause));
                None
            }
            Some(Grant::Closed) => None,
            None => {
                self.relieve(after);
                self.pass_on(id, after);
                None
            }
        }
    }

    /// Closes the pool: nothing idle, nobody waiting, nothing under way, from now on.
    pub(crate) fn close(&mut self, after: &mut Aftermath<K, C, E>) {
        self.closed = true;
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_none() {
                continue;
            }
            self.close_idle(id, 0, |_| true, Closing::Shutdown, after);
            self.recall(id, Closing::Shutdown, after);
            let shelf = self.shelf(id);
            shelf.turn_away(|| Grant::Closed, after);
            shelf.floor = 0;
            if let Some(prober) = &mut shelf.prober {
                after.wake(prober.take());
            }
            for dial in shelf.dials.numbers() {
                if let Some(waker) = shelf.dials.get_mut(dial) {
                    after.wake(waker.take());
                }
            }
        }
        self.call_keeper(after);
        self.changed(after);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What is idle goes now, what is in use when it comes back, what is under way when it is there.
    pub(crate) fn reset(&mut self, after: &mut Aftermath<K, C, E>) {
        self.generation += 1;
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_some() {
                self.close_idle(id, 0, |_| true, Closing::Reset, after);
                self.recall(id, Closing::Reset, after);
                // Whatever was wrong may have been the credentials: nobody waits to try again.
                let shelf = self.shelf(id);
                after.discard_cause(shelf.trouble.take().map(|trouble| trouble.cause));
                if let Some(prober) = &mut shelf.prober {
                    after.wake(prober.take());
                }
                self.freed(id, after);
            }
        }
        self.call_keeper(after);
    }

    /// Follows new limits: closes what is idle and too many, and begins what may be begun.
    pub(crate) fn resize(
        &mut self,
        max: Option<usize>,
        max_total: Option<usize>,
        after: &mut Aftermath<K, C, E>,
    ) {
        if self.closed {
            return;
        }
        self.limits.max = max.unwrap_or(self.limits.max);
        self.limits.max_total = max_total.unwrap_or(self.limits.max_total);
        let max = self.limits.max;
        for id in self.shelves.numbers() {
            if let Some(Labelled { shelf, .. }) = self.shelves.get(id) {
                let keep = shelf.idle.len().saturating_sub(shelf.size().saturating_sub(max));
                self.close_idle(id, keep, |_| true, Closing::Surplus, after);
            }
        }
        while self.total > self.limits.max_total && self.evict_one(None, Closing::Surplus, after) {}
        for id in self.shelves.numbers() {
            if self.shelves.get(id).is_some() {
                self.pass_on(id, after);
            }
        }
        self.call_keeper(after);
    }

    pub(crate) fn levels(&self) -> Levels {
        self.shelves
            .slots()
            .fold(Levels::default(), |sum, (_, Labelled { shelf, .. })| Levels {
                keys: sum.keys + usize::from(shelf.size() + shelf.waiting() > 0),
                idle: sum.idle + shelf.idle.len(),
                used: sum.used + shelf.used,
                connecting: sum.connecting + shelf.connecting(),
                waiting: sum.waiting + shelf.waiting(),
                parked: sum.parked + shelf.parked(),
            })
    }

    /// Leaves a waker to be called when something changes, in a place that is made for it the first time.
    pub(crate) fn watch(&mut self, place: &mut Option<usize>, waker: &mut Option<Waker>) {
        let place = *place.get_or_insert_with(|| self.watchers.insert(None));
        if let Some(watcher) = self.watchers.get_mut(place) {
            std::mem::swap(watcher, waker);
        }
    }

    pub(crate) fn unwatch(&mut self, place: usize) -> Option<Waker> {
        self.watchers.remove(place).flatten()
    }

    /// Tells everybody who watches that something has changed.
    fn changed(&mut self, after: &mut Aftermath<K, C, E>) {
        for place in self.watchers.numbers() {
            if let Some(watcher) = self.watchers.get_mut(place) {
                after.wake(watcher.take());
            }
        }
    }

    /// Closes what was given to waiters who have not come for it yet; they are in line again.
    fn recall(&mut self, id: usize, closing: Closing, after: &mut Aftermath<K, C, E>) {
        let recalled = self.shelf(id).recall();
        if recalled.is_empty() {
            return;
        }
        self.counts.closed[closing as usize] += recalled.len() as u64;
        self.total -= recalled.len();
        after.more().connections.extend(recalled);
    }

    /// Closes what is idle on a shelf and `gone`, keeping `at_least` so many.
    fn close_idle(
        &mut self,
        id: usize,
        at_least: usize,
        gone: impl FnMut(&Entry<C>) -> bool,
        closing: Closing,
        after: &mut Aftermath<K, C, E>,
    ) -> usize {
        let closed = self
            .shelf(id)
            .remove_idle(at_least, gone, |entry| after.more().connections.push(entry));
        self.counts.closed[closing as usize] += closed as u64;
        self.total -= closed;
        closed
    }

    /// Closes what has been idle for too long, or has reached its age.
    fn close_expired(&mut self, id: usize, now: Instant, after: &mut Aftermath<K, C, E>) {
        let min_idle = self.limits.min_idle;
        let idle_timeout = self.limits.idle_timeout;
        self.close_idle(id, 0, |entry| entry.is_retired(now), Closing::Lifetime, after);
        if let Some(timeout) = idle_timeout {
            let expired = |entry: &Entry<C>| now.saturating_duration_since(entry.idle_since) >= timeout;
            self.close_idle(id, min_idle, expired, Closing::Idle, after);
        }
    }

    /// The shelf to be taken down first if a key has to go: a bare one, or else that which was asked longest ago of
    /// those with idle connections only.
    fn longest_rested(&self) -> Option<usize> {
        let resting = self
            .shelves
            .slots()
            .filter(|(_, labelled)| labelled.shelf.is_resting());
        let rested = resting.min_by_key(|(_, Labelled { shelf, .. })| {
            // A bare shelf that remembers what went wrong is worth more than one that is just bare.
            (!shelf.idle.is_empty(), shelf.trouble.is_some(), shelf.last_asked)
        });
        rested.map(|(id, _)| id)
    }

    /// Takes away a shelf with nothing on it.
    fn take_down(&mut self, id: usize, after: &mut Aftermath<K, C, E>)
    where
        K: Key,
    {
        // First out of the index, which runs `Hash` and `Eq`: should they panic, the shelf is still up, and bare. A
        // number in the index never is another key's shelf.
        if let Some(bare) = self.shelves.get(id) {
            if self.index.get(&bare.key) == Some(&id) {
                after
                    .more()
                    .keys
                    .extend(self.index.remove_entry(&bare.key).map(|(key, _)| key));
            }
        }
        if let Some(mut bare) = self.shelves.remove(id) {
            after.discard_cause(bare.shelf.trouble.take().map(|trouble| trouble.cause));
            after.more().keys.push(bare.key);
        }
    }

    #[inline]
    pub(crate) fn key(&self, id: usize) -> Arc<K> {
        self.shelves.get(id).expect("a shelf in use stays up").key.clone()
    }

    /// # Panics
    ///
    /// If there is no such shelf: whoever holds a number has something on that shelf, so it stays up.
    #[inline]
    pub(crate) fn shelf(&mut self, id: usize) -> &mut Shelf<C, E> {
        &mut self.shelves.get_mut(id).expect("a shelf in use stays up").shelf
    }
}

/// Until when a connection that has been idle `since` is handed out without a second look.
#[inline]
fn fresh_until<C>(since: Instant, fresh_for: Duration, entry: &Entry<C>) -> Option<Instant> {
    match (since.checked_add(fresh_for), entry.retire_at) {
        (Some(fresh), Some(retire)) => Some(fresh.min(retire)),
        (fresh, retire) => fresh.or(retire),
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
