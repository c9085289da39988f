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
    let mut used = LABELS_USED.lock().unwrap_or_else(PoisonError::into_inner);
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
