//! A strict reader of Prometheus' text format (0.0.4): what it takes, every scraper takes.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) families: BTreeMap<String, Family>,
}

#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: Option<String>,
    /// By sample name and labels, in order of the labels' names.
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
}

pub(crate) type Labels = Vec<(String, String)>;

impl Scrape {
    /// Reads `text`, and says at which line it is wrong and why.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut helps: BTreeMap<String, String> = BTreeMap::new();
        let mut current: Option<String> = None;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("the last line has no end".into());
        }
        for (number, line) in text.lines().enumerate() {
            let wrong = |why: &str| Err(format!("line {}: {why}: {line}", number + 1));
            if line.is_empty() {
                continue;
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                if !is_name(name, true) {
                    return wrong("HELP of no name");
                }
                if families.contains_key(name) || helps.insert(name.into(), help.into()).is_some() {
                    return wrong("HELP is there twice or comes after TYPE");
                }
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let Some((name, kind)) = rest.split_once(' ') else {
                    return wrong("TYPE without a type");
                };
                if !is_name(name, true) {
                    return wrong("TYPE of no name");
                }
                if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                    return wrong("no such type");
                }
                let family = Family {
                    kind: kind.into(),
                    help: helps.remove(name),
                    samples: BTreeMap::new(),
                };
                if families.insert(name.into(), family).is_some() {
                    return wrong("TYPE is there twice");
                }
                current = Some(name.into());
                continue;
            }
            if line.starts_with('#') {
                return wrong("a comment that is neither HELP nor TYPE");
            }
            let (name, labels, value) = match sample(line) {
                Ok(sample) => sample,
                Err(why) => return wrong(&why),
            };
            let Some(of) = current.as_deref() else {
                return wrong("a sample before any TYPE");
            };
            let family = families.get_mut(of).expect("the current one is there");
            let suffix = name.strip_prefix(of).unwrap_or("?");
            let fits = match family.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                "summary" => ["", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            if !fits {
                return wrong("a sample outside its family");
            }
            if family.kind == "counter" && !(value.is_finite() && value >= 0.0) {
                return wrong("a counter that counts nothing");
            }
            if family.samples.insert((name, labels), value).is_some() {
                return wrong("a series is there twice");
            }
        }
        if let Some(name) = helps.keys().next() {
            return Err(format!("HELP of {name} without a TYPE"));
        }
        for (name, family) in &families {
            if family.samples.is_empty() {
                return Err(format!("TYPE of {name} without a sample"));
            }
            if family.kind == "histogram" {
                histogram(name, family)?;
            }
        }
        Ok(Self { families })
    }

    /// The sample of that name with these labels among others, if there is exactly one.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |all: &Labels, (key, value): &(&str, &str)| all.iter().any(|(k, v)| k == key && v == value);
        let mut found = self
            .samples(name)
            .filter(|(all, _)| labels.iter().all(|label| has(all, label)));
        let only = found.next()?.1;
        found.next().is_none().then_some(only)
    }

    pub(crate) fn samples(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.families
            .values()
            .flat_map(|family| &family.samples)
            .filter(move |((sample, _), _)| sample == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    /// Every name a query can be about.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let samples = self.families.values().flat_map(|family| family.samples.keys());
        samples.map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn series(&self) -> usize {
        self.families.values().map(|family| family.samples.len()).sum()
    }
}

/// `le` ascends, counts do, `+Inf` is there and is the count, the sum is finite.
fn histogram(name: &str, family: &Family) -> Result<(), String> {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for ((sample, labels), value) in &family.samples {
        if *sample == format!("{name}_bucket") {
            let (le, rest): (Labels, Labels) = labels.iter().cloned().partition(|(key, _)| key == "le");
            let [(_, le)] = le.as_slice() else {
                return Err(format!("{name}: a bucket without le"));
            };
            let le = number(le).ok_or_else(|| format!("{name}: le={le}"))?;
            buckets.entry(rest).or_default().push((le, *value));
        }
    }
    let part = |suffix: &str, labels: &Labels| {
        let key = (format!("{name}{suffix}"), labels.clone());
        family
            .samples
            .get(&key)
            .copied()
            .ok_or_else(|| format!("{name}: no {suffix} for {labels:?}"))
    };
    for (labels, buckets) in &mut buckets {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        if !buckets.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1) {
            return Err(format!("{name}{labels:?}: buckets do not ascend: {buckets:?}"));
        }
        let (last, all) = buckets[buckets.len() - 1];
        if last != f64::INFINITY || all != part("_count", labels)? {
            return Err(format!("{name}{labels:?}: +Inf is not the count"));
        }
        if !part("_sum", labels)?.is_finite() {
            return Err(format!("{name}{labels:?}: the sum is not finite"));
        }
    }
    let series = family
        .samples
        .keys()
        .filter(|(sample, _)| sample.ends_with("_count"))
        .count();
    if series != buckets.len() {
        return Err(format!("{name}: a histogram without buckets"));
    }
    Ok(())
}

/// `name{labels} value`, with one space where one is needed and none elsewhere.
fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("no name".into());
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value = number(value).ok_or("no number")?;
    Ok((name.into(), labels, value))
}

/// Up to and with the brace; gives back what follows it.
fn parse_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (key, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(key, false) || key.starts_with("__") {
            return Err(format!("no name of a label: {key}"));
        }
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without an end")? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, '\\')) => '\\',
                    Some((_, '"')) => '"',
                    Some((_, 'n')) => '\n',
                    _ => return Err("no such escape".into()),
                }),
                (_, other) => value.push(other),
            }
        };
        if labels.iter().any(|(other, _)| other == key) {
            return Err(format!("label {key} is there twice"));
        }
        labels.push((key.into(), value));
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            labels.sort();
            return Ok((labels, after));
        }
        rest = rest.strip_prefix(',').ok_or("neither comma nor brace")?;
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // What Rust takes and others do not.
        _ if text.contains(['i', 'I', 'n', 'N', '_', ' ']) => None,
        _ => text.parse().ok(),
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}
