use std::time::Duration;

use hook_manager::{Ended, EventReport, HookResult};

/// Columns as wide as they need to be, the last one free; a line a row.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text of a hook on one line of a terminal: what would move the cursor is shown, not obeyed.
pub(super) fn line(text: &str) -> String {
    let clean = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    };
    text.trim().chars().map(clean).collect()
}

/// What has a terminal show words in another order, or not at all.
fn turns(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}'
    )
}

pub(super) fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1e4 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

pub(super) fn report(report: &EventReport) -> String {
    if report.results.is_empty() {
        return format!("{}: no hook is for this event\n", line(report.event.as_str()));
    }
    let titles = [
        "HOOK", "OUTCOME", "DECISION", "TIME", "ATTEMPTS", "CACHED", "REASON",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(report.results.iter().map(row));
    let mut text = columns(&rows);

    let merged = &report.merged;
    text.push_str(&format!(
        "\n{}: {} in {}",
        line(report.event.as_str()),
        verdict(report),
        time(report.took)
    ));
    if !merged.decided_by.is_empty() {
        text.push_str(&format!(", decided by {}", merged.decided_by.join(", ")));
    }
    text.push('\n');
    for context in &merged.contexts {
        text.push_str(&format!("context: {}\n", line(context)));
    }
    for message in &merged.system_messages {
        text.push_str(&format!("message: {}\n", line(message)));
    }
    text
}

fn verdict(report: &EventReport) -> &'static str {
    match (report.is_blocked(), report.failures().next()) {
        (true, _) => "blocked",
        (false, Some(_)) => "not blocked, but a hook failed",
        (false, None) => "not blocked",
    }
}

fn row(result: &HookResult) -> Vec<String> {
    let ended = match &result.ended {
        Ended::Answered(_) => "ok",
        Ended::Failed(_) => "failed",
        Ended::Skipped(_) => "skipped",
    };
    vec![
        line(&result.hook),
        ended.to_owned(),
        result.decision().to_string(),
        time(result.took),
        result.attempts.to_string(),
        if result.cached { "yes" } else { "no" }.to_owned(),
        result.reason().as_deref().map(line).unwrap_or_default(),
    ]
}
