//! What of an environment reaches a hook that is not to see all of it.

use std::ffi::{OsStr, OsString};

/// What every hook gets, if it is there: without it programs are not found, or do not know what to write.
const ALWAYS: &[&str] = &[
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "CLAUDECODE",
    "CLAUDE_ENV_FILE",
    "CLAUDE_PLUGIN_DATA",
    "CLAUDE_PLUGIN_ROOT",
    "CLAUDE_PROJECT_DIR",
    "HOOK_MANAGER_DEPTH",
    "HOOK_RUN_BY",
];

/// The variables that a hook may have: by their names, or by how these begin (`AWS_*`).
pub(crate) fn allowed(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    allow: &[String],
) -> impl Iterator<Item = (OsString, OsString)> {
    vars.into_iter().filter(move |(name, _)| {
        let is = |one: &str| match one.strip_suffix('*') {
            Some(begins) => name.as_encoded_bytes().starts_with(begins.as_bytes()),
            None => name.as_os_str() == OsStr::new(one),
        };
        ALWAYS.iter().any(|one| is(one)) || allow.iter().any(|one| is(one))
    })
}

/// A variable's name, or the beginning of one and a star.
pub(crate) fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_of_a_name) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_the_rest_of_a_name_and_nothing_else_does() {
        let vars = ["PATH", "HOME", "AWS_KEY", "AWS", "XAWS_KEY", "aws_key"];
        let vars = vars.map(|name| (name.into(), "x".into()));
        let allow = ["AWS_*".to_owned(), "HOME".to_owned()];
        let names: Vec<_> = allowed(vars, &allow).map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "HOME", "AWS_KEY"]);
        for fine in ["A", "A_*", "_x1"] {
            assert!(is_pattern(fine), "{fine}");
        }
        for wrong in ["", "*", "A*B", "A B", "1A", "A=B", "A**"] {
            assert!(!is_pattern(wrong), "{wrong}");
        }
    }
}
