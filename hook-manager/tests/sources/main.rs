//! Hooks as they are found in settings files and directories: what becomes of each, and what is said.

use std::{fs, path::Path, time::Duration};

use hook_manager::{
    event::HookEvent,
    hook::{CacheKey, Handler, HookSpec, OnFailure, OriginKind, Shell},
    matcher::Matcher,
    source::{Loaded, Problem, Severity, Sources, load},
};
use serde_json::{Value, json};
use tempfile::TempDir;

mod broken;
mod directories;
mod events;
mod handlers;
mod mutated;
mod several;
mod told;

/// The sources of a project with this shared settings file.
struct Project {
    dir: TempDir,
    sources: Sources,
}

fn project(settings: impl ToString) -> Project {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources {
        project: Some(dir.path().into()),
        ..Sources::default()
    };
    let project = Project { dir, sources };
    project.write(".claude/settings.json", settings);
    project
}

impl Project {
    fn write(&self, file: &str, content: impl ToString) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.to_string()).unwrap();
    }

    fn load(&self) -> Loaded {
        load(&self.sources)
    }
}

fn handlers(event: &str, handlers: Value) -> Value {
    json!({ "hooks": { event: [{ "hooks": handlers }] } })
}

fn one(handler: Value) -> Loaded {
    project(handlers("PreToolUse", json!([handler]))).load()
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.hooks.iter().map(|hook| &*hook.name).collect()
}

/// The messages, without the temporary directory in front.
fn messages(loaded: &Loaded) -> Vec<String> {
    let text = |problem: &Problem| {
        let text = problem.to_string();
        let text = text
            .split_once("/.claude/")
            .map_or(&text[..], |(_, rest)| rest)
            .to_owned();
        format!("{}: {text}", problem.severity)
    };
    loaded.problems.iter().map(text).collect()
}
