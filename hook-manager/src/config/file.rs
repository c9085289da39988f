//! Figures from a file and from the environment.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;
use toml::de::{DeTable, DeValue};

use super::{
    BuildError, Config, Place, Preset,
    keys::{KEYS, Key, Written},
};
use crate::source::spelling::nearest;

/// More than any configuration; reading stops there.
const LIMIT: u64 = 1024 * 1024;
/// What every variable of ours begins with.
const PREFIX: &str = "HOOK_MANAGER_";
/// Variables of ours that are no figures: the depth is told to hooks.
const OTHERS: &[&str] = &["DEPTH"];

/// Takes over what a file says.
pub(crate) fn read_file(config: &mut Config, path: &Path) -> Result<(), BuildError> {
    let whole = |found: String, expected: &str| BuildError::Config {
        place: Place::File {
            file: path.into(),
            line: 0,
        },
        key: String::new(),
        found,
        expected: expected.into(),
    };
    const EXPECTED: &str = "a TOML file of up to 1 MiB";
    let unreadable = |err: io::Error| whole(err.to_string(), EXPECTED);
    let mut text = String::new();
    // Without waiting: it may be a pipe.
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(whole("no ordinary file".into(), EXPECTED));
    }
    file.take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > LIMIT {
        return Err(whole("more than that".into(), EXPECTED));
    }
    let line = |at: usize| {
        1 + text.as_bytes()[..at.min(text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    };
    let place = |at: usize| Place::File {
        file: path.into(),
        line: line(at),
    };
    let table = DeTable::parse(&text).map_err(|err| BuildError::Config {
        place: place(err.span().map_or(0, |span| span.start)),
        key: String::new(),
        found: match err.message().split_once(", expected ") {
            Some((what, wanted)) => format!("not TOML: {what} (wanted {wanted})"),
            None => format!("not TOML: {}", err.message()),
        },
        expected: "lines such as `deadline = 15`".into(),
    })?;
    // The preset first, wherever it stands: a figure beside it wins.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| (key.get_ref() != "preset", key.span().start));
    for (key, value) in entries {
        let name: &str = key.get_ref();
        take(
            config,
            name,
            &|_| written(value.get_ref()),
            place(key.span().start),
            name,
        )?;
    }
    Ok(())
}

fn written(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::Boolean(value) => Written::Flag(*value),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map_or(Written::Other("a number that is too large"), Written::Whole),
        DeValue::Float(value) => value
            .as_str()
            .parse()
            .map_or(Written::Other("a number that cannot be read"), Written::Number),
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Datetime(_) => Written::Other("a date"),
        DeValue::Array(_) => Written::Other("a list"),
        DeValue::Table(_) => Written::Other("a table"),
    }
}

/// Takes over what variables say: those that begin with `HOOK_MANAGER_`.
pub(crate) fn read_env(
    config: &mut Config,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<(), BuildError> {
    let mut vars: Vec<_> = vars
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)))
        .filter(|(name, _)| !OTHERS.contains(&&**name))
        .collect();
    vars.sort_by_key(|(name, _)| (name != "PRESET", name.clone()));
    for (name, value) in vars {
        let key = name.to_lowercase();
        let read = |key: Option<&Key>| match key {
            Some(key) => key.read(&value),
            None => Written::Text(value.clone()),
        };
        take(
            config,
            &key,
            &read,
            Place::Environment,
            &format!("{PREFIX}{name}"),
        )?;
    }
    Ok(())
}

/// Takes one entry over, or says what is wrong with it. `shown` is its name where it was written.
fn take(
    config: &mut Config,
    name: &str,
    value: &dyn Fn(Option<&Key>) -> Written,
    place: Place,
    shown: &str,
) -> Result<(), BuildError> {
    let wrong = |found: String, expected: String| BuildError::Config {
        place,
        key: shown.into(),
        found,
        expected,
    };
    if name == "preset" {
        let value = value(None);
        let preset = match &value {
            Written::Text(word) => Preset::find(word),
            _ => None,
        };
        let Some(preset) = preset else {
            let words: Vec<_> = Preset::ALL.into_iter().map(Preset::as_str).collect();
            return Err(wrong(
                format!("is {value}"),
                format!("one of {}", words.join(", ")),
            ));
        };
        preset.apply(config);
        return Ok(());
    }
    let Some(key) = Key::find(name) else {
        let known = || KEYS.iter().map(|key| key.name).chain(["preset"]);
        let expected = match nearest(name, known()) {
            Some(near) => format!("`{}`?", as_written(near, shown)),
            None => format!(
                "one of {}",
                known()
                    .map(|key| as_written(key, shown))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        return Err(wrong("is not known".into(), expected));
    };
    let value = value(Some(key));
    match key.set(config, &value) {
        true => Ok(()),
        false => Err(wrong(format!("is {value}"), key.expected())),
    }
}

/// A key's name in the spelling of the place where it was looked for.
fn as_written(key: &str, shown: &str) -> String {
    match shown.starts_with(PREFIX) {
        true => format!("{PREFIX}{}", key.to_uppercase()),
        false => key.to_owned(),
    }
}
