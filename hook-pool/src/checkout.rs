use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    ConnectionPool,
    connector::{Connector, Key},
    entry::{Closing, Entry},
    error::{GetError, Refusal},
    keeper,
    lease::{Checked, Pooled},
    patience::{Deadline, Patience},
    place::{Look, Place},
    shared::Asked,
};

/// What waiting ends with.
type Turn<C, E> = Result<Pooled<C>, Refusal<E>>;
type Waiting<M, K> = Wait<K, <M as Service<K>>::Response, <M as Service<K>>::Error>;

/// What a checkout ends with.
type Outcome<M, K> = Result<Pooled<<M as Service<K>>::Response>, GetError<<M as Service<K>>::Error>>;

/// The future of [`ConnectionPool::get`].
///
/// Does nothing until it is polled. Dropping it gives everything back that it holds; a connect that was begun
/// for it goes on.
#[must_use = "futures do nothing unless polled"]
pub struct Get<'a, M, K>
where
    M: Service<K>,
{
    pool: &'a ConnectionPool<M, K>,
    key: &'a K,
    from: &'static Location<'static>,
    wait: Option<Waiting<M, K>>,
}

impl<'a, M: Service<K>, K> Get<'a, M, K> {
    #[inline]
    pub(crate) const fn new(
        pool: &'a ConnectionPool<M, K>,
        key: &'a K,
        from: &'static Location<'static>,
    ) -> Self {
        Self {
            pool,
            key,
            from,
            wait: None,
        }
    }
}

impl<M, K> Future for Get<'_, M, K>
where
    M: Connector<K>,
    K: Key,
{
    type Output = Outcome<M, K>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.wait.is_none() {
            let now = self.pool.core().clock().now();
            if let Some(pooled) = self.pool.core().take(self.key, now, Some(self.from)) {
                return Poll::Ready(Ok(pooled));
            }
            self.ask(now, cx);
        }
        self.poll_wait(cx)
    }
}

impl<M, K> Get<'_, M, K>
where
    M: Connector<K>,
    K: Key,
{
    fn ask(&mut self, now: Instant, cx: &Context<'_>) {
        let (from, core) = (Some(self.from), self.pool.core());
        let patience = match core.clock().is_coarse() {
            true => Patience::begun(now),
            false => Patience::begun_by_tokio(now, core.config.wait_timeout),
        };
        // Each is built where it stays: moving what was just written is dearer than all the rest of this.
        if let Some((shelf, number, alarm)) = core.queue_up(self.key, now, cx) {
            self.wait = Some(Wait {
                state: State::InLine(Place::new(core.shared().clone(), shelf, number, now, true, true)),
                from,
                patience,
                deadline: Deadline::unset(alarm),
            });
            return;
        }
        let asked = core.ask(self.key, now, from, Some(cx));
        self.wait = Some(Wait::new(State::after(asked, self.pool), from, patience));
    }

    #[inline(never)]
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<M, K>> {
        match &mut self.wait {
            Some(wait) => wait.poll(self.pool, cx).map_err(GetError::from),
            None => unreachable!("it was just set"),
        }
    }
}

pin_project! {
    /// The future of [`ConnectionPool`] as a service.
    ///
    /// Holds what `call` took: a connection or a place in line. Dropping it gives that back; a connect that was
    /// begun for it goes on.
    #[must_use = "futures do nothing unless polled"]
    pub struct Checkout<M, K>
    where
        M: Service<K>,
    {
        // Also keeps the pool open while somebody waits for it to serve.
        pool: Option<ConnectionPool<M, K>>,
        wait: Wait<K, M::Response, M::Error>,
    }
}

impl<M, K> Checkout<M, K>
where
    M: Connector<K>,
    K: Key,
{
    #[inline]
    pub(crate) fn new(pool: &ConnectionPool<M, K>, key: &K) -> Self {
        let core = pool.core();
        let now = core.clock().now();
        match core.take(key, now, None) {
            Some(pooled) => Self {
                pool: None,
                wait: Wait::new(State::Over(Ok(pooled)), None, Patience::begun(now)),
            },
            None => Self::ask(pool, key, now),
        }
    }

    /// Where nothing is at hand.
    pub(crate) fn ask(pool: &ConnectionPool<M, K>, key: &K, now: Instant) -> Self {
        let asked = pool.core().ask(key, now, None, None);
        Self {
            wait: Wait::new(State::after(asked, pool), None, Patience::begun(now)),
            pool: Some(pool.clone()),
        }
    }

    /// For another connection in place of one that has gone stale, from the front of the line. `patience` is what
    /// is left of it, if it was needed for the first.
    pub(crate) fn again(
        pool: &ConnectionPool<M, K>,
        stale: Box<Entry<M::Response>>,
        patience: Option<Patience>,
        cx: &Context<'_>,
    ) -> Self {
        let core = pool.core();
        let patience = patience.unwrap_or_else(|| {
            let mut patience = Patience::begun(core.clock().now());
            patience.limit(core.config.wait_timeout);
            patience
        });
        let asked = core.exchange(stale, patience.since(), cx);
        Self {
            wait: Wait::new(State::after(asked, pool), None, patience),
            pool: Some(pool.clone()),
        }
    }

    pub(crate) const fn patience(&self) -> Patience {
        self.wait.patience
    }

    pub(crate) fn poll_refusal(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Turn<M::Response, M::Error>> {
        let this = self.project();
        match this.pool {
            Some(pool) => this.wait.poll(pool, cx),
            None => this.wait.finish(),
        }
    }
}

impl<M, K> Future for Checkout<M, K>
where
    M: Connector<K>,
    K: Key,
{
    type Output = Outcome<M, K>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_refusal(cx).map_err(GetError::from)
    }
}

