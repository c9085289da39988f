//! What is done under the lock: coming in, going out, and publishing what has changed.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, PoisonError,
        atomic::Ordering::{Relaxed, Release},
    },
    task::Waker,
    thread,
    time::Instant,
};

use super::{Gate, knobs::nanos, questions::Questions};
use crate::{
    circuit::Circuit, config::State, feed::Feed, ledger::Collected, queue::Queue, sync::MutexGuard, trace,
    word::Word,
};

#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) circuit: Circuit,
    pub(crate) queue: Queue,
    pub(super) collected: Collected,
    pub(super) feed: Arc<Feed>,
    /// When a tick has to end, if one is under way.
    pub(super) tick_end: Option<Instant>,
}

impl Gate {
    /// The circuit's word, with all that was noted down brought before the circuit.
    pub(super) fn enter(&self, locked: &mut Locked) -> Word {
        let word = self.word();
        let Locked {
            circuit, collected, ..
        } = locked;
        collected.collect(&self.lanes, |generation, n, at| {
            if generation == word.generation {
                circuit.successes(word, n, at);
            }
        });
        word
    }

    /// Serves whoever waits, publishes, unlocks; and only then wakes them, and asks whom there is to ask.
    pub(super) fn leave(&self, mut locked: MutexGuard<'_, Locked>, word: Word, now: Instant) -> Word {
        let questions = Questions::of(&mut locked.circuit, word);
        let word = self.unlock(locked, word, now);
        if let Some(questions) = questions {
            questions.ask(self);
        }
        word
    }

    pub(super) fn unlock(&self, mut locked: MutexGuard<'_, Locked>, word: Word, now: Instant) -> Word {
        let mut wake = Vec::new();
        let Locked { circuit, queue, .. } = &mut *locked;
        let word = queue.serve(circuit, word, now, &mut wake);
        let word = self.publish(&mut locked, word, now);
        let news = mem::take(&mut locked.circuit.events);
        let feed = (!news.is_empty()).then(|| Arc::clone(&locked.feed));
        if let Some(feed) = &feed {
            // In here, so that events are heard in the order in which they happened.
            feed.write(&news, &mut wake);
        }
        drop(locked);
        wake_all(wake);
        if let Some(feed) = feed {
            news.iter().for_each(|event| trace::say(feed.name(), event));
        }
        word
    }

    /// Makes `word` the word, and this thread's stripe one of its era.
    pub(super) fn publish(&self, locked: &mut Locked, word: Word, now: Instant) -> Word {
        let mut word = locked.circuit.marked(word);
        let is_news = word.generation != self.word().generation;
        if word.dated && (is_news || locked.tick_end.is_none_or(|end| now >= end)) {
            word.tick = word.tick.wrapping_add(1);
            locked.tick_end = locked.circuit.next_bucket(now);
            let end = locked.tick_end.map_or(u64::MAX, nanos);
            self.tick_end.store(end, Relaxed);
        }
        if word.state == State::Open {
            self.until.store(nanos(locked.circuit.until()), Relaxed);
        }
        if word.state.judges() {
            let Locked {
                circuit, collected, ..
            } = locked;
            collected.turn(
                &self.lanes.mine(),
                word.era(),
                word.generation,
                now,
                |generation, n, at| {
                    if generation == word.generation {
                        circuit.successes(word, n, at);
                    }
                },
            );
        }
        self.word.store(word.pack(), Release);
        word
    }

    /// No user code runs under the lock and nothing in there panics half way.
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes every one, also where a waker panics; the first panic goes on when all are awake.
pub(crate) fn wake_all(wakers: Vec<Waker>) {
    let mut first = None;
    for waker in wakers {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            first.get_or_insert(panic);
        }
    }
    // Amid another panic it would abort the process.
    if let Some(panic) = first.filter(|_| !thread::panicking()) {
        resume_unwind(panic);
    }
}
