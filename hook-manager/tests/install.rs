//! `hook-manager install` and `uninstall`, through the built command.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

mod support;

use support::{BINARY, Project, Ran, command, event};

const SHARED: &str = ".claude/settings.json";
const LOCAL: &str = ".claude/settings.local.json";

fn manage(project: &Project, word: &str, args: &[&str]) -> Ran {
    let path = project.path().to_str().unwrap();
    command(&[&[word, "--project", path], args].concat(), "")
}

fn install(project: &Project) -> Ran {
    let ran = manage(project, "install", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// The host would find no program, and run no hook: no guard either.
#[test]
fn a_command_that_is_not_in_the_path_is_warned_of_and_one_that_is_or_is_named_in_full_is_not() {
    let project = Project::example();
    let at = project.path().to_str().unwrap();
    let folder = Path::new(BINARY).parent().unwrap();
    for (path, args, warned) in [
        (
            Path::new("/nowhere"),
            &["install", "--dry-run", "--project", at][..],
            true,
        ),
        (folder, &["install", "--dry-run", "--project", at], false),
        (
            Path::new("/nowhere"),
            &["install", "--dry-run", "--absolute", "--project", at],
            false,
        ),
        (Path::new("/nowhere"), &["install", "--project", at], true),
    ] {
        let mut command = Command::new(BINARY);
        let ran = project
            .at_home(&mut command)
            .args(args)
            .env("PATH", path)
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success(), "{said}");
        assert_eq!(
            said.contains("`install --absolute`"),
            warned,
            "{path:?} {args:?}: {said}"
        );
    }
}

/// Every file of `.claude`, with its permissions.
fn files(project: &Project) -> BTreeMap<String, (Vec<u8>, u32)> {
    let files = fs::read_dir(project.path().join(".claude")).unwrap().flatten();
    let files = files.filter(|entry| entry.path().is_file());
    files
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let name = entry.file_name().into_string().unwrap();
            (name, (fs::read(entry.path()).unwrap(), mode))
        })
        .collect()
}

/// What `list` says of the hooks, without where they stand.
fn listed(project: &Project) -> Vec<Value> {
    let ran = manage(project, "list", &["--output", "json"]);
    let mut list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["unusable"], json!([]), "{list:#}");
    let mut hooks = std::mem::take(list["hooks"].as_array_mut().unwrap());
    for hook in &mut hooks {
        hook.as_object_mut().unwrap().remove("source");
    }
    // Stable: within an event, the order stays.
    hooks.sort_by_key(|hook| hook["event"].as_str().unwrap().to_owned());
    hooks
}

fn read(project: &Project, file: &str) -> Value {
    let bytes = fs::read(project.path().join(file)).unwrap();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(bytes).unwrap()
}

/// A project with shared and personal hooks of the same event.
fn both() -> Project {
    let project = Project::empty();
    let echo = |word: &str| format!("echo '{{\"systemMessage\":\"{word}\"}}'");
    let shared = json!({
        "permissions": { "allow": ["Bash(ls)"] },
        "hooks": {
            "PreToolUse": [{ "matcher": "Bash", "hooks": [{ "type": "command", "command": echo("shared"), "timeout": 30 }] }],
            "Stop": [{ "hooks": [{ "type": "prompt", "prompt": "done?" }] }],
        },
    });
    let local = json!({
        "hooks": {
            "PreToolUse": [{ "matcher": "Read|Bash", "hooks": [{ "type": "command", "command": echo("personal"), "timeout": 7 }] }],
            "PostToolUse": [{ "hooks": [{ "type": "command", "command": echo("after"), "timeout": 3 }] }],
        },
    });
    project.file(SHARED, &format!("{shared:#}"));
    project.file(LOCAL, &format!("{local:#}"));
    project
}

