//! Who waits until the circuit lets them in: first come, first served.

use std::{collections::VecDeque, mem, task::Waker, time::Instant};

use crate::{
    circuit::{Circuit, Ticket},
    word::Word,
};

/// Under the circuit's lock. It wakes nobody by itself: wakers are foreign code, and left to whoever unlocks.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiter>,
    /// Empty but while places are changed.
    late: VecDeque<Waiter>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    /// Gone when it was used.
    waker: Option<Waker>,
    /// Leave that was given, to be picked up.
    granted: Option<Ticket>,
    /// What the first in the queue has set its alarm to, for all.
    alarm: Option<Instant>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn join(&mut self, waker: Waker) -> u64 {
        self.next_id += 1;
        self.waiting.push_back(Waiter {
            id: self.next_id,
            waker: Some(waker),
            granted: None,
            alarm: None,
        });
        self.next_id
    }

    /// Keeps the place, and is woken through `waker` from here on; gives back the waker that was there.
    pub(crate) fn stay(&mut self, id: u64, waker: Waker) -> Option<Waker> {
        let waiter = self.waiting.iter_mut().find(|waiter| waiter.id == id)?;
        waiter.waker.replace(waker)
    }

    /// Gives up the place, and says what was granted to it and which waker it had.
    pub(crate) fn leave(&mut self, id: u64) -> (Option<Ticket>, Option<Waker>) {
        match self.waiting.iter().position(|waiter| waiter.id == id) {
            Some(place) => self
                .waiting
                .remove(place)
                .map_or((None, None), |waiter| (waiter.granted, waiter.waker)),
            None => (None, None),
        }
    }

    /// What was granted to `id`, if it still holds.
    pub(crate) fn granted(&self, id: u64) -> Option<Ticket> {
        self.waiting
            .iter()
            .find(|waiter| waiter.id == id)
            .and_then(|waiter| waiter.granted)
    }

    /// Whether nobody is before `id`, or before a newcomer, who has not been granted leave.
    pub(crate) fn is_first(&self, id: Option<u64>) -> bool {
        self.first().is_none_or(|first| Some(first.id) == id)
    }

    fn first(&self) -> Option<&Waiter> {
        self.waiting.iter().find(|waiter| waiter.granted.is_none())
    }

    /// The first in the queue watches the clock for all; from here on it is woken when there is another time to watch
    /// for than `alarm`.
    pub(crate) fn set_alarm(&mut self, id: u64, alarm: Option<Instant>) {
        if let Some(waiter) = self.waiting.iter_mut().find(|waiter| waiter.id == id) {
            waiter.alarm = alarm;
        }
    }

    /// Leave that was granted and not picked up while it held is worth nothing any more. Whoever did not come for it
    /// holds nobody else up: there is a place for him at the end.
    fn pass_over_the_absent(&mut self, word: Word) {
        for _ in 0..self.waiting.len() {
            let Some(mut waiter) = self.waiting.pop_front() else {
                return;
            };
            let held = waiter.granted.is_some();
            waiter.granted = waiter.granted.filter(|ticket| ticket.is_of(word));
            if held && waiter.granted.is_none() {
                self.late.push_back(waiter);
            } else {
                self.waiting.push_back(waiter);
            }
        }
        self.waiting.append(&mut self.late);
    }

    /// After every change of the circuit: gives what can be given to whoever is first, one waker for each leave; and
    /// everybody's, where all are let in.
    pub(crate) fn serve(
        &mut self,
        circuit: &mut Circuit,
        mut word: Word,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> Word {
        if self.waiting.is_empty() {
            return word;
        }
        self.pass_over_the_absent(word);
        for waiter in &mut self.waiting {
            if word.state.lets_in() {
                wake.extend(waiter.waker.take());
            }
        }
        if word.state.lets_in() {
            return word;
        }
        for waiter in self.waiting.iter_mut().filter(|waiter| waiter.granted.is_none()) {
            if word.free == 0 {
                break;
            }
            let (next, answer) = circuit.acquire(word, now);
            word = next;
            waiter.granted = answer.ok();
            wake.extend(waiter.waker.take());
        }
        let alarm = circuit.next_change(word);
        let first = self.waiting.iter_mut().find(|waiter| waiter.granted.is_none());
        if let Some(first) = first.filter(|first| first.alarm != alarm) {
            wake.extend(mem::take(&mut first.waker));
        }
        word
    }
}
