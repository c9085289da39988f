//! Children.

use super::*;

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_holds_nothing_else() {
    let pids = Pids::new();
    let (keep, dropped) = Keep::new();
    let script = "(echo $BASHPID; exec sleep 60) & echo $! > child.pid; echo out; exit 5";
    let finished = process::run(&sh(script).cwd(pids.path()), b"", &limits(), keep)
        .await
        .unwrap();
    assert_eq!(finished.ended, Ended::Code(5));
    assert!(finished.stdout.text().contains("out\n"));
    assert!(finished.took < Duration::from_secs(20));
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    pids.all_gone(1).await;
}

#[tokio::test]
async fn a_grandchild_that_never_stops_writing_holds_nothing_either() {
    let started = Instant::now();
    let (keep, dropped) = Keep::new();
    let finished = process::run(&sh("yes & exit 0"), b"", &limits(), keep)
        .await
        .unwrap();
    assert_eq!(finished.ended, Ended::Code(0));
    assert!(started.elapsed() < Duration::from_secs(20));
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_grandchild_that_finishes_its_sentence_is_heard() {
    let limits = Limits {
        drain: Duration::from_secs(20),
        ..limits()
    };
    let started = Instant::now();
    let finished = process::run(&sh("(sleep 0.2; echo late) & echo early"), b"", &limits, ())
        .await
        .unwrap();
    assert_eq!(finished.stdout.text(), "early\nlate\n");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "the end of the pipes is the end of the wait"
    );
}

#[tokio::test]
async fn a_quiet_background_child_dies_with_its_program() {
    let pids = Pids::new();
    // Without the pipes, and deaf to SIGTERM.
    let script = "(trap '' TERM; sleep 60; sleep 60) >/dev/null 2>&1 </dev/null & echo $! > child.pid";
    let (keep, dropped) = Keep::new();
    let limits = Limits {
        grace: Duration::from_millis(300),
        ..limits()
    };
    process::run(&sh(script).cwd(pids.path()), b"", &limits, keep)
        .await
        .unwrap();
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    pids.all_gone(1).await;
}

#[tokio::test]
async fn a_background_child_gets_to_clean_up_first() {
    let pids = Pids::new();
    let script =
        "(trap 'sleep 0.3; echo bye > log; exit' TERM; echo > up; while :; do sleep 0.01; done) >/dev/null 2>&1 &
        while [ ! -e up ]; do sleep 0.01; done";
    let (keep, dropped) = Keep::new();
    process::run(&sh(script).cwd(pids.path()), b"", &limits(), keep)
        .await
        .unwrap();
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    assert_eq!(fs::read_to_string(pids.path().join("log")).unwrap(), "bye\n");
}

#[tokio::test]
async fn a_daemon_that_has_escaped_does_not_delay_the_result() {
    let pids = Pids::new();
    let script =
        "setsid sh -c 'echo $$ > daemon.pid; exec sleep 60' & while [ ! -s daemon.pid ]; do sleep 0.01; done";
    let (keep, dropped) = Keep::new();
    let started = Instant::now();
    process::run(&sh(script).cwd(pids.path()), b"", &limits(), keep)
        .await
        .unwrap();
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    assert!(started.elapsed() < Duration::from_secs(20));
    let daemon = pids.all()[0];
    assert!(!is_gone(daemon), "documented: without adopt_orphans it lives on");
    rustix::process::kill_process(Pid::from_raw(daemon).unwrap(), rustix::process::Signal::KILL).unwrap();
}