#[test]
fn the_example_project_runs_the_same_hooks_with_the_same_answers_and_comes_back_byte_for_byte() {
    let project = Project::example();
    let before = files(&project);
    let hooks = listed(&project);
    let samples = [
        ("PreToolUse", "pre_tool_use_bash"),
        ("PreToolUse", "pre_tool_use_read_env"),
        ("PreToolUse", "pre_tool_use_bash_force_push"),
        ("PreToolUse", "pre_tool_use_bash_harmless"),
        ("SessionStart", "session_start"),
        ("Stop", "stop"),
    ];
    let answers = |project: &Project| {
        samples.map(|(name, sample)| {
            let ran = project.run(name, &event(sample), &["--output", "host"]);
            (ran.stdout, ran.code)
        })
    };
    let said = answers(&project);
    for _ in 0..2 {
        install(&project);
        assert_ne!(files(&project), before);
        assert_eq!(listed(&project), hooks);
        assert_eq!(answers(&project), said);
        let ran = manage(&project, "uninstall", &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(files(&project), before);
    }
}

#[test]
fn one_entry_an_event_is_left_with_the_matcher_and_a_time_that_is_long_enough() {
    let project = Project::example();
    install(&project);
    let left = read(&project, SHARED);
    let hooks = left["hooks"].as_object().unwrap();
    for (event, groups) in hooks.iter().filter(|(event, _)| *event != "Stop") {
        let [group] = groups.as_array().unwrap().as_slice() else {
            panic!("{event}: {groups:#}")
        };
        let command = group["hooks"][0]["command"].as_str().unwrap();
        assert!(
            command.starts_with(&format!("hook-manager run {event}")),
            "{command}"
        );
        assert!(group["hooks"][0]["timeout"].as_u64().unwrap() >= 15, "{groups:#}");
    }
    let group = &hooks["PreToolUse"][0];
    assert_eq!(group["matcher"], "Bash|Read|Write|Edit");
    // A host that cannot start us must not let pass what a guard was to block.
    assert_eq!(group["hooks"][0]["onFailure"], "block");
    assert_eq!(hooks["SessionStart"][0]["matcher"], "startup|resume");
    assert_eq!(hooks["Stop"][0]["hooks"][0]["type"], "prompt");
}

#[test]
fn the_entry_that_is_left_runs_the_moved_hooks_when_a_host_runs_it() {
    let project = Project::example();
    let direct = project.run("PreToolUse", &event("pre_tool_use_bash"), &["--output", "host"]);
    install(&project);
    let line = read(&project, SHARED)["hooks"]["PreToolUse"][0]["hooks"][0]["command"].clone();
    let ours = Path::new(env!("CARGO_BIN_EXE_hook-manager")).parent().unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    let host = |path: &str, input: &str| {
        let file = project.file("event.json", input);
        std::process::Command::new("/bin/sh")
            .args(["-c", line.as_str().unwrap()])
            .env("PATH", path)
            .env("CLAUDE_PROJECT_DIR", project.path())
            .stdin(fs::File::open(file).unwrap())
            .output()
            .unwrap()
    };
    let ran = host(&path, &event("pre_tool_use_bash"));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), direct.stdout, "{ran:?}");
    assert_eq!(ran.status.code(), Some(2));
    let ran = host(&path, &event("pre_tool_use_bash_harmless"));
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    // Not there at all: neither 0 nor 1, so that the host's `onFailure` sees it.
    let ran = host("/nowhere", &event("pre_tool_use_bash"));
    assert_eq!(ran.status.code(), Some(127), "{ran:?}");
}

#[test]
fn shared_hooks_stay_shared_and_personal_ones_personal() {
    let project = both();
    let hooks = listed(&project);
    let before = files(&project);
    let ran = install(&project);
    // In this order, or a crash would leave personal hooks that nobody calls.
    let at = |file: &str| ran.stdout.find(&format!("+++ b/{file}\n")).unwrap();
    assert!(at(".claude/hook-manager.local.json") < at(SHARED) && at(SHARED) < at(LOCAL));
    assert_eq!(listed(&project), hooks);
    let shared = read(&project, SHARED);
    assert_eq!(shared["permissions"]["allow"][0], "Bash(ls)");
    let entry = &shared["hooks"]["PreToolUse"][0];
    assert_eq!(entry["matcher"], "Read|Bash");
    assert_eq!(
        entry["hooks"][0]["command"],
        "hook-manager run PreToolUse --deadline 30"
    );
    assert_eq!(entry["hooks"][0]["timeout"], 35);
    let local = read(&project, LOCAL);
    assert_eq!(local["hooks"]["PreToolUse"], Value::Null, "{local:#}");
    assert_eq!(
        local["hooks"]["PostToolUse"][0]["hooks"][0]["command"],
        "hook-manager run PostToolUse"
    );
    let ours = fs::read_to_string(project.path().join(".claude/hook-manager.json")).unwrap();
    assert!(!ours.contains("personal"), "{ours}");
    assert_eq!(manage(&project, "uninstall", &[]).code, 0);
    assert_eq!(files(&project), before);
}

