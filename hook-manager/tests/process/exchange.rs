//! What it gets, and what comes back.

use super::*;

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
