//! Every figure once: its name, how it is read from text, its range, and where it goes.

use std::{path::PathBuf, time::Duration};

use super::{BuildError, Config};
use crate::ownership::FileCheck;

/// One figure of a [`Config`].
pub(super) struct Key {
    pub(super) name: &'static str,
    kind: Kind,
}

enum Kind {
    Flag(fn(&mut Config) -> &mut bool),
    Whole {
        range: (u64, u64),
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    },
    Time {
        least: Duration,
        at: fn(&mut Config) -> &mut Duration,
        get: fn(&Config) -> Duration,
    },
    Path(fn(&mut Config) -> &mut Option<PathBuf>),
    /// One word out of a few.
    Word {
        expected: &'static str,
        set: fn(&mut Config, &str) -> bool,
    },
}

/// A value as it was written, wherever that was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    /// Something that no figure is: a list, say.
    Other(&'static str),
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

macro_rules! whole {
    ($name:ident, $least:expr, $most:expr) => {
        Key {
            name: stringify!($name),
            kind: Kind::Whole {
                range: ($least, $most),
                get: |config| u64::try_from(config.$name).unwrap_or(u64::MAX),
                // The range was checked, and fits.
                set: |config, value| config.$name = value.try_into().unwrap_or_default(),
            },
        }
    };
}

macro_rules! time {
    ($name:ident, $least:expr) => {
        Key {
            name: stringify!($name),
            kind: Kind::Time {
                least: $least,
                at: |config| &mut config.$name,
                get: |config| config.$name,
            },
        }
    };
}

macro_rules! flag {
    ($name:ident) => {
        Key {
            name: stringify!($name),
            kind: Kind::Flag(|config| &mut config.$name),
        }
    };
}

pub(super) const KEYS: &[Key] = &[
    whole!(max_concurrent_hooks, 1, 1_000),
    time!(deadline, MILLISECOND),
    flag!(cache),
    time!(cache_ttl, MILLISECOND),
    whole!(cache_capacity, 0, 10_000_000),
    flag!(breaker),
    whole!(breaker_threshold, 1, 1_000_000),
    time!(breaker_open_for, MILLISECOND),
    whole!(retries, 0, 100),
    whole!(pool_size, 1, 10_000),
    flag!(monitoring),
    whole!(output_limit, 1_024, 1024 * 1024 * 1024),
    time!(grace, Duration::ZERO),
    whole!(max_runs_per_minute, 1, u32::MAX as u64),
    whole!(max_runs_per_session, 1, u32::MAX as u64),
    whole!(max_context_per_session, 0, 1 << 40),
    whole!(max_depth, 1, 1_000),
    Key {
        name: "state_dir",
        kind: Kind::Path(|config| &mut config.state_dir),
    },
    time!(save_every, Duration::from_secs(1)),
    flag!(save_results),
    flag!(performance_log),
    flag!(require_trust),
    Key {
        name: "file_check",
        kind: Kind::Word {
            expected: "\"off\", \"others\" or \"strict\"",
            set: |config, word| {
                FileCheck::find(word)
                    .map(|check| config.file_check = check)
                    .is_some()
            },
        },
    },
];

impl Key {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// What it takes, for a sentence.
    pub(super) fn expected(&self) -> String {
        match &self.kind {
            Kind::Flag(_) => "true or false".into(),
            Kind::Whole { range, .. } => format!("{} to {}", range.0, range.1),
            Kind::Time { least, .. } => {
                format!("seconds from {} to {}", least.as_secs_f64(), DAY.as_secs())
            }
            Kind::Path(_) => "a path".into(),
            Kind::Word { expected, .. } => (*expected).into(),
        }
    }

    /// Takes a value over; `false` if it is not one that this figure takes.
    pub(super) fn set(&self, config: &mut Config, written: &Written) -> bool {
        match (&self.kind, written) {
            (Kind::Flag(at), Written::Flag(value)) => *at(config) = *value,
            (Kind::Whole { range, set, .. }, Written::Whole(value)) => {
                let value = u64::try_from(*value).ok();
                match value.filter(|value| (range.0..=range.1).contains(value)) {
                    Some(value) => set(config, value),
                    None => return false,
                }
            }
            (Kind::Time { least, at, .. }, Written::Whole(_) | Written::Number(_)) => {
                let seconds = match written {
                    Written::Whole(value) => *value as f64,
                    Written::Number(value) => *value,
                    _ => return false,
                };
                let time = Duration::try_from_secs_f64(seconds).ok();
                match time.filter(|time| (*least..=DAY).contains(time)) {
                    Some(time) => *at(config) = time,
                    None => return false,
                }
            }
            (Kind::Word { set, .. }, Written::Text(word)) => return set(config, word),
            (Kind::Path(at), Written::Text(text)) if !text.is_empty() => *at(config) = Some(text.into()),
            _ => return false,
        }
        true
    }

    /// Reads a value that can only be written as text, as in the environment.
    pub(super) fn read(&self, text: &str) -> Written {
        let word = text.trim();
        match &self.kind {
            Kind::Path(_) | Kind::Word { .. } => Written::Text(text.into()),
            Kind::Flag(_) => match word {
                "true" | "1" | "on" | "yes" => Written::Flag(true),
                "false" | "0" | "off" | "no" => Written::Flag(false),
                _ => Written::Text(text.into()),
            },
            Kind::Whole { .. } | Kind::Time { .. } => match (word.parse(), word.parse()) {
                (Ok(whole), _) => Written::Whole(whole),
                (_, Ok(number)) => Written::Number(number),
                _ => Written::Text(text.into()),
            },
        }
    }

    /// Whether what the builder was given is in its range.
    pub(super) fn check(&self, config: &Config) -> Result<(), BuildError> {
        let (value, expected) = match &self.kind {
            Kind::Whole { range, get, .. } if !(range.0..=range.1).contains(&get(config)) => {
                (get(config).to_string(), self.expected())
            }
            Kind::Time { least, get, .. } if !(*least..=DAY).contains(&get(config)) => {
                (format!("{:?}", get(config)), format!("{least:?} to 24 hours"))
            }
            _ => return Ok(()),
        };
        Err(BuildError::Value {
            field: self.name,
            value,
            expected,
        })
    }
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}
