//! Could not start.

use super::*;

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
    alone("starting::programs_that_run_are_not_taken_for_orphans", async {
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
    alone(
        "starting::lack_of_descriptors_is_an_error_that_leaves_nothing",
        async {
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
        },
    );
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
