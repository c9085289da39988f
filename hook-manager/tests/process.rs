//! Real programs: what they get, what comes back, and that nothing of them stays. Linux only: it is looked up in `/proc`.

#![cfg(target_os = "linux")]

use std::{
    env, fs,
    future::Future,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hook_manager::process::{self, Captured, Command, Ended, Finished, Limits, RunError};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

/// Far more than anything here takes, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);

fn sh(script: impl Into<String>) -> Command {
    Command::new("/bin/sh").args(["-c".to_owned(), script.into()])
}

fn python(script: &str) -> Command {
    Command::new("python3").args(["-c", script])
}

fn limits() -> Limits {
    Limits {
        timeout: PATIENCE,
        ..Limits::default()
    }
}

fn timeout(millis: u64) -> Limits {
    Limits {
        timeout: Duration::from_millis(millis),
        ..Limits::default()
    }
}

async fn run(command: &Command) -> Finished {
    process::run(command, b"", &limits(), ()).await.unwrap()
}

/// Says when it is dropped.
struct Keep(Arc<AtomicBool>);

impl Keep {
    fn new() -> (Self, Arc<AtomicBool>) {
        let dropped = Arc::new(AtomicBool::new(false));
        (Self(Arc::clone(&dropped)), dropped)
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls; real processes know no virtual time.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Not even a zombie is left. (An orphan's zombie is pid 1's to take, which may take it a moment.)
fn is_gone(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_err()
        || state(pid).is_none_or(|state| state == 'Z' && parent(pid) != Some(std::process::id()))
}

fn stat(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.trim().to_owned())
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.chars().next()
}

fn parent(pid: i32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// A directory in which programs leave their numbers: `echo $$ > NAME.pid`.
struct Pids(TempDir);

impl Pids {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn all(&self) -> Vec<i32> {
        let files = fs::read_dir(self.path()).unwrap().flatten();
        let pids = files.filter(|file| file.path().extension().is_some_and(|ext| ext == "pid"));
        pids.filter_map(|file| fs::read_to_string(file.path()).ok()?.trim().parse().ok())
            .collect()
    }

    async fn written(&self, count: usize) -> Vec<i32> {
        until("the programs are up", || self.all().len() == count).await;
        self.all()
    }

    async fn all_gone(&self, count: usize) {
        for pid in self.written(count).await {
            until(&format!("{pid} is gone ({:?})", stat(pid)), || is_gone(pid)).await;
        }
    }
}

/// Runs until so many numbers are written, and is dropped then.
async fn dropped_when_up(
    command: &Command,
    limits: &Limits,
    keep: impl Send + 'static,
    pids: &Pids,
    count: usize,
) {
    tokio::select! {
        result = process::run(command, b"", limits, keep) => panic!("{result:?}"),
        _ = pids.written(count) => {}
    }
}

/// Runs the body of a test in a process of its own: for what concerns a whole process.
fn alone(name: &str, body: impl Future<Output = ()>) {
    const INNER: &str = "HOOK_MANAGER_TEST_ALONE";
    if env::var_os(INNER).is_some_and(|inner| inner == name) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(body);
        return;
    }
    let mut test = std::process::Command::new(env::current_exe().unwrap());
    let output = test
        .args(["--exact", name, "--nocapture"])
        .env(INNER, name)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "no test is called {name}"
    );
}

// ===== What it gets, and what comes back =====

#[tokio::test]
async fn input_arguments_environment_and_directory_reach_the_program() {
    let dir = TempDir::new().unwrap();
    let cwd = dir.path().canonicalize().unwrap();
    let command = Command::new("/bin/sh")
        .args([
            "-c",
            r#"cat; echo "[$1][$A][$HOME]"; pwd; echo no >&2; exit 3"#,
            "sh",
        ])
        .arg("a b; $(c)")
        .cwd(&cwd)
        .env("A", "x y")
        .env_remove("HOME");
    let finished = process::run(&command, b"in\n", &limits(), ()).await.unwrap();
    assert_eq!(finished.ended, Ended::Code(3));
    assert_eq!(
        finished.stdout.text(),
        format!("in\n[a b; $(c)][x y][]\n{}\n", cwd.display())
    );
    assert_eq!(finished.stderr.text(), "no\n");
    assert!(finished.took > Duration::ZERO);
}

#[tokio::test]
async fn death_by_signal_is_told_from_an_exit_status() {
    assert_eq!(run(&sh("kill -9 $$")).await.ended, Ended::Signal(9));
    assert_eq!(run(&sh("kill -SEGV $$")).await.ended, Ended::Signal(11));
    assert_eq!(run(&sh("exit 137")).await.ended, Ended::Code(137));
}

#[tokio::test]
async fn input_that_nobody_reads_holds_nothing_up() {
    let input: Arc<[u8]> = vec![b'x'; 5_000_000].into();
    let finished = process::run(&sh("echo done"), Arc::clone(&input), &limits(), ())
        .await
        .unwrap();
    assert_eq!(finished.stdout.text(), "done\n");

    // Closed at once, and the program goes on for a while.
    let finished = process::run(&sh("exec <&-; sleep 0.1; echo still"), input, &limits(), ())
        .await
        .unwrap();
    assert_eq!(
        (finished.ended, finished.stdout.text().as_ref()),
        (Ended::Code(0), "still\n")
    );
}

#[tokio::test]
async fn input_that_nobody_reads_does_not_put_off_the_deadline() {
    let started = Instant::now();
    let result = process::run(&sh("exec sleep 60"), vec![0; 5_000_000], &timeout(200), ()).await;
    assert!(matches!(result, Err(RunError::TimedOut { .. })));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn large_input_comes_back_whole_through_a_program_that_echoes_it() {
    let input: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let limits = Limits {
        stdout: 4_000_000,
        ..limits()
    };
    let finished = process::run(&Command::new("cat"), &input, &limits, ())
        .await
        .unwrap();
    assert!(finished.stdout.bytes() == input, "{:?}", finished.stdout);
    assert_eq!(finished.stdout.excess(), 0);
}

#[tokio::test]
async fn output_past_the_limit_is_counted_and_thrown_away() {
    let script = "head -c 50000000 /dev/zero; echo end >&2";
    let finished = run(&sh(script)).await;
    assert_eq!(finished.ended, Ended::Code(0), "it was never blocked");
    assert_eq!(finished.stdout.bytes().len(), 1024 * 1024);
    assert_eq!(finished.stdout.excess(), 50_000_000 - 1024 * 1024);
    assert_eq!(finished.stderr.text(), "end\n");
}

#[tokio::test]
async fn everything_a_program_wrote_is_there_also_its_last_words() {
    for _ in 0..20 {
        // A whole pipe full, and gone before anybody has read it.
        let finished = run(&sh("head -c 65000 /dev/zero; printf last >&2")).await;
        assert_eq!(finished.stdout.bytes().len(), 65_000);
        assert_eq!(finished.stderr.text(), "last");
    }
}

#[tokio::test]
async fn last_words_are_there_also_when_no_time_is_given_to_read_them() {
    let limits = Limits {
        drain: Duration::ZERO,
        ..limits()
    };
    for _ in 0..20 {
        let script = "sleep 60 & head -c 60000 /dev/zero";
        let finished = process::run(&sh(script), b"", &limits, ()).await.unwrap();
        assert_eq!(finished.stdout.bytes().len(), 60_000);
    }
}

#[tokio::test]
async fn output_that_is_not_text_is_kept_as_it_is_and_shown_as_well_as_can_be() {
    let finished = run(&sh(r"printf 'a\377\000b'")).await;
    assert_eq!(finished.stdout.bytes(), b"a\xff\0b");
    assert_eq!(finished.stdout.text(), "a\u{fffd}\0b");
    assert_eq!(finished.stdout, Captured::from(b"a\xff\0b".to_vec()));
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_still_waited_for() {
    let finished = run(&sh("exec >&- 2>&-; sleep 0.2; exit 4")).await;
    assert_eq!(finished.ended, Ended::Code(4));
    assert!(finished.took >= Duration::from_millis(200));
}

// ===== The deadline =====

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

// ===== Children =====

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

// ===== The caller goes away =====

/// Two processes that do not go by themselves, nor at a SIGTERM.
const STUBBORN: &str = "trap '' TERM; echo $$ > leader.pid; (echo > up; sleep 60; sleep 60) & echo $! > child.pid; wait; sleep 60";

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
        "two_hundred_timed_out_programs_with_grandchildren_leave_nothing",
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

/// The children of this process, zombies included.
fn children() -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(std::process::id()))
        .collect()
}

// ===== The end of everything =====

#[test]
fn quiesce_ends_the_grace_at_its_deadline() {
    alone("quiesce_ends_the_grace_at_its_deadline", async {
        assert_eq!(process::quiesce(Duration::ZERO).await, 0);
        let pids = Pids::new();
        let command = sh(STUBBORN).cwd(pids.path());
        let limits = Limits {
            grace: PATIENCE * 10,
            ..limits()
        };
        tokio::select! {
            result = process::run(&command, b"", &limits, ()) => panic!("{result:?}"),
            _ = pids.written(2) => {}
        }
        let started = Instant::now();
        assert_eq!(process::quiesce(Duration::from_millis(300)).await, 0);
        assert!(started.elapsed() >= Duration::from_millis(300));
        pids.all_gone(2).await;
        assert_eq!(children(), [] as [i32; 0]);
    });
}

#[test]
fn adopted_daemons_end_with_quiesce() {
    alone("adopted_daemons_end_with_quiesce", async {
        process::adopt_orphans().unwrap();
        let pids = Pids::new();
        // A daemon by the book, with a child of its own in yet another session, and one deaf daemon.
        let script = r#"
            (setsid sh -c 'echo $$ > a.pid; setsid sh -c "echo \$\$ > b.pid; exec sleep 60" & wait' &)
            (setsid sh -c 'trap "" TERM; echo $$ > c.pid; sleep 60; sleep 60' &)
            while [ ! -s a.pid ] || [ ! -s b.pid ] || [ ! -s c.pid ]; do sleep 0.01; done"#;
        let finished = process::run(&sh(script).cwd(pids.path()), b"", &limits(), ())
            .await
            .unwrap();
        assert_eq!(finished.ended, Ended::Code(0));
        let daemons = pids.written(3).await;
        assert!(daemons.iter().all(|daemon| !is_gone(*daemon)));

        assert_eq!(process::quiesce(Duration::from_secs(1)).await, 0);
        assert!(
            daemons.iter().all(|daemon| state(*daemon).is_none()),
            "not even a zombie"
        );
        assert_eq!(children(), [] as [i32; 0]);
    });
}

#[test]
fn adopted_zombies_are_taken_away_while_programs_run() {
    alone("adopted_zombies_are_taken_away_while_programs_run", async {
        process::adopt_orphans().unwrap();
        for _ in 0..5 {
            run(&sh("(setsid sleep 0.1 >/dev/null 2>&1 </dev/null &)")).await;
        }
        let started = Instant::now();
        while !children().is_empty() {
            assert!(started.elapsed() < PATIENCE, "{:?}", children());
            run(&sh("sleep 0.05")).await;
        }
    });
}

// ===== Could not start =====

fn file(dir: &TempDir, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[tokio::test]
async fn what_could_not_start_says_what_was_missing() {
    let dir = TempDir::new().unwrap();
    let plain = file(&dir, "plain.sh", "#!/bin/sh\n", 0o644);
    let headless = file(&dir, "headless", "echo hello\n", 0o755);
    let stray = file(&dir, "stray.py", "#!/opt/none/python3\r\n", 0o755);
    let gone = dir.path().join("gone");
    let directory = dir.path().join("directory");
    fs::create_dir(&directory).unwrap();

    let at = |path: &Path| path.display().to_string();
    for (command, kind, names, expects) in [
        (
            Command::new("no-such-program-here"),
            io::ErrorKind::NotFound,
            "no-such-program-here".into(),
            "PATH",
        ),
        (
            Command::new(&gone),
            io::ErrorKind::NotFound,
            at(&gone),
            "does not exist",
        ),
        (
            sh("true").cwd(&gone),
            io::ErrorKind::NotFound,
            at(&gone),
            "working directory",
        ),
        (
            sh("true").cwd(&plain),
            io::ErrorKind::NotADirectory,
            at(&plain),
            "is not a directory",
        ),
        (
            Command::new(&plain),
            io::ErrorKind::PermissionDenied,
            at(&plain),
            "execute bit",
        ),
        (
            Command::new(&directory),
            io::ErrorKind::PermissionDenied,
            at(&directory),
            "is a directory",
        ),
        (
            Command::new(plain.join("x")),
            io::ErrorKind::NotADirectory,
            at(&plain),
            "not a directory",
        ),
        (
            Command::new(&headless),
            io::Error::from_raw_os_error(8).kind(),
            at(&headless),
            "#!",
        ),
        (
            Command::new(&stray),
            io::ErrorKind::NotFound,
            at(&stray),
            "`/opt/none/python3\\r`",
        ),
        (
            sh("true").arg("x".repeat(4_000_000)),
            io::ErrorKind::ArgumentListTooLong,
            String::new(),
            "too long",
        ),
        (
            sh("true").arg("a\0b"),
            io::ErrorKind::InvalidInput,
            String::new(),
            "nul",
        ),
    ] {
        let result = process::run(&command, b"", &limits(), ()).await;
        let Err(err @ RunError::CouldNotStart { .. }) = result else {
            panic!("{command:?}: {result:?}")
        };
        assert_eq!(
            err.to_string(),
            format!("could not start `{}`", command.program().to_string_lossy())
        );
        let RunError::CouldNotStart { program, source } = err else {
            unreachable!()
        };
        assert_eq!(program, command.program());
        assert_eq!(source.kind(), kind, "{source}");
        let said = source.to_string();
        assert!(said.contains(&names) && said.contains(expects), "{said}");
    }
}

#[test]
fn programs_that_run_are_not_taken_for_orphans() {
    alone("programs_that_run_are_not_taken_for_orphans", async {
        process::adopt_orphans().unwrap();
        let honest = sh("(exit 1) & sleep 0.2; exit 9");
        for _ in 0..5 {
            let sweeping = async {
                for _ in 0..20 {
                    process::quiesce(Duration::from_millis(10)).await;
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let (a, b, ()) = tokio::join!(run(&honest), run(&honest), sweeping);
            assert_eq!((a.ended, b.ended), (Ended::Code(9), Ended::Code(9)));
        }
    });
}

#[test]
fn lack_of_descriptors_is_an_error_that_leaves_nothing() {
    alone("lack_of_descriptors_is_an_error_that_leaves_nothing", async {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        run(&sh("true")).await;
        let open = || fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let before = open();
        let maximum = getrlimit(Resource::Nofile).maximum;
        let mut seen = (false, false);
        for room in 0..16 {
            setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: Some(before + room),
                    maximum,
                },
            )
            .unwrap();
            let result = process::run(&sh("true"), b"", &timeout(20_000), ()).await;
            setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: maximum,
                    maximum,
                },
            )
            .unwrap();
            match result {
                Ok(_) => seen.0 = true,
                Err(RunError::CouldNotStart { source, .. }) => {
                    assert_eq!(source.raw_os_error().unwrap_or(24), 24, "{source}");
                    seen.1 = true;
                }
                Err(err) => panic!("{err:?}"),
            }
            assert_eq!(process::quiesce(PATIENCE).await, 0);
            assert_eq!(open(), before, "with room for {room}");
            assert_eq!(children(), [] as [i32; 0]);
        }
        assert_eq!(seen, (true, true), "both too little and enough");
    });
}

#[tokio::test]
async fn a_file_that_is_being_written_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("program");
    fs::copy("/bin/true", &path).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let command = Command::new(&path);
    let limits = limits();
    let (result, ()) = tokio::join!(process::run(&command, b"", &limits, ()), async {
        tokio::task::yield_now().await;
        drop(writer);
    });
    assert_eq!(result.unwrap().ended, Ended::Code(0));

    let _writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let result = process::run(&command, b"", &limits, ()).await;
    let Err(RunError::CouldNotStart { source, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(source.to_string().contains("open for writing"), "{source}");
}

#[test]
fn futures_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let command = sh("");
    let limits = limits();
    is_send(&process::run(&command, Arc::<[u8]>::from(*b""), &limits, ()));
    is_send(&process::run(
        &command,
        std::cell::Cell::new(0).take().to_string(),
        &limits,
        (),
    ));
    is_send(&process::quiesce(Duration::ZERO));
}
