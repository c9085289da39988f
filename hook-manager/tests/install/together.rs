//! Several at once, and settings that are not to be changed or looked at.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::{
    install_support::{SHARED, both, files, install, listed, manage},
    support::{BINARY, Project, Ran},
};

#[test]
fn installs_and_uninstalls_at_the_same_time_leave_a_whole_project() {
    for _ in 0..8 {
        let project = both();
        let (before, hooks) = (files(&project), listed(&project));
        let at_once = |word: &str| -> Vec<Ran> {
            std::thread::scope(|scope| {
                let one = || manage(&project, word, &[]);
                let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            })
        };
        let check = |all: &[Ran]| {
            assert!(all.iter().all(|ran| ran.code == 0), "{all:?}");
            let who = all.iter().filter(|ran| ran.stderr.contains("files were changed"));
            assert_eq!(who.count(), 1, "{all:?}");
        };
        check(&at_once("install"));
        assert_eq!(listed(&project), hooks);
        check(&at_once("uninstall"));
        assert!(files(&project) == before);
    }
}

#[test]
fn a_settings_file_that_is_read_only_is_left_alone() {
    let project = both();
    let set = |file: &str, mode: u32| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(project.path().join(file), permissions).unwrap();
    };
    let refused = |word: &str| {
        let before = files(&project);
        let ran = manage(&project, word, &[]);
        assert!(ran.code == 1 && files(&project) == before, "{ran:?}");
        assert!(
            ran.stderr.contains(".claude/settings.json: it is read-only") && ran.stderr.contains("chmod u+w"),
            "{ran:?}"
        );
    };
    set(SHARED, 0o444);
    refused("install");
    set(SHARED, 0o600);
    install(&project);
    set(SHARED, 0o400);
    refused("uninstall");
    set(SHARED, 0o600);
    assert_eq!(manage(&project, "uninstall", &[]).code, 0);
}

#[test]
fn settings_that_cannot_be_looked_at_are_told_and_not_taken_for_none() {
    let project = Project::empty();
    // A link to itself: the system follows it nowhere, whoever asks.
    std::os::unix::fs::symlink(".claude", project.path().join(".claude")).unwrap();
    for word in ["install", "uninstall"] {
        let ran = manage(&project, word, &[]);
        assert!(
            ran.code == 1
                && ran.stderr.contains(".claude/settings")
                && ran.stderr.contains("it cannot be looked at"),
            "{word}: {ran:?}"
        );
    }
}

#[test]
fn a_change_that_cannot_be_shown_is_not_made() {
    let project = both();
    let before = files(&project);
    for args in [&["install"][..], &["install", "--dry-run"]] {
        let mut command = Command::new(BINARY);
        command.args(args).arg("--project").arg(project.path());
        let full = fs::File::create("/dev/full").unwrap();
        let ran = project.at_home(&mut command).stdout(full).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.contains("standard output") && files(&project) == before,
            "{args:?}: {said}"
        );
    }
}
