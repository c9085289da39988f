//! Nobody waits for ever: random lives of four keys that share too little room, with every waiter polled only when it was
//! woken. Once all that is out has come back, whoever still stands in line has been forgotten.

mod support;

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use hook_pool::GetError;
use support::{Dialler, How, Lease, Random, Refused, TestPool, ms};
use tokio::time::advance;
use tokio_test::task::{self, Spawn};

type Getting<'a> = Spawn<Pin<Box<dyn Future<Output = Result<Lease, GetError<Refused>>> + 'a>>>;

fn how(random: &mut Random) -> How {
    match random.below(10) {
        0..=4 => How::Open,
        5..=7 => How::OpenAfter(ms(1 + random.below(5) as u64)),
        8 => How::Refuse,
        _ => How::RefuseAfter(ms(1 + random.below(5) as u64)),
    }
}

async fn settle(getting: &mut Vec<Getting<'_>>, leases: &mut Vec<Lease>) {
    for _ in 0..4 {
        while let Some(woken) = getting.iter().position(Spawn::is_woken) {
            if let Poll::Ready(result) = getting[woken].poll() {
                drop(getting.remove(woken));
                leases.extend(result);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// How many are still in line at the end, and how many were served.
async fn life(seed: u64) -> (usize, u64) {
    let mut random = Random(seed);
    let dialler = Dialler::default();
    let pool: TestPool<u8> = TestPool::new(dialler.clone(), 2)
        .max_total(2 + random.below(3))
        .wait_timeout(Duration::from_secs(3_600))
        .connect_backoff(ms(2), ms(8))
        .no_idle_timeout();
    let pool = match random.below(3) {
        0 => pool.max_connecting(1),
        _ => pool,
    };
    let (mut getting, mut leases) = (Vec::<Getting<'_>>::new(), Vec::new());
    for _ in 0..60 {
        match random.below(12) {
            0..=4 => {
                let (pool, key) = (&pool, random.below(4) as u8);
                dialler.push(how(&mut random));
                let get: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move { pool.get(&key).await });
                let mut get = task::spawn(get);
                match get.poll() {
                    Poll::Ready(result) => leases.extend(result),
                    Poll::Pending => getting.push(get),
                }
            }
            5 | 6 if !leases.is_empty() => drop(leases.swap_remove(random.below(leases.len()))),
            7 if !leases.is_empty() => leases.swap_remove(random.below(leases.len())).mark_broken(),
            8 if !getting.is_empty() => drop(getting.remove(random.below(getting.len()))),
            9 => advance(ms(random.below(4) as u64)).await,
            10 if random.below(16) == 0 => pool.handle().reset(),
            10 if random.below(16) == 0 => pool.handle().resize_total(2 + random.below(3)),
            // Woken, and not polled yet when the next thing happens, is where things get lost.
            11 => settle(&mut getting, &mut leases).await,
            _ => {}
        }
    }
    dialler.script.lock().unwrap().clear();
    // From here on all goes well: what is out comes back, as often as it takes.
    for _ in 0..40 {
        settle(&mut getting, &mut leases).await;
        leases.clear();
        advance(ms(4)).await;
    }
    settle(&mut getting, &mut leases).await;
    (getting.len(), pool.handle().stats().checkouts)
}

#[tokio::test(start_paused = true)]
async fn in_six_thousand_random_lives_nobody_is_forgotten() {
    let (mut stuck, mut served) = (Vec::new(), 0);
    // The last two are lives in which somebody was.
    for seed in (0..6_000).chain([19_019, 40_905]) {
        let (left, checkouts) = life(seed).await;
        served += checkouts;
        if left > 0 {
            stuck.push(seed);
        }
    }
    assert!(stuck.is_empty(), "{} lives, of the seeds {stuck:?}", stuck.len());
    // Lives in which nobody is served would prove nothing.
    assert!(served > 60_000, "{served}");
}