#[test]
fn whatever_surrounds_the_hooks_is_kept_byte_for_byte() {
    let minified = "{\"b\":1,\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"true\"}]}]},\"a\":1e2}";
    let wide = "{\n\t\"model\":   \"ö\\u00e9\",\n\t\"hooks\": {\"Stop\": [ {\"hooks\": [\n{\"type\": \"command\", \"command\": \"echo 日本\", \"timeout\": 1e1} ]}]} ,\n\n\t\"n\": 0.10\n}\n";
    let crlf = wide.replace('\n', "\r\n");
    let marked = format!("\u{feff}{wide}");
    for (name, text) in [
        ("minified", minified),
        ("wide", wide),
        ("crlf", &crlf),
        ("marked", &marked),
    ] {
        let project = Project::empty();
        let path = project.file(SHARED, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let (before, hooks) = (files(&project), listed(&project));
        for _ in 0..2 {
            install(&project);
            let left = fs::read_to_string(&path).unwrap();
            let at = text
                .find("\"hooks\": {\"Stop\"")
                .or(text.find("\"hooks\":{\"Stop\""))
                .unwrap();
            assert!(left.starts_with(&text[..at]), "{name}: {left}");
            let end = text.rfind("]}]}").unwrap() + 4;
            assert!(left.ends_with(&text[end..]), "{name}: {left}");
            assert_eq!(
                left.replace("\r\n", "").contains('\n'),
                name != "crlf",
                "{name}: {left}"
            );
            assert!(left.contains("hook-manager run Stop"), "{name}: {left}");
            assert_eq!(listed(&project), hooks, "{name}");
            assert!(files(&project).values().all(|(_, mode)| *mode == 0o640), "{name}");
            assert_eq!(manage(&project, "uninstall", &[]).code, 0, "{name}");
            assert_eq!(files(&project), before, "{name}");
        }
    }
}

#[test]
fn a_dry_run_shows_a_diff_and_changes_nothing() {
    let project = Project::example();
    let before = files(&project);
    let dry = manage(&project, "install", &["--dry-run"]);
    assert_eq!((dry.code, files(&project)), (0, before), "{dry:?}");
    for line in [
        "--- a/.claude/settings.json",
        "+++ b/.claude/settings.json",
        "--- /dev/null",
        "+++ b/.claude/hook-manager.json",
    ] {
        assert!(
            dry.stdout.lines().any(|one| one == line),
            "no {line} in {}",
            dry.stdout
        );
    }
    assert!(
        dry.stdout
            .contains("+            \"command\": \"hook-manager run PostToolUse\""),
        "{}",
        dry.stdout
    );
    assert_eq!(install(&project).stdout, dry.stdout);
    let installed = files(&project);
    let dry = manage(&project, "uninstall", &["--dry-run"]);
    assert_eq!((dry.code, files(&project)), (0, installed), "{dry:?}");
    assert!(dry.stdout.contains("+++ /dev/null"), "{dry:?}");
}

#[test]
fn installing_twice_is_said_and_does_nothing_and_so_is_uninstalling_what_is_not_installed() {
    let project = Project::example();
    let ran = manage(&project, "uninstall", &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.contains("not installed"), "{ran:?}");
    install(&project);
    let installed = files(&project);
    let ran = install(&project);
    assert!(
        ran.stderr.contains("already installed") && ran.stdout.is_empty(),
        "{ran:?}"
    );
    assert_eq!(files(&project), installed);
}

#[test]
fn only_the_events_that_were_asked_for_are_moved() {
    let project = Project::example();
    let hooks = listed(&project);
    let ran = manage(
        &project,
        "install",
        &["--events", "PreToolUse,SessionStart", "--absolute"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let moved = read(&project, ".claude/hook-manager.json");
    let events: Vec<&String> = moved["hooks"].as_object().unwrap().keys().collect();
    assert_eq!(events, ["PreToolUse", "SessionStart"]);
    let left = read(&project, SHARED);
    let command = left["hooks"]["SessionStart"][0]["hooks"][0]["command"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        command,
        format!("{} run SessionStart", env!("CARGO_BIN_EXE_hook-manager"))
    );
    // The others are the host's: shown, not run a second time.
    let now = listed(&project);
    let names = |hooks: &[Value]| hooks.iter().map(|hook| hook["hook"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&now), names(&hooks));
    let ran = project.run(
        "UserPromptSubmit",
        &event("user_prompt_submit"),
        &["--output", "table"],
    );
    assert!(ran.line("ticket").contains("the host runs it"), "{ran:?}");
    let ran = manage(&project, "install", &["--events", "PreToolUs"]);
    assert_eq!(ran.code, 64);
    assert!(ran.stderr.contains("did you mean PreToolUse?"), "{ran:?}");
}

#[test]
fn what_only_the_host_can_run_stays_and_is_named() {
    let group = json!([
        { "type": "command", "command": "true" },
        { "type": "command", "command": "sleep 1", "async": true },
        { "type": "prompt", "prompt": "?" },
        { "type": "brand_new", "x": 1 },
    ]);
    let project = Project::with_settings(&json!({ "hooks": {
        "PreToolUse": [{ "matcher": "Bash", "hooks": group }],
        "SessionStart": [{ "hooks": [{ "type": "http", "url": "http://127.0.0.1:9/x" }] }],
    }}));
    // A type nobody knows cannot be used, and install says so rather than to guess.
    let ran = manage(&project, "install", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("brand_new") && ran.stderr.contains("mend or remove it first"),
        "{ran:?}"
    );
    let text = fs::read_to_string(project.path().join(SHARED)).unwrap();
    let mut settings: Value = serde_json::from_str(&text).unwrap();
    settings["hooks"]["PreToolUse"][0]["hooks"]
        .as_array_mut()
        .unwrap()
        .pop();
    project.file(SHARED, &format!("{settings:#}"));
    let ran = install(&project);
    for why in [
        "only the host can run it",
        "it runs in the background",
        "runs no hooks of its type there",
    ] {
        assert!(ran.stderr.contains(why), "no {why} in {}", ran.stderr);
    }
    let left = read(&project, SHARED);
    let groups = left["hooks"]["PreToolUse"].as_array().unwrap();
    assert_eq!(groups[1]["matcher"], "Bash");
    assert_eq!(groups[1]["hooks"], json!([group[1], group[2]]));
    assert_eq!(left["hooks"]["SessionStart"], settings["hooks"]["SessionStart"]);
}

#[test]
fn matchers_are_joined_as_far_as_they_can_be() {
    for (event, matchers, expected) in [
        (
            "PreToolUse",
            vec!["Bash", "Edit, Write", "Bash"],
            json!("Bash|Edit|Write"),
        ),
        (
            "PreToolUse",
            vec!["Bash", "mcp__.*"],
            json!("^(?:Bash)$|(?:mcp__.*)"),
        ),
        ("PreToolUse", vec!["Bash", "*"], Value::Null),
        ("PreToolUse", vec!["mcp__(a)\\1", "Bash"], Value::Null),
        ("PreToolUse", vec!["mcp__(a)\\1"], json!("mcp__(a)\\1")),
        (
            "FileChanged",
            vec!["a.json", ".envrc|b"],
            json!("a.json|.envrc|b"),
        ),
        ("Stop", vec!["Bash"], Value::Null),
    ] {
        let groups: Vec<Value> = matchers.iter().enumerate().map(|(at, matcher)| {
            json!({ "matcher": matcher, "hooks": [{ "type": "command", "command": format!("true {at}") }] })
        }).collect();
        let project = Project::with_settings(&json!({ "hooks": { event: groups } }));
        let hooks = listed(&project);
        install(&project);
        assert_eq!(
            read(&project, SHARED)["hooks"][event][0]["matcher"],
            expected,
            "{matchers:?}"
        );
        assert_eq!(listed(&project), hooks, "{matchers:?}");
    }
}

#[test]
fn many_hooks_and_long_ones_get_the_places_and_the_time_they_had() {
    let hooks: Vec<Value> = (0..7)
        .map(|n| json!({ "type": "command", "command": format!("true {n}") }))
        .collect();
    let project = Project::with_settings(&json!({ "hooks": { "PostToolUse": [{ "hooks": hooks }] } }));
    install(&project);
    let entry = read(&project, SHARED)["hooks"]["PostToolUse"][0]["hooks"][0].clone();
    assert_eq!(
        entry["command"],
        "hook-manager run PostToolUse --deadline 600 --max-concurrent-hooks 7"
    );
    assert_eq!(entry["timeout"], 605);
    let (report, code) = project.json("PostToolUse", r#"{"tool_name":"Bash"}"#);
    assert_eq!(
        (report["results"].as_array().unwrap().len(), code),
        (7, 0),
        "{report:#}"
    );
}

#[test]
fn the_figures_of_the_project_count_and_a_second_install_follows_them() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "command": "true", "timeout": 30 }),
    );
    let before = files(&project);
    let entry = || {
        install(&project);
        let entry = read(&project, SHARED)["hooks"]["Stop"][0]["hooks"][0].clone();
        (entry["command"].clone(), entry["timeout"].clone())
    };
    assert_eq!(entry(), (json!("hook-manager run Stop --deadline 30"), json!(35)));
    let figures = project.file(".claude/hook-manager.toml", "deadline = 60\n");
    // The host must not end it before it ends itself.
    assert_eq!(entry(), (json!("hook-manager run Stop"), json!(65)));
    fs::write(&figures, "deadlin = 60\n").unwrap();
    let ran = manage(&project, "install", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("`deadline`?"), "{ran:?}");
    fs::remove_file(figures).unwrap();
    assert_eq!(manage(&project, "uninstall", &[]).code, 0);
    assert_eq!(files(&project), before);
}

