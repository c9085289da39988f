use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hook_monitor::{Reason, Rejected};
use pin_project_lite::pin_project;
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};
use tower_service::Service;

use crate::{
    ConnectionPool,
    error::GetError,
    lease::{Place, Pooled, Slot},
    shared::{Core, Served},
};

/// What a checkout ends with.
type Outcome<M, K, C> = Result<Pooled<C, K>, GetError<<M as Service<K>>::Error>>;

pin_project! {
    /// The future of [`ConnectionPool::get`].
    ///
    /// Does nothing until it is polled. Dropping it gives everything back that it holds.
    #[must_use = "futures do nothing unless polled"]
    pub struct Get<'a, M, K, C>
    where
        M: Service<K>,
    {
        pool: &'a ConnectionPool<M, K, C>,
        key: &'a K,
        #[pin]
        checkout: Option<Checkout<M, K, C>>,
    }
}

impl<'a, M: Service<K>, K, C> Get<'a, M, K, C> {
    #[inline]
    pub(crate) const fn new(pool: &'a ConnectionPool<M, K, C>, key: &'a K) -> Self {
        Self {
            pool,
            key,
            checkout: None,
        }
    }
}

impl<M, K, C> Future for Get<'_, M, K, C>
where
    M: Service<K, Response = C> + Clone,
    K: Hash + Eq + Clone,
{
    type Output = Outcome<M, K, C>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.checkout.is_none() {
            match this.pool.core().ask(this.key) {
                Ok(Served::Connection(pooled)) => return Poll::Ready(Ok(pooled)),
                asked => {
                    let key = this.key.clone();
                    this.checkout.set(Some(Checkout::resume(this.pool, asked, key)));
                }
            }
        }
        match this.checkout.as_pin_mut() {
            Some(checkout) => checkout.poll(cx),
            None => unreachable!("it was just set"),
        }
    }
}

pin_project! {
    /// The future of [`ConnectionPool`] as a service.
    ///
    /// Holds what `call` took: a connection, a slot or a place in line. Dropping it gives that back.
    #[must_use = "futures do nothing unless polled"]
    pub struct Checkout<M, K, C>
    where
        M: Service<K>,
    {
        #[pin]
        state: State<M, K, C, M::Future, M::Error>,
        // Of what is being waited for: a turn, or a connection.
        #[pin]
        deadline: Option<Sleep>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<M, K, C, F, E> {
        Decided {
            outcome: Option<Result<Pooled<C, K>, GetError<E>>>,
        },
        Waiting {
            place: Option<Place<K, C>>,
            dial: Option<Dial<M, K, C>>,
            since: Instant,
        },
        Readying {
            slot: Option<Slot<K, C>>,
            dial: Option<Dial<M, K, C>>,
            since: Instant,
        },
        Connecting {
            // Before the slot, so that it is dropped before: a slot that is free has no connect under way.
            #[pin]
            connect: F,
            slot: Option<Slot<K, C>>,
            core: Core<K, C>,
            since: Instant,
        },
    }
}

/// What it takes to open a connection.
struct Dial<M, K, C> {
    connector: M,
    key: K,
    /// Also keeps the pool open while somebody waits for it to serve.
    core: Core<K, C>,
}

impl<M, K, C> Checkout<M, K, C>
where
    M: Service<K, Response = C> + Clone,
    K: Hash + Eq + Clone,
{
    #[inline]
    pub(crate) fn new(pool: &ConnectionPool<M, K, C>, key: K) -> Self {
        let asked = pool.core().ask(&key);
        Self::resume(pool, asked, key)
    }

    /// Goes on from what was got when the pool was asked.
    #[inline]
    pub(crate) fn resume(
        pool: &ConnectionPool<M, K, C>,
        asked: Result<Served<K, C>, Rejected>,
        key: K,
    ) -> Self {
        let dial = |key| Dial {
            connector: pool.connector().clone(),
            key,
            core: pool.core().clone(),
        };
        let state = match asked {
            Ok(Served::Connection(pooled)) => State::Decided {
                outcome: Some(Ok(pooled)),
            },
            Ok(Served::Slot(slot)) => State::readying(slot, dial(key)),
            Ok(Served::Place(place)) => State::Waiting {
                place: Some(place),
                since: pool.core().clock().now(),
                dial: Some(dial(key)),
            },
            Err(rejected) => State::refused(rejected),
        };
        Self {
            state,
            deadline: None,
        }
    }
}

impl<M, K, C, F, E> State<M, K, C, F, E> {
    fn readying(slot: Slot<K, C>, dial: Dial<M, K, C>) -> Self {
        Self::Readying {
            slot: Some(slot),
            since: dial.core.clock().now(),
            dial: Some(dial),
        }
    }
}

impl<M, K, C> Future for Checkout<M, K, C>
where
    M: Service<K, Response = C>,
{
    type Output = Outcome<M, K, C>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Decided { outcome } => {
                    return Poll::Ready(outcome.take().expect("polled after it was ready"));
                }

                StateProj::Waiting { place, dial, since } => {
                    let (line, core) = (place.as_mut(), dial.as_ref().map(|dial| &dial.core));
                    let (Some(line), Some(core)) = (line, core) else {
                        unreachable!("taken on the way out only")
                    };
                    let turn = match line.poll(cx) {
                        Poll::Ready(turn) => Some(turn),
                        Poll::Pending => {
                            ready!(poll_deadline(
                                this.deadline.as_mut(),
                                core.config.wait_timeout,
                                cx
                            ));
                            place.take().and_then(Place::give_up)
                        }
                    };
                    let waited = core.clock().now().saturating_duration_since(*since);
                    core.shared().waits.record(waited);
                    this.deadline.set(None);
                    match (turn, dial.take()) {
                        (Some(Ok(Served::Slot(slot))), Some(dial)) => State::readying(slot, dial),
                        (Some(Ok(Served::Connection(pooled))), _) => State::decided(Ok(pooled)),
                        (Some(Err(rejected)), _) => State::refused(rejected),
                        (Some(Ok(_)) | None, _) => {
                            State::refused(Rejected::new(Reason::PoolTimeout { waited }))
                        }
                    }
                }

                StateProj::Readying { slot, dial, since } => {
                    let Some(connector) = dial.as_mut() else {
                        unreachable!("taken on the way out only")
                    };
                    match connector.connector.poll_ready(cx) {
                        Poll::Ready(Ok(())) => match (slot.take(), dial.take()) {
                            (
                                Some(slot),
                                Some(Dial {
                                    mut connector,
                                    key,
                                    core,
                                }),
                            ) => State::Connecting {
                                connect: connector.call(key),
                                slot: Some(slot),
                                core,
                                since: *since,
                            },
                            _ => unreachable!("taken on the way out only"),
                        },
                        Poll::Ready(Err(err)) => State::failed(&connector.core, err),
                        Poll::Pending => {
                            let core = &connector.core;
                            ready!(poll_deadline(
                                this.deadline.as_mut(),
                                core.config.connect_timeout,
                                cx
                            ));
                            State::too_slow(core)
                        }
                    }
                }

                StateProj::Connecting {
                    connect,
                    slot,
                    core,
                    since,
                } => match connect.poll(cx) {
                    Poll::Ready(Ok(connection)) => {
                        let took = core.clock().now().saturating_duration_since(*since);
                        core.shared().connects.record(took);
                        match slot.take().map(|slot| slot.fill(connection)) {
                            Some(Ok(pooled)) => State::decided(Ok(pooled)),
                            Some(Err(rejected)) => State::refused(rejected),
                            None => unreachable!("a slot is filled once"),
                        }
                    }
                    Poll::Ready(Err(err)) => State::failed(core, err),
                    Poll::Pending => {
                        ready!(poll_deadline(
                            this.deadline.as_mut(),
                            core.config.connect_timeout,
                            cx
                        ));
                        State::too_slow(core)
                    }
                },
            };
            // Drops what is no longer needed: a slot goes to the next in line here.
            this.state.set(next);
        }
    }
}

