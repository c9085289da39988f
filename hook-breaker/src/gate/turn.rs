use std::{task::Waker, time::Instant};

use super::Gate;
use crate::circuit::Ticket;

/// How a caller who would rather wait than be refused stands.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Everybody is let in; there is no need to wait, and nothing to hold.
    Free,
    /// Leave to make one call.
    Granted(Ticket),
    /// The waker is kept. Whoever is told an instant has to come back then, for all who wait.
    Wait(Option<Instant>),
}

impl Gate {
    /// Asks to be let in, or stands in the queue, at `place` from then on.
    #[inline]
    pub(crate) fn take_turn(&self, place: &mut Option<u64>, waker: &Waker) -> Turn {
        if place.is_none() && self.word().state.lets_in() {
            return Turn::Free;
        }
        self.take_turn_locked(place, waker)
    }

    fn take_turn_locked(&self, place: &mut Option<u64>, waker: &Waker) -> Turn {
        // Wakers are foreign code: cloned before the lock is taken, dropped after it is gone.
        let waker = waker.clone();
        let now = self.now();
        let mut old = None;

        let mut locked = self.lock();
        let word = self.enter(&mut locked);
        let mut word = locked.circuit.pass_time(word, now);
        let queue = &mut locked.queue;
        let granted = place
            .and_then(|id| queue.granted(id))
            .filter(|ticket| ticket.is_of(word));
        let is_first = queue.is_first(*place);
        let turn = if word.state.lets_in() {
            Turn::Free
        } else if let Some(ticket) = granted {
            Turn::Granted(ticket)
        } else if is_first {
            let (next, answer) = locked.circuit.acquire(word, now);
            word = next;
            answer.map_or_else(|_| Turn::Wait(locked.circuit.next_change(word)), Turn::Granted)
        } else {
            Turn::Wait(None)
        };
        let queue = &mut locked.queue;
        match (&turn, *place) {
            (Turn::Wait(_), Some(id)) => old = queue.stay(id, waker),
            (Turn::Wait(_), None) => *place = Some(queue.join(waker)),
            (Turn::Free | Turn::Granted(_), Some(id)) => {
                old = queue.leave(id).1;
                *place = None;
            }
            (Turn::Free | Turn::Granted(_), None) => (),
        }
        if let (Turn::Wait(alarm), Some(id)) = (&turn, *place) {
            locked.queue.set_alarm(id, *alarm);
        }
        self.leave(locked, word, now);
        drop(old);
        turn
    }

    /// Leaves the queue. What was granted meanwhile goes to the next.
    pub(crate) fn give_up(&self, place: u64) {
        let (mut locked, now) = (self.lock(), self.now());
        let word = self.enter(&mut locked);
        let (granted, old) = locked.queue.leave(place);
        let word = match granted {
            Some(ticket) => locked.circuit.give_back(word, ticket, now),
            None => word,
        };
        self.leave(locked, word, now);
        drop(old);
    }
}
