//! `hookManager`: our extension to a handler, which the host ignores.

use super::{
    super::{
        super::json::{Node, Tree},
        nearest, step,
    },
    HandlerReader,
    worker::WorkerFigures,
};
use crate::hook::{CacheKey, CacheRule, NAME_LIMIT, OnFailure, is_name};

/// The fields inside.
const OURS: &[&str] = &["name", "guard", "idempotent", "cache", "onFailure", "worker"];

/// What it says, as far as it can be used.
#[derive(Default)]
pub(super) struct Ours {
    pub(super) name: Option<String>,
    pub(super) guard: Option<bool>,
    pub(super) idempotent: bool,
    pub(super) cache: Option<CacheRule>,
    pub(super) on_failure: Option<OnFailure>,
    pub(super) worker: Option<WorkerFigures>,
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
                "onFailure" => ours.on_failure = self.policy(value, &field),
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

    fn cache(&mut self, node: &Node, field: &str) -> Option<CacheRule> {
        const EXPECTED: &str = "true, false, or an object with `ttl` and `fields`";
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
                _ => {
                    let at = Node {
                        at: key.at,
                        value: Tree::Null,
                    };
                    self.refuse(&at, &field, "is not known".into(), "one of ttl, fields");
                }
            }
        }
        Some(rule)
    }
}
