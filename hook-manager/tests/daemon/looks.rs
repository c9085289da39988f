//! Commands that look into the daemon, or into the saved state.

use serde_json::{Value, json};

use crate::{
    daemon_support::{Daemon, lines},
    support::{Project, Ran},
};

fn project() -> Project {
    Project::with_settings(&json!({ "hooks": { "PreToolUse": [{ "hooks": [
        { "type": "command", "command": "echo run >> runs; echo '{}'",
          "hookManager": { "name": "kept", "cache": { "ttl": 60 } } },
        { "type": "command", "command": "echo run >> others", "hookManager": { "name": "other", "guard": false } },
    ] }] } }))
}

fn look(project: &Project, args: &[&str]) -> Ran {
    let at = project.path().to_str().unwrap();
    let args: Vec<&str> = [args, &["--project", at]].concat();
    project.command(&args, "")
}

fn json_of(project: &Project, args: &[&str]) -> Value {
    let ran = look(project, &[&args[..1], &["--output", "json"], &args[1..]].concat());
    serde_json::from_str(&ran.stdout).unwrap_or_else(|err| panic!("{err}: {ran:?}"))
}

fn run(project: &Project, n: usize) {
    for _ in 0..n {
        let ran = project.run("PreToolUse", "{\"tool_name\": \"Bash\"}", &["--daemon", "always"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

#[test]
fn where_there_is_nothing_to_show_a_word_says_so_and_where_it_was_looked_for() {
    let nothing = Project::empty();
    let claude = nothing.path().join(".claude");
    let folder = nothing.path().to_str().unwrap();
    let ran = look(&nothing, &["list", "--hooks-dir", folder]);
    let places = format!(
        "{} (settings.json, settings.local.json), {folder}",
        claude.display()
    );
    assert_eq!(
        ran.stdout.lines().next(),
        Some(&*format!("no hooks were found in {places}")),
        "{ran:?}"
    );
    assert_eq!(look(&nothing, &["breakers"]).stdout, "no hooks were found\n");
    assert_eq!(
        look(&nothing, &["cache"]).stdout,
        "no caches: no hook is declared cacheable\n"
    );

    let project = project();
    assert!(look(&project, &["breakers"]).stdout.starts_with("HOOK "));
    let stats = look(&project, &["stats"]).stdout;
    let never = stats.lines().find(|line| line.starts_with("other"));
    let words: Vec<&str> = never.unwrap().split_whitespace().collect();
    assert_eq!(
        words[words.len() - 2..],
        ["-", "-"],
        "nobody has timed it: {stats}"
    );
}

#[test]
fn what_happened_is_told_in_tables_and_in_json() {
    let project = project();
    let _daemon = Daemon::start(&project, &[]);
    run(&project, 4);
    let stats = json_of(&project, &["stats"]);
    assert_eq!(stats["events"][0]["count"], 4);
    assert_eq!(stats["hooks"][0]["cache_hits"], 3);
    assert_eq!(stats["hooks"][1]["runs"], 4);
    assert!(stats["daemon"]["process"].is_u64());
    let table = look(&project, &["stats"]).stdout;
    assert!(table.contains("HOOK") && table.contains("kept"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours in a pipe: {table:?}");

    let trace = json_of(&project, &["trace"]);
    let events = trace["events"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(events[0]["hooks"][0]["attempts"], 1);
    assert_eq!(events[3]["hooks"][0]["cached"], true);
    assert_eq!(events[3]["tool"], "Bash");
    assert_eq!(
        look(&project, &["trace", "--last", "1"]).stdout.lines().count(),
        3
    );

    assert_eq!(look(&project, &["health"]).code, 0);
    assert_eq!(json_of(&project, &["health"])["status"], "healthy");
    assert_eq!(look(&project, &["optimize"]).code, 0);
}

#[test]
fn caches_are_looked_into_and_emptied() {
    let project = project();
    let _daemon = Daemon::start(&project, &[]);
    run(&project, 2);
    assert_eq!(json_of(&project, &["cache"])["caches"][0]["entries"], 1);
    let at = project.path().to_str().unwrap();
    let cache = |args: &[&str]| {
        let ran = project.command(&[&["cache", "--project", at], args].concat(), "");
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    assert_eq!(
        cache(&["invalidate", "nothing-like-it"]),
        "0 answers thrown away\n"
    );
    assert_eq!(cache(&["invalidate", "Bash"]), "1 answers thrown away\n");
    run(&project, 1);
    assert_eq!(cache(&["clear"]), "1 answers thrown away\n");
    run(&project, 1);
    assert_eq!(lines(&project.path().join("runs")), 3);
    let ran = project.command(&["cache", "--project", at, "invalidate", ""], "");
    assert_eq!(ran.code, 64, "{ran:?}");
}

#[test]
fn circuits_are_opened_closed_and_reset_by_hand() {
    let project = project();
    let _daemon = Daemon::start(&project, &[]);
    run(&project, 1);
    let at = project.path().to_str().unwrap();
    let brake = |args: &[&str]| {
        let args: Vec<&str> = [&["breakers", "--project", at], args].concat();
        project.command(&args, "")
    };
    let opened = brake(&["open", "other"]);
    assert_eq!(opened.code, 0, "{opened:?}");
    assert!(opened.stdout.contains("1 changed"), "{opened:?}");
    let ran = project.run(
        "PreToolUse",
        "{\"tool_name\": \"Bash\"}",
        &["--daemon", "always", "--output", "table"],
    );
    assert!(ran.line("other").contains("failed"), "{ran:?}");
    assert_eq!(lines(&project.path().join("others")), 1);
    assert_eq!(brake(&["reset"]).code, 0);
    run(&project, 1);
    assert_eq!(lines(&project.path().join("others")), 2);
    let unknown = brake(&["open", "othr"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("expected one of"), "{unknown:?}");
}

#[test]
fn the_project_may_be_named_before_an_action_or_after_it() {
    let project = project();
    let dir = project.path().to_str().expect("a plain path");
    for action in [&["cache", "stats"], &["cache", "clear"], &["breakers", "reset"]] {
        let [command, action] = action;
        let before = Project::empty().command(&[command, "--project", dir, action, "--output", "json"], "");
        let after = Project::empty().command(&[command, action, "--project", dir, "--output", "json"], "");
        assert_eq!(
            (before.code, &before.stdout),
            (after.code, &after.stdout),
            "{after:?}"
        );
        assert_ne!(after.code, 64, "{after:?}");
    }
}

#[test]
fn shells_are_told_how_to_complete_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Project::empty().command(&["completions", shell], "");
        assert_eq!(ran.code, 0, "{ran:?}");
        for word in ["serve", "breakers", "trace", "max-concurrent-hooks"] {
            assert!(ran.stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn without_a_daemon_the_saved_state_answers() {
    let project = project();
    let ran = project.run("PreToolUse", "{\"tool_name\": \"Bash\"}", &["--daemon", "never"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let stats = json_of(&project, &["stats"]);
    assert_eq!(stats["hooks"][1]["runs"], 1);
    assert!(stats.get("daemon").is_none());
    let trace = look(&project, &["trace"]);
    assert_eq!(trace.code, 1);
    assert!(trace.stderr.contains("only a daemon remembers"), "{trace:?}");
}

#[test]
fn the_trace_keeps_no_secrets_and_the_host_is_told_all_of_it() {
    let hook = json!({ "type": "command", "command": "echo 'not with API_TOKEN=hunter2-hunter2 in it' >&2; exit 2" });
    let project = Project::with_hook("PreToolUse", hook);
    let _daemon = Daemon::start(&project, &[]);
    let told = project.run("PreToolUse", "{}", &["--daemon", "always", "--output", "host"]);
    assert!(told.stderr.contains("hunter2-hunter2"), "{told:?}");
    let at = project.path().to_str().unwrap();
    let trace = project.command(&["trace", "--output", "json", "--project", at], "");
    assert!(
        trace.stdout.contains("not with API_TOKEN=[redacted] in it"),
        "{trace:?}"
    );
}
