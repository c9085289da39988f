//! The deadline.

use super::*;

#[tokio::test]
async fn timeout_comes_at_the_deadline_with_what_was_said_so_far() {
    let pids = Pids::new();
    let script = "trap '' TERM; echo $$ > me.pid; echo early; echo why >&2; sleep 60 & wait; sleep 60";
    let (keep, dropped) = Keep::new();
    let limits = Limits {
        grace: Duration::from_millis(1500),
        ..timeout(1000)
    };
    let started = Instant::now();
    let result = process::run(&sh(script).cwd(pids.path()), b"", &limits, keep).await;
    let took = started.elapsed();

    let Err(RunError::TimedOut {
        after,
        stdout,
        stderr,
    }) = result
    else {
        panic!("{result:?}")
    };
    assert!(
        after >= limits.timeout && took < limits.timeout + Duration::from_millis(1000),
        "{took:?}"
    );
    assert_eq!(
        (stdout.text().as_ref(), stderr.text().as_ref()),
        ("early\n", "why\n")
    );

    assert!(
        !dropped.load(Ordering::SeqCst),
        "it has SIGTERM ignored, and its grace"
    );
    assert!(!is_gone(pids.all()[0]));
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    assert!(started.elapsed() >= limits.timeout + limits.grace);
    assert!(is_gone(pids.all()[0]), "keep outlived the program");
}

#[tokio::test]
async fn what_was_said_in_time_is_heard_also_by_a_busy_caller() {
    let pids = Pids::new();
    let command = sh("echo early; echo why >&2; echo $$ > me.pid; sleep 60").cwd(pids.path());
    let limits = timeout(200);
    let (result, ()) = tokio::join!(process::run(&command, b"", &limits, ()), async {
        // The only thread there is, until after the deadline.
        let started = Instant::now();
        while pids.all().is_empty() || started.elapsed() < limits.timeout * 2 {
            std::thread::yield_now();
        }
    });
    let Err(RunError::TimedOut { stdout, stderr, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (stdout.text().as_ref(), stderr.text().as_ref()),
        ("early\n", "why\n")
    );
}

#[tokio::test]
async fn a_program_that_honours_sigterm_is_gone_long_before_the_grace_is_over() {
    let (keep, dropped) = Keep::new();
    let limits = Limits {
        grace: PATIENCE * 10,
        ..timeout(100)
    };
    process::run(&sh("sleep 60 & sleep 60"), b"", &limits, keep)
        .await
        .unwrap_err();
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_program_gets_to_clean_up_on_sigterm_once_and_to_talk_about_it() {
    let pids = Pids::new();
    // More than a pipe holds, to both of them: its own words neither kill nor hold it.
    let script = "trap 'head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; echo bye >> log; exit' TERM
        echo $$ > me.pid; while :; do sleep 0.01; done";
    let (keep, dropped) = Keep::new();
    let limits = Limits {
        grace: PATIENCE * 10,
        ..limits()
    };
    dropped_when_up(&sh(script).cwd(pids.path()), &limits, keep, &pids, 1).await;
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
    assert_eq!(fs::read_to_string(pids.path().join("log")).unwrap(), "bye\n");
}

#[tokio::test]
async fn a_stopped_program_dies_too() {
    let (keep, dropped) = Keep::new();
    let limits = Limits {
        grace: PATIENCE * 10,
        ..timeout(200)
    };
    process::run(&sh("kill -STOP $$"), b"", &limits, keep)
        .await
        .unwrap_err();
    until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_program_that_leaves_its_group_is_signalled_by_its_own_number() {
    for (disposition, grace) in [
        ("SIG_DFL", PATIENCE * 10),
        ("SIG_IGN", Duration::from_millis(100)),
    ] {
        let pids = Pids::new();
        let script = format!(
            "import os, signal, time\n\
             signal.signal(signal.SIGTERM, signal.{disposition})\n\
             os.setpgid(0, os.getpgid(os.getppid()))\n\
             open('me.pid', 'w').write(str(os.getpid()))\n\
             time.sleep(60)"
        );
        let (keep, dropped) = Keep::new();
        let limits = Limits { grace, ..limits() };
        dropped_when_up(&python(&script).cwd(pids.path()), &limits, keep, &pids, 1).await;
        until("keep is dropped", || dropped.load(Ordering::SeqCst)).await;
        pids.all_gone(1).await;
    }
}

#[tokio::test]
async fn endless_limits_are_no_arithmetic_error() {
    let limits = Limits {
        timeout: Duration::MAX,
        grace: Duration::MAX,
        drain: Duration::MAX,
        stdout: usize::MAX,
        stderr: usize::MAX,
    };
    let finished = process::run(&sh("echo 1"), b"", &limits, ()).await.unwrap();
    assert_eq!(finished.stdout.text(), "1\n");
    let none = Limits {
        timeout: Duration::ZERO,
        ..limits
    };
    process::run(&sh("sleep 60"), b"", &none, ()).await.unwrap_err();
}
