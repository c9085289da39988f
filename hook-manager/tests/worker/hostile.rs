use super::*;

/// A script whose body runs for each line, with `line`, `event` and `answer` at hand.
fn each(body: &str) -> String {
    let body = body.replace('\n', "\n    ");
    format!(
        "import json, os, signal, subprocess, sys, time\ndef answer(event, end='\\n'):\n    sys.stdout.write(json.dumps({{'systemMessage': str(os.getpid()) + ' ' + str(event.get('n'))}}) + end)\n    sys.stdout.flush()\nfor line in sys.stdin:\n    event = json.loads(line)\n    {body}\n"
    )
}

#[tokio::test]
async fn a_banner_before_the_first_answer_is_passed_over() {
    let workers = Workers::python(&format!(
        "print('model v1 loaded'); print('[ready]'); print()\n{HONEST}"
    ));
    let (pid, n) = workers.said(0).await;
    assert_eq!(n, "0");
    assert_eq!(workers.said(1).await, (pid, "1".into()));
    workers.end().await;
}

#[tokio::test]
async fn a_banner_without_end_is_over_the_limit() {
    let workers = Workers::with(
        "while True: print('x' * 1000)",
        |worker| worker,
        |builder| builder.output_limit(64 * 1024),
    );
    let err = workers.fails(0).await;
    assert!(
        matches!(&err, HookError::BadOutput(why) if why.contains("over 65536 bytes")),
        "{err:?}"
    );
    workers.end().await;
}

#[tokio::test]
async fn text_in_place_of_an_answer_is_bad_output() {
    let workers = Workers::python(&each("print('fine' if event['n'] else '{}', flush=True)"));
    workers.ask(0).await;
    let err = workers.fails(1).await;
    assert!(
        matches!(&err, HookError::BadOutput(why) if why.contains("found \"fine\"")),
        "{err:?}"
    );
    workers.end().await;
}

#[tokio::test]
async fn two_lines_for_one_event_never_answer_the_next_one() {
    let workers = Workers::python(&each(
        "sys.stdout.write('{\"systemMessage\": \"one\"}\\n{\"systemMessage\": \"two\"}\\n'); sys.stdout.flush()",
    ));
    for n in 0..2 {
        let err = workers.fails(n).await;
        assert!(
            matches!(&err, HookError::BadOutput(why) if why.contains("more than one line")),
            "{err:?}"
        );
    }
    workers.end().await;
}

