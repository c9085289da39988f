//! A pool of a fixed size: as many connections are kept idle as there may be.
#![cfg(not(loom))]
mod support;

use futures::executor::block_on;
use support::Dialler;

/// As HikariCP recommends it.
#[tokio::test]
async fn a_checkout_from_a_pool_of_a_fixed_size_allocates_nothing_and_calls_nobody() {
    let pool = Dialler::default().pool(4).min_idle(4);
    pool.warm_up(&(), 4).await.unwrap();
    for _ in 0..100 {
        drop(pool.get(&()).await.unwrap());
    }
    // Its first use allocates, once for each thread.
    block_on(async {});
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            drop(block_on(pool.get(&())).unwrap());
        }
    });
    assert_eq!(info.count_total, 0);
}
