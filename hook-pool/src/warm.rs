use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hook_monitor::Reason;
use tokio::time::timeout;

use crate::{
    ConnectionPool,
    connector::{Connector, Key},
    dial::Begin,
    error::{GetError, Refusal},
    shared::Shared,
};

/// Opens connections for `key` until there are `n`, or one cannot be opened.
pub(crate) async fn warm_up<M, K>(
    pool: &ConnectionPool<M, K>,
    key: &K,
    n: usize,
) -> Result<(), GetError<M::Error>>
where
    M: Connector<K>,
    K: Key,
{
    let shared = pool.core().shared();
    let begun = pool.core().clock().now();
    let key = Arc::new(key.clone());
    let (shelf, after) = shared.step(|shelves, after| {
        if shelves.is_closed() {
            return None;
        }
        let shelf = shelves.find_or_add(&key, after).ok()?;
        shelves.warm(shelf, n);
        Some(shelf)
    });
    let mut warmth = shelf.map(|shelf| Warmth {
        shared,
        shelf,
        place: None,
    });
    after.happen();
    drop(key);
    let Some(warmth) = &mut warmth else {
        let (closed, keys) = shared.with(|shelves, _| (shelves.is_closed(), shelves.levels().keys));
        let reason = if closed {
            Reason::PoolClosed
        } else {
            Reason::TooManyKeys { keys }
        };
        return Err(Refusal::of(reason).into());
    };
    let limit = pool.core().config.wait_timeout;
    let warm = poll_fn(|cx| warmth.poll(pool, n, begun, cx));
    if limit == Duration::MAX {
        return warm.await;
    }
    match timeout(limit, warm).await {
        Ok(result) => result,
        Err(_) => {
            let gave_up = shared.with(|shelves, _| shelves.gave_up(warmth.shelf));
            let waited = pool.core().clock().now().saturating_duration_since(begun);
            Err(Refusal::exhausted(waited, gave_up).into())
        }
    }
}

/// The wish for a shelf to be warm, withdrawn on drop.
struct Warmth<'a, K, C, E> {
    shared: &'a Arc<Shared<K, C, E>>,
    shelf: usize,
    place: Option<usize>,
}

impl<K, C, E> Warmth<'_, K, C, E> {
    fn poll<M>(
        &mut self,
        pool: &ConnectionPool<M, K>,
        n: usize,
        begun: Instant,
        cx: &Context<'_>,
    ) -> Poll<Result<(), GetError<E>>>
    where
        M: Connector<K, Response = C, Error = E>,
        K: Key,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        loop {
            let now = pool.core().clock().now();
            let mut waker = Some(cx.waker().clone());
            let (step, after) = self.shared.step(|shelves, after| {
                shelves.watch(&mut self.place, &mut waker);
                if shelves.is_closed() {
                    return Err(Some(Refusal::of(Reason::PoolClosed)));
                }
                let n = n.min(shelves.room_at(self.shelf));
                let shelf = shelves.shelf(self.shelf);
                if shelf.idle.len() + shelf.used >= n {
                    return Err(None);
                }
                if let Some(trouble) = &shelf.trouble {
                    let left = trouble.retry_at.saturating_duration_since(now);
                    // One that failed before this began, and is over, says nothing.
                    if !left.is_zero() || trouble.retry_at > begun {
                        return Err(Some(Refusal::Failed(trouble.cause.clone(), left)));
                    }
                }
                Ok(shelves.start(self.shelf, now, after))
            });
            let begin = step.map(|start| start.map(|start| Begin::new(self.shared, start)));
            after.happen();
            drop(waker);
            match begin {
                Ok(Some(begin)) => begin.go(self.shared, pool.connector(), pool.core().config),
                Ok(None) => return Poll::Pending,
                Err(None) => return Poll::Ready(Ok(())),
                Err(Some(refusal)) => return Poll::Ready(Err(refusal.into())),
            }
        }
    }
}

impl<K, C, E> Drop for Warmth<'_, K, C, E> {
    fn drop(&mut self) {
        let waker = self.shared.with(|shelves, _| {
            shelves.cool(self.shelf);
            self.place.and_then(|place| shelves.unwatch(place))
        });
        drop(waker);
    }
}
