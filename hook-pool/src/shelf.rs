//! The connections to one place, who waits for them, and who opens them.
//!
//! Pure transitions: no clock, no lock, no waker called, no connection dropped in here. What has to
//! happen once the lock is gone is left in an [`Aftermath`].
//!
//! Invariants, at every return:
//!
//! - `idle + used + connecting <= max`, unless `max` was lowered meanwhile; then the excess goes as it comes back
//! - while somebody stands in line, nothing is idle: whatever comes back or is opened is handed to the first in
//!   line in the same step. So nobody can be overtaken and no wake-up can be lost.
//! - what was handed to a waiter counts as used from then on, whether the waiter has come for it or not.
//! - connects belong to nobody in line; there are never more of them than are wanted at the moment they begin.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use crate::{
    aftermath::Aftermath, alarm::Alarm, config::Limits, entry::Entry, line::Line, patience::Deadline,
};

/// Why no connection could be opened.
#[derive(Debug)]
pub(crate) enum Cause<E> {
    Error(Arc<E>),
    TimedOut { after: Duration },
    Panicked,
}

impl<E> Clone for Cause<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Error(err) => Self::Error(err.clone()),
            Self::TimedOut { after } => Self::TimedOut { after: *after },
            Self::Panicked => Self::Panicked,
        }
    }
}

/// What a waiter is given.
#[derive(Debug)]
pub(crate) enum Grant<C, E> {
    Connection(Box<Entry<C>>),
    /// Nothing can serve it: this is why, and how long nothing will be tried. In a box, so that a grant is two words.
    Failed(Box<(Cause<E>, Duration)>),
    Closed,
}

/// Since the last connect failed.
#[derive(Debug)]
pub(crate) struct Trouble<E> {
    pub(crate) cause: Cause<E>,
    /// In a row.
    pub(crate) failures: u32,
    /// Nothing is tried before.
    pub(crate) retry_at: Instant,
}

#[derive(Debug)]
pub(crate) struct Waiter<C, E> {
    pub(crate) waker: Option<Waker>,
    grant: Option<Grant<C, E>>,
    /// Who came first, over all shelves.
    ticket: u64,
    /// Whether somebody is behind it: a future that nobody polls is in nobody's way.
    polled: bool,
}

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Shelf<C, E> {
    /// In the order they came back: taken from the back, expired from the front.
    pub(crate) idle: VecDeque<Box<Entry<C>>>,
    pub(crate) used: usize,
    /// Those in line, and those who were served and have not come for it yet.
    pub(crate) line: Line<Waiter<C, E>>,
    /// Timers of those who were served: for whoever comes next, while anybody stands in line, and never more of them.
    alarms: Vec<Alarm>,
    /// Connects under way, each with the waker of its task.
    pub(crate) dials: Line<Option<Waker>>,
    pub(crate) trouble: Option<Trouble<E>>,
    /// The waker of the one task that waits to try again, if there is one.
    pub(crate) prober: Option<Option<Waker>>,
    /// How many connects may be under way: one after a failure, one more after each success.
    ramp: usize,
    /// Open connections somebody wants there to be, apart from those in line.
    pub(crate) floor: usize,
    pub(crate) warmers: usize,
    /// Connections to be opened for those that are about to retire.
    pub(crate) replacing: usize,
    /// The number of the last time anybody asked.
    pub(crate) last_asked: u64,
}

impl<C, E> Shelf<C, E> {
    pub(crate) const fn new() -> Self {
        Self {
            idle: VecDeque::new(),
            used: 0,
            line: Line::new(),
            alarms: Vec::new(),
            dials: Line::new(),
            trouble: None,
            prober: None,
            ramp: usize::MAX,
            floor: 0,
            warmers: 0,
            replacing: 0,
            last_asked: 0,
        }
    }

