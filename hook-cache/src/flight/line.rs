use std::{collections::VecDeque, task::Waker};

/// Those who wait for a flight, first come, first in line; sorted by ticket.
#[derive(Default)]
pub(super) struct Line {
    waiters: VecDeque<(u64, Option<Waker>)>,
    next_ticket: u64,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn enqueue(&mut self, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back((ticket, Some(waker)));
        ticket
    }

    /// The caller drops what it gets after it has unlocked the flight.
    #[must_use]
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waker> {
        let place = self.place_of(ticket)?;
        self.waiters.remove(place)?.1
    }

    /// Where the one with `ticket` keeps its waker.
    pub(super) fn waker_of(&mut self, ticket: u64) -> Option<&mut Option<Waker>> {
        let place = self.place_of(ticket)?;
        Some(&mut self.waiters[place].1)
    }

    fn place_of(&self, ticket: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.0).ok()
    }

    /// The waker of the first in line; none if it was woken before and is on its way.
    #[must_use]
    pub(super) fn call_first(&mut self) -> Option<Waker> {
        self.waiters.front_mut()?.1.take()
    }
}

/// Those who are still to be woken, which a panic does not stop.
pub(super) struct Unwoken(VecDeque<(u64, Option<Waker>)>);

impl From<Line> for Unwoken {
    fn from(line: Line) -> Self {
        Self(line.waiters)
    }
}

impl Unwoken {
    pub(super) fn wake(&mut self) {
        while let Some((_, waker)) = self.0.pop_front() {
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Unwoken {
    fn drop(&mut self) {
        self.wake();
    }
}