/// Waiting for a connection, whoever owns the pool meanwhile.
struct Wait<K, C, E> {
    state: State<K, C, E>,
    from: Option<&'static Location<'static>>,
    patience: Patience,
    deadline: Deadline,
}

enum State<K, C, E> {
    Over(Turn<C, E>),
    InLine(Place<K, C, E>),
    /// With a connection from the shelf of that number.
    Checking(Checked<K, C, E>, usize),
    Done,
}

impl<K, C, E> Wait<K, C, E> {
    #[inline]
    const fn new(
        state: State<K, C, E>,
        from: Option<&'static Location<'static>>,
        patience: Patience,
    ) -> Self {
        Self {
            state,
            from,
            patience,
            deadline: Deadline::unset(None),
        }
    }

    fn finish(&mut self) -> Poll<Turn<C, E>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Over(outcome) => Poll::Ready(outcome),
            _ => panic!("polled after it was ready"),
        }
    }
}

impl<K, C, E> Wait<K, C, E>
where
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    fn poll<M>(&mut self, pool: &ConnectionPool<M, K>, cx: &mut Context<'_>) -> Poll<Turn<C, E>>
    where
        M: Connector<K, Response = C, Error = E>,
    {
        let limit = pool.core().config.wait_timeout;
        loop {
            let next = match &mut self.state {
                State::InLine(place) if place.has_just_joined() => {
                    if self.deadline.poll(&mut self.patience, limit, cx).is_pending() {
                        place.wait();
                        return Poll::Pending;
                    }
                    State::Over(place.give_up(pool.core().clock().now(), self.from))
                }
                State::InLine(place) => {
                    let now = pool.core().clock().now();
                    if let Some(grant) = place.take_turn(now, self.from, &mut self.deadline) {
                        drop(self.deadline.take());
                        return Poll::Ready(place.accept(grant, now));
                    }
                    match place.look(cx, now, self.from) {
                        Look::Turn(outcome) => State::Over(outcome),
                        Look::Wait(Some(begin)) => {
                            begin.go(pool.core().shared(), pool.connector(), pool.core().config);
                            // It may have ended at once.
                            continue;
                        }
                        Look::Wait(None) => {
                            ready!(self.deadline.poll(&mut self.patience, limit, cx));
                            State::Over(place.give_up(now, self.from))
                        }
                    }
                }
                State::Checking(check, shelf) => {
                    let Poll::Ready((lease, good)) = check.as_mut().poll(cx) else {
                        // Where there is no time to wait there is still that of the check.
                        if limit.is_zero() {
                            return Poll::Pending;
                        }
                        ready!(self.deadline.poll(&mut self.patience, limit, cx));
                        let refusal = pool.core().tired(*shelf, self.patience.since());
                        // Closes it, in the middle of its check.
                        self.state = State::Done;
                        self.state = State::Over(Err(refusal));
                        continue;
                    };
                    // What was checked is not kept, should closing it panic.
                    self.state = State::Done;
                    let passed = if good {
                        lease.pass(pool.core().clock().now(), self.from)
                    } else {
                        Err((lease, Closing::Unfit))
                    };
                    match passed {
                        Ok(pooled) => State::Over(Ok(pooled)),
                        Err((lease, why)) => State::after(
                            pool.core()
                                .ask_again(lease, why, self.patience.since(), self.from, cx),
                            pool,
                        ),
                    }
                }
                State::Over(_) | State::Done => {
                    drop(self.deadline.take());
                    return match std::mem::replace(&mut self.state, State::Done) {
                        State::Over(outcome) => Poll::Ready(outcome),
                        _ => panic!("polled after it was ready"),
                    };
                }
            };
            self.state = next;
        }
    }
}

impl<K, C, E> State<K, C, E>
where
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    fn after<M>(asked: Asked<K, C, E>, pool: &ConnectionPool<M, K>) -> Self
    where
        M: Connector<K, Response = C, Error = E>,
    {
        let shared = pool.core().shared();
        if shared.is_unattended() {
            keeper::hire(shared, pool.connector(), pool.core().config);
        }
        match asked {
            Asked::Connection(pooled) => Self::Over(Ok(pooled)),
            Asked::Refused(refusal) => Self::Over(Err(refusal)),
            Asked::Place(place, begin) => match begin {
                None => Self::InLine(place),
                Some(begin) => {
                    begin.go(shared, pool.connector(), pool.core().config);
                    Self::InLine(place)
                }
            },
            Asked::Unchecked(lease) => {
                let (check, limit) =
                    shared.with(|shelves, _| (shelves.hooks.check.clone(), shelves.limits.check_timeout));
                let shelf = lease.shelf();
                Self::Checking(lease.run(check, limit), shelf)
            }
        }
    }
}

// By hand: a connector need not be `Debug`.
impl<M: Service<K>, K> fmt::Debug for Get<'_, M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").finish_non_exhaustive()
    }
}

impl<M: Service<K>, K> fmt::Debug for Checkout<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.wait.state {
            State::Over(_) => "Over",
            State::InLine(_) => "InLine",
            State::Checking(..) => "Checking",
            State::Done => "Done",
        };
        f.debug_struct("Checkout")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
