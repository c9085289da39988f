//! What is printed where: colours on a terminal only, and JSON that is JSON, whatever went wrong.

use std::process::Command;

use serde_json::{Value, json};

mod support;

use support::{BINARY, Project};

/// Runs the command on a terminal of its own.
fn on_a_terminal(project: &Project, args: &[&str], vars: &[(&str, &str)]) -> String {
    let script = "import pty, sys; pty.spawn(sys.argv[1:])";
    let mut python = Command::new("python3");
    python
        .args(["-c", script, BINARY])
        .args(args)
        .args(["--project"])
        .arg(project.path());
    python
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(vars.iter().copied());
    let output = project.at_home(&mut python).output().expect("python3");
    String::from_utf8(output.stdout).expect("text")
}

fn project() -> Project {
    let hook =
        json!({ "type": "command", "command": "echo no >&2; exit 2", "hookManager": { "name": "says-no" } });
    let project = Project::with_hook("PreToolUse", hook);
    project.file("event.json", "{}");
    project
}

#[test]
fn tables_have_colours_on_a_terminal_and_none_in_a_pipe_or_where_nobody_wants_them() {
    let project = project();
    let event = project.path().join("event.json");
    let event = event.to_str().unwrap();
    let run = ["run", "PreToolUse", "--event", event, "--output", "table"];
    // A wrong word, for `check` to have something to say.
    project.file(".claude/settings.local.json", "{\"hooks\": {\"PreToolUze\": []}}");
    for args in [&["list"][..], &["stats"], &["breakers"], &["check"], &run] {
        let plain = project.command(
            &[args, &["--project", project.path().to_str().unwrap()]].concat(),
            "",
        );
        assert!(
            !plain.stdout.contains('\u{1b}') && !plain.stdout.is_empty(),
            "{plain:?}"
        );
        let coloured = on_a_terminal(&project, args, &[]);
        assert!(coloured.contains("\u{1b}["), "{args:?}: {coloured:?}");
        for none in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let plain = on_a_terminal(&project, args, &[none]);
            assert!(
                !plain.contains('\u{1b}') && !plain.is_empty(),
                "{args:?}: {plain:?}"
            );
        }
    }
    // The daemon that runs the event has no terminal, and whoever asks has.
    let _daemon = daemon(&project);
    let coloured = on_a_terminal(&project, &[&run[..], &["--daemon", "always"]].concat(), &[]);
    assert!(coloured.contains("\u{1b}[31mdeny\u{1b}[0m"), "{coloured:?}");
    let json = [&run[..4], &["--output", "json"]].concat();
    assert!(!on_a_terminal(&project, &json, &[]).contains('\u{1b}'));
}

/// Ends with the test.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn daemon(project: &Project) -> Daemon {
    let mut command = Command::new(BINARY);
    command.args(["serve", "--project"]).arg(project.path());
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    Daemon(project.at_home(&mut command).spawn().expect("the built command"))
}

#[test]
fn json_is_json_also_when_something_is_wrong() {
    let (fine, none) = (project(), Project::empty());
    let gone = none.path().join("gone");
    let broken = project();
    broken.file(".claude/hook-manager.toml", "dedline = 5\n");
    for place in [fine.path(), none.path(), &gone, broken.path()] {
        for args in [
            &["list"][..],
            &["check"],
            &["stats"],
            &["health"],
            &["breakers"],
            &["breakers", "open", "nobody"],
            &["breakers", "reset"],
            &["cache"],
            &["cache", "stats"],
            &["cache", "clear"],
            &["cache", "invalidate", "x"],
            &["optimize"],
            &["trace"],
            &["run", "PreToolUse"],
            &["run", "PreTolUse"],
            &["run", "Nothing"],
        ] {
            for input in ["{}", "{ no"] {
                let at = ["--output", "json", "--project", place.to_str().unwrap()];
                let ran = fine.command(&[args, &at].concat(), input);
                let value: Result<Value, _> = serde_json::from_str(&ran.stdout);
                assert!(
                    value.as_ref().is_ok_and(Value::is_object),
                    "{args:?} in {place:?}: {ran:?}"
                );
                assert!([0, 1, 2].contains(&ran.code), "{args:?}: {ran:?}");
                if ran.code == 1 && args[0] != "run" && args[0] != "health" {
                    let is_told =
                        value.unwrap().get("error").is_some() || args[0] == "list" || args[0] == "check";
                    assert!(is_told, "{args:?}: {ran:?}");
                }
            }
        }
    }
}
