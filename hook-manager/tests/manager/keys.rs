//! What a cached answer is good for, where somebody tries to have it be good for more.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_manager::{CacheRule, Hook, HookManager, HookOutput, HookRequest};

use crate::support::{EVENT, bash, manager, run, says, takes};

#[tokio::test]
async fn an_answer_from_a_file_that_changed_under_the_hook_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deny.list");
    fs::write(&file, "first").unwrap();
    let changes = Arc::new(AtomicUsize::new(1));
    let hook = {
        let (file, changes) = (file.clone(), Arc::clone(&changes));
        Hook::function("reads", EVENT, move |_| {
            let (file, changes) = (file.clone(), Arc::clone(&changes));
            async move {
                if changes.swap(0, SeqCst) == 1 {
                    fs::write(&file, "second")?;
                }
                Ok::<_, io::Error>(HookOutput::none().context(fs::read_to_string(&file)?))
            }
        })
    };
    let manager = manager([hook.cached(CacheRule::default().file(&file).field("/tool_name"))]);
    assert_eq!(run(&manager).await.merged.contexts, ["second"]);
    fs::write(&file, "first").unwrap();
    assert_eq!(
        run(&manager).await.merged.contexts,
        ["first"],
        "what was read from the second is no answer for the first"
    );
    assert!(run(&manager).await.results[0].cached);
}

#[test]
fn a_declared_file_that_is_a_pipe_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let manager =
                manager([says("reads", HookOutput::none()).cached(CacheRule::default().file(&pipe))]);
            done.send(run(&manager).await.results[0].success()).unwrap();
        });
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_times_like_others() {
    for rule in [
        CacheRule::default().ttl(Duration::MAX),
        CacheRule::default().stale_if_error(Duration::MAX),
        CacheRule::default()
            .ttl(Duration::MAX)
            .stale_if_error(Duration::MAX),
        CacheRule::default().ttl(Duration::ZERO),
    ] {
        let manager = manager([takes("slow", EVENT, 10)
            .timeout(Duration::MAX)
            .cached(rule.clone())]);
        for _ in 0..3 {
            assert!(run(&manager).await.results[0].success(), "{rule:?}");
        }
    }
}

#[test]
fn a_field_of_the_key_that_is_no_pointer_is_refused_for_it_would_be_the_same_for_all_inputs() {
    for (field, is_fine) in [
        ("tool_name", false),
        ("", false),
        ("tool_input.command", false),
        ("/tool_input/command", true),
    ] {
        let hook = says("reads", HookOutput::none()).cached(CacheRule::default().field(field));
        match HookManager::builder().hook(hook).build() {
            Ok(_) => assert!(is_fine, "{field}"),
            Err(err) => {
                let told = err.to_string();
                assert!(
                    !is_fine && told.contains("cache: fields: expected a JSON pointer"),
                    "{told}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_only_look_alike_once_they_are_read_are_different_keys() {
    for pair in [
        [r#""cut \ud83d""#, r#""cut \ud83e""#],
        ["123456789012345678901234567890", "123456789012345678901234567891"],
        ["0.1000000000000000055", "0.1"],
        ["null", ""],
    ] {
        let runs = Arc::new(AtomicUsize::new(0));
        let manager =
            manager([crate::support::echo(&runs).cached(CacheRule::default().field("/tool_input"))]);
        for value in pair {
            let text = match value {
                "" => r#"{"tool_name": "Bash"}"#.to_owned(),
                value => format!(r#"{{"tool_name": "Bash", "tool_input": {value}}}"#),
            };
            for _ in 0..2 {
                manager.execute(HookRequest::parse(EVENT, &text).unwrap()).await;
            }
        }
        assert_eq!(runs.load(SeqCst), 2, "{pair:?}");
    }
    let runs = Arc::new(AtomicUsize::new(0));
    let manager = manager([crate::support::echo(&runs).cached(CacheRule::default().field("/tool_input"))]);
    for byte in [0xfe, 0xff, 0xfe] {
        let mut text = br#"{"tool_input": "_"}"#.to_vec();
        text[16] = byte;
        manager.execute(HookRequest::parse(EVENT, &text).unwrap()).await;
    }
    assert_eq!(runs.load(SeqCst), 2, "bytes that are no text");
}

#[tokio::test(start_paused = true)]
async fn answers_to_huge_inputs_are_not_kept_and_so_fill_no_memory() {
    let runs = Arc::new(AtomicUsize::new(0));
    let manager = manager([crate::support::echo(&runs).cached(CacheRule::default())]);
    for (size, expected) in [(100_000, 1), (200_000, 3)] {
        // The answer says the command again.
        for _ in 0..2 {
            let report = manager.execute(bash(&"x".repeat(size))).await;
            assert!(report.results[0].success());
        }
        assert_eq!(runs.load(SeqCst), expected, "{size}");
    }
}
