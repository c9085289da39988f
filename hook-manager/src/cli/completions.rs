//! `completions`: what a shell needs to complete this command.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::print;

/// Prints completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hook-manager completions bash > ~/.local/share/bash-completion/completions/hook-manager
  hook-manager completions zsh > ~/.zfunc/_hook-manager
  hook-manager completions fish > ~/.config/fish/completions/hook-manager.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn main(args: &CompletionsArgs) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Args::command(), "hook-manager", &mut text);
    let is_told = print(&String::from_utf8_lossy(&text));
    ExitCode::from(u8::from(!is_told))
}
