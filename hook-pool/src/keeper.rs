//! The task in the background: it closes what is too old, opens what there should be, and checks what nobody uses.
//!
//! There is one to a pool, from its first connect on, for as long as there is anything to look after. Should it end
//! before, with its runtime, whoever asks next puts another in charge. Nothing
//! that is asked of the pool depends on it: what is too old is not handed out, with or without it.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, time::sleep};

use crate::{
    config::Config,
    connector::{Connector, Key},
    dial::Begin,
    lease::InCheck,
    shared::Shared,
};

/// When to look again after a look that ended in a panic.
const AFTER_A_PANIC: Duration = Duration::from_secs(1);

/// Puts a keeper in charge, unless there is one, or no need or no runtime for it.
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
        shared.attend();
        let hired = shared.with(|shelves, _| {
            let needed = shelves.needs_keeper();
            shelves.keeper.runs |= needed;
            needed
        });
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
            shared.leave_unattended();
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
        let Some(next) = pool.and_then(|shared| {
            // The user's code has panicked, in `Hash` or `Drop`: that is no reason to look after nothing any more.
            catch(|| look_after(&shared, &connector, config))
                .unwrap_or_else(|| Some(config.clock.now().checked_add(AFTER_A_PANIC)))
        }) else {
            post.resigned = true;
            return;
        };
        post.wait(next.map(|next| until(next, config))).await;
    }
}

/// How long it is until then, whichever clock that is by: tokio's, which the timer goes by, may be another.
pub(crate) fn until(at: Instant, config: Config) -> Duration {
    at.saturating_duration_since(config.clock.now())
}

/// What comes of it, unless the user's code panics; that has been reported by the hook for panics then.
fn catch<R>(chore: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(chore)).ok()
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
    // One after the other: what one panics over is nothing to the next.
    for begin in begin {
        catch(|| begin.go(shared, connector, config));
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
        for leak in &leaks {
            catch(|| warn(leak));
        }
    }
    Some(next)
}

impl<K, C, E> Post<K, C, E> {
    /// Until it is time, or the keeper is called, or the pool is gone.
    async fn wait(&self, next: Option<Duration>) {
        let mut sleep = pin!(next.map(sleep));
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
