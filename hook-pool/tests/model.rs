//! Random lives of a pool against what must always hold. Seeded: a failure names its seed.

mod support;

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use hook_pool::{GetError, PoolStats};
use support::{Conn, Dialler, How, Lease, Random, Refused, TestPool, ms};
use tokio::time::advance;
use tokio_test::task::{self, Spawn};

fn how(random: &mut Random) -> How {
    match random.below(9) {
        0..=2 => How::Open,
        3 | 4 => How::OpenAfter(ms(random.below(12) as u64)),
        5 => How::Refuse,
        6 | 7 => How::RefuseAfter(ms(random.below(4) as u64)),
        _ => How::Hang,
    }
}

type Key = u8;
type Getting<'a> = Spawn<Pin<Box<dyn Future<Output = Result<Lease, GetError<Refused>>> + 'a>>>;

const KEYS: usize = 3;

struct Run<'a> {
    pool: &'a TestPool<Key>,
    dialler: &'a Dialler,
    max: usize,
    max_total: usize,
    /// The most there may be just now: a limit that was lowered is reached as connections come back.
    most: usize,
    getting: Vec<(Key, Getting<'a>)>,
    leases: Vec<(Key, Lease)>,
    detached: Vec<Conn>,
    refusals: u64,
}

impl Run<'_> {
    /// Polls whatever was woken, oldest first, until nothing is any more.
    async fn settle(&mut self) {
        for _ in 0..4 {
            while let Some(woken) = self.getting.iter().position(|(_, get)| get.is_woken()) {
                if let Poll::Ready(result) = self.getting[woken].1.poll() {
                    let (key, _) = self.getting.remove(woken);
                    self.note(key, result);
                }
            }
            // Whatever runs in the background has its turn.
            tokio::task::yield_now().await;
        }
    }

    fn note(&mut self, key: Key, result: Result<Lease, GetError<Refused>>) {
        match result {
            Ok(lease) => self.leases.push((key, lease)),
            Err(_) => self.refusals += 1,
        }
    }

    fn check(&mut self) -> PoolStats {
        let stats = self.pool.handle().stats();
        let size = stats.total + stats.connecting;
        self.most = self.most.min(size).max(self.max_total.min(self.max * KEYS));
        assert!(size <= self.most, "{size} of {}: {stats:?}", self.most);
        assert!(stats.keys <= KEYS, "{stats:?}");
        assert!(stats.active >= self.leases.len(), "{stats:?}");
        assert_eq!(
            self.dialler.open(),
            stats.total + self.detached.len(),
            "{stats:?}"
        );
        // Whoever is under way is in line, or has been served and not come for it yet.
        assert!(stats.waiting <= self.getting.len(), "{stats:?}");
        assert_eq!(
            stats.created,
            stats.total as u64 + stats.detached + stats.closed.total(),
            "{stats:?}"
        );
        let refused = stats.failed + stats.timeouts + stats.queue_full + stats.too_many_keys;
        assert!(
            refused >= self.refusals,
            "{refused} of {}: {stats:?}",
            self.refusals
        );
        stats
    }
}

