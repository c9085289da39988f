//! What somebody probably meant to write.

/// The candidate closest to `word`, if one is close enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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

/// How many letters have to be added, left out or changed.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
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
