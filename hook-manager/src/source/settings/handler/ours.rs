//! `hookManager`: our extension to a handler, which the host ignores.

use std::sync::Arc;

use super::{
    super::{
        super::json::{Node, Tree},
        nearest, step,
    },
    HandlerReader,
    worker::WorkerFigures,
};
use crate::{
    environment::is_pattern,
    hook::{
        CacheKey, CacheRule, IfDependencyFails, NAME_LIMIT, OnFailure, OnOpen, Priority, Schedule, is_name,
    },
};

/// The fields inside.
pub(super) const OURS: &[&str] = &[
    "name",
    "guard",
    "idempotent",
    "cache",
    "onFailure",
    "onOpen",
    "priority",
    "dependsOn",
    "ifDependencyFails",
    "reads",
    "writes",
    "parallel",
    "maxConcurrent",
    "maxRunsPerMinute",
    "maxRunsPerSession",
    "worker",
    "env",
];

/// What it says, as far as it can be used.
#[derive(Default)]
pub(super) struct Ours {
    pub(super) name: Option<String>,
    pub(super) guard: Option<bool>,
    pub(super) idempotent: bool,
    pub(super) cache: Option<CacheRule>,
    pub(super) on_failure: Option<OnFailure>,
    pub(super) on_open: Option<OnOpen>,
    pub(super) schedule: Schedule,
    pub(super) worker: Option<WorkerFigures>,
    pub(super) env_allow: Option<Arc<[String]>>,
}

