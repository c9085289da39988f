//! What a miss does: lead, follow, or load alone. The layer and the plain cache share it.

use std::{
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{
    ResultCache,
    carry::sealed::Carry,
    errand::{Claim, Coalesced, Errand},
    flight::{Flights, Follower, Joined, Lead, Lone, Orphan, SharedError, Turn},
    hashed::Hashed,
    stats::Count,
};

/// Something that can be loaded, not begun yet.
pub(crate) trait Load {
    type Value;
    type Error;
    /// What was noted of the request, for the judge of its response.
    type Note;
    type Output;
    type Future: Future<Output = Self::Output>;

    fn load(self) -> Self::Future;

    fn split(output: Self::Output) -> (Result<Self::Value, Self::Error>, Self::Note);
}

/// Whom a miss loads for: it knows the cache, what may be stored there, and what becomes of errors.
pub(crate) trait Owner<K, V, E, N> {
    fn cache(&self) -> &ResultCache<K, V>;

    fn admits(&self, note: &N, key: &K, value: &V) -> bool;

    fn share(&self, error: &E) -> Option<SharedError>;

    fn unshare(&self, shared: &SharedError) -> Option<E>;
}

pin_project! {
    /// A call that was not answered from memory when it was made.
    pub(crate) struct Miss<O, L, K, V, D>
    where
        L: Load,
        D: Carry<L::Future>,
        K: Eq,
    {
        owner: O,
        // Held by the one who loads a stale entry anew.
        claim: Option<Claim<K, V>>,
        // Nobody waits for the answer.
        refresh: bool,
        #[pin]
        state: State<L, K, V, D>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<L, K, V, D>
    where
        L: Load,
        D: Carry<L::Future>,
        K: Eq,
    {
        Asking { asked: Option<(Hashed<K>, L)>, again: bool },
        Waiting { waiting: Option<Waiting<L, K, V>> },
        Loading { #[pin] loading: Loading<L, K, V, D> },
        Done,
    }
}

/// In line for what another call loads.
struct Waiting<L, K: Eq, V> {
    follower: Follower<K, V>,
    load: L,
    counted: Coalesced<K, V>,
    // In a box: few wait so long that they set a limit, and all would carry its room about.
    patience: Option<Pin<Box<Sleep>>>,
}

pin_project! {
    /// A load under way, and for whom it is.
    struct Loading<L, K, V, D>
    where
        L: Load,
        D: Carry<L::Future>,
        K: Eq,
    {
        // The load goes first: whoever takes the lead over finds what it held released.
        #[pin]
        load: D::Load,
        errand: Option<Errand<K, V>>,
    }

    impl<L, K, V, D> PinnedDrop for Loading<L, K, V, D>
    where
        L: Load,
        D: Carry<L::Future>,
        K: Eq,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !matches!(this.errand, Some(Errand::Led { .. })) {
                return;
            }
            let Some(orphan) = D::orphan(this.load) else {
                return;
            };
            if let Some(Errand::Led { lead, .. }) = this.errand.take() {
                lead.abandon(orphan);
            }
        }
    }
}

impl<O, L, K, V, D> Miss<O, L, K, V, D>
where
    L: Load<Value = V>,
    D: Carry<L::Future>,
    K: Eq,
{
    /// To be made by somebody who has just looked into the cache.
    pub(crate) fn new(owner: O, key: Hashed<K>, load: L) -> Self {
        Self {
            owner,
            claim: None,
            refresh: false,
            state: State::Asking {
                asked: Some((key, load)),
                again: false,
            },
        }
    }

    /// Loads a stale entry anew.
    pub(crate) fn claimed(mut self, claim: Claim<K, V>) -> Self {
        self.claim = Some(claim);
        self
    }

    /// Behind the back of its reader, who is served already.
    pub(crate) fn in_background(mut self) -> Self {
        self.refresh = true;
        self
    }
}

impl<L, K, V, D> State<L, K, V, D>
where
    L: Load,
    D: Carry<L::Future>,
    K: Eq,
{
    fn loading(load: D::Load, errand: Errand<K, V>) -> Self {
        Self::Loading {
            loading: Loading {
                load,
                errand: Some(errand),
            },
        }
    }
}

impl<O, L, K, V, D> Future for Miss<O, L, K, V, D>
where
    O: Owner<K, V, L::Error, L::Note>,
    L: Load<Value = V>,
    D: Carry<L::Future>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    type Output = Result<V, L::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.as_mut().advance(cx));
        // Whoever keeps a future that has ended keeps nobody from the next refresh.
        drop(self.project().claim.take());
        Poll::Ready(result)
    }
}

