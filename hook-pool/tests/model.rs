//! Random lives of a pool against what must always hold. Seeded: a failure names its seed.

mod support;

use std::{future::Future, pin::Pin, time::Duration};

use hook_pool::{GetError, PoolStats};
use support::{Conn, Dialler, How, Lease, Refused, TestPool, ms};
use tokio::time::advance;
use tokio_test::task::{self, Spawn};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }

    fn how(&mut self) -> How {
        match self.below(8) {
            0..=2 => How::Open,
            3 | 4 => How::OpenAfter(ms(self.below(12) as u64)),
            5 | 6 => How::Refuse,
            _ => How::Hang,
        }
    }
}

type Key = u8;
type Getting<'a> = Spawn<Pin<Box<dyn Future<Output = Result<Lease<Key>, GetError<Refused>>> + 'a>>>;

const MAX: usize = 2;
const KEYS: usize = 3;

struct Run<'a> {
    pool: &'a TestPool<Key>,
    dialler: &'a Dialler,
    getting: Vec<(Key, Getting<'a>)>,
    leases: Vec<(Key, Lease<Key>)>,
    detached: Vec<Conn>,
    refusals: u64,
}

impl Run<'_> {
    /// Polls whatever was woken, oldest first, until nothing is any more.
    fn settle(&mut self) {
        while let Some(woken) = self.getting.iter().position(|(_, get)| get.is_woken()) {
            if let std::task::Poll::Ready(result) = self.getting[woken].1.poll() {
                let (key, _) = self.getting.remove(woken);
                match result {
                    Ok(lease) => self.leases.push((key, lease)),
                    Err(_) => self.refusals += 1,
                }
            }
        }
    }

    fn check(&self) -> PoolStats {
        let stats = self.pool.handle().stats();
        for key in 0..KEYS as Key {
            let out = self.leases.iter().filter(|(of, _)| *of == key).count();
            assert!(out <= MAX, "{out} out for key {key}");
        }
        assert!(stats.keys <= KEYS, "{stats:?}");
        assert!(stats.total + stats.connecting <= MAX * KEYS, "{stats:?}");
        assert_eq!(
            self.dialler.open(),
            stats.total + self.detached.len(),
            "{stats:?}"
        );
        assert_eq!(stats.active, self.leases.len(), "{stats:?}");
        // Whoever is under way stands in line or is connecting: nobody is forgotten.
        assert_eq!(stats.waiting + stats.connecting, self.getting.len(), "{stats:?}");
        assert_eq!(
            stats.created,
            stats.total as u64 + stats.detached + stats.closed.total(),
            "{stats:?}"
        );
        let refused = stats.connect_errors + stats.connect_timeouts + stats.timeouts + stats.queue_full;
        assert_eq!(refused + stats.too_many_keys, self.refusals, "{stats:?}");
        stats
    }
}

async fn life(seed: u64) -> PoolStats {
    let mut random = Random(seed);
    let dialler = Dialler::default();
    let pool: TestPool<Key> = TestPool::new(dialler.clone(), MAX)
        .max_waiting(4)
        .max_keys(2)
        .wait_timeout(ms(20))
        .connect_timeout(ms(10))
        .idle_timeout(ms(6));
    let mut run = Run {
        pool: &pool,
        dialler: &dialler,
        getting: Vec::new(),
        leases: Vec::new(),
        detached: Vec::new(),
        refusals: 0,
    };
    for _ in 0..120 {
        match random.below(10) {
            0..=3 => {
                let key = [0, 0, 0, 1, 1, 2][random.below(6)];
                dialler.push(random.how());
                let pool = run.pool;
                let get: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move { pool.get(&key).await });
                let mut get = task::spawn(get);
                match get.poll() {
                    std::task::Poll::Ready(Ok(lease)) => run.leases.push((key, lease)),
                    std::task::Poll::Ready(Err(_)) => run.refusals += 1,
                    std::task::Poll::Pending => run.getting.push((key, get)),
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
            // Cancelled where it stands, perhaps just after it was served.
            7 if !run.getting.is_empty() => {
                let which = random.below(run.getting.len());
                drop(run.getting.remove(which));
            }
            8 => {
                // Only time is skipped, so that the next step may find several things due at once.
                advance(ms(random.below(8) as u64)).await;
                continue;
            }
            _ => {
                run.settle();
                run.check();
            }
        }
    }

    // Everybody goes: everything comes back, and there is as much to be had as at first.
    run.getting.clear();
    run.leases.clear();
    let stats = run.check();
    assert_eq!((stats.connecting, stats.waiting, stats.active), (0, 0, 0));
    *dialler.script.lock().unwrap() = std::collections::VecDeque::new();
    let hasty = pool.clone().wait_timeout(Duration::ZERO);
    for key in 0..2 {
        let all = [hasty.get(&key).await.unwrap(), hasty.get(&key).await.unwrap()];
        hasty.get(&key).await.unwrap_err();
        // Not a refusal the run has to account for.
        drop(all);
    }
    pool.close();
    assert_eq!(dialler.open(), run.detached.len());
    assert_eq!(pool.handle().stats().keys, 0);
    pool.handle().stats()
}

#[tokio::test(start_paused = true)]
async fn two_thousand_random_lives_never_exceed_a_limit_and_lose_no_slot() {
    let mut happened = [0; 10];
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
            stats.timeouts,
            stats.queue_full,
            stats.too_many_keys,
            stats.detached,
            closed.broken,
            closed.idle,
            closed.evicted,
            closed.shutdown,
        ];
        happened.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    // Lives in which nothing goes wrong would prove nothing.
    assert!(happened.iter().all(|n| *n > 100), "{happened:?}");
}
