//! The files that decide what runs, and what is in them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{hex, whole};
use crate::{
    command::{Recipe, preflight::runs},
    hook::{Handler, HookSpec},
    ownership::FileCheck,
    source::{self, Sources},
};

/// A file of a hook that is larger is not looked through, and so never trusted.
const LARGE: u64 = 256 << 20;

/// What is known of a file that decides what runs.
pub(super) enum Known {
    /// What is in it.
    Content,
    /// That it leads to this one, outside of the project.
    Link(PathBuf),
}

/// Everything that decides what runs, each once, in an order that does not depend on who asks.
pub(super) fn files(sources: &Sources, hooks: &[HookSpec]) -> BTreeMap<PathBuf, Known> {
    let mut files: Vec<PathBuf> = sources.settings.iter().map(|file| whole(file)).collect();
    if let Some(project) = &sources.project {
        let claude = whole(project).join(".claude");
        let names = source::installed::PAIRS
            .into_iter()
            .flat_map(|(host, ours)| [host, ours]);
        files.extend(names.chain(["hook-manager.toml"]).map(|name| claude.join(name)));
    }
    if let Some(dir) = &sources.hooks_dir {
        let dir = whole(dir);
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        // What hooks write beside themselves is no part of them.
        let may_run = |entry: &fs::DirEntry| entry.file_name().to_str().is_none_or(source::may_be_hook);
        let entries = entries.filter(may_run).map(|entry| entry.path());
        files.extend(entries.filter(|path| !path.is_dir()));
    }
    let mut files: BTreeMap<_, _> = files.into_iter().map(|file| (file, Known::Content)).collect();
    let Some(project) = &sources.project else {
        return files;
    };
    // As it is written, and as it is: a link in it may lead anywhere.
    let project = [
        std::path::absolute(project).unwrap_or_else(|_| project.clone()),
        whole(project),
    ];
    for (named, real) in hooks.iter().flat_map(|hook| own_files(hook, &project[0])) {
        if real.starts_with(&project[1]) {
            files.insert(real, Known::Content);
        } else if project.iter().any(|project| named.starts_with(project)) {
            files.insert(named, Known::Link(real));
        }
    }
    files
}

/// The programs and scripts that a hook plainly names, and where they really are.
fn own_files(hook: &HookSpec, project: &Path) -> Vec<(PathBuf, PathBuf)> {
    let handler = match &hook.handler {
        Handler::Worker(worker) => &worker.run,
        handler => handler,
    };
    if !matches!(handler, Handler::Shell { .. } | Handler::Exec { .. }) {
        return Vec::new();
    }
    let recipe = Recipe {
        handler: handler.clone(),
        project: Some(project.into()),
        env_allow: None,
        file_check: FileCheck::Off,
        trusted: None,
    };
    let home = recipe.home();
    let Some(line) = recipe.line(&home) else {
        return Vec::new();
    };
    let (_, files) = runs(&line, &home);
    let files = files.into_iter().map(|name| home.join(name));
    // One that is not there may come.
    let real = |file: PathBuf| (file.clone(), fs::canonicalize(&file).unwrap_or(file));
    files.map(real).collect()
}

/// A digest of a file's content.
pub(super) fn one(file: &Path) -> io::Result<String> {
    // A named pipe would be waited for.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    let mut digest = Sha256::new();
    match io::copy(&mut File::open(file)?.take(LARGE + 1), &mut digest)? {
        size if size > LARGE => Err(io::Error::other(format!("it has more than {LARGE} bytes"))),
        _ => Ok(hex(digest)),
    }
}
