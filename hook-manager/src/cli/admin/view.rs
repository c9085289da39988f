//! Tables of what was seen.

use serde_json::Value;

use crate::cli::{
    colour::{headed, judged},
    table::{columns, line},
};

pub(super) fn stats(seen: &Value) -> String {
    let total = &seen["total"];
    let mut text = about(seen);
    text.push_str(&format!(
        "{} calls, {} answered, {} failed, {} run, {} from the cache, {} on average\n",
        word(&total["calls"]),
        word(&total["successes"]),
        word(&total["failures"]),
        word(&total["runs"]),
        share(&total["hit_rate"]),
        ms(&total["mean_ms"]),
    ));
    text.push_str(&table(
        &["EVENT", "COUNT", "BLOCKED", "FAILURES", "SKIPPED", "MEAN"],
        &seen["events"],
        |one| {
            vec![
                word(&one["event"]),
                word(&one["count"]),
                word(&one["blocked"]),
                word(&one["failures"]),
                word(&one["skipped"]),
                ms(&one["mean_ms"]),
            ]
        },
    ));
    text.push_str(&table(
        &[
            "HOOK", "EVENT", "CALLS", "RUNS", "FAILURES", "RETRIES", "HITS", "TRIPS", "MEAN", "USUALLY",
        ],
        &seen["hooks"],
        |one| {
            vec![
                word(&one["hook"]),
                word(&one["event"]),
                word(&one["calls"]),
                word(&one["runs"]),
                word(&one["failures"]),
                word(&one["retries"]),
                share(&one["hit_rate"]),
                word(&one["trips"]),
                taken(&one["mean_ms"], one),
                taken(&one["estimate_ms"], one),
            ]
        },
    ));
    text
}

/// A time of a hook that was called; of one that never was, nothing is known but what is supposed to begin with.
fn taken(time: &Value, hook: &Value) -> String {
    match hook["calls"].as_u64() {
        Some(0) => "-".into(),
        _ => ms(time),
    }
}

pub(super) fn health(seen: &Value) -> String {
    let mut text = about(seen);
    text.push_str(&judged(&word(&seen["status"])));
    text.push('\n');
    text.push_str(&table(&["CHECK", "STATUS", "WHY"], &seen["checks"], |one| {
        vec![word(&one["check"]), word(&one["status"]), word(&one["output"])]
    }));
    text
}

pub(super) fn breakers(seen: &Value) -> String {
    let changed = seen["changed"].as_u64();
    let list = table(
        &[
            "HOOK", "EVENT", "STATE", "IN A ROW", "OPENED", "REFUSED", "AGAIN IN",
        ],
        &seen["breakers"],
        |one| {
            vec![
                word(&one["hook"]),
                word(&one["event"]),
                word(&one["state"]),
                word(&one["failures_in_a_row"]),
                word(&one["opened"]),
                word(&one["refused"]),
                ms(&one["retry_after_ms"]),
            ]
        },
    );
    match changed {
        Some(changed) => format!("{changed} changed\n{list}"),
        None => alone(&list, "no hooks were found\n"),
    }
}

pub(super) fn cache(seen: &Value) -> String {
    let list = table(
        &[
            "HOOK", "ENTRIES", "CAPACITY", "HITS", "MISSES", "RATE", "EXPIRED", "EVICTED",
        ],
        &seen["caches"],
        |one| {
            vec![
                word(&one["hook"]),
                word(&one["entries"]),
                word(&one["capacity"]),
                word(&one["hits"]),
                word(&one["misses"]),
                share(&one["hit_rate"]),
                word(&one["expired"]),
                word(&one["evicted"]),
            ]
        },
    );
    alone(&list, "no caches: no hook is declared cacheable\n")
}

pub(super) fn thrown_away(seen: &Value) -> String {
    format!("{} answers thrown away\n", word(&seen["thrown_away"]))
}

pub(super) fn optimize(seen: &Value) -> String {
    let mut text = format!(
        "{}, {} dead cache entries given back\n",
        judged(&word(&seen["status"])),
        word(&seen["swept"])
    );
    let advice = seen["recommendations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if advice.is_empty() {
        text.push_str("nothing to recommend\n");
    }
    for one in advice {
        text.push_str(&format!("- {}\n", word(one)));
    }
    text
}

pub(super) fn trace(seen: &Value) -> String {
    let titles = [
        "TIME", "EVENT", "HOOK", "OUTCOME", "DECISION", "TOOK", "QUEUED", "ATTEMPTS", "CACHED", "REASON",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for event in seen["events"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let at = clock(event["at"].as_f64().unwrap_or_default());
        let name = match event["tool"].as_str() {
            Some(tool) => line(&format!("{} {tool}", word(&event["event"]))),
            None => word(&event["event"]),
        };
        let hooks = event["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let part = word(&event["part"]);
        if hooks.is_empty() {
            let dash = || "-".to_owned();
            let (took, why) = (
                ms(&event["took_ms"]),
                if part == "-" {
                    "no hook is for it".into()
                } else {
                    part.clone()
                },
            );
            rows.push(vec![
                at.clone(),
                name.clone(),
                dash(),
                dash(),
                dash(),
                took,
                dash(),
                dash(),
                dash(),
                why,
            ]);
        }
        for hook in hooks {
            rows.push(vec![
                at.clone(),
                name.clone(),
                word(&hook["hook"]),
                word(&hook["outcome"]),
                word(&hook["decision"]),
                ms(&hook["took_ms"]),
                ms(&hook["queued_ms"]),
                word(&hook["attempts"]),
                word(&hook["cached"]),
                word(&hook["reason"]),
            ]);
        }
    }
    match rows.len() {
        1 => "no events yet\n".into(),
        _ => headed(&columns(&rows)),
    }
}

fn about(seen: &Value) -> String {
    let daemon = &seen["daemon"];
    match daemon.is_object() {
        false => "no daemon runs; from the saved state:\n".into(),
        true => {
            let stale = daemon["stale"].as_str().map(|why| format!("{}\n", line(why)));
            format!(
                "process {} serves {}, for {} s, {} clients\n{}",
                word(&daemon["process"]),
                word(&daemon["project"]),
                word(&daemon["up_s"]),
                word(&daemon["clients"]),
                stale.unwrap_or_default(),
            )
        }
    }
}

fn table(titles: &[&str], list: &Value, row: fn(&Value) -> Vec<String>) -> String {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return String::new();
    }
    let mut rows = vec![titles.iter().map(|title| (*title).to_owned()).collect()];
    rows.extend(list.iter().map(row));
    format!("\n{}", headed(&columns(&rows)))
}

/// A table with nothing above it, or a word for why there is none.
fn alone(table: &str, none: &str) -> String {
    match table.trim_start_matches('\n') {
        "" => none.into(),
        list => list.into(),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => line(text),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        other => other.to_string(),
    }
}

fn ms(value: &Value) -> String {
    value.as_f64().map_or_else(
        || "-".into(),
        |ms| match ms {
            ms if ms < 10.0 => format!("{ms:.2} ms"),
            ms if ms < 1e4 => format!("{ms:.0} ms"),
            ms => format!("{:.1} s", ms / 1e3),
        },
    )
}

fn share(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".into(), |share| format!("{:.0} %", share * 100.0))
}

/// Hours, minutes and seconds of the day, in universal time.
fn clock(at: f64) -> String {
    let seconds = at as u64 % 86_400;
    format!(
        "{:02}:{:02}:{:02}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
