//! Which shelf is whose, and which gives way when there are too many keys.

use std::sync::Arc;

use super::{Labelled, Shelves, waiting::Turn};
use crate::{aftermath::Aftermath, connector::Key, entry::Closing, shelf::Shelf};

impl<K, C, E> Shelves<K, C, E> {
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
    pub(super) fn take_down(&mut self, id: usize, after: &mut Aftermath<K, C, E>)
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
