//! Colours on a terminal, where nobody has asked for none; nothing at all in a pipe.

use std::{
    env,
    io::{self, IsTerminal},
};

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

/// The titles are bold where there is a terminal, and words of judgement have their colours.
pub(crate) fn headed(text: &str) -> String {
    let (titles, rest) = text.split_once('\n').unwrap_or((text, ""));
    let rest: Vec<String> = rest.lines().map(judged).collect();
    format!("{}\n{}\n", paint(titles, "1"), rest.join("\n"))
}

/// The words by which a line tells good from bad, each in its colour.
pub(super) fn judged(line: &str) -> String {
    if !is_wanted() {
        return line.to_owned();
    }
    let words = line.split_inclusive(' ').map(|word| {
        let colour = match word.trim_end().trim_end_matches(':') {
            "healthy" | "ok" | "closed" | "allow" => GREEN,
            "degraded" | "half_open" | "half-open" | "ask" | "skipped" | "warning" => YELLOW,
            "unhealthy" | "unusable" | "open" | "forced_open" | "deny" | "failed" | "timed_out"
            | "crashed" | "error" => RED,
            _ => return word.to_owned(),
        };
        let bare = word.trim_end();
        format!("{}{}", paint(bare, colour), &word[bare.len()..])
    });
    words.collect()
}

fn paint(text: &str, code: &str) -> String {
    match is_wanted() {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

/// See <https://no-color.org>.
fn is_wanted() -> bool {
    let says_no = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    !says_no && !is_dumb && io::stdout().is_terminal()
}
