use std::{fmt, hash::Hash};

use crate::{
    ResultCache,
    flight::{Lead, Lone},
    load::{Owner, took},
    stats::Count,
    store::{Moment, Serial},
};

/// For whom a load is.
pub(crate) enum Errand<K: Eq, V> {
    /// For all who ask for the key meanwhile.
    Led { lead: Lead<K, V>, since: Moment },
    /// For this caller, and to be kept if nothing was stored or invalidated meanwhile.
    Alone { lone: Lone<K, V>, since: Moment },
}

impl<K: Hash + Eq, V: Clone> Errand<K, V> {
    /// Stores and shares what came of the load. What its caller is given is in the answer.
    pub(crate) fn finish<O, E, N>(self, owner: &O, note: &N, result: Result<V, E>) -> Result<V, E>
    where
        O: Owner<K, V, E, N>,
    {
        let cache = owner.cache();
        let (Self::Led { since, .. } | Self::Alone { since, .. }) = &self;
        let took = took(*since, cache.now());
        match result {
            Ok(value) => {
                cache.counts().loaded(took);
                self.succeed(owner, note, &value);
                Ok(value)
            }
            Err(error) => {
                cache.counts().failed(took);
                self.fail(owner, error)
            }
        }
    }

    fn succeed<O: Owner<K, V, E, N>, E, N>(self, owner: &O, note: &N, value: &V) {
        let cache = owner.cache();
        let admitted = match &self {
            Self::Led { lead, .. } => owner.admits(note, &lead.key().key, value),
            Self::Alone { lone, .. } => owner.admits(note, &lone.key().key, value),
        };
        match self {
            Self::Led { lead, .. } if admitted => cache.land(lead, value),
            Self::Alone { lone, .. } if admitted => cache.land_alone(lone, value),
            refused => {
                cache.counts().one(Count::Declined);
                if let Self::Led { lead, .. } = refused {
                    lead.scatter();
                }
            }
        }
    }

    fn fail<O: Owner<K, V, E, N>, E, N>(self, owner: &O, error: E) -> Result<V, E> {
        let cache = owner.cache();
        let key = match &self {
            Self::Led { lead, .. } => lead.key(),
            Self::Alone { lone, .. } => lone.key(),
        };
        if let Some((value, read)) = cache.rescue(key) {
            if let Self::Led { lead, .. } = self {
                lead.lend(&value, read);
            }
            return Ok(value);
        }
        if let Self::Led { lead, .. } = self {
            match owner.share(&error) {
                Some(shared) => cache.remember(lead, shared),
                None => lead.scatter(),
            }
        }
        Err(error)
    }
}

/// The right to load a stale entry anew. When it ends and the entry is still the same, nobody tries again for a while.
pub struct Claim<K: Eq, V> {
    pub(crate) cache: ResultCache<K, V>,
    pub(crate) hash: u64,
    pub(crate) serial: Serial,
}

impl<K: Eq, V> Drop for Claim<K, V> {
    fn drop(&mut self) {
        self.cache.put_off(self.hash, self.serial);
    }
}

/// Counts a caller that waits for another's load, when it is served and when it goes away.
pub(crate) struct Coalesced<K, V>(Option<ResultCache<K, V>>);

impl<K, V> Coalesced<K, V> {
    pub(crate) fn new(cache: Option<ResultCache<K, V>>) -> Self {
        Self(cache)
    }

    /// It did not come to waiting.
    pub(crate) fn not(&mut self) {
        self.0 = None;
    }
}

impl<K, V> Drop for Coalesced<K, V> {
    fn drop(&mut self) {
        if let Some(cache) = &self.0 {
            cache.counts().one(Count::Coalesced);
        }
    }
}

impl<K: Eq, V> fmt::Debug for Claim<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}
