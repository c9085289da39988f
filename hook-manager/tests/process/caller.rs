//! The caller goes away.

use super::*;

#[tokio::test]
async fn dropped_future_takes_the_whole_group_along() {
    let pids = Pids::new();
    let (keep, dropped) = Keep::new();
    let limits = Limits {
        grace: Duration::from_millis(100),
        ..limits()
    };
    let command = sh(STUBBORN).cwd(pids.path());
    dropped_when_up(&command, &limits, keep, &pids, 2).await;
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    pids.all_gone(2).await;
}

#[tokio::test]
async fn future_dropped_while_reading_what_is_left_takes_the_background_along() {
    let pids = Pids::new();
    let limits = Limits {
        drain: PATIENCE,
        grace: Duration::from_millis(100),
        ..limits()
    };
    let (keep, dropped) = Keep::new();
    let command = sh("trap '' TERM; sleep 60 & echo $! > child.pid").cwd(pids.path());
    tokio::select! {
        result = process::run(&command, b"", &limits, keep) => panic!("{result:?}"),
        () = async { pids.written(1).await; sleep(Duration::from_millis(300)).await } => {}
    }
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    pids.all_gone(1).await;
}

#[test]
fn the_end_of_the_runtime_takes_the_whole_group_along() {
    let pids = Pids::new();
    let (keep, dropped) = Keep::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let command = sh(STUBBORN).cwd(pids.path());
    let limits = Limits {
        grace: Duration::from_millis(100),
        ..limits()
    };
    runtime.spawn(async move { process::run(&command, b"", &limits, keep).await });
    runtime.block_on(pids.written(2));
    runtime.shutdown_background();

    // Another runtime, only to wait with.
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
        pids.all_gone(2).await;
    });
}

#[tokio::test]
async fn keep_is_dropped_at_once_when_nothing_was_started() {
    let (keep, dropped) = Keep::new();
    process::run(&Command::new("/no/such/program"), b"", &limits(), keep)
        .await
        .unwrap_err();
    assert!(dropped.load(Ordering::SeqCst));
    let (keep, dropped) = Keep::new();
    drop(process::run(&sh("exit"), b"", &limits(), keep));
    assert!(dropped.load(Ordering::SeqCst));
    let (keep, dropped) = Keep::new();
    process::run(&sh("exit"), b"", &limits(), keep).await.unwrap();
    assert!(
        dropped.load(Ordering::SeqCst),
        "nothing was left behind, so there is nothing to wait for"
    );
}

#[tokio::test]
async fn a_keep_that_panics_does_not_stop_the_burying() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a keep that panics, on purpose");
        }
    }
    process::run(&sh("sleep 60"), b"", &timeout(50), Bomb)
        .await
        .unwrap_err();
    let (keep, dropped) = Keep::new();
    process::run(&sh("sleep 60"), b"", &timeout(200), keep)
        .await
        .unwrap_err();
    until("the next keep is dropped", || dropped.load(Ordering::SeqCst)).await;
}

#[test]
fn two_hundred_timed_out_programs_with_grandchildren_leave_nothing() {
    alone(
        "caller::two_hundred_timed_out_programs_with_grandchildren_leave_nothing",
        async {
            let pids = Pids::new();
            let slots = Arc::new(tokio::sync::Semaphore::new(25));
            let runs: Vec<_> = (0..200)
            .map(|n| {
                let (cwd, slots) = (pids.path().to_owned(), Arc::clone(&slots));
                tokio::spawn(async move {
                    // Every second one is deaf to SIGTERM.
                    let trap = if n % 2 == 0 { "trap '' TERM;" } else { "" };
                    let script = format!(
                        "{trap} sleep 60 & echo $! > child{n}.tmp; mv child{n}.tmp child{n}.pid; echo $$ > leader{n}.pid; wait; sleep 60"
                    );
                    let limits = Limits { grace: Duration::from_millis(100), ..timeout(400) };
                    let permit = slots.acquire_owned().await.unwrap();
                    process::run(&sh(script).cwd(cwd), b"", &limits, permit).await
                })
            })
            .collect();
            for run in runs {
                assert!(matches!(run.await.unwrap(), Err(RunError::TimedOut { .. })));
            }
            assert_eq!(process::quiesce(PATIENCE).await, 0);
            assert_eq!(
                slots.available_permits(),
                25,
                "keep is dropped before a group counts as gone"
            );
            let pids = pids.all();
            assert!(
                pids.len() > 300,
                "only {} of 400 got to write their number",
                pids.len()
            );
            for pid in pids {
                assert!(
                    state(pid).is_none_or(|state| state == 'Z'),
                    "{pid} lives: {:?}",
                    stat(pid)
                );
            }
            assert_eq!(children(), [] as [i32; 0], "neither children nor zombies");
        },
    );
}