async fn life(seed: u64) -> PoolStats {
    let mut random = Random(seed);
    let dialler = Dialler::default();
    let (max, max_total) = (1 + random.below(3), 2 + random.below(4));
    let mut pool: TestPool<Key> = TestPool::new(dialler.clone(), max)
        .max_waiting(4)
        .max_keys(2)
        .max_total(max_total)
        .wait_timeout(ms(20))
        .connect_timeout(ms(10))
        .connect_backoff(ms(4), ms(16))
        .idle_timeout(ms(6));
    if random.below(2) == 0 {
        pool = pool.max_lifetime(ms(25)).max_uses(6);
    }
    if random.below(2) == 0 {
        // Every third check fails and every ninth hangs.
        let checks = std::sync::atomic::AtomicUsize::new(0);
        pool = pool
            .check_after(ms(2))
            .check_timeout(ms(3))
            .check_with(move |_: &mut Conn| {
                let check = checks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Box::pin(async move {
                    if check % 9 == 8 {
                        std::future::pending::<()>().await;
                    }
                    check % 3 != 2
                })
            });
        if random.below(2) == 0 {
            pool = pool.keep_alive(ms(4)).min_idle(1);
        }
    }
    let mut run = Run {
        pool: &pool,
        dialler: &dialler,
        max,
        max_total,
        most: usize::MAX,
        getting: Vec::new(),
        leases: Vec::new(),
        detached: Vec::new(),
        refusals: 0,
    };
    for _ in 0..120 {
        match random.below(12) {
            0..=3 => {
                let key = [0, 0, 0, 1, 1, 2][random.below(6)];
                dialler.push(how(&mut random));
                let pool = run.pool;
                let get: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move { pool.get(&key).await });
                let mut get = task::spawn(get);
                match get.poll() {
                    Poll::Ready(result) => run.note(key, result),
                    Poll::Pending => run.getting.push((key, get)),
                }
            }
            4 | 5 if !run.leases.is_empty() => {
                let which = random.below(run.leases.len());
                drop(run.leases.swap_remove(which));
            }
            6 if !run.leases.is_empty() => {
                let which = random.below(run.leases.len());
                let (_, mut lease) = run.leases.swap_remove(which);
                if random.below(4) == 0 {
                    run.detached.push(lease.detach());
                } else {
                    lease.mark_broken();
                }
            }
            // Cancelled where it stands, perhaps just after it was served, or in the middle of a check.
            7 if !run.getting.is_empty() => {
                let which = random.below(run.getting.len());
                drop(run.getting.remove(which));
            }
            8 => {
                // Only time is skipped, so that the next step may find several things due at once.
                advance(ms(random.below(8) as u64)).await;
                continue;
            }
            9 if random.below(4) == 0 => match random.below(3) {
                0 => {
                    run.max = 1 + random.below(3);
                    run.pool.handle().resize(run.max);
                }
                1 => {
                    run.max_total = 2 + random.below(4);
                    run.pool.handle().resize_total(run.max_total);
                }
                _ => run.pool.handle().reset(),
            },
            _ => {
                run.settle().await;
                run.check();
            }
        }
    }

    // Everybody goes: everything comes back, and there is as much to be had as at first.
    run.getting.clear();
    run.leases.clear();
    run.dialler.script.lock().unwrap().clear();
    // What was under way fails, and then it may be tried again.
    for _ in 0..2 {
        advance(ms(40)).await;
        run.settle().await;
    }
    // A check in the background, or a connect for the minimum, may be under way at any time, but not for ever.
    let mut quiet = false;
    for _ in 0..50 {
        let stats = run.check();
        assert_eq!(stats.waiting, 0, "{stats:?}");
        quiet |= (stats.active, stats.connecting) == (0, 0);
        advance(ms(1)).await;
        run.settle().await;
    }
    assert!(quiet, "{:?}", run.check());
    let all = run.max.min(run.max_total);
    let fresh = run.pool.clone().wait_timeout(Duration::from_secs(1));
    for key in 0..2 {
        let leases: Vec<_> = futures::future::join_all((0..all).map(|_| fresh.get(&key))).await;
        assert!(leases.iter().all(Result::is_ok), "{leases:?}");
        fresh.clone().wait_timeout(ms(5)).get(&key).await.unwrap_err();
    }
    pool.close();
    advance(ms(20)).await;
    run.settle().await;
    assert_eq!(dialler.open(), run.detached.len());
    let stats = pool.handle().stats();
    assert_eq!((stats.keys, stats.connecting), (0, 0));
    stats
}

#[tokio::test(start_paused = true)]
async fn two_thousand_random_lives_never_exceed_a_limit_and_lose_no_slot() {
    let mut happened = [0; 14];
    for seed in 0..2_000 {
        let life = std::panic::AssertUnwindSafe(life(seed));
        let stats = futures::FutureExt::catch_unwind(life)
            .await
            .unwrap_or_else(|panic| {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic)
            });
        let closed = stats.closed;
        let counts = [
            stats.connect_errors,
            stats.connect_timeouts,
            stats.failed,
            stats.timeouts,
            stats.queue_full,
            stats.too_many_keys,
            stats.detached,
            closed.broken,
            closed.unfit,
            closed.idle,
            closed.lifetime,
            closed.evicted,
            closed.surplus,
            closed.shutdown,
        ];
        happened.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    // Lives in which nothing goes wrong would prove nothing.
    assert!(happened.iter().all(|n| *n > 100), "{happened:?}");
}
