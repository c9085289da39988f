//! Timers go from hand to hand along a line; nobody waits any longer for that, and nothing stays behind.
#![cfg(not(loom))]
mod support;

use std::{
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use hook_pool::{ConnectionPool, GetError};
use support::{Dialler, Lease, Refused, ms};
use tokio::{
    runtime::Builder,
    time::{Instant, advance, timeout},
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};

type Getting<'a> = Pin<Box<dyn Future<Output = Result<Lease, GetError<Refused>>> + 'a>>;

#[tokio::test(start_paused = true)]
async fn whoever_has_the_timer_of_one_who_was_served_waits_as_long_as_anybody() {
    let pool = Dialler::default().pool(1).wait_timeout(ms(100));
    let begun = Instant::now();
    let lease = pool.get(&()).await.unwrap();
    let mut served = task::spawn(pool.get(&()));
    let mut stays = task::spawn(pool.get(&()));
    assert_pending!(served.poll());
    assert_pending!(stays.poll());
    advance(ms(60)).await;
    drop(lease);
    let _lease = assert_ready_ok!(served.poll());
    let mut heir = task::spawn(pool.get(&()));
    assert_pending!(heir.poll());

    stays.await.unwrap_err();
    assert_eq!(begun.elapsed(), ms(100));
    // When the timer was to go off at first.
    assert_pending!(heir.poll());
    assert!(matches!(heir.await, Err(GetError::Timeout(_))));
    assert_eq!(begun.elapsed(), ms(160));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_less_patience_is_not_bound_to_the_timer_of_one_who_had_more() {
    let patient = Dialler::default().pool(1).wait_timeout(Duration::from_secs(60));
    let hasty = patient.clone().wait_timeout(ms(10));
    let lease = patient.get(&()).await.unwrap();
    let mut served = task::spawn(patient.get(&()));
    let mut stays = task::spawn(patient.get(&()));
    assert_pending!(served.poll());
    assert_pending!(stays.poll());
    drop(lease);
    let _lease = assert_ready_ok!(served.poll());
    let mut heir = task::spawn(hasty.get(&()));
    assert_pending!(heir.poll());
    advance(ms(11)).await;
    assert!(heir.is_woken());
    assert_ready_err!(heir.poll());
    assert_pending!(stays.poll());
}

#[test]
fn a_timer_of_a_runtime_that_nobody_drives_is_nobody_elses() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (still, driven) = (runtime(), runtime());
    let pool = Dialler::default().pool(1).wait_timeout(ms(50));
    let lease = driven.block_on(pool.get(&())).unwrap();
    let patient = pool.clone().wait_timeout(Duration::from_secs(3_600));
    let mut stays = task::spawn(patient.get(&()));
    let mut served = task::spawn(pool.get(&()));
    still.block_on(async {
        assert_pending!(served.poll());
        assert_pending!(stays.poll());
    });
    drop(lease);
    let _lease = still.block_on(async { assert_ready_ok!(served.poll()) });
    let waited = driven.block_on(async { timeout(Duration::from_secs(20), pool.get(&())).await });
    assert!(matches!(waited, Ok(Err(GetError::Timeout(_)))), "{waited:?}");
}

struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn when_the_line_ends_the_wakers_of_those_who_were_served_are_gone() {
    // The last in line is served, or gives up, or goes.
    for end in 0..3 {
        let counted = Arc::new(Counted);
        let waker = Waker::from(counted.clone());
        let mut cx = Context::from_waker(&waker);
        let pool = Dialler::default().pool(1).wait_timeout(ms(100));
        let lease = pool.get(&()).await.unwrap();
        let mut first: Getting<'_> = Box::pin(pool.get(&()));
        let mut last: Getting<'_> = Box::pin(pool.get(&()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        advance(ms(50)).await;
        assert!(
            last.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        drop(lease);
        let Poll::Ready(Ok(lease)) = first.as_mut().poll(&mut cx) else {
            panic!("it was this one's turn")
        };
        drop(first);
        assert_eq!(
            Arc::strong_count(&counted),
            3,
            "in the timer that is left for the next"
        );
        match end {
            0 => drop(lease),
            1 => assert!(matches!(last.as_mut().await, Err(GetError::Timeout(_)))),
            _ => drop(last),
        }
        assert_eq!(Arc::strong_count(&counted), 2, "in {end}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_line_that_goes_on_waiting_allocates_nothing() {
    let pool = ConnectionPool::new(
        tower::service_fn(|()| -> Ready<Result<u64, Refused>> { ready(Ok(1)) }),
        1,
    );
    let mut cx = Context::from_waker(Waker::noop());
    let mut lease = Some(pool.get(&()).await.unwrap());
    let mut boxes: Vec<_> = (0..3).map(|_| Some(Box::pin(pool.get(&())))).collect();
    for waiter in boxes.iter_mut().flatten() {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    let mut turn = 0;
    let mut take_turns = || {
        lease = None;
        let waiter = boxes[turn % 3].as_mut().expect("all three are there");
        match waiter.as_mut().poll(&mut cx) {
            Poll::Ready(got) => lease = got.ok(),
            Poll::Pending => panic!("it was this one's turn"),
        }
        waiter.set(pool.get(&()));
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
        turn += 1;
    };
    (0..6).for_each(|_| take_turns());
    let seen = allocation_counter::measure(|| (0..1_000).for_each(|_| take_turns()));
    assert_eq!((seen.count_total, seen.count_current), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn somebody_in_line_who_is_not_polled_again_costs_nobody_else_the_time() {
    let pool = Dialler::default().pool(1).wait_timeout(ms(100));
    let lease = pool.get(&()).await.unwrap();
    let mut sleeper = pin!(pool.get(&()));
    assert!(
        sleeper
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let others = futures::future::join_all((0..3).map(|_| pool.get(&()))).await;
    assert!(
        others
            .iter()
            .all(|other| matches!(other, Err(GetError::Timeout(_))))
    );
    drop(lease);
}
