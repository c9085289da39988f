use std::{
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
    time::{Instant, Interval, MissedTickBehavior},
};

use super::{Check, FailureReason, Verdict, engine::Shared, entry::Ran};
use crate::Status;

/// Runs one check for ever, until it is aborted. `present` tells that it has not ended.
pub(super) async fn check(
    shared: Arc<Shared>,
    name: Arc<str>,
    id: u64,
    check: Check,
    present: watch::Receiver<()>,
) {
    loop {
        let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else {
            return;
        };
        let (run, required, present) = (check.run.clone(), check.required, present.clone());
        let start = Instant::now();
        // A task of its own: its panics are caught, in its drop, too, and a run that ignores its
        // timeout keeps the slot until it really ends.
        let mut task = AbortOnDrop(tokio::spawn(async move {
            let _held = (slot, present);
            run.start(required).await
        }));
        match tokio::time::timeout(check.timeout, &mut task.0).await {
            Ok(result) => shared.board.record(&name, id, ran(result, start.elapsed())),
            Err(_) => {
                let verdict = Verdict::unhealthy(format_args!("no answer in {:?}", check.timeout));
                let (reason, took) = (Some(FailureReason::Timeout), start.elapsed());
                shared.board.record(
                    &name,
                    id,
                    Ran {
                        verdict,
                        reason,
                        took,
                    },
                );
                task.0.abort();
                // Never two runs at a time. While this one does not let go, its result grows stale.
                let _ = discard((&mut task.0).await);
            }
        }
        tokio::time::sleep(jittered(check.interval)).await;
    }
}

/// Beats, and looks for results that have become too old.
pub(super) async fn beat(shared: Arc<Shared>, mut beats: Interval) {
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        shared.lag.beat();
        shared.board.refresh();
    }
}

fn ran(result: Result<Verdict, JoinError>, took: Duration) -> Ran {
    match discard(result) {
        Some(verdict) => {
            let failed = verdict.status == Status::Unhealthy;
            let reason = failed.then_some(FailureReason::Error);
            Ran {
                verdict,
                reason,
                took,
            }
        }
        None => Ran {
            verdict: Verdict::unhealthy("panicked"),
            reason: Some(FailureReason::Panic),
            took,
        },
    }
}

/// The payload of a panic is the user's, and so is its drop.
fn discard(result: Result<Verdict, JoinError>) -> Option<Verdict> {
    result
        .map_err(|err| {
            if let Ok(payload) = err.try_into_panic() {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            }
        })
        .ok()
}

/// Ten per cent either way, so that replicas that began together do not stay together.
fn jittered(interval: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) % 2_001;
    interval.mul_f64(0.9 + random as f64 / 10_000.0)
}

struct AbortOnDrop(JoinHandle<Verdict>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jitter_is_ten_per_cent_either_way_and_not_a_constant() {
        let drawn: Vec<_> = (0..1_000).map(|_| jittered(Duration::from_secs(10))).collect();
        let (min, max) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*min >= Duration::from_millis(8_999) && *max <= Duration::from_millis(11_001));
        assert!(*max - *min > Duration::from_secs(1), "{min:?} to {max:?}");
    }
}
