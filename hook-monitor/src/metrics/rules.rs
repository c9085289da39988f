//! What may be published under which labels, and what makes no sense.

use crate::Label;

/// Why something is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonsense {
    /// A metric's name with other characters than `[a-zA-Z0-9_:]`, which an exporter would rewrite, into another
    /// metric's perhaps.
    Name,
    /// A label's name that is not one, is reserved, or is there twice.
    Label,
    /// One name for two kinds of metrics.
    Kind,
    /// NaN or an infinity.
    Value,
    /// A duration that is none, or absurd. Cut or left out by the histogram.
    Duration,
    /// A source that panicked while it was read.
    Panic,
    /// More metrics of one source than are looked at.
    TooMany,
}

impl Nonsense {
    pub(super) const ALL: [Self; 7] = [
        Self::Name,
        Self::Label,
        Self::Kind,
        Self::Value,
        Self::Duration,
        Self::Panic,
        Self::TooMany,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Label => "label",
            Self::Kind => "kind",
            Self::Value => "value",
            Self::Duration => "duration",
            Self::Panic => "panic",
            Self::TooMany => "too_many",
        }
    }
}

/// Labels that tell whose figure `metric` is, beside its own. Where the metric's name says the layer already, the label
/// does not; what has a word of its own for its name, and does not say it itself, is given that.
pub(super) fn identity<'a>(
    metric: &str,
    labels: &[Label],
    layer: &'a str,
    name: &'a str,
) -> Vec<(&'static str, &'a str)> {
    let is_of_layer = metric
        .strip_prefix("hook_")
        .and_then(|rest| rest.strip_prefix(layer))
        .is_some_and(|rest| rest.starts_with('_'));
    let own = match metric {
        // Standard names of which there is one a process.
        _ if metric.starts_with("process_") => return Vec::new(),
        _ if metric.starts_with("hook_health_check_") => "check",
        _ if metric.starts_with("hook_health_") => "component",
        _ if metric.starts_with("hook_anomaly_") || metric.starts_with("hook_baseline_") => "target",
        _ if is_of_layer => "name",
        _ => return vec![("layer", layer), ("name", name)],
    };
    let is_said = labels.iter().any(|(key, _)| *key == own);
    vec![(if is_said { "name" } else { own }, name)]
}

pub(super) fn check(metric: &str, labels: &[Label]) -> Result<(), Nonsense> {
    if !is_name(metric, true) {
        return Err(Nonsense::Name);
    }
    for (place, (key, _)) in labels.iter().enumerate() {
        let is_reserved = key.starts_with("__") || ["layer", "name", "le"].contains(key);
        let is_twice = labels[..place].iter().any(|(other, _)| other == key);
        if !is_name(key, false) || is_reserved || is_twice {
            return Err(Nonsense::Label);
        }
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_figure_it_is_is_told_once() {
        for (metric, labels) in [
            ("hook_calls_total", &[("layer", "pool"), ("name", "db")][..]),
            ("hook_pool_pending", &[("name", "db")]),
            ("hook_poolside_total", &[("layer", "pool"), ("name", "db")]),
            ("process_threads", &[]),
            ("hook_health_status", &[("component", "db")]),
            ("hook_health_check_failures_total", &[("check", "db")]),
            ("hook_anomaly_active", &[("target", "db")]),
            ("hook_baseline_seconds", &[("target", "db")]),
        ] {
            assert_eq!(identity(metric, &[], "pool", "db"), labels, "{metric}");
        }
    }

    #[test]
    fn a_source_that_says_of_whom_it_speaks_is_told_by_its_name() {
        let said = identity("hook_anomaly_active", &[("target", "db")], "anomaly", "watch");
        assert_eq!(said, [("name", "watch")]);
        assert_eq!(check("hook_baseline_seconds", &[("quantile", "0.5")]), Ok(()));
    }

    #[test]
    fn names_that_an_exporter_would_rewrite_or_that_are_taken_are_refused() {
        for (metric, labels, expected) in [
            ("hook_x", &[("kind", "any \" \n value")][..], Ok(())),
            ("cache.requests-by/route", &[], Err(Nonsense::Name)),
            ("9lives", &[], Err(Nonsense::Name)),
            ("", &[], Err(Nonsense::Name)),
            ("hook_x", &[("__name__", "evil")], Err(Nonsense::Label)),
            ("hook_x", &[("name", "mine")], Err(Nonsense::Label)),
            ("hook_x", &[("le", "1")], Err(Nonsense::Label)),
            ("hook_x", &[("a-b", "1")], Err(Nonsense::Label)),
            ("hook_x", &[("a", "1"), ("a", "2")], Err(Nonsense::Label)),
        ] {
            assert_eq!(check(metric, labels), expected, "{metric} {labels:?}");
        }
    }
}