impl<M, K, C, F, E> State<M, K, C, F, E> {
    const fn decided(outcome: Result<Pooled<C, K>, GetError<E>>) -> Self {
        Self::Decided {
            outcome: Some(outcome),
        }
    }

    fn refused(rejected: Rejected) -> Self {
        Self::decided(Err(GetError::Rejected(rejected)))
    }

    fn failed(core: &Core<K, C>, err: E) -> Self {
        core.shared()
            .with(|shelves, _| shelves.counts.connect_errors += 1);
        Self::decided(Err(GetError::Connect(err)))
    }

    fn too_slow(core: &Core<K, C>) -> Self {
        core.shared()
            .with(|shelves, _| shelves.counts.connect_timeouts += 1);
        let after = core.config.connect_timeout;
        Self::refused(Rejected::new(Reason::ConnectTimeout { after }))
    }
}

/// Ready when `timeout` has passed since this was first asked for; never, without a timer, if the
/// clock cannot reach that far.
fn poll_deadline(mut deadline: Pin<&mut Option<Sleep>>, timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
    // The timer would take a tick for it.
    if timeout.is_zero() {
        return Poll::Ready(());
    }
    if timeout == Duration::MAX {
        return Poll::Pending;
    }
    if deadline.is_none() {
        let Some(at) = TokioInstant::now().checked_add(timeout) else {
            return Poll::Pending;
        };
        deadline.set(Some(sleep_until(at)));
    }
    match deadline.as_pin_mut() {
        Some(sleep) => sleep.poll(cx),
        None => Poll::Pending,
    }
}

// By hand: a connector need not be `Debug`.
impl<M: Service<K>, K, C> fmt::Debug for Get<'_, M, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").finish_non_exhaustive()
    }
}

impl<M: Service<K>, K, C> fmt::Debug for Checkout<M, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Decided { .. } => "Decided",
            State::Waiting { .. } => "Waiting",
            State::Readying { .. } => "Readying",
            State::Connecting { .. } => "Connecting",
        };
        f.debug_struct("Checkout")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
