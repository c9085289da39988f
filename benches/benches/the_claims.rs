//! The table of all claims, from what this very `cargo bench` has measured. Its name makes it the last.

use std::process::ExitCode;

use benches::claims::{Of, print};

fn main() -> ExitCode {
    print(Of::ThisRun)
}
