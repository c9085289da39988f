use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{run, target};
use crate::{Mode, Paired, side_by_side};

/// What one suite has measured of what is claimed.
#[derive(Debug)]
pub struct Suite {
    name: &'static str,
    mode: Mode,
    filter: Option<String>,
    lines: Vec<Value>,
}

impl Suite {
    /// The suite of this process. A word on its command line picks the claims (by part of their ids).
    pub fn named(name: &'static str) -> Self {
        let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
        Self {
            name,
            mode: Mode::asked(),
            filter,
            lines: Vec::new(),
        }
    }

    /// How thoroughly is measured.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the command line leaves this claim in.
    pub fn wants(&self, id: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| id.contains(filter.as_str()))
    }

    /// Measures ours and the peer's in turns; what counts is the ratio.
    pub fn ratio(&mut self, id: &str, ours: impl FnMut(u64) -> Duration, peer: impl FnMut(u64) -> Duration) {
        if self.wants(id) {
            let pair = side_by_side(self.mode, ours, peer);
            let measured = of_pair(&pair, target(id).peer);
            self.line(id, pair.ratio.median, Some(pair.ratio.median), measured);
        }
    }

    /// Measures ours and the bare thing in turns; what counts is what ours adds, in nanoseconds.
    pub fn over(&mut self, id: &str, ours: impl FnMut(u64) -> Duration, bare: impl FnMut(u64) -> Duration) {
        if self.wants(id) {
            let pair = side_by_side(self.mode, ours, bare);
            let measured = format!(
                "{:.1} ns over ({:.1} to {:.1}); {}",
                pair.over.median,
                pair.over.low,
                pair.over.high,
                of_pair(&pair, target(id).peer)
            );
            self.line(id, pair.over.median, Some(pair.ratio.median), measured);
        }
    }

    /// A figure that was measured in some other way, in the claim's unit.
    pub fn value(&mut self, id: &str, figure: f64, measured: impl Into<String>) {
        if self.wants(id) {
            self.line(id, figure, None, measured.into());
        }
    }

    fn line(&mut self, id: &str, figure: f64, ratio: Option<f64>, measured: String) {
        let target = target(id);
        if self.mode == Mode::Smoke {
            return;
        }
        let verdict = if target.bound.admits(figure) {
            "PASS"
        } else {
            "FAIL"
        };
        println!(
            "{verdict} {id}: {} (target {target}): {measured}",
            target.unit.show(figure)
        );
        self.lines
            .push(json!({ "id": id, "figure": figure, "ratio": ratio, "measured": measured }));
    }

    /// Leaves what was measured where the table of claims finds it, unless a filter has left something out.
    ///
    /// # Panics
    ///
    /// If it cannot be written there.
    pub fn finish(self) {
        if self.filter.is_some() || self.mode == Mode::Smoke {
            return;
        }
        let file = folder().join(format!("{}.json", self.name));
        fs::create_dir_all(folder()).expect("the target directory can be written");
        let content = json!({
            "suite": self.name,
            "mode": self.mode.as_str(),
            "run": run(),
            "lines": self.lines,
        });
        fs::write(&file, format!("{content:#}\n")).expect("the target directory can be written");
    }
}

/// Where suites leave what they have measured.
pub(super) fn folder() -> PathBuf {
    super::target_directory().join("claims")
}

fn of_pair(pair: &Paired, peer: &str) -> String {
    let share = |ratio: f64| super::Unit::Ratio.show(ratio);
    format!(
        "{} beside {} of {peer}; ratio {} to {}",
        time(pair.ours.median),
        time(pair.peer.median),
        share(pair.ratio.low),
        share(pair.ratio.high)
    )
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}
