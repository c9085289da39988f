//! Connects, which belong to the pool: each is a task that goes on when its caller is gone.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    thread,
    time::{Duration, Instant},
};

#[cfg(not(loom))]
use tokio::runtime::Handle;
use tokio::time::{Instant as TokioInstant, Sleep, sleep};

use crate::{
    config::Config,
    connector::{Connector, Key},
    entry::Entry,
    keeper,
    shared::Shared,
    shelf::Cause,
    shelves::{Next, Start, Work},
};

/// Connects to be begun, by whoever has a connector at hand. Dropped instead, they are somebody else's to begin.
pub(crate) struct Begin<K, C, E> {
    tasks: Vec<Task<K, C, E>>,
    needs_keeper: bool,
}

impl<K, C, E> Begin<K, C, E> {
    pub(crate) fn new(shared: &Arc<Shared<K, C, E>>, start: Start) -> Self {
        let Start {
            shelf,
            generation,
            work,
            needs_keeper,
        } = start;
        let tasks = match work {
            Work::Dials(dials) => dials
                .into_iter()
                .map(|dial| Task::Dial(Dial::new(shared.clone(), shelf, dial, generation)))
                .collect(),
            Work::Probe { at } => vec![Task::Probe(Probe::new(shared.clone(), shelf), at)],
        };
        Self { tasks, needs_keeper }
    }

    /// Begins. A connect that ends at once needs no task, and no runtime.
    ///
    /// # Panics
    ///
    /// If a connect does not end at once, outside a runtime; or if the connector panics at once.
    pub(crate) fn go<M>(self, shared: &Arc<Shared<K, C, E>>, connector: &M, config: Config)
    where
        M: Connector<K, Response = C, Error = E>,
        K: Key,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        if self.needs_keeper {
            keeper::hire(shared, connector, config);
        }
        for task in self.tasks {
            // In a box: whoever asked is about to wait, and the task may outlive it.
            let mut task: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(carry_out(task, connector.clone(), config));
            // Whoever polls it next brings its own waker, which replaces this one.
            if task
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
            {
                spawn(task);
            }
        }
    }
}

#[cfg(not(loom))]
fn spawn(task: Pin<Box<dyn Future<Output = ()> + Send>>) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(task)),
        Err(err) => {
            // First: it is none of the connector's faults.
            drop(task);
            panic!("a connect that takes its time needs a tokio runtime: {err}");
        }
    }
}

#[cfg(loom)]
fn spawn(_: Pin<Box<dyn Future<Output = ()> + Send>>) {
    panic!("the connects of a model end at once");
}

enum Task<K, C, E> {
    Dial(Dial<K, C, E>),
    Probe(Probe<K, C, E>, Instant),
}

/// Opens connections for as long as there is somebody to open them for.
async fn carry_out<M, K, C, E>(mut task: Task<K, C, E>, connector: M, config: Config)
where
    M: Connector<K, Response = C, Error = E>,
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    loop {
        let next = match task {
            Task::Dial(dial) => dial.connect(connector.clone(), config).await,
            Task::Probe(probe, at) => probe.wait(at, config).await,
        };
        task = match next {
            Some(next) => next,
            None => return,
        };
    }
}

/// The right to open one connection, given back on drop.
struct Dial<K, C, E> {
    shared: Arc<Shared<K, C, E>>,
    shelf: usize,
    number: usize,
    generation: u64,
    /// The connector is at work.
    begun: bool,
    done: bool,
}

enum Outcome<C, E> {
    Connected(C),
    Failed(Cause<E>),
    /// Nobody wants it any more.
    Closed,
}

impl<K, C, E> Dial<K, C, E> {
    const fn new(shared: Arc<Shared<K, C, E>>, shelf: usize, number: usize, generation: u64) -> Self {
        Self {
            shared,
            shelf,
            number,
            generation,
            begun: false,
            done: false,
        }
    }

    async fn connect<M>(mut self, connector: M, config: Config) -> Option<Task<K, C, E>>
    where
        M: Connector<K, Response = C, Error = E>,
        K: Key,
    {
        let start = config.clock.now();
        self.begun = true;
        let outcome = self.dial(connector, config.connect_timeout).await;
        let now = config.clock.now();
        let (shared, id, number) = (self.shared.clone(), self.shelf, self.number);
        let generation = self.generation;
        let (surplus, next) = match outcome {
            Outcome::Closed => return None,
            Outcome::Connected(inner) => {
                shared.connects.record(now.saturating_duration_since(start));
                let entry = Box::new(Entry {
                    inner,
                    home: None,
                    shelf: id,
                    generation,
                    born: now,
                    retire_at: None,
                    broken: false,
                    rested: false,
                    uses: 0,
                    idle_since: now,
                    good_at: now,
                    taken_at: now,
                    fresh_until: None,
                    weight: 0,
                    watched: None,
                    place: None,
                    clock: config.clock,
                });
                self.done = true;
                let ((surplus, next), after) =
                    shared.step(|shelves, after| shelves.filled(number, entry, now, after));
                (surplus, (next.map(|next| self.next(next)), after))
            }
            Outcome::Failed(cause) => {
                self.done = true;
                let (next, after) =
                    shared.step(|shelves, after| shelves.failed(id, (number, generation), cause, now, after));
                (None, (next.map(|next| self.next(next)), after))
            }
        };
        let (next, after) = next;
        after.happen();
        drop(surplus);
        next
    }

