use std::fmt;

/// Whether a response is kept.
///
/// [`CacheLayer::store_if`], [`store_if_noted`] and [`store_if_key`] make judges of closures. The request goes to the
/// inner service before there is a response to judge, so a judge takes a note of it first: of each request that misses,
/// and of no other. The note goes with the call it was taken for, also where another caller goes on with that call.
///
/// [`CacheLayer::store_if`]: crate::CacheLayer::store_if
/// [`store_if_noted`]: crate::CacheLayer::store_if_noted
/// [`store_if_key`]: crate::CacheLayer::store_if_key
pub trait StoreIf<Req, K, V> {
    /// What is kept of a request until its response is judged.
    type Note;

    /// Takes a note of a request that is about to be loaded. A panic in here is the caller's.
    fn note(&self, req: &Req) -> Self::Note;

    /// Whether `value`, which was just loaded for `key`, is stored and given to those who asked for
    /// it meanwhile.
    ///
    /// A panic in here is the caller's, and another caller takes the load over.
    fn store_if(&self, note: &Self::Note, key: &K, value: &V) -> bool;
}

/// The default judge: every response is kept. Errors never reach a judge, they are never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreAll;

impl<Req, K, V> StoreIf<Req, K, V> for StoreAll {
    type Note = ();

    #[inline]
    fn note(&self, _req: &Req) {}

    #[inline]
    fn store_if(&self, (): &(), _key: &K, _value: &V) -> bool {
        true
    }
}

/// Judges by a clone of the request, and the response. Made by [`CacheLayer::store_if`](crate::CacheLayer::store_if).
#[derive(Clone, Copy)]
pub struct StoreIfRequest<P>(pub(crate) P);

impl<Req, K, V, P> StoreIf<Req, K, V> for StoreIfRequest<P>
where
    Req: Clone,
    P: Fn(&Req, &V) -> bool,
{
    type Note = Req;

    fn note(&self, req: &Req) -> Req {
        req.clone()
    }

    fn store_if(&self, req: &Req, _key: &K, value: &V) -> bool {
        (self.0)(req, value)
    }
}

/// Judges by a part of the request, and the response. Made by
/// [`CacheLayer::store_if_noted`](crate::CacheLayer::store_if_noted).
#[derive(Clone, Copy)]
pub struct StoreIfNoted<G, P> {
    pub(crate) note: G,
    pub(crate) judge: P,
}

impl<Req, K, V, G, N, P> StoreIf<Req, K, V> for StoreIfNoted<G, P>
where
    G: Fn(&Req) -> N,
    P: Fn(&N, &V) -> bool,
{
    type Note = N;

    fn note(&self, req: &Req) -> N {
        (self.note)(req)
    }

    fn store_if(&self, note: &N, _key: &K, value: &V) -> bool {
        (self.judge)(note, value)
    }
}

/// Judges by the key and the response. Made by [`CacheLayer::store_if_key`](crate::CacheLayer::store_if_key).
#[derive(Clone, Copy)]
pub struct StoreIfKey<P>(pub(crate) P);

impl<Req, K, V, P> StoreIf<Req, K, V> for StoreIfKey<P>
where
    P: Fn(&K, &V) -> bool,
{
    type Note = ();

    #[inline]
    fn note(&self, _req: &Req) {}

    fn store_if(&self, (): &(), key: &K, value: &V) -> bool {
        (self.0)(key, value)
    }
}

// By hand: closures are not `Debug`.
impl<P> fmt::Debug for StoreIfRequest<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreIfRequest").finish_non_exhaustive()
    }
}

impl<G, P> fmt::Debug for StoreIfNoted<G, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreIfNoted").finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for StoreIfKey<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreIfKey").finish_non_exhaustive()
    }
}
