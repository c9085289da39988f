//! The placeholders of the exec form, which no shell will expand.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

const NAME: &str = "CLAUDE_PROJECT_DIR";

/// Puts the project's directory in, byte by byte: a path need not be text.
pub(crate) fn expand(word: &str, project: &Path) -> OsString {
    let mut expanded = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        expanded.extend_from_slice(before.as_bytes());
        rest = match used(from) {
            Some(used) => {
                expanded.extend_from_slice(OsStr::as_bytes(project.as_os_str()));
                &from[used..]
            }
            None => {
                expanded.push(b'$');
                &from[1..]
            }
        };
    }
    expanded.extend_from_slice(rest.as_bytes());
    OsString::from_vec(expanded)
}

/// How long the placeholder is that `text` begins with, if it does. The end of a longer name is none.
pub(crate) fn used(text: &str) -> Option<usize> {
    let after = text.strip_prefix('$')?;
    if let Some(after) = after.strip_prefix('{') {
        return after
            .strip_prefix(NAME)?
            .starts_with('}')
            .then_some(NAME.len() + 3);
    }
    let next = after.strip_prefix(NAME)?.chars().next();
    let longer = next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    (!longer).then_some(NAME.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_is_the_placeholder() {
        for (word, expected) in [
            ("$CLAUDE_PROJECT_DIR", "/p"),
            ("a=${CLAUDE_PROJECT_DIR}/b", "a=/p/b"),
            ("$CLAUDE_PROJECT_DIR$CLAUDE_PROJECT_DIR/é", "/p/p/é"),
            ("$CLAUDE_PROJECT_DIRS", "$CLAUDE_PROJECT_DIRS"),
            ("${CLAUDE_PROJECT_DIRS}", "${CLAUDE_PROJECT_DIRS}"),
            ("${CLAUDE_PROJECT_DIR:-x}", "${CLAUDE_PROJECT_DIR:-x}"),
            ("$é$", "$é$"),
        ] {
            assert_eq!(expand(word, Path::new("/p")), OsString::from(expected), "{word}");
        }
    }
}
