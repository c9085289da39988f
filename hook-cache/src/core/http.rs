//! What the cache of HTTP responses asks for beside the rest.

use std::{hash::Hash, time::Duration};

use super::nanos;
use crate::{
    ResultCache,
    store::{Moment, Put, Refusal, Serial},
};

impl<K: Hash + Eq, V: Clone> ResultCache<K, V> {
    /// Stores what began to be made at `began`, with a life that counts from `from`; unless one of its tags was
    /// invalidated since, or what is there began later. Whether it is worth another try is in the answer.
    pub(crate) fn put_since(
        &self,
        key: K,
        value: V,
        life: Duration,
        tags: Vec<Box<str>>,
        (began, from): (Serial, Moment),
    ) -> Kept {
        let (key, now) = (self.hashed(key), self.now());
        let mut new = self.core.entry(&key, value, Some(life), tags, now);
        new.fresh_until = from.saturating_add(nanos(life));
        new.serial = began;
        let put = self.core.store.put_newest(key, new, now);
        let kept = match &put {
            Put::Stored { .. } => Kept::Stored,
            Put::Refused {
                why: Refusal::Outdated,
                ..
            } => Kept::Outdated,
            Put::Refused { .. } => Kept::Refused,
        };
        self.core.count_put(put, now);
        kept
    }

    /// What is fresh, not counted.
    pub(crate) fn peek_hit(&self, key: K) -> Option<V> {
        self.peek(self.hash(&key), &key)
    }

    /// What may stand in for an error, without a back-off: each request tries for itself.
    pub(crate) fn rescue_key(&self, key: K) -> Option<V> {
        if self.core.config.expiry.if_error.is_zero() {
            return None;
        }
        self.core.store.spare(&self.hashed(key), self.now())
    }

    /// What is there, fresh or not.
    pub(crate) fn old(&self, key: K) -> Option<V> {
        self.core.store.old(&self.hashed(key), self.now())
    }

    pub(crate) fn hash_of<Q: Hash + ?Sized>(&self, of: &Q) -> u64 {
        self.core.store.hash(of)
    }
}

/// What came of a value that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Stored,
    /// Something else happened meanwhile.
    Outdated,
    /// It would not be stored the next time either.
    Refused,
}
