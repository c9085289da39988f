//! What a miss does: lead, follow, or load alone. The layer and the plain cache share it.

use std::{
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;

use crate::{
    ResultCache,
    flight::{Flights, Follower, Joined, Lead, Lone, Turn},
    stats::Count,
};

/// Something that can be loaded, not begun yet.
pub(crate) trait Load {
    type Value;
    type Error;
    type Future: Future<Output = Result<Self::Value, Self::Error>>;

    fn load(self) -> Self::Future;
}

/// Whom a miss loads for: it knows the cache, and what may be stored there.
pub(crate) trait Owner<K, V> {
    fn cache(&self) -> &ResultCache<K, V>;

    fn admits(&self, key: &K, value: &V) -> bool;
}

pin_project! {
    /// A call that was not answered from memory when it was made.
    pub(crate) struct Miss<O, L, K, V>
    where
        L: Load,
        K: Hash,
        K: Eq,
    {
        owner: O,
        #[pin]
        state: State<L, K, V>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<L, K, V>
    where
        L: Load,
        K: Hash,
        K: Eq,
    {
        Asking { asked: Option<(K, L)>, look_up: bool },
        Waiting { follower: Follower<K, V>, load: Option<L>, counted: Coalesced<K, V> },
        // The future goes first: whoever takes the lead over finds what it held released.
        Loading { #[pin] future: L::Future, errand: Option<Errand<K, V>> },
        Done,
    }
}

/// For whom a load is.
enum Errand<K: Hash + Eq, V> {
    /// For all who ask for the key meanwhile.
    Led { lead: Lead<K, V>, since: Instant },
    /// For this caller, and to be kept if nothing was stored or invalidated meanwhile.
    Alone { lone: Lone<K, V>, since: Instant },
    /// For this caller only.
    PassingBy,
}

impl<O, L, K, V> Miss<O, L, K, V>
where
    L: Load<Value = V>,
    K: Hash + Eq,
{
    /// With `look_up` it looks into the cache when it is polled first; otherwise somebody just has.
    pub(crate) fn new(owner: O, key: K, load: L, look_up: bool) -> Self {
        Self {
            owner,
            state: State::Asking {
                asked: Some((key, load)),
                look_up,
            },
        }
    }

    pub(crate) fn passing_by(owner: O, load: L) -> Self {
        Self {
            owner,
            state: State::Loading {
                future: load.load(),
                errand: Some(Errand::PassingBy),
            },
        }
    }
}

impl<O, L, K, V> Future for Miss<O, L, K, V>
where
    O: Owner<K, V>,
    L: Load<Value = V>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    type Output = Result<V, L::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let cache = this.owner.cache();
        loop {
            match this.state.as_mut().project() {
                StateProj::Asking { asked, look_up } => {
                    let (key, load) = asked.take().expect(ASKED);
                    let hit = if *look_up { cache.look_up(&key) } else { None };
                    if let Some(value) = hit {
                        this.state.set(State::Done);
                        return Poll::Ready(Ok(value));
                    }
                    match Flights::join(cache.flights(), key, cx.waker().clone()) {
                        Joined::Leading(lead) => {
                            if let Some(value) = take_off(cache, lead, load, this.state.as_mut()) {
                                return Poll::Ready(Ok(value));
                            }
                        }
                        Joined::Following(follower) => {
                            this.state.set(State::Waiting {
                                follower,
                                load: Some(load),
                                counted: Coalesced(Some(cache.clone())),
                            });
                            return Poll::Pending;
                        }
                    }
                }
                StateProj::Waiting {
                    follower,
                    load,
                    counted,
                } => {
                    let turn = ready!(follower.poll(cx.waker()));
                    if let Turn::Served(value) = turn {
                        this.state.set(State::Done);
                        // The last one to be served need not clone.
                        return Poll::Ready(Ok(Arc::unwrap_or_clone(value)));
                    }
                    counted.0 = None;
                    let load = load.take().expect(ASKED);
                    match turn {
                        Turn::Served(_) => unreachable!("served above"),
                        Turn::Leading(lead) => {
                            if let Some(value) = take_off(cache, lead, load, this.state.as_mut()) {
                                return Poll::Ready(Ok(value));
                            }
                        }
                        Turn::Alone(key) => {
                            cache.counts().one(Count::Miss);
                            let errand = Errand::Alone {
                                lone: Lone::begin(cache.flights(), key),
                                since: cache.config().clock.now(),
                            };
                            this.state.set(State::Loading {
                                future: load.load(),
                                errand: Some(errand),
                            });
                        }
                        Turn::Again(key) => this.state.set(State::Asking {
                            asked: Some((key, load)),
                            look_up: true,
                        }),
                    }
                }
                StateProj::Loading { future, errand } => {
                    let result = ready!(future.poll(cx));
                    let errand = errand.take().expect("a load ends once");
                    // Gone before anybody else is told: what it held is released by then.
                    this.state.set(State::Done);
                    errand.finish(this.owner, &result);
                    return Poll::Ready(result);
                }
                StateProj::Done => panic!("{SPENT}"),
            }
        }
    }
}

const ASKED: &str = "what was asked stays until it is loaded";
pub(crate) const SPENT: &str = "a future is not polled after it has completed";

/// Begins the load of a leader, unless the value came in after this caller had found none.
fn take_off<L, K, V>(
    cache: &ResultCache<K, V>,
    lead: Lead<K, V>,
    load: L,
    mut state: Pin<&mut State<L, K, V>>,
) -> Option<V>
where
    L: Load<Value = V>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    if let Some(value) = cache.look_up(lead.key()) {
        lead.dissolve();
        state.set(State::Done);
        return Some(value);
    }
    cache.counts().one(Count::Miss);
    let since = cache.config().clock.now();
    state.set(State::Loading {
        future: load.load(),
        errand: Some(Errand::Led { lead, since }),
    });
    None
}

impl<K: Hash + Eq, V: Clone> Errand<K, V> {
    fn finish<O: Owner<K, V>, E>(self, owner: &O, result: &Result<V, E>) {
        let cache = owner.cache();
        // A bypass is no load of this cache: nobody else could have been served by it.
        let (Self::Led { since, .. } | Self::Alone { since, .. }) = &self else {
            return;
        };
        let took = cache.config().clock.now().saturating_duration_since(*since);
        let Ok(value) = result else {
            cache.counts().failed(took);
            if let Self::Led { lead, .. } = self {
                lead.scatter();
            }
            return;
        };
        cache.counts().loaded(took);
        match self {
            Self::Led { lead, .. } if owner.admits(lead.key(), value) => cache.land(lead, value),
            Self::Led { lead, .. } => lead.scatter(),
            Self::Alone { lone, .. } if owner.admits(lone.key(), value) => cache.land_alone(lone, value),
            Self::Alone { .. } | Self::PassingBy => {}
        }
    }
}

/// Counts a caller that waits for another's load, when it is served and when it goes away; emptied, it
/// does not count.
struct Coalesced<K, V>(Option<ResultCache<K, V>>);

impl<K, V> Drop for Coalesced<K, V> {
    fn drop(&mut self) {
        if let Some(cache) = &self.0 {
            cache.counts().one(Count::Coalesced);
        }
    }
}
