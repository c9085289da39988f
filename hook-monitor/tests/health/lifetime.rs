//! Beginning, adding, removing and ending.

use std::{future::pending, sync::Arc, time::Duration};

use hook_monitor::health::{Check, Health};
use tokio::time::sleep;

use crate::support::{SECOND, settle};

#[tokio::test(start_paused = true)]
async fn nothing_runs_on_when_the_last_handle_is_gone() {
    let health = Health::new();
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    health
        .add(
            "db",
            Check::new(move || {
                let holds = Arc::clone(&holds);
                async move {
                    pending::<()>().await;
                    drop(holds);
                }
            }),
        )
        .unwrap();
    settle().await;
    let clone = health.clone();
    drop(health);
    sleep(SECOND / 2).await;
    assert_eq!(Arc::strong_count(&held), 3, "a clone is a handle, too");
    drop(clone);
    settle().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn names_and_times_are_validated_and_the_error_says_what_was_expected() {
    let health = Health::new();
    let fine = || Check::new(|| async {});
    let long = "x".repeat(65);
    for name in ["", "a b", "new\nline", "{}", "\u{e4}", long.as_str()] {
        let err = health.add(name, fine()).unwrap_err().to_string();
        assert!(err.contains("expected a name"), "{err}");
        assert!(!err.contains('\n'), "{err}");
    }
    for check in [
        fine().interval(Duration::ZERO),
        fine().interval(Duration::MAX),
        fine().timeout(Duration::ZERO),
        fine().timeout(6 * SECOND),
        fine().timeout(Duration::MAX),
    ] {
        let err = health.add("db", check).unwrap_err().to_string();
        assert!(err.starts_with("check \"db\": expected"), "{err}");
    }
    health.add("db:responseTime", fine()).unwrap();
    assert!(health.add("db:responseTime", fine()).is_err());
    assert!(health.shutdown().await);
    assert!(health.add("late", fine()).is_err());
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_runtime_without_timers_is_refused_at_once_and_not_in_a_task() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _health = runtime.block_on(async { Health::new() });
}

#[test]
#[should_panic(expected = "no reactor running")]
fn outside_of_a_runtime_there_is_no_engine() {
    let _health = Health::new();
}

/// From many threads at once: no deadlock, and nothing left.
#[test]
fn adding_removing_reading_and_shutting_down_may_race() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for round in 0..20 {
        let held = Arc::new(());
        runtime.block_on(async {
            let health = Health::new();
            let racers: Vec<_> = (0..8)
                .map(|at| {
                    let (health, held) = (health.clone(), Arc::clone(&held));
                    tokio::task::spawn_blocking(move || {
                        for n in 0..20 {
                            let holds = Arc::clone(&held);
                            let check = Check::new(move || {
                                let holds = Arc::clone(&holds);
                                async move { drop(holds) }
                            });
                            let name = format!("check-{}", (at + n) % 5);
                            let _ = health.add(&name, check);
                            health.mark_started();
                            drop((health.report(), health.subscribe(), health.is_ready()));
                            if n % 3 == 0 {
                                health.remove(&name);
                            }
                            if at == 0 && n == 15 {
                                health.begin_shutdown();
                            }
                        }
                    })
                })
                .collect();
            if round % 2 == 0 {
                assert!(health.shutdown().await);
            }
            for racer in racers {
                racer.await.unwrap();
            }
            assert!(health.shutdown().await && !health.is_ready());
            health.mark_started();
            assert!(!health.is_ready());
        });
        let deadline = std::time::Instant::now() + 20 * SECOND;
        while Arc::strong_count(&held) > 1 {
            assert!(std::time::Instant::now() < deadline, "a check is still there");
            std::thread::yield_now();
        }
    }
}
