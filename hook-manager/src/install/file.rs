//! A settings file with everything that has to be kept of it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Refused, print::print};
use crate::source::json::{self, At, Key, Node, Tree};

const MARK: &str = "\u{feff}";

/// A settings file that is there.
#[derive(Clone, Debug)]
pub(super) struct SettingsFile {
    /// The file itself, not a link to it.
    pub(super) path: PathBuf,
    /// Its name within the project.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// Its text, without a byte order mark.
    text: String,
    root: Node,
}

/// Reads a file of a project's `.claude`, if it is there.
pub(super) fn read(project: &Path, file: &str) -> Result<Option<SettingsFile>, Refused> {
    let name = format!(".claude/{file}");
    let path = project.join(&name);
    let refuse = |what: String| Err(Refused::new(format!("{name}: {what}")));
    match fs::symlink_metadata(&path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return refuse(format!("it cannot be looked at: {err}")),
        Ok(_) => {}
    }
    let real = fs::canonicalize(project).and_then(|project| Ok((project, fs::canonicalize(&path)?)));
    let path = match real {
        Ok((project, path)) if path.starts_with(&project) => path,
        Ok((_, path)) => {
            let target = path.display();
            return refuse(format!(
                "it is a symbolic link out of the project, to {target}; expected a file in it, which others do not use"
            ));
        }
        Err(err) => return refuse(format!("it cannot be followed: {err}")),
    };
    if !path.is_file() {
        return refuse("it is not an ordinary file; expected a settings file".into());
    }
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(err) => return refuse(format!("it cannot be read: {err}; expected a readable file")),
    };
    SettingsFile::new(path, name, bytes).map(Some)
}

impl SettingsFile {
    /// Whoever made it read-only wants it as it is: it could be replaced all the same.
    pub(super) fn may_be_changed(&self) -> Result<(), Refused> {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.mode() & 0o200 == 0 => Err(Refused::new(format!(
                "{}: it is read-only; expected a file that may be changed (`chmod u+w`)",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn new(path: PathBuf, name: String, bytes: Vec<u8>) -> Result<Self, Refused> {
        let refuse = |at: Option<At>, what: String| {
            let at = at
                .map(|at| format!(":{}:{}", at.line, at.column))
                .unwrap_or_default();
            Err(Refused::new(format!("{name}{at}: {what}")))
        };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return refuse(None, "it is not UTF-8; expected UTF-8".into());
        };
        let text = text.strip_prefix(MARK).unwrap_or(text).to_owned();
        let root = match json::parse(&text) {
            Ok(root) => root,
            Err(err) => return refuse(Some(err.at), format!("{}; expected {}", err.what, err.expected)),
        };
        let Some(entries) = root.object() else {
            return refuse(
                Some(root.at),
                format!("it is {}; expected an object", root.describe()),
            );
        };
        let mut hooks = entries.iter().filter(|(key, _)| key.name == "hooks");
        if let Some((key, _)) = hooks.nth(1) {
            return refuse(
                Some(key.at),
                "`hooks` stands here a second time, and one of them would be lost; expected one".into(),
            );
        }
        Ok(Self {
            path,
            name,
            bytes,
            text,
            root,
        })
    }

    /// The events and their groups.
    pub(super) fn hooks(&self) -> &[(Key, Node)] {
        self.root.get("hooks").and_then(Node::object).unwrap_or_default()
    }

    pub(super) fn has_hooks(&self) -> bool {
        self.root.get("hooks").is_some()
    }

    /// The file with an empty `hooks` in front of everything else.
    pub(super) fn with_a_place_for_hooks(&self) -> Vec<u8> {
        let open = self.text.find('{').map_or(0, |at| at + 1);
        let is_empty = self.root.object().is_none_or(<[_]>::is_empty);
        let hooks = if is_empty {
            "\n  \"hooks\": {}\n"
        } else {
            "\n  \"hooks\": {},"
        };
        let end = match self.text.contains("\r\n") {
            true => hooks.replace('\n', "\r\n"),
            false => hooks.to_owned(),
        };
        let mark = self.bytes.len() - self.text.len();
        let at = mark + open;
        [&self.bytes[..at], end.as_bytes(), &self.bytes[at..]].concat()
    }

    /// A text of the file's head.
    pub(super) fn noted(&self, name: &str) -> Option<&str> {
        self.root.get("hookManager")?.get(name)?.text()
    }

    /// The whole file with other hooks. What stands around them stays byte for byte.
    pub(super) fn with_hooks(&self, hooks: &Node) -> Vec<u8> {
        let entries = self.root.object().unwrap_or_default();
        let key = entries.iter().map(|(key, _)| key).find(|key| key.name == "hooks");
        let Some(key) = key else {
            return self.bytes.clone();
        };
        let line = self.text[..key.value.start]
            .rsplit('\n')
            .next()
            .unwrap_or_default();
        let margin = &line[..line.len() - line.trim_start().len()];
        let unit = match margin {
            "" => "  ",
            margin => margin,
        };
        let level = usize::from(!margin.is_empty());
        let mut printed = print(hooks, unit, level);
        if self.text.contains("\r\n") {
            printed = printed.replace('\n', "\r\n");
        }
        let mark = match self.bytes.starts_with(MARK.as_bytes()) {
            true => MARK,
            false => "",
        };
        let (before, after) = (&self.text[..key.value.start], &self.text[key.value.end..]);
        [mark, before, &printed, after].concat().into_bytes()
    }
}

pub(super) fn text(value: impl Into<String>) -> Node {
    node(Tree::Text(value.into()))
}

pub(super) fn node(value: Tree) -> Node {
    Node {
        at: At { line: 1, column: 1 },
        value,
    }
}

pub(super) fn object(entries: impl IntoIterator<Item = (impl Into<String>, Node)>) -> Node {
    let entries = entries.into_iter().map(|(name, node)| (key(name), node));
    node(Tree::Object(entries.collect()))
}

pub(super) fn key(name: impl Into<String>) -> Key {
    Key {
        at: At { line: 1, column: 1 },
        name: name.into(),
        value: 0..0,
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
