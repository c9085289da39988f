//! As `stuck.rs`, with everything switched on at random: checks, keep-alive, minimum, lifetimes, uses, warm-up, resize.
#![cfg(not(loom))]
mod support;

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Poll,
    time::Duration,
};

use hook_pool::GetError;
use support::{Conn, Dialler, How, Lease, Random, Refused, TestPool, ms};
use tokio::time::advance;
use tokio_test::task::{self, Spawn};
use tower::Service;

type Got = Option<Result<Lease, GetError<Refused>>>;
type Getting<'a> = Spawn<Pin<Box<dyn Future<Output = Got> + 'a>>>;

fn how(random: &mut Random) -> How {
    match random.below(10) {
        0..=4 => How::Open,
        5..=7 => How::OpenAfter(ms(1 + random.below(5) as u64)),
        8 => How::Refuse,
        _ => How::RefuseAfter(ms(1 + random.below(5) as u64)),
    }
}

async fn settle(getting: &mut Vec<Getting<'_>>, leases: &mut Vec<Lease>) {
    for _ in 0..6 {
        while let Some(woken) = getting.iter().position(Spawn::is_woken) {
            if let Poll::Ready(result) = getting[woken].poll() {
                drop(getting.remove(woken));
                leases.extend(result.into_iter().flatten());
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn life(seed: u64) -> Result<(), String> {
    let mut random = Random(seed);
    let dialler = Dialler::default();
    let keys = 1 + random.below(5);
    let max0 = 1 + random.below(3);
    let mut pool: TestPool<u8> = TestPool::new(dialler.clone(), max0)
        .wait_timeout(Duration::from_secs(3_600))
        .connect_backoff(ms(2), ms(8))
        .no_idle_timeout();
    let mut said = format!("seed {seed} keys {keys} max {max0}");
    let mut on = |name: &str, random: &mut Random, n: usize| {
        let on = random.below(n) == 0;
        if on {
            said.push(' ');
            said.push_str(name);
        }
        on
    };
    if on("total", &mut random, 2) {
        pool = pool.max_total(1 + random.below(4));
    }
    if on("connecting1", &mut random, 3) {
        pool = pool.max_connecting(1);
    }
    if on("uses", &mut random, 3) {
        pool = pool.max_uses(1 + random.below(3) as u64);
    }
    if on("lifetime", &mut random, 3) {
        pool = pool.max_lifetime(ms(10 + random.below(30) as u64));
    }
    if on("idle", &mut random, 3) {
        pool = pool.idle_timeout(ms(5));
    }
    let min = on("min", &mut random, 4);
    if min {
        pool = pool.min_idle(1 + random.below(2));
    }
    if on("keys", &mut random, 4) {
        pool = pool.max_keys(2);
    }
    if on("check", &mut random, 2) {
        let checks = AtomicUsize::new(0);
        let after = ms(random.below(4) as u64);
        pool = pool
            .check_after(after)
            .check_timeout(ms(3))
            .check_with(move |_: &mut Conn| {
                let n = checks.fetch_add(1, SeqCst);
                Box::pin(async move {
                    if n % 5 == 4 {
                        std::future::pending::<()>().await;
                    }
                    if n % 2 == 1 {
                        tokio::time::sleep(ms(1)).await;
                    }
                    n % 3 != 2
                })
            });
        if on("alive", &mut random, 2) {
            pool = pool.keep_alive(ms(4));
        }
    }
    let pool = pool;
    let (mut getting, mut leases) = (Vec::<Getting<'_>>::new(), Vec::new());
    for _ in 0..80 {
        match random.below(15) {
            0..=4 => {
                let (pool, key) = (&pool, random.below(keys) as u8);
                dialler.push(how(&mut random));
                let get: Pin<Box<dyn Future<Output = Got>>> = match random.below(4) {
                    0 => {
                        let call = pool.clone().call(key);
                        Box::pin(async move { Some(call.await) })
                    }
                    _ => Box::pin(async move { Some(pool.get(&key).await) }),
                };
                let mut get = task::spawn(get);
                match get.poll() {
                    Poll::Ready(result) => leases.extend(result.into_iter().flatten()),
                    Poll::Pending => getting.push(get),
                }
            }
            5 | 6 if !leases.is_empty() => drop(leases.swap_remove(random.below(leases.len()))),
            7 if !leases.is_empty() => leases.swap_remove(random.below(leases.len())).mark_broken(),
            8 if !getting.is_empty() => drop(getting.remove(random.below(getting.len()))),
            9 => advance(ms(random.below(4) as u64)).await,
            10 if random.below(8) == 0 => pool.handle().reset(),
            10 if random.below(8) == 0 => pool.handle().resize_total(1 + random.below(4)),
            10 if random.below(8) == 0 => pool.handle().resize(1 + random.below(3)),
            12 if random.below(3) == 0 => {
                let (pool, key, n) = (&pool, random.below(keys) as u8, 1 + random.below(4));
                dialler.push(how(&mut random));
                let warm: Pin<Box<dyn Future<Output = Got>>> = Box::pin(async move {
                    let _result = pool.warm_up(&key, n).await;
                    None
                });
                let mut warm = task::spawn(warm);
                if warm.poll().is_pending() {
                    getting.push(warm);
                }
            }
            13 if !leases.is_empty() && random.below(4) == 0 => {
                drop(leases.swap_remove(random.below(leases.len())).detach());
            }
            11 | 14 => settle(&mut getting, &mut leases).await,
            _ => {}
        }
    }
    dialler.script.lock().unwrap().clear();
    for _ in 0..80 {
        settle(&mut getting, &mut leases).await;
        leases.clear();
        advance(ms(4)).await;
    }
    settle(&mut getting, &mut leases).await;
    leases.clear();
    let stats = pool.handle().stats();
    if !getting.is_empty() {
        return Err(format!("{said}: {} forgotten, {stats:?}", getting.len()));
    }
    // Then nobody asks any more.
    for _ in 0..20 {
        settle(&mut getting, &mut leases).await;
        advance(ms(4)).await;
    }
    let mut quiet = false;
    for _ in 0..30 {
        settle(&mut getting, &mut leases).await;
        let stats = pool.handle().stats();
        quiet |= stats.active == 0 && stats.connecting == 0;
        assert_eq!(
            stats.created,
            stats.total as u64 + stats.detached + stats.closed.total()
        );
        assert_eq!(dialler.open(), stats.total);
        advance(ms(1)).await;
    }
    if !quiet {
        return Err(format!("{said}: not quiet, {:?}", pool.handle().stats()));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn in_random_lives_with_everything_on_nobody_is_forgotten() {
    let mut failed = Vec::new();
    for seed in 0..1_000 {
        if let Err(err) = life(seed).await {
            failed.push(err);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of 1,000\n{}",
        failed.len(),
        failed
            .iter()
            .take(6)
            .map(|s| s.chars().take(420).collect::<String>())
            .collect::<Vec<_>>()
            .join("\n")
    );
}
