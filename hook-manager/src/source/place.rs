//! From a place such as `hooks.Stop[0].hooks[1].command` to where it stands in its file.

use std::fs;

use super::json::{self, At, Node, Tree};
use crate::hook::Origin;

/// The origin of a field beside or inside what stands at `origin`: `up` steps up from it, then to `field`. Where the file
/// cannot be read any more, or the field is not there, it is `origin` itself.
pub(crate) fn field_of(origin: &Origin, up: usize, field: &str) -> Origin {
    let found = || {
        let text = fs::read_to_string(origin.file.as_ref()?).ok()?;
        let root = json::parse(text.strip_prefix('\u{feff}').unwrap_or(&text)).ok()?;
        let mut steps = steps(&origin.place)?;
        steps.truncate(steps.len().checked_sub(up)?);
        let (at, mut place) = (find(&root, &steps, field)?, String::new());
        for step in &steps {
            place.push_str(&match step {
                Step::At(at) => format!("[{at}]"),
                Step::Key(key) if place.is_empty() => (*key).to_owned(),
                Step::Key(key) => format!(".{key}"),
            });
        }
        Some(Origin {
            line: Some(at.line),
            column: Some(at.column),
            place: format!("{place}.{field}"),
            ..origin.clone()
        })
    };
    found().unwrap_or_else(|| origin.clone())
}

#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    At(usize),
}

/// The steps of a place without quoted keys.
fn steps(place: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in place.split('.') {
        let mut parts = part.split('[');
        let key = parts.next().filter(|key| !key.is_empty())?;
        steps.push(Step::Key(key));
        for at in parts {
            steps.push(Step::At(at.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

fn find(root: &Node, steps: &[Step<'_>], field: &str) -> Option<At> {
    let mut node = root;
    for step in steps {
        node = match (step, &node.value) {
            (Step::Key(key), _) => node.get(key)?,
            (Step::At(at), Tree::List(nodes)) => nodes.get(*at)?,
            _ => return None,
        };
    }
    Some(node.get(field)?.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_split_into_keys_and_numbers() {
        use Step::{At, Key};
        assert_eq!(
            steps("hooks.Stop[1].hooks[0]"),
            Some(vec![Key("hooks"), Key("Stop"), At(1), Key("hooks"), At(0)])
        );
        assert_eq!(steps("hooks[\"a.b\"][0]"), None);
        assert_eq!(steps(""), None);
    }
}