impl HandlerReader<'_, '_, '_> {
    pub(super) fn ours(&mut self) -> Ours {
        let mut ours = Ours::default();
        let Some(node) = self.node.get("hookManager") else {
            return ours;
        };
        let Some(entries) = node.object() else {
            self.wrong(node, "hookManager", "an object");
            return ours;
        };
        let place = format!("{}.hookManager", self.place);
        self.file.twice(entries, &place);
        for (key, value) in entries {
            let field = format!("hookManager{}", step(&key.name));
            match &key.name[..] {
                "name" => match value.text().filter(|name| is_name(name)) {
                    Some(name) => ours.name = Some(name.into()),
                    None => {
                        let expected = format!("1 to {NAME_LIMIT} letters, digits, `_`, `-` and `.`");
                        self.wrong(value, &field, &expected);
                    }
                },
                "guard" => ours.guard = self.bool(value, &field),
                "idempotent" => ours.idempotent = self.bool(value, &field).unwrap_or_default(),
                "cache" => ours.cache = self.cache(value, &field),
                "worker" => ours.worker = self.worker_figures(value, &field),
                "env" => ours.env_allow = self.env(value, &field),
                "onFailure" => ours.on_failure = self.policy(value, &field),
                "onOpen" => {
                    ours.on_open = self.word(value, &field, OnOpen::find, "\"skip\", \"ask\" or \"block\"");
                }
                "priority" => {
                    let expected = "\"critical\", \"high\", \"normal\" or \"low\"";
                    ours.schedule.priority = self.word(value, &field, Priority::find, expected);
                }
                "dependsOn" => {
                    let names = self.texts(value, &field, "the name of a hook", is_name);
                    ours.schedule.depends_on = names.into_iter().map(Into::into).collect();
                }
                "ifDependencyFails" => {
                    let expected = "\"skip\", \"run\" or \"fail\"";
                    ours.schedule.if_dependency_fails =
                        self.word(value, &field, IfDependencyFails::find, expected);
                }
                "reads" => ours.schedule.reads = self.texts(value, &field, "a name", not_empty),
                "writes" => ours.schedule.writes = self.texts(value, &field, "a name", not_empty),
                "parallel" => ours.schedule.exclusive = self.bool(value, &field) == Some(false),
                "maxConcurrent" => {
                    let most = self.count(value, &field);
                    ours.schedule.max_concurrent = most.and_then(|most| most.try_into().ok());
                }
                "maxRunsPerMinute" => ours.schedule.max_runs_per_minute = self.count(value, &field),
                "maxRunsPerSession" => ours.schedule.max_runs_per_session = self.count(value, &field),
                _ => {
                    let near = nearest(&key.name, OURS.iter().copied());
                    let near = near
                        .map(|near| format!("`{near}`? Known are "))
                        .unwrap_or_else(|| "one of ".into());
                    let expected = format!("{near}{}", OURS.join(", "));
                    let at = Node {
                        at: key.at,
                        value: Tree::Null,
                    };
                    self.refuse(&at, &field, "is not known".into(), &expected);
                }
            }
        }
        ours
    }

    /// One word out of a few.
    fn word<T>(
        &mut self,
        node: &Node,
        field: &str,
        find: impl FnOnce(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let found = node.text().and_then(find);
        if found.is_none() {
            self.wrong(node, field, expected);
        }
        found
    }

    /// A list of texts that are all `fine`.
    fn texts(&mut self, node: &Node, field: &str, each: &str, fine: impl Fn(&str) -> bool) -> Vec<String> {
        let Tree::List(list) = &node.value else {
            self.wrong(node, field, &format!("a list, each of it {each}"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (at, one) in list.iter().enumerate() {
            match one.text().filter(|text| fine(text)) {
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong(one, &format!("{field}[{at}]"), each),
            }
        }
        texts
    }

    /// What a program may see of the environment; `None` for all of it.
    fn env(&mut self, node: &Node, field: &str) -> Option<Arc<[String]>> {
        match &node.value {
            Tree::Text(text) if text == "inherit" => None,
            Tree::Object(entries) if matches!(&entries[..], [(key, _)] if key.name == "allow") => {
                let (field, each) = (
                    format!("{field}.allow"),
                    "a variable's name, such as HOME or AWS_*",
                );
                let names = self.texts(&entries[0].1, &field, each, is_pattern);
                Some(names.into())
            }
            _ => {
                self.wrong(
                    node,
                    field,
                    "\"inherit\", or an object with `allow`, a list of variables",
                );
                None
            }
        }
    }

    /// A whole number from 1.
    fn count(&mut self, node: &Node, field: &str) -> Option<u32> {
        let number = match &node.value {
            Tree::Number(number) => number.as_u64(),
            _ => None,
        };
        let count = number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|count| *count > 0);
        if count.is_none() {
            self.wrong(node, field, "a whole number from 1");
        }
        count
    }

    fn cache(&mut self, node: &Node, field: &str) -> Option<CacheRule> {
        const EXPECTED: &str =
            "true, false, or an object with `ttl`, `fields`, `files`, `staleIfError` and `tags`";
        let entries = match &node.value {
            Tree::Bool(on) => return on.then(CacheRule::default),
            Tree::Object(entries) => entries,
            _ => {
                self.wrong(node, field, EXPECTED);
                return None;
            }
        };
        let mut rule = CacheRule::default();
        for (key, value) in entries {
            let field = format!("{field}{}", step(&key.name));
            match (&key.name[..], &value.value) {
                ("ttl", _) => rule.ttl = self.duration(value, &field),
                ("staleIfError", _) => rule.stale_if_error = self.duration(value, &field),
                ("fields", Tree::List(list)) if !list.is_empty() => {
                    let mut pointers = Vec::new();
                    for (at, one) in list.iter().enumerate() {
                        match one.text().filter(|text| text.starts_with('/')) {
                            Some(text) => pointers.push(text.to_owned()),
                            None => {
                                let field = format!("{field}[{at}]");
                                self.wrong(one, &field, "a JSON pointer such as \"/tool_input/command\"");
                            }
                        }
                    }
                    rule.key = CacheKey::Fields(pointers);
                }
                ("fields", _) => self.wrong(value, &field, "a list of at least one JSON pointer"),
                ("files", _) => {
                    let files = self.texts(value, &field, "a path", not_empty);
                    rule.files = files.into_iter().map(Into::into).collect();
                }
                ("tags", _) => rule.tags = self.texts(value, &field, "a name", not_empty),
                _ => {
                    let at = Node {
                        at: key.at,
                        value: Tree::Null,
                    };
                    self.refuse(
                        &at,
                        &field,
                        "is not known".into(),
                        "one of ttl, fields, files, staleIfError, tags",
                    );
                }
            }
        }
        Some(rule)
    }
}

fn not_empty(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}
