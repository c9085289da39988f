use std::{borrow::Borrow, fmt, hash::Hash, marker::PhantomData};

use crate::{ResultCache, core::Asked, hashed::Hashed};
use sealed::Looked;

/// How the key of a request is found.
///
/// Chosen by [`CacheLayer::keyed_by`] and [`CacheLayer::keyed_by_ref`]; there is nothing to implement.
///
/// [`CacheLayer::keyed_by`]: crate::CacheLayer::keyed_by
/// [`CacheLayer::keyed_by_ref`]: crate::CacheLayer::keyed_by_ref
pub trait FindKey<Req, K: Eq>: sealed::FindKey<Req, K> {}

impl<Req, K: Eq, T: sealed::FindKey<Req, K>> FindKey<Req, K> for T {}

/// The key is a part of the request, and is only copied out of it when it is not in the cache.
pub struct KeyInRequest<G, Q: ?Sized> {
    find: G,
    of: PhantomData<fn(&Q)>,
}

impl<G, Q: ?Sized> KeyInRequest<G, Q> {
    pub(crate) fn new(find: G) -> Self {
        Self {
            find,
            of: PhantomData,
        }
    }
}

pub(crate) mod sealed {
    use crate::{ResultCache, errand::Claim, hashed::Hashed};

    pub trait FindKey<Req, K: Eq> {
        /// Finds the key of a request, and looks for what can be served under it.
        fn look_up<V: Clone>(&self, req: &Req, cache: &ResultCache<K, V>) -> Looked<K, V>;
    }

    /// What came of it. The key is owned where it is still needed.
    #[derive(Debug)]
    pub enum Looked<K: Eq, V> {
        Keyless,
        Hit(V),
        /// With the claim to load it anew, if that is this caller's part.
        Stale(V, Option<(Hashed<K>, Claim<K, V>)>),
        Absent(Hashed<K>),
    }
}

impl<F, Req, K> sealed::FindKey<Req, K> for F
where
    F: Fn(&Req) -> Option<K>,
    K: Hash + Eq,
{
    #[inline]
    fn look_up<V: Clone>(&self, req: &Req, cache: &ResultCache<K, V>) -> Looked<K, V> {
        let Some(key) = self(req) else {
            return Looked::Keyless;
        };
        let key = cache.hashed(key);
        match cache.ask(key.hash, &key.key) {
            Asked::Hit(value) => Looked::Hit(value),
            Asked::Stale(value, serial) => {
                let claim = serial.map(|serial| cache.claim(key.hash, serial));
                Looked::Stale(value, claim.map(|claim| (key, claim)))
            }
            Asked::Absent => Looked::Absent(key),
        }
    }
}

impl<G, Q, Req, K> sealed::FindKey<Req, K> for KeyInRequest<G, Q>
where
    G: Fn(&Req) -> Option<&Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Borrow<Q> + Hash + Eq,
{
    #[inline]
    fn look_up<V: Clone>(&self, req: &Req, cache: &ResultCache<K, V>) -> Looked<K, V> {
        let Some(found) = (self.find)(req) else {
            return Looked::Keyless;
        };
        let hash = cache.hash(found);
        let owned = || Hashed {
            hash,
            key: found.to_owned(),
        };
        match cache.ask(hash, found) {
            Asked::Hit(value) => Looked::Hit(value),
            Asked::Stale(value, serial) => {
                // The claim first: it is given back should the making of the key panic.
                let claim = serial.map(|serial| cache.claim(hash, serial));
                Looked::Stale(value, claim.map(|claim| (owned(), claim)))
            }
            Asked::Absent => Looked::Absent(owned()),
        }
    }
}

// By hand: a closure is not `Debug`.
impl<G, Q: ?Sized> fmt::Debug for KeyInRequest<G, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyInRequest").finish_non_exhaustive()
    }
}