#[test]
fn what_cannot_be_kept_is_refused_by_name_and_nothing_is_changed() {
    let hook = r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"true"}]}]}"#;
    for (text, expected) in [
        (
            format!("// mine\n{hook}}}"),
            "settings.json:1:1: it has a comment",
        ),
        (
            format!("{hook},\"hooks\":{{}}}}"),
            "`hooks` stands here a second time",
        ),
        (
            r#"{"hooks":{"Stop":[],"Stop":[]}}"#.into(),
            "`Stop` stands here a second time",
        ),
        (hook.to_owned(), "it ends too early"),
        ("[]".into(), "expected an object"),
        (
            hook.replace("\"true\"", "\"true\",\"timeout\":-1") + "}",
            "timeout is -1",
        ),
    ] {
        let project = Project::empty();
        project.file(SHARED, &text);
        let before = files(&project);
        let ran = manage(&project, "install", &[]);
        assert_eq!(ran.code, 1, "{text}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{text}: {ran:?}");
        assert_eq!(files(&project), before, "{text}");
    }
    let (project, elsewhere) = (Project::empty(), Project::example());
    fs::create_dir(project.path().join(".claude")).unwrap();
    symlink(elsewhere.path().join(SHARED), project.path().join(SHARED)).unwrap();
    let ran = manage(&project, "install", &[]);
    assert!(
        ran.code == 1 && ran.stderr.contains("symbolic link out of the project"),
        "{ran:?}"
    );
}

