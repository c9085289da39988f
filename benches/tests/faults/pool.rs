//! deadpool and bb8.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_pool::{ConnectionPool, GetError};
use tokio::time::{Instant, sleep, timeout};
use tower::{service_fn, util::BoxCloneSyncService};

use crate::backend::Failed;

/// A backend that a connect to takes 150 ms, or that refuses at once.
#[derive(Clone, Debug, Default)]
struct Dial {
    refuses: bool,
    begun: Arc<AtomicUsize>,
}

impl Dial {
    async fn connect(&self) -> Result<u64, Failed> {
        self.begun.fetch_add(1, SeqCst);
        if self.refuses {
            return Err(Failed);
        }
        sleep(Duration::from_millis(150)).await;
        Ok(1)
    }
}

impl deadpool::managed::Manager for Dial {
    type Type = u64;
    type Error = Failed;

    async fn create(&self) -> Result<u64, Failed> {
        self.connect().await
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Failed> {
        Ok(())
    }
}

impl bb8::ManageConnection for Dial {
    type Connection = u64;
    type Error = Failed;

    async fn connect(&self) -> Result<u64, Failed> {
        Self::connect(self).await
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Failed> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

type Ours = ConnectionPool<BoxCloneSyncService<(), u64, Failed>, ()>;
type Deadpool = deadpool::managed::Pool<Dial>;

fn ours(dial: &Dial, max: usize) -> Ours {
    let dial = dial.clone();
    let connector = service_fn(move |()| {
        let dial = dial.clone();
        async move { dial.connect().await }
    });
    ConnectionPool::new(BoxCloneSyncService::new(connector), max)
}

fn deadpool(dial: &Dial, max: usize) -> Deadpool {
    Deadpool::builder(dial.clone())
        .max_size(max)
        .build()
        .expect("no timeouts set")
}

/// Twenty callers one after the other, each with 20 ms of patience.
#[tokio::test(start_paused = true)]
async fn callers_who_give_up_do_not_abort_the_connect() {
    async fn served(get: impl AsyncFn() -> bool) -> usize {
        let mut served = 0;
        for _ in 0..20 {
            let got = timeout(Duration::from_millis(20), get()).await;
            served += usize::from(got == Ok(true));
        }
        served
    }
    let dial = Dial::default();
    let pool = ours(&dial, 10);
    let served_by_ours = served(async || pool.get(&()).await.is_ok()).await;
    assert!(served_by_ours >= 12, "{served_by_ours}");
    assert_eq!(dial.begun.load(SeqCst), 1);

    let dial = Dial::default();
    let pool = deadpool(&dial, 10);
    assert_eq!(served(async || pool.get().await.is_ok()).await, 0);
    assert_eq!(dial.begun.load(SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_by_default() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let dial = Dial::default();
    let pool = ours(&dial, 1);
    let _taken = pool.get(&()).await.expect("a connection");
    let second = timeout(DAY, pool.get(&())).await.expect("an answer");
    assert!(matches!(second, Err(GetError::Timeout(_))));

    let pool = deadpool(&dial, 1);
    let _taken = pool.get().await.expect("a connection");
    let second = timeout(DAY, pool.get()).await;
    assert!(second.is_err(), "deadpool's caller still waits");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_connect_is_told_so_at_once() {
    let dial = Dial {
        refuses: true,
        ..Dial::default()
    };
    let began = Instant::now();
    let refused = ours(&dial, 1).get(&()).await;
    assert!(matches!(refused, Err(GetError::Connect(error)) if *error == Failed));
    assert!(began.elapsed() < Duration::from_secs(1));

    let pool = bb8::Pool::builder().max_size(1).build_unchecked(dial);
    let began = Instant::now();
    let refused = pool.get().await;
    assert!(
        matches!(refused, Err(bb8::RunError::TimedOut)),
        "bb8 does not say why"
    );
    assert!(began.elapsed() >= Duration::from_secs(30), "and says it late");
}

/// One waits in line; the connection comes back, and somebody new asks before the one in line has woken up.
#[tokio::test(start_paused = true)]
async fn newcomers_do_not_overtake_those_in_line() {
    let dial = Dial::default();
    let pool = ours(&dial, 1);
    let taken = pool.get(&()).await.expect("a connection");
    let mut waiter = Box::pin(async { pool.get(&()).await.map(drop) });
    assert!(futures::poll!(&mut waiter).is_pending());
    drop(taken);
    let mut newcomer = Box::pin(async { pool.get(&()).await.map(drop) });
    assert!(futures::poll!(&mut newcomer).is_pending(), "in line");
    assert!(waiter.await.is_ok());
    assert!(newcomer.await.is_ok());

    let pool = bb8::Pool::builder().max_size(1).build_unchecked(dial);
    let taken = pool.get().await.expect("a connection");
    let mut waiter = Box::pin(pool.get());
    assert!(futures::poll!(&mut waiter).is_pending());
    drop(taken);
    let overtakes = futures::poll!(Box::pin(pool.get())).is_ready();
    assert!(overtakes, "bb8 serves whoever comes by");
}
