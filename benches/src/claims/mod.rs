//! What is claimed, what a suite has measured of it, and the table of both.

mod suite;
mod table;
mod targets;

use std::path::PathBuf;

pub use suite::Suite;
pub use table::{HEAD, Of, print};
pub use targets::{Bound, TARGETS, Target, Unit, target};

/// Cargo's target directory, as seen from the executable of a bench: `target/release/deps/x`.
///
/// # Panics
///
/// If this executable is somewhere else.
pub fn target_directory() -> PathBuf {
    let executable = std::env::current_exe().expect("this program has a file");
    let target = executable.ancestors().nth(3);
    target
        .expect("a bench is three folders deep in the target directory")
        .to_owned()
}

/// What tells one `cargo bench` from another: the process that has started the suites, and when that was started.
fn run() -> String {
    let parent = std::os::unix::process::parent_id();
    // The last parenthesis ends the program's name; the start time is the twentieth word after it.
    let started = std::fs::read_to_string(format!("/proc/{parent}/stat"))
        .ok()
        .and_then(|stat| {
            let (_, after) = stat.rsplit_once(')')?;
            after.split_whitespace().nth(19).map(str::to_owned)
        });
    format!("{parent}-{}", started.unwrap_or_default())
}
