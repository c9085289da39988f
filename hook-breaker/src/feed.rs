//! Who wants to hear what happens to a circuit.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{event::Event, gate::wake_all};

/// The last events of a circuit, and who waits for more.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The latest [`KEPT`].
    events: VecDeque<Event>,
    /// How many there have been.
    written: u64,
    is_over: bool,
    waiting: Vec<(u64, Waker)>,
    next_id: u64,
    subscribers: usize,
}

/// How many events a subscriber may be behind before it loses some.
const KEPT: usize = 64;

impl Feed {
    /// Of the circuit of that name.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            inner: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the order of the calls, which are made under the circuit's lock. Whoever is to be woken is left in `wake`,
    /// for when there is no lock.
    pub(crate) fn write(&self, events: &[Event], wake: &mut Vec<Waker>) {
        let mut inner = self.lock();
        if inner.subscribers == 0 {
            return;
        }
        for event in events {
            if inner.events.len() == KEPT {
                inner.events.pop_front();
            }
            inner.events.push_back(event.clone());
            inner.written += 1;
        }
        wake.extend(inner.waiting.drain(..).map(|(_, waker)| waker));
    }

    /// There will be no more events: the circuit is gone.
    pub(crate) fn end(&self) {
        let waiting = {
            let mut inner = self.lock();
            inner.is_over = true;
            std::mem::take(&mut inner.waiting)
        };
        wake_all(waiting.into_iter().map(|(_, waker)| waker).collect());
    }
}

/// What happens to a circuit from here on, in order: a [`Stream`], or [`next`](Events::next) by hand. From
/// [`CircuitBreaker::subscribe`](crate::CircuitBreaker::subscribe).
///
/// It ends when the circuit does: when the last layer, service and handle of it is dropped. A subscriber that is more
/// than 64 events behind loses the oldest, see [`missed`](Events::missed); no call ever waits for one.
///
/// ```
/// use hook_breaker::{CircuitBreaker, Event};
///
/// # futures::executor::block_on(async {
/// let breaker = CircuitBreaker::builder().consecutive_failures(1).build();
/// let mut events = breaker.subscribe();
/// let _ = breaker.call(async { Err::<(), _>("connection reset") }).await;
///
/// let event = events.next().await;
/// assert!(matches!(event, Some(Event::Transition(change)) if change.cause.to_string() == "1 failures in a row"));
/// # });
/// ```
pub struct Events {
    feed: Arc<Feed>,
    id: u64,
    read: u64,
    missed: u64,
}

impl Events {
    pub(crate) fn of(feed: &Arc<Feed>) -> Self {
        let mut inner = feed.lock();
        inner.subscribers += 1;
        inner.next_id += 1;
        Self {
            feed: Arc::clone(feed),
            id: inner.next_id,
            read: inner.written,
            missed: 0,
        }
    }

    /// The next event, or `None` when the circuit is gone.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// How many events this subscriber has lost because it was too far behind.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        // Wakers are foreign code: cloned before the lock is taken, dropped after it is gone.
        let waker = cx.waker().clone();
        let mut inner = self.feed.lock();
        let oldest = inner.written - inner.events.len() as u64;
        if self.read < oldest {
            self.missed += oldest - self.read;
            self.read = oldest;
        }
        if self.read < inner.written {
            let event = inner.events[(self.read - oldest) as usize].clone();
            self.read += 1;
            return Poll::Ready(Some(event));
        }
        if inner.is_over {
            return Poll::Ready(None);
        }
        let old = match inner.waiting.iter_mut().find(|(id, _)| *id == self.id) {
            Some((_, old)) => Some(std::mem::replace(old, waker)),
            None => {
                inner.waiting.push((self.id, waker));
                None
            }
        };
        drop(inner);
        drop(old);
        Poll::Pending
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll_event(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let gone = {
            let mut inner = self.feed.lock();
            inner.subscribers -= 1;
            if inner.subscribers == 0 {
                inner.events.clear();
            }
            let place = inner.waiting.iter().position(|(id, _)| *id == self.id);
            place.map(|place| inner.waiting.swap_remove(place))
        };
        // The waker is dropped here, without the lock.
        drop(gone);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
