//! The task in the background: it closes what is too old, opens what there should be, and checks what nobody uses.
//!
//! There is one to a pool, from its first connect on, for as long as there is anything to look after. Nothing
//! that is asked of the pool depends on it: what is too old is not handed out, with or without it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Instant,
};

use tokio::{
    runtime::Handle,
    time::{Instant as TokioInstant, sleep_until},
};

use crate::{
    config::Config,
    connector::{Connector, Key},
    dial::Begin,
    lease::InCheck,
    shared::Shared,
};

/// Puts a keeper in charge, unless there is one, or no runtime for it.
#[cfg_attr(loom, allow(unused_variables, reason = "a model has no runtime"))]
pub(crate) fn hire<M, K, C, E>(shared: &Arc<Shared<K, C, E>>, connector: &M, config: Config)
where
    M: Connector<K, Response = C, Error = E>,
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    #[cfg(not(loom))]
    if let Ok(runtime) = Handle::try_current() {
        let hired = shared.with(|shelves, _| !std::mem::replace(&mut shelves.keeper.runs, true));
        if hired {
            let post = Post {
                shared: Arc::downgrade(shared),
                resigned: false,
            };
            drop(runtime.spawn(keep(post, connector.clone(), config)));
        }
    }
}

/// Held by the keeper; free again when it ends, however it does.
struct Post<K, C, E> {
    shared: Weak<Shared<K, C, E>>,
    resigned: bool,
}

impl<K, C, E> Drop for Post<K, C, E> {
    fn drop(&mut self) {
        // Who has resigned may have a successor by now.
        if self.resigned {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            let waker = shared.with(|shelves, _| {
                shelves.keeper.runs = false;
                shelves.keeper.waker.take()
            });
            drop(waker);
        }
    }
}

async fn keep<M, K, C, E>(mut post: Post<K, C, E>, connector: M, config: Config)
where
    M: Connector<K, Response = C, Error = E>,
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    loop {
        let pool = post.shared.upgrade();
        let Some(next) = pool.and_then(|shared| look_after(&shared, &connector, config)) else {
            post.resigned = true;
            return;
        };
        post.wait(next).await;
    }
}

/// Does what there is to do, and says when to look again; `None` if never.
fn look_after<M, K, C, E>(
    shared: &Arc<Shared<K, C, E>>,
    connector: &M,
    config: Config,
) -> Option<Option<Instant>>
where
    M: Connector<K, Response = C, Error = E>,
    K: Key,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    let now = config.clock.now();
    let ((chores, hooks), after) = shared.step(|shelves, after| {
        let hooks = (
            shelves.hooks.check.clone(),
            shelves.hooks.on_leak.clone(),
            shelves.limits.check_timeout,
        );
        (shelves.chores(now, after), hooks)
    });
    let (check, on_leak, check_timeout) = hooks;
    let chores = chores.map(|chores| {
        let begin: Vec<_> = chores
            .starts
            .into_iter()
            .map(|start| Begin::new(shared, start))
            .collect();
        let checks: Vec<_> = chores
            .checks
            .into_iter()
            .map(|entry| InCheck::new(shared.clone(), entry))
            .collect();
        (begin, checks, chores.leaks, chores.next)
    });
    after.happen();
    let (begin, checks, leaks, next) = chores?;
    for begin in begin {
        begin.go(shared, connector, config);
    }
    for lease in checks {
        let checked = lease.run(check.clone(), check_timeout);
        drop(tokio::spawn(async move {
            let (lease, good) = checked.await;
            if good {
                lease.pass_idle(config.clock.now());
            }
        }));
    }
    if let Some(warn) = on_leak {
        leaks.iter().for_each(|leak| warn(leak));
    }
    Some(next)
}

impl<K, C, E> Post<K, C, E> {
    /// Until it is time, or the keeper is called, or the pool is gone.
    async fn wait(&self, next: Option<Instant>) {
        let mut sleep = pin!(next.map(|next| sleep_until(TokioInstant::from_std(next))));
        poll_fn(|cx| {
            if self.is_called(cx) {
                return Poll::Ready(());
            }
            match sleep.as_mut().as_pin_mut() {
                Some(sleep) => sleep.poll(cx),
                None => Poll::Pending,
            }
        })
        .await;
    }

    fn is_called(&self, cx: &Context<'_>) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return true;
        };
        let mut waker = Some(cx.waker().clone());
        shared.with(|shelves, _| {
            std::mem::swap(&mut shelves.keeper.waker, &mut waker);
            shelves.keeper.called || shelves.is_closed()
        })
    }
}
