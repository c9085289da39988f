//! The table of all claims, from what each suite has measured last: `cargo bench --bench claims`.

use std::process::ExitCode;

use benches::claims::{Of, print};

fn main() -> ExitCode {
    print(Of::TheLatest)
}
