//! Names that were fixed when something was made, as labels.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// The names that may ever be labels in one process.
const LABELS: usize = 4_000;

/// The name as a label, which is `'static`: each name is kept once, for good. When there are thousands, or a name is longer than
/// any name, it is `other`.
pub(crate) fn label(name: &str) -> &'static str {
    static LABELS_USED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    label_in(
        &mut LABELS_USED.lock().unwrap_or_else(PoisonError::into_inner),
        name,
    )
}

fn label_in(used: &mut BTreeSet<&'static str>, name: &str) -> &'static str {
    if let Some(label) = used.get(name) {
        return label;
    }
    if used.len() >= LABELS || name.len() > 256 {
        return "other";
    }
    let label: &'static str = Box::leak(name.into());
    used.insert(label);
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_4000_names_are_ever_kept_as_labels() {
        let mut used = BTreeSet::new();
        for n in 0..100_000 {
            let name = format!("label {n}");
            let label = label_in(&mut used, &name);
            assert_eq!(label, if n < LABELS { name.as_str() } else { "other" });
        }
        assert_eq!(used.len(), LABELS);
        assert_eq!(label_in(&mut used, "label 7"), "label 7", "what is kept is found");
        let mut none = BTreeSet::new();
        assert_eq!((label_in(&mut none, &"x".repeat(257)), none.len()), ("other", 0));
    }
}
