//! How entries are taken out: on purpose, or as they are dead.

use std::{
    hash::Hash,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

use super::{
    Removed, Store,
    entry::{ByKey, BySerial, Death, Life, Moment},
    shelf::Left,
};

/// How many entries are taken out under one lock.
const AT_ONCE: usize = 256;

impl<K: Hash + Eq, V: Clone> Store<K, V> {
    pub(crate) fn remove(&self, hash: u64, key: &K, now: Moment) -> Removed {
        let Some(shelf) = self.shelf(hash) else {
            return Removed::Nothing;
        };
        let removed = shelf.write().table.remove(&ByKey { hash, key });
        removed.map_or(Removed::Nothing, |left| self.judge(&left, now))
    }

    /// Empties one shelf after the other, and tells of each entry under no lock.
    pub(crate) fn drain(&self, now: Moment, mut tell: impl FnMut(Removed)) {
        for shelf in &self.shelves {
            let mut table = shelf.write().take_all(&self.plan);
            for left in table.drain() {
                tell(self.judge(&left, now));
            }
        }
    }

    /// Removes what `condemn` picks, and whatever is dead. `condemn` sees clones, under no lock.
    pub(crate) fn remove_all_if(
        &self,
        now: Moment,
        mut condemn: impl FnMut(&K, &V) -> bool,
        mut tell: impl FnMut(Removed),
    ) where
        K: Clone,
    {
        for place in 0..self.shelves.len() {
            self.sweep_shelf(place, now, |death| tell(Removed::Dead(death)));
            let mut seen: Vec<(K, V, BySerial)> = Vec::new();
            {
                let books = self.shelves[place].read();
                seen.reserve(books.table.len());
                let twins = books.table.iter();
                seen.extend(
                    twins.map(|(key, entry)| (key.hashed.key.clone(), entry.value.clone(), key.by_serial())),
                );
            }
            for (key, value, at) in seen {
                if condemn(&key, &value) {
                    // A value that was put since has another serial.
                    let removed = self.shelves[place].write().table.remove(&at);
                    if let Some(left) = removed {
                        tell(self.judge(&left, now));
                    }
                }
            }
        }
    }

    fn judge(&self, (_, entry): &Left<K, V>, now: Moment) -> Removed {
        match entry.life(now, &self.windows) {
            Life::Dead(death) => Removed::Dead(death),
            _ => Removed::Live,
        }
    }

    /// Some of what is here is dead since just now.
    pub(crate) fn suspect(&self) {
        self.condemned.fetch_add(1, Release);
    }

    /// Takes out what is dead on one shelf.
    pub(crate) fn sweep_shelf(&self, place: usize, now: Moment, mut tell: impl FnMut(Death)) {
        self.sweep_shelf_while(place, now, &mut || true, &mut tell);
    }

    /// Takes out a few of the dead on one shelf, on behalf of a put. The next one goes on.
    pub(crate) fn sweep_some(&self, place: usize, now: Moment, mut tell: impl FnMut(Death)) {
        self.sweep_shelf_while(place, now, &mut || false, &mut tell);
    }

    /// Takes out what is dead on one shelf, for as long as `go_on` says so. Whether it got through.
    ///
    /// It is looked for beside the readers, and taken out a few at a time, so that nobody waits for all of it.
    fn sweep_shelf_while(
        &self,
        place: usize,
        now: Moment,
        go_on: &mut impl FnMut() -> bool,
        tell: &mut impl FnMut(Death),
    ) -> bool {
        let condemned = self.condemned.load(Acquire);
        let shelf = &self.shelves[place];
        if !shelf.read().may_hold_dead(now, condemned) {
            return true;
        }
        let mut sweep = shelf.write().begin_sweep(condemned);
        shelf.read().find_dead(&mut sweep, now, &self.windows);
        while !sweep.dead.is_empty() {
            let few = shelf.write().take_dead(&mut sweep, AT_ONCE);
            few.iter().for_each(|(_, death)| tell(*death));
            drop(few);
            if !sweep.dead.is_empty() && !go_on() {
                shelf.write().halt_sweep(sweep);
                return false;
            }
        }
        let emptied = shelf.write().end_sweep(&sweep, &self.plan);
        drop(emptied);
        true
    }

    /// Takes out what is dead, one shelf after the other, for as long as `go_on` says so. Whether it got round.
    pub(crate) fn sweep(
        &self,
        now: Moment,
        mut go_on: impl FnMut() -> bool,
        mut tell: impl FnMut(Death),
    ) -> bool {
        for _ in 0..self.shelves.len() {
            let place = self.next.fetch_add(1, Relaxed) % self.shelves.len();
            if !self.sweep_shelf_while(place, now, &mut go_on, &mut tell) {
                // The next one goes on here.
                self.next.store(place, Relaxed);
                return false;
            }
            if !go_on() {
                return false;
            }
        }
        true
    }
}
