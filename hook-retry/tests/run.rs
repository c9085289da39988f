//! Without tower.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use hook_retry::{Attempt, Exponential, Fixed, RetryPolicy, Verdict};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, task};

const MS: Duration = Duration::from_millis(1);

fn plain(retries: u32) -> RetryPolicy {
    RetryPolicy::new()
        .retries(retries)
        .backoff(Exponential::from_millis(100).no_jitter())
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_its_number_and_the_time() {
    let seen = RefCell::new(vec![]);
    let policy = plain(3);
    let answer = policy
        .run(|attempt| {
            seen.borrow_mut()
                .push((attempt.number, attempt.elapsed.as_millis()));
            async move { Err::<(), _>(attempt.number) }
        })
        .await;
    assert_eq!(answer, Err(4));
    assert_eq!(*seen.borrow(), [(1, 0), (2, 100), (3, 300), (4, 700)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_before_the_first_poll_and_nothing_after_the_drop() {
    let runs = Cell::new(0);
    let policy = plain(3);
    let attempt = |_: Attempt| {
        runs.set(runs.get() + 1);
        async { Err::<(), _>(()) }
    };
    drop(policy.run(attempt));
    assert_eq!(runs.get(), 0);

    let mut run = task::spawn(policy.run(attempt));
    assert_pending!(run.poll());
    drop(run);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(runs.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn neither_the_total_time_nor_a_deadline_is_slept_past() {
    let start = Instant::now();
    let policy = plain(9).max_elapsed(1_000 * MS);
    let fail = |attempt: Attempt| async move { Err::<(), _>(attempt.number) };
    assert_eq!(policy.run(fail).await, Err(4));
    assert_eq!(start.elapsed(), 700 * MS);

    let start = Instant::now();
    let deadline = (start + 300 * MS).into_std();
    assert_eq!(policy.run(fail).deadline(deadline).await, Err(2));
    assert_eq!(start.elapsed(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_first_poll() {
    let policy = plain(1).max_elapsed(150 * MS);
    let run = policy.run(|attempt| async move { Err::<(), _>(attempt.number) });
    sleep(Duration::from_secs(60)).await;
    assert_eq!(run.await, Err(2));
}

#[tokio::test(start_paused = true)]
async fn the_classifier_sees_the_whole_result() {
    let policy = RetryPolicy::new().backoff(Fixed::from_millis(10)).classify_with(
        |result: Result<&u32, &&str>, _: &Attempt| match result {
            Ok(1) => Verdict::Retry,
            Ok(2) => Verdict::RetryAfter(50 * MS),
            _ => Verdict::Stop,
        },
    );
    let start = Instant::now();
    let answer = policy
        .run(|attempt| async move {
            if attempt.number < 3 {
                Ok(attempt.number)
            } else {
                Err("enough")
            }
        })
        .await;
    assert_eq!((answer, start.elapsed()), (Err("enough"), 60 * MS));
}
