//! What is too much is forgotten: a map's bound.

use std::collections::BTreeMap;

/// Keeps so many entries, those of the highest rank, however many there were: a file may say anything.
pub(crate) fn keep<V, R: Ord>(most: usize, map: &mut BTreeMap<String, V>, rank: impl Fn(&V) -> R) {
    let too_many = map.len().saturating_sub(most);
    if too_many == 0 {
        return;
    }
    let mut names: Vec<(R, String)> = map
        .iter()
        .map(|(name, value)| (rank(value), name.clone()))
        .collect();
    names.sort_unstable();
    for (_, name) in names.into_iter().take(too_many) {
        map.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_are_kept() {
        let mut map: BTreeMap<String, u32> = (0..10).map(|n| (format!("{n}"), (n * 7) % 10)).collect();
        keep(3, &mut map, |rank| *rank);
        assert_eq!(map.into_values().collect::<Vec<_>>(), [7, 8, 9]);
        let mut few = BTreeMap::from([("a".to_owned(), 1)]);
        keep(3, &mut few, |rank| *rank);
        assert_eq!(few.len(), 1);
    }
}
