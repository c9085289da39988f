use std::{collections::HashMap, fmt::Write as _, fs, process::ExitCode};

use serde_json::{Value, json};

use super::{TARGETS, Target, run, suite::folder, target_directory};
use crate::Mode;

/// Which results count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those of the same `cargo bench` only.
    ThisRun,
    /// The latest of each suite.
    TheLatest,
}

/// Prints one table of all claims, and writes it to `claims.md` and `claims.json` in the target directory. Fails if a claim
/// is missed or was not measured.
pub fn print(of: Of) -> ExitCode {
    if Mode::asked() == Mode::Smoke {
        println!("claims: nothing is measured in a smoke run");
        return ExitCode::SUCCESS;
    }
    let measured = read(of);
    let rows: Vec<Row> = TARGETS
        .iter()
        .map(|target| Row::new(target, measured.get(target.id)))
        .collect();
    let markdown = markdown(&rows);
    println!("\n{markdown}");
    let missed = rows.iter().filter(|row| !row.pass).count();
    println!("{} of {} claims hold", rows.len() - missed, rows.len());
    let objects: Vec<Value> = rows.iter().map(Row::json).collect();
    let files = [
        ("claims.md", markdown),
        ("claims.json", format!("{:#}\n", Value::from(objects))),
    ];
    for (name, content) in files {
        let file = target_directory().join(name);
        if let Err(err) = fs::write(&file, content) {
            eprintln!("{}: {err}", file.display());
            return ExitCode::FAILURE;
        }
    }
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the suites have left, by claim.
fn read(of: Of) -> HashMap<String, Value> {
    let mut lines = HashMap::new();
    for entry in fs::read_dir(folder()).into_iter().flatten().flatten() {
        let Some(suite) = fs::read_to_string(entry.path())
            .ok()
            .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        else {
            eprintln!("{}: no results of a suite", entry.path().display());
            continue;
        };
        if of == Of::ThisRun && suite["run"] != run() {
            continue;
        }
        for line in suite["lines"].as_array().into_iter().flatten() {
            if let Some(id) = line["id"].as_str() {
                lines.insert(id.to_owned(), line.clone());
            }
        }
    }
    lines
}

struct Row {
    target: &'static Target,
    figure: Option<f64>,
    ratio: Option<f64>,
    measured: String,
    pass: bool,
}

impl Row {
    fn new(target: &'static Target, line: Option<&Value>) -> Self {
        let figure = line.and_then(|line| line["figure"].as_f64());
        Self {
            target,
            figure,
            ratio: line.and_then(|line| line["ratio"].as_f64()),
            measured: line
                .and_then(|line| line["measured"].as_str())
                .unwrap_or("not measured")
                .to_owned(),
            pass: figure.is_some_and(|figure| target.bound.admits(figure)),
        }
    }

    fn verdict(&self) -> &'static str {
        if self.pass { "PASS" } else { "FAIL" }
    }

    fn json(&self) -> Value {
        json!({
            "id": self.target.id,
            "claim": self.target.claim,
            "target": self.target.to_string(),
            "measured": self.figure.map_or(self.measured.clone(), |figure| {
                format!("{}: {}", self.target.unit.show(figure), self.measured)
            }),
            "ratio": self.ratio,
            "peer": with_version(self.target.peer),
            "pass": self.pass,
        })
    }
}

/// The table's head, by which the README's is known.
pub const HEAD: &str = "| id | claim | target | measured | beside | |\n|---|---|---|---|---|---|\n";

fn markdown(rows: &[Row]) -> String {
    let mut table = HEAD.to_owned();
    for row in rows {
        let figure = row
            .figure
            .map_or_else(|| "-".to_owned(), |figure| row.target.unit.show(figure));
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {figure} ({}) | {} | {} |",
            row.target.id,
            row.target.claim,
            row.target,
            row.measured,
            with_version(row.target.peer),
            row.verdict()
        );
    }
    table
}

/// A peer with the version that the lock file pins, if it is a crate.
fn with_version(peer: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let name = format!("name = \"{peer}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    match lines.nth(1).and_then(|line| line.strip_prefix("version = ")) {
        Some(version) => format!("{peer} {}", version.trim_matches('"')),
        None => peer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_was_not_measured_has_failed() {
        let row = Row::new(&TARGETS[0], None);
        assert_eq!((row.pass, row.verdict()), (false, "FAIL"));
        assert_eq!(row.json()["measured"], "not measured");
    }

    #[test]
    fn a_row_says_target_figure_and_peer_with_its_version() {
        let line =
            json!({ "id": TARGETS[0].id, "figure": 0.02, "ratio": 0.02, "measured": "2 ns beside 100 ns" });
        let row = Row::new(&TARGETS[0], Some(&line));
        let json = row.json();
        assert_eq!(json["pass"], true);
        assert_eq!(json["target"], "<= 1/40");
        assert_eq!(json["measured"], "1/50: 2 ns beside 100 ns");
        let peer = json["peer"].as_str().expect("a peer");
        assert!(peer.starts_with("tower-resilience 0."), "{peer}");
        let miss = json!({ "figure": 0.03 });
        assert!(!Row::new(&TARGETS[0], Some(&miss)).pass);
    }
}
