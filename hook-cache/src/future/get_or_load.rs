use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    ResultCache,
    carry::{Background, Carry},
    core::Asked,
    errors::{Errors, sealed},
    flight::SharedError,
    load::{Load, Miss, Owner, SPENT},
    stats::Count,
};

pin_project! {
    /// The result of [`ResultCache::get_or_load`] and [`ResultCache::get_or_load_shared`].
    ///
    /// Dropping it is safe at any time; what that does is told [there](ResultCache::get_or_load).
    pub struct GetOrLoad<K, V, E, F, Fut, X, D>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        D: Carry<Fut>,
        K: Eq,
    {
        #[pin]
        state: State<K, V, E, F, Fut, X, D>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<K, V, E, F, Fut, X, D>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        D: Carry<Fut>,
        K: Eq,
    {
        // Not looked up yet: it may be polled long after it was made, when the answer is another.
        New { asked: Option<(Plain<K, V, X>, K, F)> },
        Missed { #[pin] miss: Miss<Plain<K, V, X>, Loader<F>, K, V, D> },
    }
}

pin_project! {
    /// Loads a stale value anew, behind the back of the caller who was given it.
    pub struct Reload<K, V, E, F, Fut, X, D>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        D: Carry<Fut>,
        K: Eq,
    {
        #[pin]
        miss: Miss<Plain<K, V, X>, Loader<F>, K, V, D>,
    }
}

impl<K, V, E, F, Fut, X, D> GetOrLoad<K, V, E, F, Fut, X, D>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    D: Carry<Fut>,
    K: Hash + Eq,
    V: Clone,
{
    pub(crate) fn new(cache: &ResultCache<K, V>, key: K, load: F, errors: X) -> Self {
        let plain = Plain {
            cache: cache.clone(),
            errors,
        };
        Self {
            state: State::New {
                asked: Some((plain, key, load)),
            },
        }
    }
}

impl<K, V, E, F, Fut, X, D> Future for GetOrLoad<K, V, E, F, Fut, X, D>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    X: Errors<E>,
    D: Carry<Fut> + Background<Reload<K, V, E, F, Fut, X, D>>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    type Output = Result<V, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::New { asked } => {
                    let (plain, key, load) = asked.take().expect(SPENT);
                    let cache = plain.cache.clone();
                    let key = cache.hashed(key);
                    let (hash, asked) = (key.hash, cache.ask(key.hash, &key.key));
                    let mut miss = Miss::new(plain, key, Loader(load));
                    match asked {
                        Asked::Hit(value) => return Poll::Ready(Ok(value)),
                        Asked::Stale(value, None) => {
                            cache.counts().one(Count::StaleHit);
                            return Poll::Ready(Ok(value));
                        }
                        Asked::Stale(value, Some(serial)) => {
                            miss = miss.claimed(cache.claim(hash, serial));
                            if D::is_there() {
                                cache.counts().one(Count::StaleHit);
                                D::spawn(Reload {
                                    miss: miss.in_background(),
                                });
                                return Poll::Ready(Ok(value));
                            }
                        }
                        Asked::Absent => {}
                    }
                    state.set(State::Missed { miss });
                }
                StateProj::Missed { miss } => return miss.poll(cx),
            }
        }
    }
}

impl<K, V, E, F, Fut, X, D> Future for Reload<K, V, E, F, Fut, X, D>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    X: Errors<E>,
    D: Carry<Fut>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whatever comes of it was stored and shared, or counted as an error.
        self.project().miss.poll(cx).map(drop)
    }
}

impl<K, V, E, F, Fut, X, D> fmt::Debug for GetOrLoad<K, V, E, F, Fut, X, D>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    D: Carry<Fut>,
    K: Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").finish_non_exhaustive()
    }
}

impl<K, V, E, F, Fut, X, D> fmt::Debug for Reload<K, V, E, F, Fut, X, D>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    D: Carry<Fut>,
    K: Eq,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

/// A cache on its own, and what becomes of the errors of its loads.
struct Plain<K, V, X> {
    cache: ResultCache<K, V>,
    errors: X,
}

impl<K, V, X, E> Owner<K, V, E, ()> for Plain<K, V, X>
where
    X: sealed::Errors<E>,
{
    fn cache(&self) -> &ResultCache<K, V> {
        &self.cache
    }

    fn admits(&self, (): &(), _key: &K, _value: &V) -> bool {
        true
    }

    fn share(&self, error: &E) -> Option<SharedError> {
        self.errors.share(error)
    }

    fn unshare(&self, shared: &SharedError) -> Option<E> {
        self.errors.unshare(shared)
    }
}

struct Loader<F>(F);

impl<F, Fut, V, E> Load for Loader<F>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
{
    type Value = V;
    type Error = E;
    type Note = ();
    type Output = Result<V, E>;
    type Future = Fut;

    fn load(self) -> Fut {
        (self.0)()
    }

    fn split(result: Result<V, E>) -> (Result<V, E>, ()) {
        (result, ())
    }
}