    async fn dial<M>(&mut self, mut connector: M, limit: Duration) -> Outcome<C, E>
    where
        M: Connector<K, Response = C, Error = E>,
        K: Key,
    {
        let key = self.shared.with(|shelves, _| shelves.key(self.shelf));
        let mut connect = pin!(async move {
            poll_fn(|cx| connector.poll_ready(cx)).await?;
            let connect = connector.call((*key).clone());
            drop(key);
            connect.await
        });
        let mut deadline = None;
        poll_fn(|cx| {
            if self.is_doomed(cx) {
                return Poll::Ready(Outcome::Closed);
            }
            match connect.as_mut().poll(cx) {
                Poll::Ready(Ok(connection)) => Poll::Ready(Outcome::Connected(connection)),
                Poll::Ready(Err(err)) => Poll::Ready(Outcome::Failed(Cause::Error(Arc::new(err)))),
                Poll::Pending => {
                    // A panic for want of a timer is none of the connector's.
                    self.begun = false;
                    let over = poll_deadline(&mut deadline, limit, cx);
                    self.begun = true;
                    ready!(over);
                    Poll::Ready(Outcome::Failed(Cause::TimedOut { after: limit }))
                }
            }
        })
        .await
    }

    /// Whether the pool has been closed or reset; if not, this is woken when it is.
    fn is_doomed(&self, cx: &Context<'_>) -> bool {
        let mut waker = Some(cx.waker().clone());
        self.shared.with(|shelves, _| {
            if shelves.is_closed() || shelves.generation != self.generation {
                return true;
            }
            if let Some(place) = shelves.shelf(self.shelf).dials.get_mut(self.number) {
                std::mem::swap(place, &mut waker);
            }
            false
        })
    }

    fn next(&self, next: Next) -> Task<K, C, E> {
        match next {
            Next::Dial { dial, generation } => {
                Task::Dial(Self::new(self.shared.clone(), self.shelf, dial, generation))
            }
            Next::Probe { at } => Task::Probe(Probe::new(self.shared.clone(), self.shelf), at),
        }
    }
}

impl<K, C, E> Drop for Dial<K, C, E> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (id, number, generation) = (self.shelf, self.number, self.generation);
        // A panic before that was none of the connector's.
        if self.begun && thread::panicking() {
            let now = TokioInstant::now().into_std();
            self.shared
                .with(|shelves, after| shelves.panicked(id, (number, generation), now, after));
        } else {
            self.shared
                .with(|shelves, after| shelves.dropped(id, number, after));
        }
    }
}

/// The duty to try again in a while, passed on when dropped.
struct Probe<K, C, E> {
    shared: Arc<Shared<K, C, E>>,
    shelf: usize,
    done: bool,
}

impl<K, C, E> Probe<K, C, E> {
    const fn new(shared: Arc<Shared<K, C, E>>, shelf: usize) -> Self {
        Self {
            shared,
            shelf,
            done: false,
        }
    }

    async fn wait(mut self, at: Instant, config: Config) -> Option<Task<K, C, E>>
    where
        K: Key,
    {
        let mut sleep = pin!(sleep(keeper::until(at, config)));
        let slept = poll_fn(|cx| {
            if self.is_over(cx) {
                Poll::Ready(false)
            } else {
                sleep.as_mut().poll(cx).map(|()| true)
            }
        })
        .await;
        let mut now = config.clock.now();
        if slept {
            // The coarse clock may be a tick behind the timer.
            now = now.max(at);
        }
        let (next, after) = self
            .shared
            .step(|shelves, after| shelves.probe(self.shelf, now, after));
        self.done = true;
        let next = next.map(|next| match next {
            Next::Dial { dial, generation } => {
                Task::Dial(Dial::new(self.shared.clone(), self.shelf, dial, generation))
            }
            Next::Probe { at } => Task::Probe(Self::new(self.shared.clone(), self.shelf), at),
        });
        after.happen();
        next
    }

    /// Whether there is nothing to wait for any more; if there is, this is woken when that changes.
    fn is_over(&self, cx: &Context<'_>) -> bool {
        let mut waker = Some(cx.waker().clone());
        self.shared.with(|shelves, _| {
            let shelf = shelves.shelf(self.shelf);
            if let Some(place) = &mut shelf.prober {
                std::mem::swap(place, &mut waker);
            }
            let well = shelf.trouble.is_none();
            well || shelves.is_closed()
        })
    }
}

impl<K, C, E> Drop for Probe<K, C, E> {
    fn drop(&mut self) {
        if !self.done {
            self.shared
                .with(|shelves, after| shelves.probe_dropped(self.shelf, after));
        }
    }
}

/// Ready when `timeout` has passed since this was first asked for; never, without a timer, if the
/// clock cannot reach that far.
fn poll_deadline(
    deadline: &mut Option<Pin<Box<Sleep>>>,
    timeout: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if timeout == Duration::MAX {
        return Poll::Pending;
    }
    deadline
        .get_or_insert_with(|| Box::pin(sleep(timeout)))
        .as_mut()
        .poll(cx)
}
