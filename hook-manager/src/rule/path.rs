//! Paths against patterns, the way `.gitignore` does it.

use std::path::Path;

/// A pattern for paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathPattern {
    from: From,
    /// The parts between slashes.
    parts: Vec<String>,
}

/// What a pattern starts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// `//etc/x`: the root of the file system.
    Root,
    /// `~/x`: the user's directory.
    Home,
    /// `/x`: the project.
    Project,
    /// `./x`, `a/x`: the session's directory, or the project.
    Here,
    /// `*.ts`: any directory.
    Anywhere,
}

/// The directories patterns start at, as far as they are known.
pub(super) struct Bases<'a> {
    pub(super) project: Option<&'a str>,
    pub(super) cwd: Option<&'a str>,
    pub(super) home: Option<&'a str>,
}

impl PathPattern {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with('!') {
            return Err("a pattern that excludes (`!`) says nothing on its own");
        }
        let (from, rest) = match text {
            _ if text.starts_with("//") => (From::Root, &text[2..]),
            _ if text.starts_with("~/") => (From::Home, &text[2..]),
            _ if text.starts_with('/') => (From::Project, &text[1..]),
            _ if text.starts_with("./") => (From::Here, &text[2..]),
            // A slash at the end says that a directory is meant, not where it is.
            _ if text.trim_end_matches('/').contains('/') => (From::Here, text),
            _ => (From::Anywhere, text),
        };
        let parts: Vec<String> = rest
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .map(Into::into)
            .collect();
        if parts.is_empty() {
            return Err("the pattern names no path");
        }
        Ok(Self { from, parts })
    }

    /// Whether the absolute `path` is meant, or a directory it is in. `None` if that depends on a
    /// directory nobody knows.
    pub(super) fn matches(&self, path: &str, bases: &Bases<'_>) -> Option<bool> {
        let path = normal(path);
        let below = |base: &str| {
            let base = normal(base);
            path.strip_prefix(&base[..])
                .is_some_and(|rest| covers(&self.parts, rest))
        };
        match self.from {
            From::Root => Some(covers(&self.parts, &path)),
            From::Home => bases.home.map(below),
            From::Project => bases.project.or(bases.cwd).map(below),
            From::Here => match (bases.cwd, bases.project) {
                (None, None) => None,
                (cwd, project) => Some(cwd.into_iter().chain(project).any(below)),
            },
            From::Anywhere => Some((0..path.len()).any(|from| covers(&self.parts, &path[from..]))),
        }
    }
}

/// The parts of a path, `.` and `..` resolved as text: what is on the disk does not matter here.
pub(super) fn normal(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split(|c| c == '/' || (cfg!(windows) && c == '\\')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// Makes a path of the host absolute.
pub(super) fn absolute(path: &str, cwd: Option<&str>, home: Option<&str>) -> Option<String> {
    match path.strip_prefix("~/") {
        Some(rest) => home.map(|home| format!("{home}/{rest}")),
        None if Path::new(path).has_root() || Path::new(path).is_absolute() => Some(path.into()),
        None => cwd.map(|cwd| format!("{cwd}/{path}")),
    }
}

/// Whether the pattern matches the path, or a directory at its beginning. Takes time in proportion to the
/// product of their lengths, whatever the pattern.
fn covers(pattern: &[String], path: &[&str]) -> bool {
    // `reached[n]`: the pattern so far matches the first `n` parts of the path.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for (at, part) in pattern.iter().enumerate() {
        let last = at + 1 == pattern.len();
        let mut next = vec![false; path.len() + 1];
        if part == "**" {
            // At the end it means what is inside, not the directory itself.
            let first = reached
                .iter()
                .position(|reached| *reached)
                .map(|first| first + usize::from(last));
            if let Some(first) = first.filter(|first| *first <= path.len()) {
                next[first..].fill(true);
            }
        } else {
            for (n, name) in path.iter().enumerate() {
                next[n + 1] = reached[n] && glob(part, name);
            }
        }
        reached = next;
    }
    // What is in a directory that matches is meant, too.
    reached[1..].contains(&true)
}

/// One part against one name: `*`, `?`, `[a-z]`, `[!a]`, and a backslash before what is meant as it is.
fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when a `*` has to take one character more.
    let mut retry = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, n));
            p += 1;
            continue;
        }
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(_), Some(&c)) => {
                if let Some(next) = one(&pattern, p, c) {
                    (p, n) = (next, n + 1);
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((star, taken)) if taken < name.len() => {
                (p, n) = (star + 1, taken + 1);
                retry = Some((star, taken + 1));
            }
            _ => return false,
        }
    }
}

