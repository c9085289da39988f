//! Projects, and what is looked at in them.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::support::{Project, Ran, command};

pub(crate) const SHARED: &str = ".claude/settings.json";
pub(crate) const LOCAL: &str = ".claude/settings.local.json";

pub(crate) fn manage(project: &Project, word: &str, args: &[&str]) -> Ran {
    let path = project.path().to_str().unwrap();
    command(&[&[word, "--project", path], args].concat(), "")
}

pub(crate) fn install(project: &Project) -> Ran {
    let ran = manage(project, "install", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// Every file of `.claude`, with its permissions.
pub(crate) fn files(project: &Project) -> BTreeMap<String, (Vec<u8>, u32)> {
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
pub(crate) fn listed(project: &Project) -> Vec<Value> {
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

pub(crate) fn read(project: &Project, file: &str) -> Value {
    let bytes = fs::read(project.path().join(file)).unwrap();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(bytes).unwrap()
}

/// A project with shared and personal hooks of the same event.
pub(crate) fn both() -> Project {
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