    #[inline]
    pub(crate) fn connecting(&self) -> usize {
        self.dials.occupied()
    }

    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.line.standing()
    }

    /// Those in line for whom no connect is under way.
    pub(crate) fn parked(&self) -> usize {
        self.waiting().saturating_sub(self.connecting())
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.idle.len() + self.used + self.connecting()
    }

    /// Nothing on it, nobody there, nothing under way.
    pub(crate) fn is_bare(&self) -> bool {
        self.size() == 0 && self.line.occupied() == 0 && self.prober.is_none() && self.warmers == 0
    }

    /// Idle connections and nothing else.
    pub(crate) fn is_resting(&self) -> bool {
        self.used == 0
            && self.connecting() == 0
            && self.line.occupied() == 0
            && self.prober.is_none()
            && self.warmers == 0
    }

    /// Nothing that is here or under way could come to whoever waits.
    pub(crate) fn is_stranded(&self) -> bool {
        self.size() == 0
    }

    /// How many connects would be of use now, were there room for them in all.
    pub(crate) fn wanted(&self, limits: &Limits) -> usize {
        let idle = limits.min_idle.saturating_sub(self.idle.len());
        let floor = self.floor.saturating_sub(self.idle.len() + self.used);
        // Where somebody waits nothing is idle, so the rest is wanted on top.
        let need = (self.waiting() + self.replacing + idle.max(floor)).saturating_sub(self.connecting());
        let may = self.at_once(limits).saturating_sub(self.connecting());
        need.min(may).min(limits.max.saturating_sub(self.size()))
    }

    /// Whether somebody in line would get a connect of its own, were there room for it in all.
    pub(crate) fn is_hungry(&self, limits: &Limits, now: Instant) -> bool {
        let polled = |place| self.line.get(place).is_some_and(|waiter| waiter.polled);
        self.parked() > 0
            && self.prober.is_none()
            && self.back_off(now).is_none()
            && self.wanted(limits) > 0
            && self.line.in_line().any(polled)
    }

    /// How many connects may be under way at once.
    pub(crate) fn at_once(&self, limits: &Limits) -> usize {
        limits.max_connecting.min(self.ramp)
    }

    /// Until when nothing is tried, if that is not over.
    pub(crate) fn back_off(&self, now: Instant) -> Option<Instant> {
        let trouble = self.trouble.as_ref()?;
        (now < trouble.retry_at).then_some(trouble.retry_at)
    }

    /// Whether whoever asks now can only be told what went wrong last time.
    pub(crate) fn refuses(&self, now: Instant) -> Option<(Cause<E>, Duration)> {
        let trouble = self.trouble.as_ref()?;
        let left = trouble.retry_at.saturating_duration_since(now);
        (self.is_stranded() && !left.is_zero()).then(|| (trouble.cause.clone(), left))
    }

    pub(crate) fn first_ticket(&self) -> Option<u64> {
        Some(self.line.get(self.line.first()?)?.ticket)
    }

    /// Steps into the line; to its front if this one was there before.
    #[inline]
    pub(crate) fn join(&mut self, waker: Option<Waker>, ticket: u64, front: bool) -> usize {
        let place = self.line.insert(Waiter {
            polled: waker.is_some(),
            waker,
            grant: None,
            ticket,
        });
        if front {
            self.line.join_front(place);
        } else {
            self.line.join(place);
        }
        place
    }

    /// A waiter looks whether it was served, and leaves its waker (taking the old one) if not.
    pub(crate) fn pick_up(&mut self, place: usize, waker: &mut Option<Waker>) -> Option<Grant<C, E>> {
        let waiter = self.line.get_mut(place)?;
        if waiter.grant.is_none() {
            waiter.polled = true;
            mem::swap(&mut waiter.waker, waker);
            return None;
        }
        // Its waker went when it was served. The one brought along is for the caller to drop.
        self.leave(place, &mut None)
    }

    /// A waiter that was served takes what it was given, and leaves its timer if somebody may use it.
    #[inline]
    pub(crate) fn take_turn(&mut self, place: usize, deadline: &mut Deadline) -> Option<Grant<C, E>> {
        let grant = self.line.get_mut(place)?.grant.take()?;
        // Its waker went when it was served.
        self.line.vacate(place);
        if self.waiting() > self.alarms.len() {
            self.alarms.extend(deadline.take());
        }
        Some(grant)
    }

    /// A timer that somebody has left.
    #[inline]
    pub(crate) fn spare_alarm(&mut self) -> Option<Alarm> {
        self.alarms.pop()
    }

    /// Somebody has left the line; with the last of them go the timers.
    pub(crate) fn trim_alarms<K>(&mut self, after: &mut Aftermath<K, C, E>) {
        let waiting = self.waiting();
        if self.alarms.len() > waiting {
            after.more().alarms.extend(self.alarms.drain(waiting..));
        }
    }

    /// A waiter goes, with what it was given if it was served; its waker goes with it.
    pub(crate) fn leave(&mut self, place: usize, waker: &mut Option<Waker>) -> Option<Grant<C, E>> {
        let waiter = self.line.remove(place)?;
        *waker = waiter.waker;
        waiter.grant
    }

    /// Takes connections back from those who were served and have not come for them yet, whose turn it is again, in
    /// the order they had. They were woken when they were served, and so are going to look.
    pub(crate) fn revoke(&mut self, mut into: impl FnMut(Box<Entry<C>>)) -> usize {
        let mut revoked = Vec::new();
        for place in self.line.numbers() {
            let Some(waiter) = self.line.get_mut(place) else {
                continue;
            };
            match waiter.grant.take() {
                Some(Grant::Connection(entry)) => {
                    revoked.push((waiter.ticket, place));
                    into(entry);
                }
                other => waiter.grant = other,
            }
        }
        self.used -= revoked.len();
        revoked.sort_unstable();
        for (_, place) in revoked.iter().rev() {
            self.line.join_front(*place);
        }
        revoked.len()
    }

    /// Hands a connection to the first in line, if anybody is, and says whom to wake.
    #[inline]
    pub(crate) fn hand_to_first(&mut self, entry: Box<Entry<C>>) -> Result<Option<Waker>, Box<Entry<C>>> {
        // One that is one too many then is not for here.
        if self.alarms.len() >= self.waiting() {
            return Err(entry);
        }
        let Some(waiter) = self.line.step_up() else {
            return Err(entry);
        };
        waiter.grant = Some(Grant::Connection(entry));
        Ok(waiter.waker.take())
    }

    /// Gives `grant` to the first in line, if anybody is.
    pub(crate) fn serve<K>(
        &mut self,
        grant: Grant<C, E>,
        after: &mut Aftermath<K, C, E>,
    ) -> Option<Grant<C, E>> {
        let Some(place) = self.line.first() else {
            return Some(grant);
        };
        self.line.leave(place);
        if let Some(waiter) = self.line.get_mut(place) {
            waiter.grant = Some(grant);
            after.wake(waiter.waker.take());
        }
        self.trim_alarms(after);
        None
    }

    /// Tells everybody in line that it was in vain.
    pub(crate) fn turn_away<K>(
        &mut self,
        mut grant: impl FnMut() -> Grant<C, E>,
        after: &mut Aftermath<K, C, E>,
    ) {
        while self.waiting() > 0 {
            let _served = self.serve(grant(), after);
        }
    }

    /// Wakes somebody in line, who then begins what connects are wanted. Whoever is woken and goes instead passes
    /// that on when it leaves.
    pub(crate) fn nudge<K>(&mut self, after: &mut Aftermath<K, C, E>) -> bool {
        let awaited = self
            .line
            .in_line()
            .find(|place| self.line.get(*place).is_some_and(|waiter| waiter.waker.is_some()));
        let Some(waiter) = awaited.and_then(|place| self.line.get_mut(place)) else {
            return false;
        };
        after.wake(waiter.waker.take());
        true
    }

    /// Has every connect that is under way look whether it is still wanted.
    pub(crate) fn wake_dials<K>(&mut self, after: &mut Aftermath<K, C, E>) {
        for dial in self.dials.numbers() {
            if let Some(waker) = self.dials.get_mut(dial) {
                after.wake(waker.take());
            }
        }
    }

    /// A connect has succeeded: all is well, and one more may be under way; so every round doubles them.
    pub(crate) fn recover<K>(&mut self, after: &mut Aftermath<K, C, E>) {
        self.ramp = self.ramp.saturating_add(1);
        self.forget_trouble(after);
    }

    /// Nothing is known to be wrong any more: whoever waits to try again need not.
    pub(crate) fn forget_trouble<K>(&mut self, after: &mut Aftermath<K, C, E>) {
        after.discard_cause(self.trouble.take().map(|trouble| trouble.cause));
        if let Some(prober) = &mut self.prober {
            after.wake(prober.take());
        }
    }

    /// A connect has failed. `delay` is asked for the time to wait after so many failures in a row.
    pub(crate) fn suffer<K>(
        &mut self,
        cause: Cause<E>,
        now: Instant,
        delay: impl FnOnce(u32) -> Duration,
        after: &mut Aftermath<K, C, E>,
    ) {
        self.ramp = 1;
        self.replacing = 0;
        let before = self.trouble.take();
        let (failures, retry_at) = match &before {
            // One of several that were under way together: that is one failure.
            Some(trouble) if now < trouble.retry_at => (trouble.failures, trouble.retry_at),
            _ => {
                let failures = before.as_ref().map_or(0, |trouble| trouble.failures) + 1;
                (failures, far(now, delay(failures)))
            }
        };
        self.trouble = Some(Trouble {
            cause,
            failures,
            retry_at,
        });
        after.discard_cause(before.map(|trouble| trouble.cause));
    }

    /// Puts a connection among the idle ones, where it belongs by the time it has been idle since.
    pub(crate) fn rest(&mut self, entry: Box<Entry<C>>) {
        let since = entry.idle_since;
        let older = self.idle.iter().rev().take_while(|idle| idle.idle_since > since);
        let at = self.idle.len() - older.count();
        self.idle.insert(at, entry);
    }

    /// Takes out whatever `gone` says, but keeps `at_least` of those there are.
    pub(crate) fn remove_idle(
        &mut self,
        at_least: usize,
        mut gone: impl FnMut(&Entry<C>) -> bool,
        mut into: impl FnMut(Box<Entry<C>>),
    ) -> usize {
        let (mut at, mut removed) = (0, 0);
        while at < self.idle.len() && self.idle.len() > at_least {
            if gone(&self.idle[at]) {
                self.idle.remove(at).into_iter().for_each(&mut into);
                removed += 1;
            } else {
                at += 1;
            }
        }
        removed
    }
}

/// So long after `now`, or as late as the clock can tell.
fn far(now: Instant, delay: Duration) -> Instant {
    let mut delay = delay;
    loop {
        match now.checked_add(delay) {
            Some(at) => return at,
            None => delay /= 2,
        }
    }
}