impl<O, L, K, V, D> Miss<O, L, K, V, D>
where
    O: Owner<K, V, L::Error, L::Note>,
    L: Load<Value = V>,
    D: Carry<L::Future>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    fn advance(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, L::Error>> {
        let mut this = self.project();
        let cache = this.owner.cache();
        let refresh = *this.refresh;
        loop {
            match this.state.as_mut().project() {
                StateProj::Asking { asked, again } => {
                    let (key, load) = asked.take().expect(ASKED);
                    let known = if *again { cache.look_up(&key) } else { None };
                    if let Some(value) = known {
                        cache.counts().call(refresh, Count::Hit);
                        this.state.set(State::Done);
                        return Poll::Ready(Ok(value));
                    }
                    if let Some(error) = recall(this.owner, &key) {
                        cache.counts().call(refresh, Count::NegativeHit);
                        this.state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    let limits = cache.config().flight;
                    match Flights::join(cache.flights(), key, cx.waker().clone(), limits.waiters) {
                        Joined::Leading(lead, orphan) => {
                            let left = take_off(cache, lead, orphan, load, refresh, this.state.as_mut());
                            if let Some(value) = left {
                                return Poll::Ready(Ok(value));
                            }
                        }
                        Joined::Following(follower) => {
                            let waiting = Waiting {
                                follower,
                                load,
                                counted: Coalesced::new((!refresh).then(|| cache.clone())),
                                patience: limits.patience.map(|limit| Box::pin(sleep(limit))),
                            };
                            this.state.set(State::Waiting {
                                waiting: Some(waiting),
                            });
                        }
                        Joined::Crowded(key) => set_out_alone(cache, key, load, refresh, this.state.as_mut()),
                    }
                }
                StateProj::Waiting { waiting } => {
                    let turn = match waiting.as_mut().expect(ASKED).poll(cx) {
                        Poll::Ready(turn) => turn,
                        Poll::Pending => return Poll::Pending,
                    };
                    let Waiting {
                        follower,
                        load,
                        mut counted,
                        patience,
                    } = waiting.take().expect(ASKED);
                    drop(patience);
                    let turn = turn.unwrap_or_else(|| Turn::Alone(follower.give_up()));
                    match turn {
                        Turn::Served(value) => {
                            this.state.set(State::Done);
                            // The last one to be served need not clone.
                            return Poll::Ready(Ok(Arc::unwrap_or_clone(value)));
                        }
                        Turn::Failed(shared, key) => match this.owner.unshare(&shared) {
                            Some(error) => {
                                this.state.set(State::Done);
                                return Poll::Ready(Err(error));
                            }
                            // Another kind of load, with another kind of error.
                            None => {
                                counted.not();
                                set_out_alone(cache, key, load, refresh, this.state.as_mut());
                            }
                        },
                        Turn::Leading(lead, orphan) => {
                            counted.not();
                            let left = take_off(cache, lead, orphan, load, refresh, this.state.as_mut());
                            if let Some(value) = left {
                                return Poll::Ready(Ok(value));
                            }
                        }
                        Turn::Alone(key) => {
                            counted.not();
                            set_out_alone(cache, key, load, refresh, this.state.as_mut());
                        }
                        Turn::Again(key) => {
                            counted.not();
                            this.state.set(State::Asking {
                                asked: Some((key, load)),
                                again: true,
                            });
                        }
                    }
                }
                StateProj::Loading { loading } => {
                    let loading = loading.project();
                    let (result, note) = L::split(ready!(loading.load.poll(cx)));
                    let errand = loading.errand.take().expect("a load ends once");
                    // Gone before anybody else is told: what it held is released by then.
                    this.state.set(State::Done);
                    return Poll::Ready(errand.finish(this.owner, &note, result));
                }
                StateProj::Done => panic!("{SPENT}"),
            }
        }
    }
}

impl<L, K: Eq, V> Waiting<L, K, V> {
    /// Its turn; none if it has run out of patience.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Turn<K, V>>> {
        if let Poll::Ready(turn) = self.follower.poll(cx.waker()) {
            return Poll::Ready(Some(turn));
        }
        match &mut self.patience {
            Some(patience) => patience.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}

const ASKED: &str = "what was asked stays until it is loaded";
pub(crate) const SPENT: &str = "a future is not polled after it has completed";

/// An error that is remembered, if errors are.
fn recall<O, K, V, E, N>(owner: &O, key: &Hashed<K>) -> Option<E>
where
    O: Owner<K, V, E, N>,
    K: Hash + Eq,
    V: Clone,
{
    owner.unshare(&owner.cache().recall(key)?)
}

/// Begins the load of a leader or goes on with the one that was left to it, unless the value came in after this
/// caller had found none.
fn take_off<L, K, V, D>(
    cache: &ResultCache<K, V>,
    mut lead: Lead<K, V>,
    orphan: Option<Orphan>,
    load: L,
    refresh: bool,
    mut state: Pin<&mut State<L, K, V, D>>,
) -> Option<V>
where
    L: Load<Value = V>,
    D: Carry<L::Future>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    if let Some(value) = cache.look_up(lead.key()) {
        cache.counts().call(refresh, Count::Hit);
        lead.dissolve();
        state.set(State::Done);
        return Some(value);
    }
    cache.counts().begun(refresh);
    let adopted = orphan.and_then(|orphan| D::adopt(orphan).ok());
    let since = cache.now();
    let load = match adopted {
        Some(adopted) => adopted,
        None => {
            lead.begin_anew();
            D::carry(load.load())
        }
    };
    state.set(State::loading(load, Errand::Led { lead, since }));
    None
}

fn set_out_alone<L, K, V, D>(
    cache: &ResultCache<K, V>,
    key: Hashed<K>,
    load: L,
    refresh: bool,
    mut state: Pin<&mut State<L, K, V, D>>,
) where
    L: Load<Value = V>,
    D: Carry<L::Future>,
    K: Hash + Eq + Clone,
    V: Clone,
{
    cache.counts().begun(refresh);
    let errand = Errand::Alone {
        lone: Lone::begin(cache.flights(), key),
        since: cache.now(),
    };
    state.set(State::loading(D::carry(load.load()), errand));
}

/// How long ago `since` was.
pub(crate) fn took(since: u64, now: u64) -> Duration {
    Duration::from_nanos(now.saturating_sub(since))
}