#[tokio::test]
async fn a_second_line_that_comes_late_never_answers_the_next_event() {
    let workers = Workers::python(&each(
        "answer(event)\ntime.sleep(0.05)\nanswer({'n': 'late'})\nopen('late', 'a').close()",
    ));
    let (pid, _) = workers.said(0).await;
    let late = workers.project.path().join("late");
    eventually("it comes", || late.exists()).await;
    let (other, n) = workers.said(1).await;
    assert_eq!(n, "1");
    assert_ne!(other, pid, "who is out of step is not asked again");
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_gives_the_number_back_cannot_get_out_of_step() {
    let workers = Workers::python(&each(
        "print(json.dumps({'hookRequestId': event['hookRequestId'] - (event['n'] == 1), 'systemMessage': '1 1'}), flush=True)",
    ));
    workers.said(0).await;
    let err = workers.fails(1).await;
    assert!(
        matches!(&err, HookError::BadOutput(why) if why.contains("out of step")),
        "{err:?}"
    );
    let report = workers.ask(2).await;
    assert!(
        report.merged.other.is_empty(),
        "the number is between us and the worker: {report:#?}"
    );
    workers.end().await;
}

#[tokio::test]
async fn half_a_line_and_no_more_is_a_timeout() {
    let workers = Workers::impatient(&each(
        "sys.stdout.write('{\"systemMessage\": '); sys.stdout.flush()",
    ));
    let err = workers.fails(0).await;
    assert!(matches!(err, HookError::TimedOut { .. }), "{err:?}");
    eventually("it is ended", || workers.project.processes().is_empty()).await;
    workers.end().await;
}

#[tokio::test]
async fn half_a_line_and_an_end_is_no_answer() {
    let workers = Workers::python(&each("answer(event, end='')\nsys.exit(0)"));
    let err = workers.fails(0).await;
    assert!(
        matches!(&err, HookError::Failed(why) if why.contains("ended before it had answered")),
        "{err:?}"
    );
    workers.end().await;
}

#[tokio::test]
async fn an_answer_and_an_end_is_an_answer() {
    let workers = Workers::python(&each("answer(event)\nos._exit(0)"));
    let (pid, _) = workers.said(0).await;
    assert_ne!(workers.said(1).await.0, pid);
    workers.end().await;
}

#[tokio::test]
async fn what_is_no_unicode_is_read_as_the_hosts_read_it() {
    let workers = Workers::python(&each(
        "sys.stdout.buffer.write(b'{\"systemMessage\": \"a\\xff b\"}\\n'); sys.stdout.buffer.flush()",
    ));
    let report = workers.ask(0).await;
    assert_eq!(report.merged.system_messages, ["a\u{fffd} b"], "{report:#?}");
    workers.end().await;
}

#[tokio::test]
async fn a_line_over_the_limit_is_bad_output_and_is_not_kept() {
    let workers = Workers::with(
        &each("sys.stdout.write('{\"systemMessage\": \"' + 'x' * 5000000 + '\"}\\n'); sys.stdout.flush()"),
        |worker| worker,
        |builder| builder.output_limit(64 * 1024),
    );
    let err = workers.fails(0).await;
    assert!(
        matches!(&err, HookError::BadOutput(why) if why.contains("over 65536 bytes")),
        "{err:?}"
    );
    workers.end().await;
}

#[tokio::test]
async fn a_large_event_is_written_while_the_answer_is_awaited() {
    let workers = Workers::python(&each("answer({'n': len(event['n'])})"));
    let (_, n) = workers.said("x".repeat(5_000_000)).await;
    assert_eq!(n, "5000000");
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_closes_its_output_and_lives_on_fails_at_once() {
    let workers = Workers::python(&each("os.close(1)\ntime.sleep(600)"));
    let began = Instant::now();
    let err = workers.fails(0).await;
    assert!(
        matches!(&err, HookError::Failed(why) if why.contains("closed its standard output")),
        "{err:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_closes_its_output_while_idle_is_replaced() {
    let workers = Workers::python(&each(
        "answer(event)\nos.close(1)\nopen('closed', 'w').close()\ntime.sleep(600)",
    ));
    let (pid, _) = workers.said(0).await;
    let closed = workers.project.path().join("closed");
    eventually("it closes", || closed.exists()).await;
    assert_ne!(workers.said(1).await.0, pid);
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_closes_its_input_while_idle_is_replaced_without_a_failure() {
    let workers = Workers::python(&each(
        "answer(event)\nos.close(0)\nopen('closed', 'w').close()\ntime.sleep(600)",
    ));
    let (pid, _) = workers.said(0).await;
    let closed = workers.project.path().join("closed");
    eventually("it closes", || closed.exists()).await;
    let (other, n) = workers.said(1).await;
    assert_eq!(n, "1");
    assert_ne!(other, pid);
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_timed_out_is_never_asked_again_also_when_it_ignores_sigterm() {
    let workers = Workers::impatient(&each(
        "if event['n'] == 'slow':\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(600)\nanswer(event)",
    ));
    let (pid, _) = workers.said(0).await;
    let err = workers.fails("slow").await;
    assert!(matches!(err, HookError::TimedOut { .. }), "{err:?}");
    assert_ne!(workers.said(1).await.0, pid);
    eventually("it is killed", || !is_alive(&pid)).await;
    workers.end().await;
}

#[tokio::test]
async fn an_event_that_is_given_up_takes_its_worker_with_it() {
    let workers = Workers::python(&each(
        "if event['n'] == 'slow':\n    open('asked', 'w').close()\n    time.sleep(600)\nanswer(event)",
    ));
    let (pid, _) = workers.said(0).await;
    let asked = workers.project.path().join("asked");
    tokio::select! {
        _ = workers.ask("slow") => panic!("it does not answer"),
        () = eventually("it is asked", || asked.exists()) => {}
    }
    eventually("it is ended", || !is_alive(&pid)).await;
    assert_ne!(workers.said(1).await.0, pid);
    workers.end().await;
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_delays_nobody_and_does_not_stay() {
    let workers = Workers::python(&each(
        "subprocess.Popen(['sleep', '600'])\nif event['n']:\n    os._exit(7)\nanswer(event)",
    ));
    workers.said(0).await;
    let began = Instant::now();
    let err = workers.fails(1).await;
    assert!(matches!(err, HookError::Exit { code: 7, .. }), "{err:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_answers_unasked_is_not_believed() {
    // It never reads, so the event is larger than the pipe takes.
    let workers = Workers::python(
        "import time\nfor _ in range(3): print('{\"systemMessage\": \"early\"}', flush=True)\ntime.sleep(600)",
    );
    let err = workers.fails("x".repeat(1_000_000)).await;
    assert!(
        matches!(&err, HookError::BadOutput(why) if why.contains("before it had read")),
        "{err:?}"
    );
    workers.end().await;
}

#[tokio::test]
async fn noise_on_standard_error_blocks_nobody_and_its_end_is_told() {
    let workers = Workers::python(&each(
        "sys.stderr.write('noise\\n' * 200000 + 'the last word\\n'); sys.stderr.flush()\nif event['n']:\n    os._exit(4)\nanswer(event)",
    ));
    workers.said(0).await;
    let err = workers.fails(1).await;
    assert_eq!(err.to_string(), "exit status 4: the last word");
    workers.end().await;
}

#[tokio::test]
async fn a_worker_that_cannot_start_is_told_so() {
    let project = Project::empty();
    let hooks = [
        (
            "python3",
            vec!["missing.py"],
            "missing.py: no such file, which python3 was to run",
        ),
        (
            "no-such-program-at-all",
            vec![],
            "`no-such-program-at-all` is in no directory of PATH",
        ),
    ];
    for (program, args, expected) in hooks {
        let manager = HookManager::builder()
            .project(project.path())
            .hook(Hook::worker("w", HookEvent::Stop, program, args))
            .build()
            .unwrap();
        let report = manager
            .execute(HookRequest::parse(HookEvent::Stop, "{}").unwrap())
            .await;
        let err = report.results[0].error().unwrap_or_else(|| panic!("{report:#?}"));
        assert!(
            matches!(err, HookError::CouldNotStart(_)) && err.to_string().contains(expected),
            "{err}"
        );
        assert_eq!(manager.shutdown().await, 0);
    }
}
