//! The end of everything.

use super::*;

#[test]
fn quiesce_ends_the_grace_at_its_deadline() {
    alone("ending::quiesce_ends_the_grace_at_its_deadline", async {
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
    alone("ending::adopted_daemons_end_with_quiesce", async {
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
    alone(
        "ending::adopted_zombies_are_taken_away_while_programs_run",
        async {
            process::adopt_orphans().unwrap();
            for _ in 0..5 {
                run(&sh("(setsid sleep 0.1 >/dev/null 2>&1 </dev/null &)")).await;
            }
            let started = Instant::now();
            while !children().is_empty() {
                assert!(started.elapsed() < PATIENCE, "{:?}", children());
                run(&sh("sleep 0.05")).await;
            }
        },
    );
}