/// The place after the element at `at`, if that element matches `c`.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern[at] {
        '?' => Some(at + 1),
        '\\' => (pattern.get(at + 1) == Some(&c)).then_some(at + 2),
        '[' => class(pattern, at, c).unwrap_or_else(|| (c == '[').then_some(at + 1)),
        literal => (literal == c).then_some(at + 1),
    }
}

/// `None` if there is no class at `at` after all.
fn class(pattern: &[char], at: usize, c: char) -> Option<Option<usize>> {
    let negated = matches!(pattern.get(at + 1), Some('!' | '^'));
    let first = at + 1 + usize::from(negated);
    let mut i = first;
    let mut hit = false;
    loop {
        let mut low = *pattern.get(i)?;
        if low == ']' && i > first {
            return Some((hit != negated).then_some(i + 1));
        }
        if low == '\\' {
            i += 1;
            low = *pattern.get(i)?;
        }
        i += 1;
        let mut high = low;
        if pattern.get(i) == Some(&'-') && pattern.get(i + 1).is_some_and(|c| *c != ']') {
            high = pattern[i + 1];
            i += 2;
        }
        hit |= (low..=high).contains(&c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_as_gitignore_has_it() {
        let bases = Bases {
            project: Some("/srv/app"),
            cwd: Some("/srv/app/sub"),
            home: Some("/home/dev"),
        };
        for (pattern, path, expected) in [
            ("*.ts", "/srv/app/src/a.ts", true),
            ("*.ts", "/srv/app/src/a.tsx", false),
            (".env", "/srv/app/deep/.env", true),
            (".env", "/srv/app/.envrc", false),
            ("src/**", "/srv/app/src/a/b.rs", true),
            ("src/**", "/srv/app/src", false),
            ("src/**", "/srv/app/sub/src/b.rs", true),
            ("src/**", "/srv/other/src/b.rs", false),
            ("src/*.rs", "/srv/app/src/a/b.rs", false),
            ("/src/*.rs", "/srv/app/src/b.rs", true),
            ("/src/*.rs", "/srv/app/sub/src/b.rs", false),
            ("/**/b.rs", "/srv/app/x/y/b.rs", true),
            ("/**/b.rs", "/srv/app/b.rs", true),
            ("//etc/**", "/etc/passwd", true),
            ("//etc/**", "/srv/app/etc/passwd", false),
            ("~/.ssh/**", "/home/dev/.ssh/id", true),
            ("~/.ssh/**", "/srv/app/.ssh/id", false),
            ("secrets/", "/srv/app/secrets/a/b", true),
            ("secrets", "/srv/app/secrets/a/b", true),
            ("./a.rs", "/srv/app/sub/a.rs", true),
            ("*.[ch]", "/x/a.c", true),
            ("*.[!ch]", "/x/a.c", false),
            ("a[", "/x/a[", true),
            ("\\*", "/x/*", true),
            ("\\*", "/x/y", false),
            ("src/*", "/srv/app/src/../.env", false),
            (".env", "/srv/app/src/../.env", true),
            ("a*b*c", "/x/abxbc", true),
            ("a*b*c", "/x/abxb", false),
        ] {
            let found = PathPattern::parse(pattern).unwrap().matches(path, &bases);
            assert_eq!(found, Some(expected), "{pattern} {path}");
        }
        assert_eq!(
            PathPattern::parse("~/x")
                .unwrap()
                .matches("/x", &Bases { home: None, ..bases }),
            None
        );
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = PathPattern::parse(&format!("/{}x", "**/".repeat(500))).unwrap();
        let stars = PathPattern::parse(&format!("{}x", "*a".repeat(500))).unwrap();
        let bases = Bases {
            project: Some("/"),
            cwd: None,
            home: None,
        };
        assert_eq!(pattern.matches(&"/a".repeat(1_000), &bases), Some(false));
        assert_eq!(
            stars.matches(&format!("/{}", "a".repeat(5_000)), &bases),
            Some(false)
        );
    }
}
