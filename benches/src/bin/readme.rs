//! Puts the table of the last `cargo bench` into a page: `cargo run -p benches --bin readme -- README.md`.

use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(page) = std::env::args().nth(1) else {
        eprintln!("usage: cargo run -p benches --bin readme -- README.md");
        return ExitCode::from(64);
    };
    match put(Path::new(&page)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{err}");
            ExitCode::FAILURE
        }
    }
}

fn put(page: &Path) -> Result<(), String> {
    let executable = std::env::current_exe().map_err(|err| err.to_string())?;
    let target = executable.ancestors().nth(2).unwrap_or(Path::new("target"));
    let claims = target.join("claims.json");
    let read = |file: &Path| fs::read_to_string(file).map_err(|err| format!("{}: {err}", file.display()));
    let text = benches::readme::with_table(&read(page)?, &read(&claims)?, &machine(&mode(target)))?;
    fs::write(page, text).map_err(|err| format!("{}: {err}", page.display()))
}

/// How thoroughly was measured, as every suite of that run has noted: the command as it was given.
fn mode(target: &Path) -> String {
    let noted = fs::read_to_string(target.join("claims/layers.json")).unwrap_or_default();
    let noted: serde_json::Value = serde_json::from_str(&noted).unwrap_or_default();
    match noted["mode"].as_str() {
        Some("full") => "cargo bench".to_owned(),
        Some(mode) => format!("HOOK_BENCH={mode} cargo bench"),
        None => "cargo bench, of a mode that is not noted,".to_owned(),
    }
}

/// The machine and the command in a sentence, as far as they can be told.
fn machine(command: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("an unnamed processor", |(_, name)| name.trim());
    format!(
        "Measured by one `{command}` on {cores} cores of {model} ({} {}); compare the ratios, never the nanoseconds.",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
