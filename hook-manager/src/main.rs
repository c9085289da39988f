//! The `hook-manager` command.

#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::process::ExitCode;

mod cli;
mod daemon;

fn main() -> ExitCode {
    cli::main()
}
