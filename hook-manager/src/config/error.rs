use std::{fmt, path::PathBuf};

use crate::trust::Untrusted;

/// A manager cannot be built as asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A figure is out of its range.
    Value {
        /// The setter.
        field: &'static str,
        /// What it was given.
        value: String,
        /// The range it takes.
        expected: String,
    },
    /// A hook given to the builder cannot be used.
    Hook {
        /// The hook's name.
        hook: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two hooks given to the builder for the same event have one name.
    SameName {
        /// The name.
        hook: String,
    },
    /// Hooks given to the builder wait for each other in a circle.
    Cycle {
        /// Their names; the first one is also the last.
        hooks: Vec<String>,
    },
    /// The hooks are not [trusted](crate::trust), and that is required.
    Untrusted(Untrusted),
    /// A configuration file, or the environment, says something that cannot be used.
    Config {
        /// Where.
        place: Place,
        /// The key or variable; empty where the file as a whole cannot be read.
        key: String,
        /// What is wrong with it.
        found: String,
        /// What would have been right.
        expected: String,
    },
}

/// Where a figure was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A file.
    File {
        /// Its path.
        file: PathBuf,
        /// The line, from 1; 0 where there is none.
        line: usize,
    },
    /// The environment.
    Environment,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0 } => write!(f, "{}", file.display()),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Environment => f.write_str("environment"),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                field,
                value,
                expected,
            } => write!(f, "{field}: expected {expected}, found {value}"),
            Self::Hook { hook, problem } => write!(f, "hook {hook}: {problem}"),
            Self::SameName { hook } => write!(f, "hook {hook}: another hook of the same event has this name"),
            Self::Cycle { hooks } => write!(
                f,
                "hooks wait for each other in a circle: {}; expected one of them to go first",
                hooks.join(" -> ")
            ),
            Self::Untrusted(err) => err.fmt(f),
            Self::Config {
                place,
                key,
                found,
                expected,
            } if key.is_empty() => write!(f, "{place}: {found}, expected {expected}"),
            Self::Config {
                place,
                key,
                found,
                expected,
            } => write!(f, "{place}: {key}: {found}, expected {expected}"),
        }
    }
}

impl std::error::Error for BuildError {}
