//! Room that was offered to one who goes, or who is served otherwise, goes to the next: on his shelf, and on others.

mod support;

use std::time::Duration;

use hook_pool::ConnectionPool;
use support::{Dialler, How, TestPool, ms};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{Instant, sleep},
};

fn keyed(dialler: &Dialler, max: usize) -> TestPool<&'static str> {
    ConnectionPool::new(dialler.clone(), max)
}

/// Stands in line, and tells how long it took.
async fn in_line(pool: &TestPool<&'static str>, key: &'static str, holds: Duration) -> JoinHandle<Duration> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let start = Instant::now();
        let connection = pool.get(&key).await.expect("a connection in the end");
        let waited = start.elapsed();
        sleep(holds).await;
        drop(connection);
        waited
    });
    for _ in 0..5 {
        yield_now().await;
    }
    task
}

const AT_ONCE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn one_who_was_offered_a_slot_and_then_a_connection_leaves_the_slot_to_the_next() {
    let pool = keyed(&Dialler::default(), 2);
    let mut broken = pool.get(&"a").await.unwrap();
    let sound = pool.get(&"a").await.unwrap();
    let _first = in_line(&pool, "a", LONG).await;
    let second = in_line(&pool, "a", AT_ONCE).await;
    broken.mark_broken();
    drop(broken);
    drop(sound);
    assert!(second.await.unwrap() < ms(10));
}

#[tokio::test(start_paused = true)]
async fn room_offered_to_one_who_goes_is_the_next_keys() {
    let pool = keyed(&Dialler::default(), 2).max_total(1);
    let used = pool.get(&"a").await.unwrap();
    let goes = in_line(&pool, "b", AT_ONCE).await;
    let stays = in_line(&pool, "c", AT_ONCE).await;
    drop(used);
    goes.abort();
    assert!(stays.await.unwrap() < ms(10));
}

#[tokio::test(start_paused = true)]
async fn room_offered_to_one_who_is_served_by_his_own_key_is_the_next_keys() {
    let pool = keyed(&Dialler::default(), 2).max_total(2).no_idle_timeout();
    let mut broken = pool.get(&"a").await.unwrap();
    let sound = pool.get(&"b").await.unwrap();
    let _served = in_line(&pool, "b", LONG).await;
    let waits = in_line(&pool, "c", AT_ONCE).await;
    broken.mark_broken();
    drop(broken);
    drop(sound);
    assert!(waits.await.unwrap() < ms(10));
}

#[tokio::test(start_paused = true)]
async fn room_of_a_connect_that_came_too_late_is_the_next_keys() {
    let pool = keyed(&Dialler::default().then(How::OpenAfter(ms(100))), 1).max_total(1);
    let gone = in_line(&pool, "a", AT_ONCE).await;
    let waits = in_line(&pool, "b", AT_ONCE).await;
    gone.abort();
    yield_now().await;
    pool.handle().reset();
    assert!(waits.await.unwrap() < ms(200));
}

#[tokio::test(start_paused = true)]
async fn one_whose_own_connections_went_with_a_lowered_limit_gets_the_next_room() {
    let pool = keyed(&Dialler::default(), 2).max_total(4).no_idle_timeout();
    let own = [pool.get(&"a").await.unwrap(), pool.get(&"a").await.unwrap()];
    let others = [pool.get(&"b").await.unwrap(), pool.get(&"b").await.unwrap()];
    // It waits for one of its own key's two.
    let waits = in_line(&pool, "a", AT_ONCE).await;
    pool.handle().resize_total(2);
    // They are two too many now, and nothing of its own is left to hope for.
    drop(own);
    drop(others);
    assert!(waits.await.unwrap() < ms(10));
}