#[test]
fn a_link_within_the_project_is_written_through() {
    let project = Project::example();
    let real = project.path().join("shared.json");
    fs::rename(project.path().join(SHARED), &real).unwrap();
    symlink("../shared.json", project.path().join(SHARED)).unwrap();
    let before = fs::read(&real).unwrap();
    install(&project);
    assert!(project.path().join(SHARED).is_symlink());
    assert_ne!(fs::read(&real).unwrap(), before);
    let ran = manage(&project, "uninstall", &[]);
    assert!(ran.code == 0 && fs::read(&real).unwrap() == before, "{ran:?}");
    assert!(project.path().join(SHARED).is_symlink());
}

/// Who runs what: the host each handler that is still in its files, the manager each that `run` runs.
fn runs(project: &Project) -> Vec<String> {
    let mut runs = Vec::new();
    for file in [SHARED, LOCAL] {
        for group in read(project, file)["hooks"]["PreToolUse"]
            .as_array()
            .into_iter()
            .flatten()
        {
            for handler in group["hooks"].as_array().unwrap() {
                let command = handler["command"].as_str().unwrap_or_default();
                if !command.starts_with("hook-manager run ") {
                    runs.push(command.to_owned());
                    continue;
                }
                let (report, _) = project.json("PreToolUse", r#"{"tool_name":"Bash","tool_input":{}}"#);
                let messages = report["merged"]["system_messages"].as_array().unwrap();
                runs.extend(
                    messages
                        .iter()
                        .map(|one| format!("echo '{{\"systemMessage\":{one}}}'")),
                );
            }
        }
    }
    runs.sort();
    runs
}

#[test]
fn a_crash_between_any_two_files_leaves_every_hook_running_and_running_once() {
    let project = both();
    let expected = runs(&project);
    assert_eq!(expected.len(), 2, "{expected:?}");
    let before = files(&project);
    install(&project);
    let after = files(&project);
    assert_eq!(runs(&project), expected);
    let order = |name: &str| match name {
        "settings.local.json" => 3,
        "settings.json" => 2,
        "hook-manager.json" => 1,
        _ => 0,
    };
    let write = |name: &str, bytes: Option<&(Vec<u8>, u32)>| {
        let path = project.path().join(".claude").join(name);
        match bytes {
            Some((bytes, _)) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    };
    // Back one file at a time: the states that an install goes through.
    let mut names: Vec<&String> = after.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(order(name)));
    for name in names {
        write(name, before.get(name));
        assert_eq!(runs(&project), expected, "{name} is as before");
    }
    // And one that was cut short is completed by the next one.
    install(&project);
    write("settings.local.json", before.get("settings.local.json"));
    install(&project);
    assert_eq!(files(&project), after);
}

#[test]
fn a_hook_that_is_added_later_is_run_by_the_host_alone() {
    let project = Project::with_hook(
        "PreToolUse",
        json!({ "type": "command", "command": "true", "timeout": 3 }),
    );
    install(&project);
    let later =
        json!({ "hooks": { "PreToolUse": [{ "hooks": [{ "type": "command", "command": "./later.sh" }] }] } });
    project.file(LOCAL, &later.to_string());
    let ran = project.run("PreToolUse", r#"{"tool_name":"Bash"}"#, &["--output", "table"]);
    assert!(
        ran.line("later").contains("skipped") && ran.line("later").contains("the host runs it"),
        "{ran:?}"
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_file_that_cannot_be_written_undoes_the_ones_before_it() {
    let project = both();
    let before = files(&project);
    // Where the new file would have to be made, something is in the way.
    fs::create_dir_all(
        project
            .path()
            .join(".claude/.settings.local.json.hook-manager-new/x"),
    )
    .unwrap();
    let ran = manage(&project, "install", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("settings.local.json: ") && ran.stderr.contains("nothing was changed"),
        "{ran:?}"
    );
    assert_eq!(files(&project), before);
}

#[test]
fn edits_since_are_refused_shown_and_never_lost() {
    let edited = || {
        let project = both();
        install(&project);
        let path = project.path().join(SHARED);
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("Bash(ls)", "Bash(cat)");
        fs::write(&path, text).unwrap();
        project
    };
    let project = edited();
    let installed = files(&project);
    let ran = manage(&project, "uninstall", &[]);
    assert_eq!((ran.code, files(&project)), (1, installed.clone()), "{ran:?}");
    assert!(
        ran.stderr
            .contains(".claude/settings.json: it was edited since install"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("-") && ran.stdout.contains("+      \"Bash(cat)\""),
        "{ran:?}"
    );
    // A second install does not take the edited file for the original.
    let ran = manage(&project, "install", &[]);
    assert_eq!((ran.code, files(&project)), (1, installed.clone()), "{ran:?}");

    let ran = manage(&project, "uninstall", &["--merge"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut expected = read(&both(), SHARED);
    expected["permissions"]["allow"][0] = json!("Bash(cat)");
    assert_eq!(read(&project, SHARED), expected);
    assert_eq!(files(&project).len(), 2);

    let project = edited();
    let ran = manage(&project, "uninstall", &["--force"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(read(&project, SHARED), read(&both(), SHARED));
    assert_eq!(
        files(&project)["settings.json.edited"],
        installed["settings.json"]
    );
}

#[test]
fn a_moved_hook_that_was_edited_is_an_edit_too() {
    let project = both();
    install(&project);
    let path = project.path().join(".claude/hook-manager.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"timeout\": 30", "\"timeout\": 31");
    fs::write(&path, text).unwrap();
    let ran = manage(&project, "uninstall", &[]);
    assert!(
        ran.code == 1 && ran.stderr.contains("hook-manager.json: it was edited"),
        "{ran:?}"
    );
    assert_eq!(manage(&project, "uninstall", &["--merge"]).code, 0);
    assert_eq!(
        read(&project, SHARED)["hooks"]["PreToolUse"][0]["hooks"][0]["timeout"],
        31
    );
}

#[test]
fn without_the_copy_the_hooks_are_put_back_by_merging() {
    let project = both();
    let hooks = listed(&project);
    install(&project);
    fs::remove_file(project.path().join(".claude/settings.json.before-hook-manager")).unwrap();
    for args in [&[][..], &["--force"]] {
        let ran = manage(&project, "uninstall", args);
        assert!(
            ran.code == 1 && ran.stderr.contains("before-hook-manager: it is gone"),
            "{ran:?}"
        );
    }
    assert_eq!(manage(&project, "uninstall", &["--merge"]).code, 0);
    assert_eq!(listed(&project), hooks);
    assert_eq!(read(&project, SHARED), read(&both(), SHARED));
}

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
