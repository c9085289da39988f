//! Reads back what Criterion has measured, and says it as a ratio.

use std::{fs, path::Path};

use serde_json::Value;

/// Prints the medians of two lines of one group, and their ratio beside the one aimed at. Says so if there is no
/// figure, as when a filter left a line out.
pub fn claim(group: &str, ours: &str, peer: &str, target: f64) {
    match (median(group, ours), median(group, peer)) {
        (Some(mine), Some(theirs)) => {
            let verdict = if mine <= theirs * target { "met" } else { "MISSED" };
            println!(
                "{group}: {ours} {mine:.1} ns, {peer} {theirs:.1} ns: 1/{:.1} (target 1/{:.1}: {verdict})",
                theirs / mine,
                1.0 / target
            );
        }
        _ => println!("{group}: {ours} beside {peer}: not measured"),
    }
}

/// The median of a line, in nanoseconds, as Criterion has written it down.
pub fn median(group: &str, id: &str) -> Option<f64> {
    // `CRITERION_HOME`, or the folder that Criterion finds by asking Cargo: that of this executable.
    let home = std::env::var_os("CRITERION_HOME").map(Into::into).or_else(|| {
        let executable = std::env::current_exe().ok()?;
        let target = executable.ancestors().nth(3)?;
        Some(target.join("criterion"))
    })?;
    find(&home, group, id)
}

fn find(folder: &Path, group: &str, id: &str) -> Option<f64> {
    let read = |file: &str| -> Option<Value> {
        let text = fs::read_to_string(folder.join("new").join(file)).ok()?;
        serde_json::from_str(&text).ok()
    };
    if let Some(benchmark) = read("benchmark.json") {
        if benchmark["group_id"] == group && benchmark["value_str"] == id {
            return read("estimates.json")?["median"]["point_estimate"].as_f64();
        }
    }
    let folders = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    folders
        .filter(|path| path.is_dir() && !path.ends_with("new") && !path.ends_with("report"))
        .find_map(|path| find(&path, group, id))
}
