//! What somebody probably meant to write.

/// The candidate closest to `word`, if one is close enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .take(64)
            .collect()
    };
    let word = plain(word);
    let within = if word.len() < 6 { 1 } else { 2 };
    let distances = candidates
        .into_iter()
        .map(|one| (distance(&word, &plain(one)), one));
    distances
        .filter(|(distance, _)| *distance <= within)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, one)| one)
}

/// How many letters have to be added, left out, changed, or swapped with their neighbour.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 0..one.len() {
        let mut row = vec![i + 1];
        for j in 0..other.len() {
            let changed = last[j] + usize::from(one[i] != other[j]);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && one[i] == other[j - 1] && one[i - 1] == other[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_other_words_are_not() {
        let words = ["matcher", "timeout", "command", "if", "PreToolUse", "PostToolUse"];
        for (word, expected) in [
            ("matchers", Some("matcher")),
            ("timeOut", Some("timeout")),
            ("time_out", Some("timeout")),
            ("comand", Some("command")),
            ("fi", Some("if")),
            ("pretooluse", Some("PreToolUse")),
            ("PreToolsUse", Some("PreToolUse")),
            ("description", None),
            ("BrandNew", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
    }
}
