//! JSON as people write it.

use crate::source::json::{Node, Tree};

/// Writes a value over several lines, with `unit` for each level, as if it stood on level `level`. Keys keep their
/// order, numbers their spelling.
pub(super) fn print(node: &Node, unit: &str, level: usize) -> String {
    let mut text = String::new();
    value(&mut text, node, unit, level);
    text
}

fn value(text: &mut String, node: &Node, unit: &str, level: usize) {
    match &node.value {
        Tree::Null => text.push_str("null"),
        Tree::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Tree::Number(value) => text.push_str(&value.to_string()),
        Tree::Text(value) => text.push_str(&quoted(value)),
        Tree::List(nodes) if is_plain(nodes) => {
            text.push('[');
            for (at, node) in nodes.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                value(text, node, unit, level);
            }
            text.push(']');
        }
        Tree::List(nodes) => lines(text, '[', ']', unit, level, nodes, |text, node| {
            value(text, node, unit, level + 1);
        }),
        Tree::Object(entries) if entries.is_empty() => text.push_str("{}"),
        Tree::Object(entries) => lines(text, '{', '}', unit, level, entries, |text, (key, node)| {
            text.push_str(&quoted(&key.name));
            text.push_str(": ");
            value(text, node, unit, level + 1);
        }),
    }
}

fn lines<T>(
    text: &mut String,
    open: char,
    close: char,
    unit: &str,
    level: usize,
    parts: &[T],
    mut part: impl FnMut(&mut String, &T),
) {
    text.push(open);
    for (at, one) in parts.iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&unit.repeat(level + 1));
        part(text, one);
    }
    text.push('\n');
    text.push_str(&unit.repeat(level));
    text.push(close);
}

/// A list that stays on its line.
fn is_plain(nodes: &[Node]) -> bool {
    nodes
        .iter()
        .all(|node| !matches!(node.value, Tree::List(_) | Tree::Object(_)))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
